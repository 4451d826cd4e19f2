using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>A struct of a program's BTF of which it allocates objects: its size, and the fields that need care.</summary>
internal sealed class ObjectType
{
    private static readonly ConditionalWeakTable<BtfData, ConcurrentDictionary<uint, ObjectType>> s_types = [];

    private ObjectType(BtfData btf, BtfType type)
    {
        Btf = btf;
        Size = type.Size;
        Fields = SpecialFieldFinder.Find(type);
        Handle = GCHandle.Alloc(this);
        foreach (SpecialField field in Fields)
            if (field.Kind == SpecialFieldKind.Refcount) RefcountOffset = field.Offset;
    }

    /// <summary>The BTF that the struct is of.</summary>
    public BtfData Btf { get; }

    /// <summary>Bytes of an object.</summary>
    public uint Size { get; }

    /// <summary>Nodes, lists, trees, locks, kptrs and the like.</summary>
    public IReadOnlyList<SpecialField> Fields { get; }

    /// <summary>Offset of the bpf_refcount; -1 if objects have one owner.</summary>
    public int RefcountOffset { get; } = -1;

    /// <summary>What objects name their type by. Types live as long as the process: a program has few of them.</summary>
    public GCHandle Handle { get; }

    /// <summary>The type with an id; null if there is no such struct.</summary>
    public static ObjectType? Find(BtfData? btf, uint id)
    {
        if (btf?.Find(id) is not { IsComposite: true } type) return null;
        return s_types.GetOrCreateValue(btf).GetOrAdd(id, static (_, t) => new ObjectType(t.Btf, t), type);
    }

    /// <summary>Offset, in the contained struct, of the node that a list or tree links its objects by.</summary>
    public static int NodeOffset(BtfData btf, SpecialField root)
    {
        string contained = root.ContainedName ?? "";
        int colon = contained.IndexOf(':', StringComparison.Ordinal);
        return colon >= 0 && btf.Find(root.BtfTypeId)?.FindMember(contained[(colon + 1)..]) is { } member ? (int)member.ByteOffset : 0;
    }
}

/// <summary>
/// Objects that programs allocate (bpf_obj_new). Before each stands its type; the last word of each of its list and tree
/// nodes holds the object's address, with bit 0 set while the node is linked. An object that is dropped keeps its memory
/// until every program that could still see it has ended.
/// </summary>
internal static unsafe class ProgramObject
{
    private const int HeaderSize = 16, ListOwner = 16, TreeOwner = 24;

    /// <summary>A zeroed object with one owner.</summary>
    public static byte* Create(ObjectType type)
    {
        byte* block = (byte*)NativeMemory.AllocZeroed(HeaderSize + (nuint)((type.Size + 7) & ~7u)), value = block + HeaderSize;
        *(nint*)block = GCHandle.ToIntPtr(type.Handle);
        if (type.RefcountOffset >= 0) *(int*)(value + type.RefcountOffset) = 1;
        foreach (SpecialField field in type.Fields)
        {
            if (field.Kind == SpecialFieldKind.ListNode) *(ulong*)(value + field.Offset + ListOwner) = (ulong)value;
            else if (field.Kind == SpecialFieldKind.RbNode) *(ulong*)(value + field.Offset + TreeOwner) = (ulong)value;
        }
        return value;
    }

    /// <summary>One owner more; false for an object that is on its way out.</summary>
    public static bool Acquire(byte* value)
    {
        ref int count = ref *(int*)(value + TypeOf(value).RefcountOffset);
        while (true)
        {
            int now = Volatile.Read(ref count);
            if (now == 0) return false;
            if (Interlocked.CompareExchange(ref count, now + 1, now) == now) return true;
        }
    }

    /// <summary>One owner less; the last one takes the object and all that it owns with it.</summary>
    public static void Drop(byte* value)
    {
        ObjectType type = TypeOf(value);
        if (type.RefcountOffset >= 0 && Interlocked.Decrement(ref *(int*)(value + type.RefcountOffset)) != 0) return;
        ReleaseFields(type.Btf, type.Fields, value);
        nint block = (nint)(value - HeaderSize);
        MapEpoch.Defer(() => NativeMemory.Free((void*)block));
    }

    /// <summary>Drops what the fields of a dying object or map value own.</summary>
    public static void ReleaseFields(BtfData btf, IEnumerable<SpecialField> fields, byte* value)
    {
        foreach (SpecialField field in fields)
        {
            ulong* at = (ulong*)(value + field.Offset);
            switch (field.Kind)
            {
                case SpecialFieldKind.KptrRef:
                    DropKptr(btf, field, Interlocked.Exchange(ref *at, 0));
                    break;
                case SpecialFieldKind.ListHead:
                    while (ObjectList.Pop(at, front: true) is var node && node != null) Drop((byte*)node - ObjectType.NodeOffset(btf, field));
                    break;
                case SpecialFieldKind.RbRoot:
                    while (ObjectTree.First(at) is var node && node != null && ObjectTree.Remove(at, node)) Drop((byte*)node - ObjectType.NodeOffset(btf, field));
                    break;
            }
        }
    }

    /// <summary>A node that is to be linked: marks it; false if it is linked already, or on its way out.</summary>
    public static bool TryLink(ulong* owner)
    {
        ulong now = Volatile.Read(ref *owner);
        return (now & 1) == 0 && Interlocked.CompareExchange(ref *owner, now | 1, now) == now;
    }

    private static void DropKptr(BtfData btf, SpecialField field, ulong pointer)
    {
        // Objects of the kernel lie in simulated memory and are nobody's to free.
        if (pointer == 0 || pointer >= Memory.KernelArena.KernelBase) return;
        if (btf.Find(field.BtfTypeId)?.Name == "bpf_cpumask") KfuncCode.ReleaseCpumask(pointer);
        else Drop((byte*)pointer);
    }

    private static ObjectType TypeOf(byte* value) => (ObjectType)GCHandle.FromIntPtr(*(nint*)(value - HeaderSize)).Target!;
}
