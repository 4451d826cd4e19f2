using BpfSim.Vm.Helpers;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Calls;

/// <summary>What the arguments of one helper call taught, for the later arguments and for the result.</summary>
internal sealed class CallMeta
{
    public required HelperPrototype Helper { get; init; }

    /// <summary>Index of the map argument, -1 if there was none.</summary>
    public int MapIndex = -1;
    public uint MapUid;

    /// <summary>Memory that the helper fills, see <see cref="RawMemory"/>.</summary>
    public RawMemory Raw;

    /// <summary>Largest size that a size argument can have.</summary>
    public long SizeMax;

    /// <summary>Size of an allocation or slice.</summary>
    public uint MemSize;

    /// <summary>The argument that is released, 0 if none.</summary>
    public int ReleaseRegno;
    public uint RefObjId;
    public uint DynptrId;

    /// <summary>Constant key of a lookup in an array, -1 if unknown.</summary>
    public long ConstMapKey = -1;

    /// <summary>The callback.</summary>
    public int SubprogNo = -1;

    /// <summary>Type that a per-CPU pointer argument points to.</summary>
    public BtfSource RetBtf;
    public uint RetBtfId;

    /// <summary>The field that bpf_kptr_xchg exchanges.</summary>
    public Kptr KptrField;
    public bool HasKptrField;
}

/// <summary>A field that holds a pointer to a kernel object or to an object of the program.</summary>
/// <param name="Kind">Referenced, unreferenced, per-CPU or user.</param>
/// <param name="Btf">Where the pointee's type lives.</param>
/// <param name="BtfId">The pointee's type.</param>
internal readonly record struct Kptr(Maps.SpecialFieldKind Kind, BtfSource Btf, uint BtfId);
