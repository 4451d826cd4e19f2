using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Jit.Ir;
using BpfSim.Vm.Programs;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>
/// Emits x86-64 code for a program in intermediate form. Registers are fixed: r0 to r10 are rax rdi rsi rdx
/// rcx r8 rbx r13 r14 r15 rbp, so that the arguments of helpers and local calls lie where the System V
/// convention wants them; r12 holds the run context; r9, r10 and r11 are free for the code of one
/// instruction. The main function saves nothing, because the trampoline that enters it has; other functions
/// save what they write.
/// </summary>
internal sealed partial class JitCompiler
{
    private const X86Register Context = R12, Scratch0 = R10, Scratch1 = R11, Scratch2 = R9;
    // The last two are the names under which conditional moves use scratch registers.
    private static readonly X86Register[] Registers = [Rax, Rdi, Rsi, Rdx, Rcx, R8, Rbx, R13, R14, R15, Rbp, Scratch1, Scratch2];

    private readonly X86Emitter _e = new();
    private readonly List<Action> _cold = [];
    private readonly IrProgram _program = new();
    private readonly Simplifier _simplifier = new();
    private JitOptions _options = JitOptions.Default;
    private int[] _labels = [];
    private int[] _functionLabels = [];
    private int[] _positions = [];
    private int[] _eventsBefore = [];
    private IrFunction _function;
    private bool _isMain;
    private bool _verified;
    private int _frame;
    private bool _hasFrame;
    private int _index;
    private int _skip;
    private int _faultLabel;
    private int _flagsPosition;
    private byte _flagsRegister;
    private bool _flags32;

    /// <summary>The compiler of this thread; its buffers are used again.</summary>
    [ThreadStatic]
    private static JitCompiler? _ofThread;

    /// <summary>Compiles a program into memory of its own.</summary>
    public static JitCode Compile(ExecutableProgram program, JitOptions options)
    {
        JitCompiler compiler = _ofThread ??= new JitCompiler();
        IrProgram ir = compiler._program;
        try
        {
            IrDecoder.Decode(program, ir);
            IrPasses.Run(ir, compiler._simplifier, options);
            return compiler.Emit(options);
        }
        finally
        {
            ir.End();
        }
    }

    private JitCode Emit(JitOptions options)
    {
        IrProgram program = _program;
        _options = options;
        _verified = program.Source.Verified;
        _e.Reset();
        _cold.Clear();
        int count = program.Count;
        if (_labels.Length <= count) (_labels, _eventsBefore) = (new int[(count * 2) + 64], new int[(count * 2) + 64]);
        _positions = new int[count + 1];
        int[] slots = new int[count];
        _functionLabels = new int[program.Functions.Length];
        for (int i = 0; i < count; i++)
        {
            _labels[i] = program.IsTarget[i] ? _e.NewLabel() : -1;
            slots[i] = program.Insns[i].Slot;
        }
        for (int i = 0; i < _functionLabels.Length; i++) _functionLabels[i] = _e.NewLabel();
        _faultLabel = _e.NewLabel();
        for (int f = 0; f < program.Functions.Length; f++) EmitFunction(f);
        (_positions[count], _eventsBefore[count]) = (_e.Position, _e.Layout.EventCount);
        if (!_verified) EmitFaultExit();
        _e.Layout.Arrange(_e.Position);
        _e.Layout.MapPositions(_positions, _eventsBefore);
        CodeBlock block = CodeMemory.Shared.Allocate(_e.Layout.Length);
        _e.Layout.Write(_e.Bytes, block.Writable);
        int[] entries = _functionLabels;
        for (int i = 0; i < entries.Length; i++) entries[i] = _e.Layout.AddressOf(entries[i]);
        return new JitCode(block, entries, _positions, slots, _e.Count);
    }

    private void EmitFunction(int number)
    {
        _function = _program.Functions[number];
        _isMain = number == 0;
        _e.Reserve(512);
        _e.Align(16);
        _e.Bind(_functionLabels[number]);
        EmitPrologue();
        _flagsPosition = _skip = -1;
        for (_index = _function.Start; _index < _function.End; _index++)
        {
            ref IrInsn insn = ref _program.Insns[_index];
            _e.Reserve(512);
            if (_labels[_index] >= 0)
            {
                if (_options.LoopAlignment && _program.LoopHeads[_index]) _e.Align(16, 10);
                _e.Bind(_labels[_index]);
                _flagsPosition = -1;
            }
            (_positions[_index], _eventsBefore[_index]) = (_e.Position, _e.Layout.EventCount);
            if (_index == _skip) continue;
            EmitInsn(ref insn);
        }
        foreach (Action cold in _cold)
        {
            _e.Reserve(512);
            cold();
        }
        _cold.Clear();
    }

    private void EmitInsn(ref IrInsn n)
    {
        switch (n.Op)
        {
            case IrOp.Nop: break;
            case >= IrOp.Add and <= IrOp.Arsh: EmitBinary(n); break;
            case IrOp.Div or IrOp.Mod or IrOp.SDiv or IrOp.SMod: EmitDivision(n); break;
            case IrOp.MovImm: _e.MovRI(R(n.Dst), n.Imm); break;
            case IrOp.Mov: _e.MovRR(R(n.Dst), R(n.A), !n.Is32); break;
            case IrOp.MovSx: _e.MovSx(R(n.Dst), R(n.A), n.Size, !n.Is32); break;
            case IrOp.MovZx: EmitMovZx(n); break;
            case IrOp.Neg:
                Move(n.Dst, n.A, n.Is32);
                _e.Neg(R(n.Dst), !n.Is32);
                SetFlags(n.Dst, n.Is32);
                break;
            case IrOp.Bswap: EmitBswap(n); break;
            case IrOp.Rotl: EmitRotate(n); break;
            case IrOp.Lea: _e.Lea(R(n.Dst), Memory(n), !n.Is32); break;
            case IrOp.Load: _e.Load(R(n.Dst), Memory(n), n.Size); break;
            case IrOp.LoadSx: _e.LoadSx(R(n.Dst), Memory(n), n.Size); break;
            case IrOp.ProbeLoad or IrOp.ProbeLoadSx: EmitProbeLoad(n); break;
            case IrOp.Store: EmitStore(n); break;
            case IrOp.MemoryAlu: EmitMemoryAlu(n); break;
            case IrOp.Atomic: EmitAtomic(n); break;
            case IrOp.Jump: EmitJump(n); break;
            case IrOp.Branch or IrOp.BranchTest: EmitBranch(n); break;
            case IrOp.Select: EmitSelect(n); break;
            case IrOp.SetCondition: EmitSetCondition(n); break;
            case IrOp.MaskConstant: EmitMaskConstant(n); break;
            case IrOp.MayGoto: EmitMayGoto(n); break;
            case IrOp.CallLocal: EmitCallLocal(n); break;
            case IrOp.CallHelper or IrOp.CallKfunc: EmitCall(n); break;
            case IrOp.TailCall: EmitTailCall(n); break;
            case IrOp.PacketLoad: EmitPacketLoad(n); break;
            case IrOp.MapLookup: EmitLookup(n); break;
            case IrOp.ContextField: _e.Load(R(n.Dst), new X86Memory(Context, n.Off), n.Size); break;
            case IrOp.Exit: EmitEpilogue(); break;
            case IrOp.Fault: EmitFault(n.Slot, (RunFault)n.Imm); break;
            default: throw new InvalidProgramException($"insn {n.Slot}: no code for {n.Op}");
        }
    }

    private static X86Register R(byte register) => Registers[register];

    private bool LiveAfter(int register) => (_program.LiveAfter[_index] & (1 << register)) != 0;

    /// <summary>Remembers that the flags tell whether this register is zero, if the next code is a test of it.</summary>
    private void SetFlags(byte register, bool is32) => (_flagsPosition, _flagsRegister, _flags32) = (_e.Position, register, is32);

    private void Move(byte dst, byte src, bool is32)
    {
        if (dst != src) _e.MovRR(R(dst), R(src), !is32);
    }

    private static X86Memory Memory(in IrInsn n) => new(
        n.A == IrInsn.None ? None : R(n.A), n.Off, n.Index == IrInsn.None ? None : R(n.Index), n.Scale);
}
