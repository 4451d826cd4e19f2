using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Verifier;

// The context's type, as programs and the kernel name it: struct bpf_ctx_convert of the kernel's BTF has both for each program type.
internal sealed partial class ProgramVerifier
{
    private BtfType? _programContext;

    /// <summary>Type that programs of this type, or the kernel, see the context as; id 0 if BTF does not tell.</summary>
    private BtfType ContextType(bool kernel)
    {
        if (KernelBtf.Find("bpf_prog_type", BtfKind.Enum) is not { } programTypes) return KernelBtf[0];
        foreach (BtfEnumerator row in programTypes.Enumerators)
        {
            if (row.Value != (long)Input.Attributes.Type) continue;
            string member = row.Name + (kernel ? "_kern" : "_prog");
            return KernelBtf.Find("bpf_ctx_convert", BtfKind.Struct)?.FindMember(member) is { } found ? KernelBtf[found.TypeId] : KernelBtf[0];
        }

        return KernelBtf[0];
    }

    /// <summary>The context as programs see it; asked for at every call of a kfunc.</summary>
    private BtfType ProgramContext => _programContext ??= ContextType(kernel: false);

    private uint KernelContextType()
    {
        BtfType type = ContextType(kernel: true);
        if (!type.IsComposite) Reject(Errno.EINVAL, $"kern ctx type id {type.Id} is not a struct");
        return type.Id;
    }

    /// <summary>Whether a pointer type is that of the program type's context.</summary>
    private bool IsContextPointer(BtfType pointer)
    {
        BtfType type = pointer.Target;
        while (type.IsModifier || type.Kind == BtfKind.Typedef)
        {
            if (Input.Attributes.Type == ProgramType.Kprobe && type is { Kind: BtfKind.Typedef, Name: "bpf_user_pt_regs_t" }) return true;
            type = type.Target;
        }

        if (!type.IsComposite || type.Name.Length == 0) return false;
        BtfType context = ProgramContext;
        if (context.Name == type.Name || (context.Name, type.Name) is ("__sk_buff", "sk_buff") or ("xdp_md", "xdp_buff")) return true;
        return context.Kind == BtfKind.Typedef && KernelBtf.Resolve(context.Id).Name == type.Name;
    }

    /// <summary>Why a pointer with the tag arg:ctx cannot be the context, or null.</summary>
    private string? ContextTypeMismatch(BtfType pointer, int index)
    {
        BtfType type = pointer.Target;
        ProgramType program = Input.Attributes.Type;
        while (type.IsModifier || type.Kind == BtfKind.Typedef)
        {
            if (program is ProgramType.Kprobe or ProgramType.PerfEvent && type is { Kind: BtfKind.Typedef, Name: "bpf_user_pt_regs_t" }) return null;
            type = type.Target;
        }

        if (type.IsVoid) return null;
        if (type.Name.Length == 0) return $"arg#{index} type doesn't have a name";
        if (IsContextByName(type)) return null;
        BtfType context = KernelBtf.Resolve(ProgramContext.Id);
        if (!context.IsComposite) return $"arg#{index} should be void pointer";
        return type.IsComposite && type.Name == context.Name ? null : $"arg#{index} should be `struct {context.Name} *`";
    }

    /// <summary>Types that stand for contexts beside the one of bpf_ctx_convert.</summary>
    private bool IsContextByName(BtfType type)
    {
        bool word = type is { Kind: BtfKind.Int, Size: 8 };
        ProgramAttributes program = Input.Attributes;
        return program.Type switch
        {
            ProgramType.Kprobe or ProgramType.PerfEvent => type.IsComposite && type.Name == "pt_regs",
            ProgramType.RawTracepoint or ProgramType.RawTracepointWritable or ProgramType.Lsm or ProgramType.StructOps => word,
            ProgramType.Tracepoint or ProgramType.Syscall or ProgramType.Ext => true,
            ProgramType.Tracing when program.ExpectedAttachType == TraceIter =>
                type.IsComposite && type.Name.StartsWith("bpf_iter__", StringComparison.Ordinal),
            ProgramType.Tracing when program.ExpectedAttachType == TraceRawTp =>
                word || (type.IsComposite && type.Name == "bpf_raw_tracepoint_args"),
            ProgramType.Tracing => word,
            _ => false,
        };
    }
}
