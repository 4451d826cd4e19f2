using BpfSim.Vm.Verifier.Domains;

namespace BpfSim.Vm.Verifier.State;

/// <summary>What an addition or subtraction of registers is masked for, against misspeculation.</summary>
[Flags]
internal enum AluMask : byte
{
    None = 0,
    /// <summary>Two numbers: nothing to mask.</summary>
    Number = 1,
    /// <summary>A pointer moves.</summary>
    Pointer = 2,
    /// <summary>By a negative number.</summary>
    Negative = 4,
    /// <summary>By a constant.</summary>
    Constant = 8,
    /// <summary>The number stands in the destination.</summary>
    MasksDestination = 16,
}

/// <summary>What the verifier keeps of one instruction over all paths.</summary>
internal struct InsnAux
{
    /// <summary>Whether any path came here.</summary>
    public bool Seen;

    /// <summary>Type of the pointer that a load or store goes through; the same on all paths.</summary>
    public RegType PtrType;

    /// <summary>Full size of a context field that is loaded narrowly, 0 if not.</summary>
    public int CtxFieldSize;

    /// <summary>Calls: index + 1 of the map in r1, -1 if paths disagree, 0 if none yet.</summary>
    public int MapIndex;

    /// <summary>Map lookups: constant key + 1, -1 if paths disagree, 0 if none yet.</summary>
    public long MapKey;

    /// <summary>bpf_loop: subprogram of the callback + 1 when all paths agree and it may be inlined; -1 if not.</summary>
    public int LoopCallback;

    /// <summary>States are compared here.</summary>
    public bool PrunePoint;

    /// <summary>Going backwards cannot guess where this was reached from.</summary>
    public bool JumpPoint;

    /// <summary>A state is kept here whenever it is passed.</summary>
    public bool ForceCheckpoint;

    /// <summary>Calls a callback synchronously.</summary>
    public bool CallsCallback;

    /// <summary>Is the next call of an open-coded iterator.</summary>
    public bool IsIterNext;

    /// <summary>Registers (bits 0 to 9) whose value matters before this instruction.</summary>
    public ushort LiveRegsBefore;

    /// <summary>Number of the loop (strongly connected component) that this belongs to, 0 if none.</summary>
    public int Scc;

    /// <summary>Part of a spill, call, fill pattern around a bpf_fastcall; bytes are in the subprogram.</summary>
    public bool FastcallPattern;

    /// <summary>The number of spill/fill pairs around this bpf_fastcall call.</summary>
    public byte FastcallSpills;

    /// <summary>Storage helpers and allocations here must not sleep.</summary>
    public bool StorageGetFuncAtomic;

    /// <summary>Loads and stores: some path accessed something else than the own frame at a fixed offset.</summary>
    public bool NotOwnStack;

    /// <summary>64-bit arithmetic on an arena address, which is 32 bits wide.</summary>
    public bool InArena;

    /// <summary>Calls for this or another CPU's copy: of an object that the program allocated itself.</summary>
    public bool PercpuObject;

    /// <summary>Kfunc calls: the size of the object that is allocated, or where in the object its list or tree node lies.</summary>
    public int KfuncArg;

    /// <summary>A barrier stands before the instruction, because what follows must not be done by a misspeculating CPU.</summary>
    public bool Barrier;

    /// <summary>A barrier stands behind the instruction, a store that later loads might pass.</summary>
    public bool BarrierBehind;

    /// <summary>How the rewrites mask the number that is added to a pointer here; the same on all paths.</summary>
    public AluMask AluMask;

    /// <summary>How far the pointer may move.</summary>
    public uint AluLimit;
}
