using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Calls;

/// <summary>What a kfunc call is, and what its arguments taught.</summary>
internal sealed class KfuncMeta
{
    public required string Name { get; init; }
    public required uint FuncId { get; init; }
    public required KfuncFlags Flags { get; init; }
    public required BtfType Proto { get; init; }
    public required BtfParam[] Params { get; init; }

    public int ReleaseRegno;
    public uint RefObjId;
    public int MapIndex = -1;
    public uint MapUid;
    public int SubprogNo = -1;

    /// <summary>The one argument that must be a constant (suffix __k or __szk).</summary>
    public bool HasConstant;
    public ulong Constant;

    /// <summary>Size of the memory that r0 points to, from a rdonly_buf_size or rdwr_buf_size argument.</summary>
    public uint R0Size;
    public bool R0ReadOnly;

    /// <summary>Object argument that r0 refers to as well.</summary>
    public BtfSource ArgBtf;
    public uint ArgBtfId;
    public bool ArgOwningRef;
    public uint RetBtfId;

    /// <summary>List or tree that the call works on.</summary>
    public SpecialField? GraphRoot;

    public DynptrKind InitializedDynptr;
    public uint DynptrId;
    public uint DynptrRefObjId;

    /// <summary>The iterator's first slot.</summary>
    public int IterFrame;
    public int IterSpi = -1;

    public bool Has(KfuncFlags flag) => (Flags & flag) != 0;
}
