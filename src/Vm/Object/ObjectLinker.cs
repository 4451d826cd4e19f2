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
    private readonly BtfData? _kernel;
    private readonly Func<string, ulong> _symbolAddress;
    private readonly Dictionary<BtfData, CoreRelocator> _relocators = [];

    /// <summary>Links against a kernel.</summary>
    /// <param name="kernel">Its BTF; null if there is none.</param>
    /// <param name="symbolAddress">Address of a kernel symbol by name, 0 if unknown; null if there are none.</param>
    public ObjectLinker(BtfData? kernel, Func<string, ulong>? symbolAddress = null)
    {
        _kernel = kernel;
        _symbolAddress = symbolAddress ?? (static _ => 0);
    }

    /// <summary>
    /// Resolves a program. What stands against loading it is in <see cref="ProgramSpec.LoadError"/> of the result.
    /// </summary>
    public ProgramSpec Link(ProgramSpec program)
    {
        if (program.LoadError != null) return program;
        Insn[] insns = [.. program.Insns];
        if (program.Btf != null && program.CoreRelocations.Count != 0)
        {
            if (!_relocators.TryGetValue(program.Btf, out CoreRelocator? relocator))
                _relocators[program.Btf] = relocator = new CoreRelocator(program.Btf, _kernel);
            for (int i = 0; i < program.CoreRelocations.Count; i++)
            {
                if (relocator.Apply(insns, program.CoreRelocations[i], program.Name, i) is { } error)
                    return program with { LoadError = error };
            }
        }
        foreach (ExternReference reference in program.Externs)
        {
            if (Resolve(insns, reference) is { } error) return program with { LoadError = error };
        }
        return program with { Insns = insns, CoreRelocations = [], Externs = [] };
    }

    private string? Resolve(Insn[] insns, ExternReference reference)
    {
        int slot = reference.InsnOff;
        Insn insn = insns[slot];
        switch (reference.Kind)
        {
            case ExternKind.Symbol:
                ulong address = _symbolAddress(reference.Name);
                if (address == 0 && !reference.Weak) return $"extern (ksym) '{reference.Name}': not found in kallsyms";
                SetAddress(insns, slot, address);
                return null;
            case ExternKind.Variable:
                uint variable = _kernel?.FindId(reference.Name, BtfKind.Var) ?? 0;
                if (variable == 0 && !reference.Weak) return $"extern (var ksym) '{reference.Name}': not found in kernel BTF";
                if (variable == 0) SetAddress(insns, slot, 0);
                else SetBtfId(insns, slot, variable);
                return null;
            default:
                uint kfunc = FindKfunc(reference);
                if (kfunc == 0 && !reference.Weak) return $"extern (func ksym) '{reference.Name}': not found in kernel or module BTFs";
                if (insn.IsLdImm64)
                {
                    if (kfunc == 0) SetAddress(insns, slot, 0);
                    else SetBtfId(insns, slot, kfunc);
                    return null;
                }
                // A weak kfunc that is missing leaves a call that the verifier refuses if it is reached.
                insns[slot] = new Insn(insn.Code, insn.Dst, kfunc == 0 ? (int)CallKind.Helper : (int)CallKind.Kfunc, 0,
                    kfunc == 0 ? MissingKfuncBase + slot : (int)kfunc);
                return null;
        }
    }

    /// <summary>From this helper id on stand calls of weak kfuncs that the kernel does not have.</summary>
    public const int MissingKfuncBase = 2002000000;

    private uint FindKfunc(ExternReference reference)
    {
        if (_kernel == null) return 0;
        foreach (BtfType type in _kernel.FindAll(reference.Name))
        {
            if (type.Kind == BtfKind.Func) return type.Id;
        }
        return 0;
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
