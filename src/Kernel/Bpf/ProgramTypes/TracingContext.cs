using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// The context of programs that are typed by BTF (tp_btf, fentry, fexit, fmod_ret, iter, lsm, struct_ops): an array of
/// 64-bit words, one an argument of the traced function, whose types the function's prototype gives.
/// </summary>
internal static class TracingContext
{
    /// <summary>Most words of a context (MAX_BPF_FUNC_ARGS).</summary>
    public const int MaxArgs = 12;

    private static readonly HashSet<(string, int)> s_nullable = ReadNullable();

    /// <summary>Which arguments of iterators are NULL after the last element, and whether they are trusted.</summary>
    private static readonly Dictionary<(string Func, int Arg), ContextAccessKind> s_iterArgs = new()
    {
        [("bpf_iter_bpf_link", 1)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_bpf_map", 1)] = ContextAccessKind.BtfPtrTrustedOrNull,
        [("bpf_iter_bpf_map_elem", 2)] = ContextAccessKind.ReadOnlyMemOrNull,
        [("bpf_iter_bpf_map_elem", 3)] = ContextAccessKind.ReadWriteMemOrNull,
        [("bpf_iter_bpf_prog", 1)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_bpf_sk_storage_map", 2)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_bpf_sk_storage_map", 3)] = ContextAccessKind.ReadWriteMemOrNull,
        [("bpf_iter_cgroup", 1)] = ContextAccessKind.BtfPtrTrustedOrNull,
        [("bpf_iter_dmabuf", 1)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_ipv6_route", 1)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_kmem_cache", 1)] = ContextAccessKind.BtfPtrTrustedOrNull,
        [("bpf_iter_ksym", 1)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_netlink", 1)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_sockmap", 2)] = ContextAccessKind.ReadOnlyMemOrNull,
        [("bpf_iter_sockmap", 3)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_task", 1)] = ContextAccessKind.BtfPtrTrustedOrNull,
        [("bpf_iter_task_file", 1)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_task_file", 3)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_task_vma", 1)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_task_vma", 2)] = ContextAccessKind.BtfPtrOrNull,
        [("bpf_iter_tcp", 1)] = ContextAccessKind.BtfPtrTrustedOrNull,
        [("bpf_iter_udp", 1)] = ContextAccessKind.BtfPtrTrustedOrNull,
        [("bpf_iter_unix", 1)] = ContextAccessKind.BtfPtrOrNull,
    };

    /// <summary>Whether an access is allowed and what it yields.</summary>
    public static ContextAccess Check(ContextQuery query)
    {
        if (query.Off < 0 || query.Off >= 8 * MaxArgs || query.Write || query.Off % query.Size != 0) return ContextAccess.Invalid;
        BtfData? btf = query.Program.KernelBtf;
        if (btf is null || Target(query.Program) is not { } target) return ContextAccess.Scalar;
        if (query.Off % 8 != 0) return Refuse($"func '{target.Name}' offset {query.Off} is not multiple of 8");
        bool rawTracepoint = query.Program.ExpectedAttachType == (uint)AttachType.TraceRawTp && query.Program.Type == ProgramType.Tracing;
        BtfParam[] parameters = [.. target.Proto.Params];
        if (rawTracepoint) parameters = parameters[1..];
        int arg = ArgumentAt(target.Proto, query.Off);
        uint typeId;
        if (arg < parameters.Length)
        {
            typeId = parameters[arg].TypeId;
        }
        else
        {
            bool returns = arg == parameters.Length && ReadsReturnValue(query.Program);
            if (!returns) return Refuse($"func '{target.Name}' doesn't have {arg + 1}-th argument");
            typeId = target.Proto.TypeId;
            if (query.Program.ExpectedAttachType != (uint)AttachType.TraceFexit && query.Program.Type == ProgramType.Tracing
                && btf.Resolve(typeId) is not { Kind: BtfKind.Int, Size: <= 8 })
                return Refuse($"func '{target.Name}' ret type {btf.Resolve(typeId).Kind.ToString().ToUpperInvariant()} not allowed for fmod_ret");
            if (typeId == 0) return ContextAccess.Scalar;
        }

        return CheckArgument(query, target.Name, arg, typeId, rawTracepoint, btf);
    }

    /// <summary>
    /// Which argument lies at an offset: each takes whole words. One past the arguments is the result, two past is nothing.
    /// </summary>
    private static int ArgumentAt(BtfType proto, int off)
    {
        int end = 0, arg = 0;
        foreach (BtfParam parameter in proto.Params)
        {
            end += Words(proto.Btf.Resolve(parameter.TypeId));
            if (off < end) return arg;
            arg++;
        }

        return off < end + Words(proto.Btf.Resolve(proto.TypeId)) ? arg : arg + 1;
    }

    private static int Words(BtfType type) => type.Kind == BtfKind.Ptr ? 8 : (int)(type.Size + 7) / 8 * 8;

    private static ContextAccess CheckArgument(ContextQuery query, string func, int arg, uint typeId, bool rawTracepoint, BtfData btf)
    {
        BtfType type = btf.Resolve(typeId);
        if (type.IsAnyEnum || type.IsComposite || type is { Kind: BtfKind.Int, Size: <= 8 }) return ContextAccess.Scalar;
        if (type.Kind != BtfKind.Ptr)
            return Refuse($"func '{func}' arg{arg} '{type.Name}' has type {KindName(type)}. Only pointer access is allowed");
        if (query.Size != 8) return Refuse($"func '{func}' size {query.Size} must be 8");
        BtfType pointee = btf.Resolve(type.TypeId);
        bool iterator = query.Program is { Type: ProgramType.Tracing, ExpectedAttachType: (uint)AttachType.TraceIter };
        if (iterator && s_iterArgs.TryGetValue((func, arg), out ContextAccessKind kind)) return new ContextAccess(kind, pointee.Id);
        if (pointee.IsVoid || pointee.Kind is BtfKind.Int) return ContextAccess.Scalar;
        if (!pointee.IsComposite) return Refuse($"func '{func}' arg{arg} type {KindName(pointee)} is not a struct");
        bool trusted = rawTracepoint || iterator || query.Program.Type is ProgramType.Lsm or ProgramType.StructOps;
        bool nullable = rawTracepoint && s_nullable.Contains((func, arg));
        return new ContextAccess(
            trusted ? nullable ? ContextAccessKind.BtfPtrTrustedOrNull : ContextAccessKind.BtfPtrTrusted : ContextAccessKind.BtfPtr,
            pointee.Id, 0, $"func '{func}' arg{arg} has btf_id {pointee.Id} type {KindName(pointee)} '{(pointee.Name.Length > 0 ? pointee.Name : "(anon)")}'");
    }

    /// <summary>Name (of a tracepoint without its btf_trace_ prefix) and prototype of what the program attaches to.</summary>
    internal static (string Name, BtfType Proto)? Target(ProgramAttributes program)
    {
        if (program.KernelBtf?.Find(program.AttachBtfId) is not { Id: > 0 } type) return null;
        const string prefix = "btf_trace_";
        if (type.Kind == BtfKind.Typedef)
        {
            BtfType proto = type.Target.Kind == BtfKind.Ptr ? type.Target.Target : type.Target;
            string name = type.Name.StartsWith(prefix, StringComparison.Ordinal) ? type.Name[prefix.Length..] : type.Name;
            return proto.Kind == BtfKind.FuncProto ? (name, proto) : null;
        }

        if (type.Kind == BtfKind.Struct && program.Type == ProgramType.StructOps)
        {
            if (program.ExpectedAttachType >= (uint)type.Vlen) return null;
            BtfMember member = type.Members[(int)program.ExpectedAttachType];
            BtfType pointer = program.KernelBtf.Resolve(member.TypeId);
            return pointer.Kind == BtfKind.Ptr && pointer.Target.Kind == BtfKind.FuncProto ? (member.Name, pointer.Target) : null;
        }

        return type.Kind == BtfKind.Func && type.Target.Kind == BtfKind.FuncProto ? (type.Name, type.Target) : null;
    }

    private static bool ReadsReturnValue(ProgramAttributes program) =>
        (AttachType)program.ExpectedAttachType is AttachType.TraceFexit or AttachType.ModifyReturn && program.Type == ProgramType.Tracing
        || program.Type == ProgramType.Lsm;

    private static string KindName(BtfType type) => type.Kind switch
    {
        BtfKind.FuncProto => "FUNC_PROTO",
        var kind => kind.ToString().ToUpperInvariant(),
    };

    private static ContextAccess Refuse(string message) => new(ContextAccessKind.Invalid, Message: message);

    private static HashSet<(string, int)> ReadNullable()
    {
        var set = new HashSet<(string, int)>();
        foreach (string line in EmbeddedData.Lines("nullable_tracepoints.txt"))
        {
            string[] words = line.Split(' ');
            foreach (string arg in words.AsSpan(1)) set.Add((words[0], int.Parse(arg, System.Globalization.CultureInfo.InvariantCulture)));
        }

        return set;
    }
}
