using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Object;

/// <summary>
/// The last step before a program can be verified: CO-RE relocations, kfuncs, kernel symbols and the attach
/// target are resolved against a kernel. Map references stay symbolic.
/// </summary>
public sealed class ObjectLinker
{
    /// <summary>From this helper id on stand calls of weak kfuncs that the kernel does not have.</summary>
    public const int MissingKfuncBase = 2002000000;

    private readonly BtfData? _kernel;
    private readonly Func<string, ulong> _symbolAddress;
    private BtfData? _local;
    private CoreRelocator? _relocator;
    private CoreMatcher? _matcher;

    /// <summary>Links against a kernel.</summary>
    /// <param name="kernel">Its BTF; null if there is none.</param>
    /// <param name="symbolAddress">Address of a kernel symbol by name, 0 if unknown; null if there are none.</param>
    public ObjectLinker(BtfData? kernel, Func<string, ulong>? symbolAddress = null)
    {
        _kernel = kernel;
        _symbolAddress = symbolAddress ?? (static _ => 0);
    }

    /// <summary>Resolves a program. What stands against loading it is in <see cref="ProgramSpec.LoadError"/> of the result.</summary>
    public ProgramSpec Link(ProgramSpec program)
    {
        if (program.LoadError != null) return program;
        Insn[] insns = [.. program.Insns];
        if (program.Btf != null && !ReferenceEquals(program.Btf, _local))
        {
            _local = program.Btf;
            _relocator = new CoreRelocator(_local, _kernel);
            _matcher = _kernel == null ? null : new CoreMatcher(_local, _kernel);
        }
        for (int i = 0; i < program.CoreRelocations.Count; i++)
        {
            if (_relocator!.Apply(insns, program.CoreRelocations[i], program.Name, i) is { } error)
                return program with { LoadError = error };
        }
        foreach (ExternReference reference in program.Externs)
        {
            if (Resolve(insns, reference) is { } error)
                return program with { LoadError = error.Message, LoadErrno = error.Errno };
        }
        return FindAttachTarget(program with { Insns = insns });
    }

    private (string Message, Errno Errno)? Resolve(Insn[] insns, ExternReference reference)
    {
        int slot = reference.InsnOff;
        string name = reference.Name;
        Insn insn = insns[slot];
        switch (reference.Kind)
        {
            case ExternKind.Symbol:
                ulong address = _symbolAddress(name);
                if (address == 0 && !reference.Weak) return ($"extern (ksym) '{name}': not found in kallsyms", Errno.ESRCH);
                SetAddress(insns, slot, address);
                return null;
            case ExternKind.Variable:
                BtfType? variable = _kernel?.Find(name, BtfKind.Var);
                if (variable == null && !reference.Weak) return ($"extern (var ksym) '{name}': not found in kernel BTF", Errno.ESRCH);
                if (variable is { } found && !_matcher!.AreCompatible(reference.TypeId, _kernel!.Resolve(found.TypeId).Id))
                    return ($"extern (var ksym) '{name}': incompatible types, expected [{reference.TypeId}], but kernel has {_kernel.Resolve(found.TypeId)}", Errno.EINVAL);
                if (variable == null) SetAddress(insns, slot, 0);
                else SetBtfId(insns, slot, variable.Value.Id);
                return null;
            default:
                uint kfunc = _kernel?.FindId(name, BtfKind.Func) ?? 0;
                if (kfunc != 0 && !_matcher!.AreCompatible(reference.TypeId, _kernel![kfunc].TypeId))
                {
                    if (!reference.Weak) return ($"extern (func ksym) '{name}': func_proto [{reference.TypeId}] incompatible with vmlinux [{_kernel[kfunc].TypeId}]", Errno.EINVAL);
                    kfunc = 0;
                }
                if (kfunc == 0 && !reference.Weak) return ($"extern (func ksym) '{name}': not found in kernel or module BTFs", Errno.ESRCH);
                if (insn.IsLdImm64)
                {
                    if (kfunc == 0) SetAddress(insns, slot, 0);
                    else SetBtfId(insns, slot, kfunc);
                    return null;
                }
                // A weak kfunc that is missing leaves a call that the verifier refuses if it is reached.
                insns[slot] = new Insn(insn.Code, insn.Dst, kfunc == 0 ? (int)CallKind.Helper : (int)CallKind.Kfunc, 0,
                    kfunc == 0 ? MissingKfuncBase : (int)kfunc);
                return null;
        }
    }

    private const uint TraceRawTp = 23, TraceIter = 28;

    /// <summary>Finds what a tracing or LSM program attaches to in the kernel's BTF, by libbpf's naming.</summary>
    private ProgramSpec FindAttachTarget(ProgramSpec program)
    {
        if (program.AttachBtfId != 0) return program;
        (string prefix, BtfKind kind) = (program.Type, program.ExpectedAttachType) switch
        {
            (ProgramType.Tracing, TraceRawTp) => ("btf_trace_", BtfKind.Typedef),
            (ProgramType.Tracing, TraceIter) => ("bpf_iter_", BtfKind.Func),
            (ProgramType.Tracing, _) => ("", BtfKind.Func),
            (ProgramType.Lsm, _) => ("bpf_lsm_", BtfKind.Func),
            (ProgramType.Ext, _) => ("", BtfKind.Func),
            _ => ("", BtfKind.Unknown),
        };
        if (kind == BtfKind.Unknown) return program;
        if (string.IsNullOrEmpty(program.AttachTarget))
            return program with { LoadError = $"prog '{program.Name}': no BTF-based attach target is specified, use bpf_program__set_attach_target()" };
        // An extension replaces a function of a program that its loader names; an object alone has none.
        if (program.Type == ProgramType.Ext) return program with { LoadError = $"prog '{program.Name}': attach program FD is not set" };
        uint id = _kernel?.FindId(prefix + program.AttachTarget, kind) ?? 0;
        if (id != 0) return program with { AttachBtfId = id };
        return program with
        {
            LoadError = $"prog '{program.Name}': failed to find kernel BTF type ID of '{program.AttachTarget}': -3",
            LoadErrno = Errno.ESRCH,
        };
    }

    private static void SetAddress(Insn[] insns, int slot, ulong address)
    {
        insns[slot] = insns[slot] with { Imm = (int)address };
        insns[slot + 1] = insns[slot + 1] with { Imm = (int)(address >> 32) };
    }

    private static void SetBtfId(Insn[] insns, int slot, uint id)
    {
        Insn insn = insns[slot];
        insns[slot] = new Insn(insn.Code, insn.Dst, (int)PseudoSource.BtfId, insn.Off, (int)id);
        insns[slot + 1] = insns[slot + 1] with { Imm = 0 };
    }
}
