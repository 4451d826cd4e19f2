using System.Globalization;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// The context accesses of the networking and cgroup program types, and of perf_event: what contexts.txt says.
/// </summary>
internal sealed class ContextRules
{
    private readonly record struct Access(int Off, int Size, bool Write);

    private readonly record struct Field(ContextAccessKind Kind, int FieldSize, string? BtfName);

    private static readonly Dictionary<string, ContextRules> s_all = Parse();

    private readonly Dictionary<Access, Field> _fields;

    private ContextRules(Dictionary<Access, Field> fields) => _fields = fields;

    /// <summary>The answer for a type named as in the file, where the file has a context for the attach type or the type.</summary>
    public static ContextAccess Check(string typeName, in ContextQuery query)
    {
        if (!s_all.TryGetValue(string.Create(CultureInfo.InvariantCulture, $"{typeName}/{query.Program.ExpectedAttachType}"), out var rules)
            && !s_all.TryGetValue(typeName, out rules))
            return ContextAccess.Invalid;
        if (!rules._fields.TryGetValue(new Access(query.Off, query.Size, query.Write), out Field field)) return ContextAccess.Invalid;
        // A sign-extending load of a packet pointer would change it.
        if (query.SignExtend && field.Kind != ContextAccessKind.Scalar) return ContextAccess.Invalid;
        uint btfId = field.BtfName is { } name ? query.Program.KernelBtf?.FindId(name, BtfKind.Struct) ?? 0 : 0;
        return new ContextAccess(field.Kind, btfId, query.Size < field.FieldSize ? field.FieldSize : 0);
    }

    private static Dictionary<string, ContextRules> Parse()
    {
        var all = new Dictionary<string, ContextRules>();
        string current = "";
        var fields = new Dictionary<Access, Field>();
        foreach (string line in EmbeddedData.Lines("contexts.txt"))
        {
            string[] words = line.Split(' ');
            if (line[0] == '[')
            {
                if (current.Length > 0) all[current] = new ContextRules(fields);
                current = words[0].Trim('[', ']');
                fields = [];
                if (words.Length < 3) continue;
                all[current] = all[words[2]];
                current = "";
                continue;
            }

            AddRow(fields, words);
        }

        all[current] = new ContextRules(fields);
        return all;
    }

    private static void AddRow(Dictionary<Access, Field> fields, string[] words)
    {
        bool write = words[0] == "w";
        int dash = words[1].IndexOf('-', StringComparison.Ordinal);
        int start = int.Parse(words[1].AsSpan(0, dash), CultureInfo.InvariantCulture);
        int end = int.Parse(words[1].AsSpan(dash + 1), CultureInfo.InvariantCulture);
        bool narrow = words[2][0] == 'n';
        int width = int.Parse(words[2].AsSpan(narrow ? 1 : 0), CultureInfo.InvariantCulture);
        (ContextAccessKind kind, string? btf) = words.Length > 3 ? ParseKind(words[3]) : (ContextAccessKind.Scalar, null);
        for (int off = start; off + width <= end; off += width)
        {
            fields[new Access(off, width, write)] = new Field(kind, width, btf);
            if (!narrow) continue;
            for (int size = 1; size < width; size *= 2)
            {
                for (int part = 0; part < width; part += size) fields[new Access(off + part, size, write)] = new Field(kind, width, btf);
            }
        }
    }

    private static (ContextAccessKind Kind, string? Btf) ParseKind(string word) => word switch
    {
        "pkt" => (ContextAccessKind.PacketData, null),
        "pkt_end" => (ContextAccessKind.PacketEnd, null),
        "pkt_meta" => (ContextAccessKind.PacketMeta, null),
        "flow_keys" => (ContextAccessKind.FlowKeys, null),
        "sock" => (ContextAccessKind.Socket, null),
        "sock_or_null" => (ContextAccessKind.SocketOrNull, null),
        "sock_common_or_null" => (ContextAccessKind.SockCommonOrNull, null),
        _ when word.StartsWith("trusted_ptr_", StringComparison.Ordinal) =>
            (ContextAccessKind.BtfPtrTrusted, word["trusted_ptr_".Length..]),
        _ => throw new FormatException($"contexts.txt: unknown kind '{word}'"),
    };
}
