using BpfSim.Vm.Jit.Emit;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>What an intermediate instruction does; operands are fields of <see cref="IrInsn"/>.</summary>
internal enum IrOp : byte
{
    /// <summary>Removed; its slot's code is empty.</summary>
    Nop,

    // Dst = A op B, or A op Imm when B is None.
    Add, Sub, Mul, Or, And, Xor, Lsh, Rsh, Arsh, Div, Mod, SDiv, SMod,

    /// <summary>Dst = Imm.</summary>
    MovImm,
    /// <summary>Dst = A (32 bits: zero-extended).</summary>
    Mov,
    /// <summary>Dst = A sign-extended from Size bytes.</summary>
    MovSx,
    /// <summary>Dst = A zero-extended from Size bytes.</summary>
    MovZx,
    /// <summary>Dst = -A.</summary>
    Neg,
    /// <summary>Dst = A with its low Size bytes swapped and zero-extended.</summary>
    Bswap,
    /// <summary>Dst = A rotated left by Imm.</summary>
    Rotl,
    /// <summary>Dst = A + Index * Scale + Off; A may be None.</summary>
    Lea,

    /// <summary>Dst = Size bytes at [A + Index * Scale + Off].</summary>
    Load,
    /// <summary>The same, sign-extended to 64 bits.</summary>
    LoadSx,
    /// <summary>The same through a kernel pointer that may be bad; 0 then.</summary>
    ProbeLoad, ProbeLoadSx,
    /// <summary>Size bytes at [A + Index * Scale + Off] = B, or Imm when B is None.</summary>
    Store,
    /// <summary>Size bytes at [A + Index * Scale + Off] op= B or Imm, in one instruction; the operation is in Sub.</summary>
    MemoryAlu,
    /// <summary>Atomic operation on [A + Off] with B; the BPF selector is in Imm.</summary>
    Atomic,

    /// <summary>Goes to Target.</summary>
    Jump,
    /// <summary>Goes to Target if A Condition B (or Imm).</summary>
    Branch,
    /// <summary>Goes to Target if A &amp; B (or Imm) is not zero, or is zero: Condition NotEqual or Equal.</summary>
    BranchTest,
    /// <summary>If A Condition B (or Imm), Dst = Index, or the constant Off when Index is None. Sub is Branch or BranchTest.</summary>
    Select,
    /// <summary>Dst = 1 if A Condition B (or Imm), else 0. Sub is Branch or BranchTest.</summary>
    SetCondition,
    /// <summary>Dst = Imm if the lowest bit of A is set, else 0.</summary>
    MaskConstant,
    /// <summary>Goes to Target when the loop budget is used up.</summary>
    MayGoto,

    CallLocal, CallHelper, CallKfunc, TailCall, Exit,

    /// <summary>r0 = packet bytes at Imm (+ A), in host order; leaves the program when they are not there.</summary>
    PacketLoad,
    /// <summary>
    /// r0 = address of the value in the map with index Imm, or null. The key is the constant Target if Flag is
    /// set, else in register B, else at [A + Off].
    /// </summary>
    MapLookup,
    /// <summary>r0 = a field of the run context at Off.</summary>
    ContextField,
    /// <summary>Stops the program with the fault in Imm.</summary>
    Fault,

    // Only as Sub of CallHelper: how emitted code does the helper's work itself. Target is the map's index.

    /// <summary>bpf_ringbuf_reserve of Off bytes.</summary>
    RingReserve,
    /// <summary>bpf_ringbuf_submit, or discard if Flag is set, with the flags in Off.</summary>
    RingCommit,
    /// <summary>bpf_ringbuf_output of Off bytes with the flags in Size.</summary>
    RingOutput,
    /// <summary>bpf_map_update_elem with the flags in Off.</summary>
    HashUpdate,
    /// <summary>bpf_map_delete_elem.</summary>
    HashDelete,
}

/// <summary>
/// One instruction of the intermediate form: linear, over the eleven BPF registers, three-address. The
/// optimisations rewrite these in place; emission maps them to x86-64 one by one.
/// </summary>
internal struct IrInsn
{
    /// <summary>No register.</summary>
    public const byte None = 255;

    public IrOp Op;
    public bool Is32;
    public byte Dst;
    public byte A;
    public byte B;
    public byte Index;
    public byte Scale;
    public byte Size;
    public IrOp Sub;
    public X86Condition Condition;

    /// <summary>Lookups: the key is a constant. Plain atomics: the operand is. Ring buffers: discard.</summary>
    public bool Flag;
    public int Off;

    /// <summary>Index of the instruction jumped to, or of the function called.</summary>
    public int Target;

    /// <summary>Slot of the BPF instruction that it came from.</summary>
    public int Slot;
    public long Imm;

    /// <summary>Whether it can be left out when nobody reads Dst.</summary>
    public readonly bool IsPure => Op is >= IrOp.Add and <= IrOp.LoadSx or IrOp.Select or IrOp.SetCondition or IrOp.MaskConstant or IrOp.ContextField;

    /// <summary>Whether the next instruction is not reached from here.</summary>
    public readonly bool EndsFlow => Op is IrOp.Jump or IrOp.Exit or IrOp.Fault;

    /// <summary>Whether <see cref="Target"/> is an instruction.</summary>
    public readonly bool HasTarget => Op is IrOp.Jump or IrOp.Branch or IrOp.BranchTest or IrOp.MayGoto;

    /// <summary>Whether it has the form Dst = A op (B or Imm).</summary>
    public readonly bool IsBinary => Op is >= IrOp.Add and <= IrOp.SMod;

    /// <summary>Whether it calls code that clobbers r1 to r5.</summary>
    public readonly bool IsCall => Op is IrOp.CallLocal or IrOp.CallHelper or IrOp.CallKfunc or IrOp.TailCall or IrOp.PacketLoad;
}

/// <summary>One function: a range of instructions and what is known of it.</summary>
internal struct IrFunction
{
    /// <summary>First instruction, and the one after the last.</summary>
    public int Start, End;

    /// <summary>Registers r6 to r9 that it writes, as a bit mask.</summary>
    public int CalleeSavedWritten;

    /// <summary>Whether it uses its stack at all, and how many bytes below r10.</summary>
    public bool UsesStack;
    public int StackBytes;

    /// <summary>How many of them are named by constant distances.</summary>
    public int ClearBytes;

    /// <summary>Whether the address of its stack is used for anything but plain accesses.</summary>
    public bool StackEscapes;

    /// <summary>Whether it calls anything, so that the stack pointer must be aligned.</summary>
    public bool HasCalls;

    /// <summary>Whether it has a may_goto, whose counter lies below the stack.</summary>
    public bool HasMayGoto;
}
