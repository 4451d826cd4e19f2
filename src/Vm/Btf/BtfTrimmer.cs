using System.IO.Compression;

namespace BpfSim.Vm.Btf;

/// <summary>
/// Makes a kernel's BTF small enough to be embedded: drops the functions that nobody asks for, and the parameter
/// names of the rest, which lets most prototypes fall together. Names that carry a meaning for the verifier
/// (<c>__k</c>, <c>__sz</c>, <c>__nullable</c>, …) stay, as do those of kfuncs.
/// </summary>
public static class BtfTrimmer
{
    /// <summary>Trims.</summary>
    /// <param name="btf">The kernel's BTF.</param>
    /// <param name="drop">Beginnings of names: what is named so goes, unless something that stays refers to it. Kfuncs and records of tracepoints always stay.</param>
    public static BtfData Trim(BtfData btf, IReadOnlyCollection<string> drop)
    {
        HashSet<uint> kfuncs = [.. btf.Types.Where(t => t.Kind == BtfKind.DeclTag && t.Name == "bpf_kfunc").Select(t => t.TypeId)];
        bool[] keep = new bool[btf.TypeCount];
        foreach (BtfType type in btf.Types)
        {
            bool root = type.Kind switch
            {
                BtfKind.Func => kfuncs.Contains(type.Id) || !Matches(type.Name, drop),
                BtfKind.Enum when type.Name.Length == 0 => true,
                BtfKind.Struct or BtfKind.Union or BtfKind.Typedef or BtfKind.Enum => type.Name.Length != 0 && (Matches(type.Name, s_records) || !Matches(type.Name, drop)),
                BtfKind.Enum64 or BtfKind.Datasec or BtfKind.Var => true,
                _ => false,
            };
            if (root) Mark(btf, type.Id, keep);
        }
        foreach (BtfType type in btf.Types)
            if (type.Kind == BtfKind.DeclTag && keep[type.TypeId]) keep[type.Id] = true;

        HashSet<uint> named = [.. kfuncs.Select(id => btf[id].TypeId)];
        uint[] ids = new uint[btf.TypeCount];
        var protos = new Dictionary<string, uint>();
        var order = new List<uint>();
        uint next = 1;
        for (uint id = 1; id < btf.TypeCount; id++)
        {
            if (!keep[id]) continue;
            BtfType type = btf[id];
            if (type.Kind == BtfKind.FuncProto)
            {
                string shape = string.Join(',', type.Params.Select(p => $"{(KeepsName(named, type.Id, p) ? p.Name : "")}:{p.TypeId}").Prepend($"{type.TypeId}"));
                if (protos.TryGetValue(shape, out uint same))
                {
                    ids[id] = same;
                    continue;
                }
                protos[shape] = next;
            }
            ids[id] = next++;
            order.Add(id);
        }
        var builder = new BtfBuilder();
        foreach (uint id in order)
        {
            BtfType type = btf[id];
            if (type.Kind == BtfKind.FuncProto)
                builder.AddFuncProto(ids[type.TypeId], [.. type.Params.Select(p => new BtfParam(KeepsName(named, id, p) ? p.Name : "", ids[p.TypeId]))]);
            else
                builder.AddCopy(type, old => ids[old]);
        }
        return builder.ToBtf();
    }

    private static readonly string[] s_records = ["trace_event_raw_", "btf_trace_", "syscall_trace_", "bpf_"];

    private static bool Matches(string name, IReadOnlyCollection<string> prefixes)
    {
        foreach (string prefix in prefixes)
            if (name.StartsWith(prefix, StringComparison.Ordinal)) return true;
        return false;
    }

    /// <summary>Packs BTF as it is embedded (Brotli).</summary>
    public static byte[] Pack(BtfData btf)
    {
        byte[] packed = new byte[BrotliEncoder.GetMaxCompressedLength(btf.Bytes.Length)];
        if (!BrotliEncoder.TryCompress(btf.Bytes.Span, packed, out int length, 11, 24)) throw new InvalidOperationException("BTF cannot be packed");
        return packed[..length];
    }

    private static bool KeepsName(HashSet<uint> named, uint proto, BtfParam parameter) =>
        named.Contains(proto) || parameter.Name.IndexOf("__", 1 > parameter.Name.Length ? 0 : 1, StringComparison.Ordinal) > 0;

    private static void Mark(BtfData btf, uint root, bool[] keep)
    {
        var pending = new Stack<uint>();
        pending.Push(root);
        while (pending.TryPop(out uint id))
        {
            if (id == 0 || keep[id]) continue;
            keep[id] = true;
            BtfType type = btf[id];
            pending.Push(type.TypeId);
            if (type.Kind == BtfKind.Array)
            {
                pending.Push(type.ArrayElementTypeId);
                pending.Push(type.ArrayIndexTypeId);
            }
            for (int i = 0; type.IsComposite && i < type.Vlen; i++) pending.Push(type.MemberTypeId(i));
            foreach (BtfParam parameter in type.Params) pending.Push(parameter.TypeId);
            foreach (BtfVarSecInfo variable in type.Variables) pending.Push(variable.TypeId);
        }
    }
}
