using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// What BTF tells of the program as a whole: its functions, its exception callback, its attach target, kernel variables.
internal sealed partial class ProgramVerifier
{
    private const string ExceptionCallbackTag = "exception_callback:";

    /// <summary>Whether some path throws.</summary>
    internal bool SeenException { get; private set; }

    /// <summary>The subprogram that handles what is thrown, 0 if the default one does.</summary>
    internal int ExceptionCallbackSubprog { get; private set; }

    private int _exceptionCallbackStart = -1;

    /// <summary>Functions that only the BTF knows: the exception callback.</summary>
    private void AddFunctionsOfBtf(SortedSet<int> starts)
    {
        if (Input.Btf is null || Input.FuncInfos.Count == 0) return;
        foreach (BtfDeclTag tag in Input.Btf.DeclTags(Input.FuncInfos[0].TypeId))
        {
            if (tag.ComponentIndex != -1 || !tag.Text.StartsWith(ExceptionCallbackTag, StringComparison.Ordinal)) continue;
            string name = tag.Text[ExceptionCallbackTag.Length..];
            if (_exceptionCallbackStart >= 0) Reject(Errno.EINVAL, "multiple exception callback tags for main subprog");
            if (Input.Btf.Find(name, BtfKind.Func) is not { } func)
            {
                Reject(Errno.ENOENT, $"exception callback '{name}' could not be found in BTF");
                return;
            }

            if (func.Linkage != BtfLinkage.Global) Reject(Errno.EINVAL, $"exception callback '{name}' must have global linkage");
            foreach (FuncInfo info in Input.FuncInfos)
            {
                if (info.TypeId == func.Id) _exceptionCallbackStart = info.InsnOff;
            }

            if (_exceptionCallbackStart < 0) Reject(Errno.EINVAL, "exception callback type id not found in func_info");
            starts.Add(_exceptionCallbackStart);
        }
    }

    /// <summary>Function and line records against the program; names and BTF ids of the functions.</summary>
    private void CheckBtfInfo()
    {
        if (_exceptionCallbackStart >= 0)
        {
            ExceptionCallbackSubprog = FindSubprog(_exceptionCallbackStart);
            Subprogs[ExceptionCallbackSubprog].IsExceptionCallback = true;
            Subprogs[ExceptionCallbackSubprog].IsCallback = Subprogs[ExceptionCallbackSubprog].IsAsyncCallback = true;
        }

        if (Input.FuncInfos.Count == 0)
        {
            CheckAbnormalReturn();
            return;
        }

        if (Input.FuncInfos.Count != Subprogs.Count)
            Reject(Errno.EINVAL, "number of funcs in func_info doesn't match number of subprogs");
        for (int i = 0; i < Subprogs.Count; i++)
        {
            FuncInfo info = Input.FuncInfos[i];
            if (info.InsnOff != Subprogs[i].Start)
                Reject(Errno.EINVAL, "func_info BTF section doesn't match subprog layout in BPF program");
            if (Input.Btf?.Find(info.TypeId) is not { Kind: BtfKind.Func } func)
            {
                Reject(Errno.EINVAL, $"invalid type id {info.TypeId} in func info");
                return;
            }

            if (i > 0) CheckMayReturnEarly(Subprogs[i], func);
            Subprogs[i].BtfId = info.TypeId;
            Subprogs[i].Name = func.Name;
            Subprogs[i].IsGlobal = func.Linkage == BtfLinkage.Global;
        }

        CheckLineInfo();
    }

    /// <summary>Line records ascend, stand at instructions, and each function begins with one.</summary>
    private void CheckLineInfo()
    {
        IReadOnlyList<LineInfo> lines = Input.LineInfos;
        if (lines.Count == 0) return;
        int next = 0;
        for (int i = 0; i < lines.Count; i++)
        {
            int off = lines[i].InsnOff, previous = i == 0 ? 0 : lines[i - 1].InsnOff;
            if ((i > 0 && off <= previous) || (uint)off >= (uint)Insns.Length)
            {
                Reject(Errno.EINVAL, $"Invalid line_info[{i}].insn_off:{(uint)off} (prev_offset:{previous} prog->len:{Insns.Length})");
                return;
            }

            if (Insns[off].Code == 0) Reject(Errno.EINVAL, $"Invalid insn code at line_info[{i}].insn_off");
            if (next == Subprogs.Count) continue;
            if (off == Subprogs[next].Start) next++;
            else if (off > Subprogs[next].Start) Reject(Errno.EINVAL, $"missing bpf_line_info for func#{next}");
        }

        if (next != Subprogs.Count)
            Reject(Errno.EINVAL, $"missing bpf_line_info for {Subprogs.Count - next} funcs starting from func#{next}");
    }

    /// <summary>Packet loads and tail calls leave a function with a number, so it must return one.</summary>
    private void CheckMayReturnEarly(Subprogram subprog, BtfType func)
    {
        if (!subprog.HasLdAbs && !subprog.HasTailCall) return;
        BtfType result = Input.Btf!.Resolve(func.Target.TypeId);
        bool number = result.Kind is BtfKind.Enum or BtfKind.Enum64 || (result.Kind == BtfKind.Int && result.Size <= 8);
        if (number) return;
        Reject(Errno.EINVAL, $"{(subprog.HasLdAbs ? "LD_ABS" : "tail_call")} is only allowed in functions that return 'int'.");
    }

    /// <summary>Without BTF nobody knows what a function returns.</summary>
    private void CheckAbnormalReturn()
    {
        for (int i = 1; i < Subprogs.Count; i++)
        {
            if (Subprogs[i].HasLdAbs) Reject(Errno.EINVAL, "LD_ABS is not allowed in subprogs without BTF");
            if (Subprogs[i].HasTailCall) Reject(Errno.EINVAL, "tail_call is not allowed in subprogs without BTF");
        }
    }

    /// <summary>The attach target that a tracing, LSM or extension program names.</summary>
    private void CheckAttachTarget()
    {
        ProgramAttributes program = Input.Attributes;
        if (program.Type == ProgramType.Syscall)
        {
            if (!program.Sleepable) Reject(Errno.EINVAL, "Syscall programs can only be sleepable");
            return;
        }

        bool maySleep = program.Type switch
        {
            ProgramType.Tracing => program.ExpectedAttachType is TraceFentry or TraceFexit or ModifyReturn or TraceIter,
            ProgramType.Lsm or ProgramType.Kprobe or ProgramType.StructOps => true,
            _ => false,
        };
        if (program.Sleepable && !maySleep)
            Reject(Errno.EINVAL, "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable");
        if (program.Type is not (ProgramType.Tracing or ProgramType.Lsm)) return;
        if (program.AttachBtfId == 0) Reject(Errno.EINVAL, "Tracing programs must provide btf_id");
        if (program.KernelBtf is null) return;
        if (KernelBtf.Find(program.AttachBtfId) is not { } target)
        {
            Reject(Errno.EINVAL, $"attach_btf_id {program.AttachBtfId} is invalid");
            return;
        }

        bool rawTracepoint = program is { Type: ProgramType.Tracing, ExpectedAttachType: TraceRawTp };
        if (rawTracepoint)
        {
            if (target.Kind != BtfKind.Typedef) Reject(Errno.EINVAL, $"attach_btf_id {target.Id} is not a typedef");
            if (!target.Name.StartsWith("btf_trace_", StringComparison.Ordinal))
                Reject(Errno.EINVAL, $"attach_btf_id {target.Id} points to wrong type name {target.Name}");
        }
        else if (target.Kind != BtfKind.Func)
        {
            Reject(Errno.EINVAL, $"attach_btf_id {target.Id} is not a function");
        }
    }

    /// <summary>A kernel variable that a 64-bit load refers to, before the walk.</summary>
    private void ResolveBtfVariable(int insnIdx)
    {
        uint id = (uint)Insns[insnIdx].Imm;
        // The second half names the BTF of a module; there are no modules here.
        if (Insns[insnIdx + 1].Imm != 0) Reject(Errno.EINVAL, "invalid module BTF object FD specified.");
        if (KernelBtf.Find(id) is not { Id: > 0 } type)
        {
            Reject(Errno.ENOENT, $"ldimm64 insn specifies invalid btf_id {(int)id}.");
            return;
        }

        if (type.Kind is not (BtfKind.Var or BtfKind.Func))
            Reject(Errno.EINVAL, $"pseudo btf_id {(int)id} in ldimm64 isn't KIND_VAR or KIND_FUNC");
        if (Input.SymbolAddress is { } addressOf && addressOf(type.Name) == 0)
            Reject(Errno.ENOENT, $"ldimm64 failed to find the address for kernel symbol '{type.Name}'.");
    }

    /// <summary>The address of a kernel variable or function.</summary>
    private void CheckLoadBtfId(in Insn insn, ref RegisterState dst)
    {
        BtfType symbol = KernelBtf[(uint)insn.Imm];
        if (symbol.Kind == BtfKind.Func)
        {
            dst.MarkPointer(RegType.PtrToMem | RegType.MemRdonly);
            return;
        }

        BtfType type = KernelBtf.Resolve(symbol.TypeId);
        bool percpu = KernelBtf.Find(".data..percpu", BtfKind.Datasec) is { } section && section.Variables.Any(v => v.TypeId == symbol.Id);
        if (percpu || type.IsComposite)
        {
            dst.MarkPointer(RegType.PtrToBtfId | (percpu ? RegType.MemPercpu : 0));
            dst.Btf = BtfSource.Kernel;
            dst.BtfId = type.Id;
            return;
        }

        long size = KernelBtf.SizeOf(type.Id);
        if (size < 0) Reject(Errno.EINVAL, $"ldimm64 unable to resolve the size of type '{type.Name}': -22");
        dst.MarkPointer(RegType.PtrToMem | RegType.MemRdonly);
        dst.MemSize = (uint)size;
    }

    /// <summary>Whether a global function returns nothing.</summary>
    private bool ReturnsVoid(Subprogram subprog) =>
        Input.Btf?.Find(subprog.BtfId) is { Kind: BtfKind.Func } func && func.Target.TypeId == 0;
}
