using System.Text;

namespace BpfSim.Vm.Btf;

public sealed partial class BtfData
{
    private NameIndex? _names;
    private Dictionary<uint, List<BtfDeclTag>>? _declTags;

    /// <summary>The first type with this name and kind, or null.</summary>
    public BtfType? Find(string name, BtfKind kind)
    {
        foreach (BtfType type in FindAll(name))
            if (type.Kind == kind) return type;
        return null;
    }

    /// <summary>The id of the first type with this name and kind, or 0.</summary>
    public uint FindId(string name, BtfKind kind) => Find(name, kind)?.Id ?? 0;

    /// <summary>The struct or union with this name, or null.</summary>
    public BtfType? FindComposite(string name) => Find(name, BtfKind.Struct) ?? Find(name, BtfKind.Union);

    /// <summary>The prototype of the function with this name, or null.</summary>
    public BtfType? FindFuncProto(string name) => Find(name, BtfKind.Func) is { } func && func.Target.Kind == BtfKind.FuncProto ? func.Target : null;

    /// <summary>All types with exactly this name, ascending by id.</summary>
    public IEnumerable<BtfType> FindAll(string name)
    {
        byte[] wanted = Encoding.UTF8.GetBytes(name);
        NameIndex names = Names;
        for (uint id = names.First(EssentialName(wanted)); id != 0; id = names.Next(id))
        {
            BtfType type = this[id];
            if (type.NameBytes.SequenceEqual(wanted)) yield return type;
        }
    }

    /// <summary>
    /// All types whose name is this one once a CO-RE flavour (<c>___suffix</c>) is cut off both: libbpf's
    /// notion of "the same type in another kernel".
    /// </summary>
    public IEnumerable<BtfType> FindCandidates(string name)
    {
        byte[] wanted = EssentialName(Encoding.UTF8.GetBytes(name)).ToArray();
        NameIndex names = Names;
        for (uint id = names.First(wanted); id != 0; id = names.Next(id))
        {
            BtfType type = this[id];
            if (EssentialName(type.NameBytes).SequenceEqual(wanted)) yield return type;
        }
    }

    /// <summary>The name without a CO-RE flavour: what stands before the last <c>___</c> between other characters.</summary>
    public static ReadOnlySpan<byte> EssentialName(ReadOnlySpan<byte> name)
    {
        // libbpf looks backward for X___Y with X and Y other than '_'.
        for (int i = name.Length - 5; i >= 0; i--)
        {
            if (name[i] != '_' && name[i + 1] == '_' && name[i + 2] == '_' && name[i + 3] == '_' && name[i + 4] != '_')
                return name[..(i + 1)];
        }
        return name;
    }

    /// <summary>The btf_decl_tag attributes of a type, its members and parameters.</summary>
    public IReadOnlyList<BtfDeclTag> DeclTags(uint typeId)
    {
        Dictionary<uint, List<BtfDeclTag>> all = _declTags ?? IndexDeclTags();
        return all.TryGetValue(typeId, out List<BtfDeclTag>? tags) ? tags : [];
    }

    /// <summary>Whether a type, or its member or parameter with this index, carries the btf_decl_tag.</summary>
    public bool HasDeclTag(uint typeId, string text, int componentIndex = -1)
    {
        foreach (BtfDeclTag tag in DeclTags(typeId))
            if (tag.ComponentIndex == componentIndex && tag.Text == text) return true;
        return false;
    }

    /// <summary>The texts of the btf_type_tag attributes that stand between a pointer and what it points to, outermost first.</summary>
    public IReadOnlyList<string> TypeTags(uint pointerTypeId)
    {
        var tags = new List<string>();
        BtfType type = Resolve(pointerTypeId);
        if (type.Kind != BtfKind.Ptr) return tags;
        uint id = type.TypeId;
        for (int depth = 0; depth < MaxResolveDepth; depth++)
        {
            BtfType inner = this[id];
            if (inner.Kind == BtfKind.TypeTag) tags.Add(inner.Name);
            else if (!inner.IsModifier) break;
            id = inner.TypeId;
        }
        return tags;
    }

    private Dictionary<uint, List<BtfDeclTag>> IndexDeclTags()
    {
        var all = new Dictionary<uint, List<BtfDeclTag>>();
        for (uint id = 1; id < TypeCount; id++)
        {
            BtfType type = this[id];
            if (type.Kind != BtfKind.DeclTag) continue;
            if (!all.TryGetValue(type.TypeId, out List<BtfDeclTag>? tags)) all[type.TypeId] = tags = [];
            tags.Add(new BtfDeclTag(id, type.Name, type.ComponentIndex));
        }
        return _declTags = all;
    }

    private NameIndex Names => _names ??= new NameIndex(this);

    /// <summary>
    /// A chained hash table over the essential names of all types, built on first use: kernels have 100,000
    /// names, and a dictionary of strings would take ten times as long.
    /// </summary>
    private sealed class NameIndex
    {
        private readonly uint[] _buckets;
        private readonly uint[] _next;

        public NameIndex(BtfData btf)
        {
            uint count = btf.TypeCount;
            _buckets = new uint[System.Numerics.BitOperations.RoundUpToPowerOf2(Math.Max(16, count))];
            _next = new uint[count];
            // From the last id down, so that chains ascend.
            for (uint id = count - 1; id > 0; id--)
            {
                ReadOnlySpan<byte> name = btf[id].NameBytes;
                if (name.IsEmpty) continue;
                ref uint head = ref Bucket(EssentialName(name));
                _next[id] = head;
                head = id;
            }
        }

        /// <summary>First type in the chain of a name; the caller compares.</summary>
        public uint First(ReadOnlySpan<byte> essentialName) => Bucket(essentialName);

        public uint Next(uint id) => _next[id];

        private ref uint Bucket(ReadOnlySpan<byte> name)
        {
            ulong hash = 0xcbf29ce484222325;
            foreach (byte b in name) hash = (hash ^ b) * 0x100000001b3;
            return ref _buckets[(hash ^ (hash >> 29)) & (ulong)(_buckets.Length - 1)];
        }
    }
}
