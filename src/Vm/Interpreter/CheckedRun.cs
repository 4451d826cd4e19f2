using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>One run of a program in the checked interpreter: registers and their regions, frames, and the regions of its memory.</summary>
internal sealed unsafe class CheckedRun
{
    private const int Registers = 12;

    /// <summary>Not a slot: the function is over, and r0 is its result.</summary>
    private const int EndOfFunction = -1;

    /// <summary>Stacks of this thread, by the number that are in use: pinned memory is not made anew for each run.</summary>
    [ThreadStatic]
    private static List<byte[]>? s_stacks;

    [ThreadStatic]
    private static int s_stacksInUse;

    private readonly CheckedMemory _memory = new();
    private readonly RunContext* _context;
    private CheckedProgram _program;
    private ulong[] _r = new ulong[Registers];
    private MemoryRegion?[] _regions = new MemoryRegion?[Registers];
    private MemoryRegion? _contextRegion;
    private HelperPrototype? _helper;
    private ulong[] _helperArguments = [];
    private MemoryRegion?[] _helperRegions = [];
    private long _fuel;
    private uint _mayGoto;
    private int _depth;

    public CheckedRun(CheckedProgram program, RunContext* context)
    {
        _program = program;
        _context = context;
        _fuel = program.Program.Verified ? long.MaxValue : context->Fuel;
        foreach (MemoryRegion region in program.Engine.Regions) _memory.Add(region.Name, region.Start, region.Size, region.Writable);
    }

    public ulong Main(ulong r1, ulong r2, string name, ulong size)
    {
        (_r[1], _r[2]) = (r1, r2);
        _regions[1] = _contextRegion = _memory.Add(name, r1, size);
        ulong result = Function(0);
        if (!_program.Program.Verified) _context->Fuel = _fuel;
        return result;
    }

    /// <summary>Runs a function for a helper; its arguments get their regions from the helper's own and from the map they belong to.</summary>
    public ulong Callback(int slot, ulong[] arguments)
    {
        (ulong[] r, MemoryRegion?[] regions) = (_r, _regions);
        (_r, _regions) = (new ulong[Registers], new MemoryRegion?[Registers]);
        for (int n = 0; n < 5; n++)
        {
            _r[n + 1] = arguments[n];
            int from = Array.IndexOf(_helperArguments, arguments[n]);
            _regions[n + 1] = from >= 0 && _helperRegions[from] is { } known ? known : arguments[n] < 4096 ? null : _memory.Find(arguments[n]);
        }

        CallbackOfMap(arguments);
        ulong result = Function(slot);
        (_r, _regions) = (r, regions);
        return result;
    }

    /// <summary>Callbacks over map elements and of timers get (map, key, value).</summary>
    private void CallbackOfMap(ulong[] arguments)
    {
        if (!_program.Program.Maps.Any(map => (ulong)map.Header == arguments[0])) return;
        var map = (MapHeader*)arguments[0];
        _regions[2] ??= _memory.Add("map key", arguments[1], map->KeySize, false);
        _regions[3] ??= _memory.Add("map value", arguments[2], map->ValueSize);
    }

    private ulong Function(int slot)
    {
        if (_depth == ProgramRuntime.MaxFrames * 2) return Stop(slot, RunFault.CallTooDeep, "callbacks are nested too deeply");
        var frames = new Stack<(int Return, ulong[] Saved, MemoryRegion?[] SavedRegions, MemoryRegion Stack, CheckedProgram Program, uint MayGoto)>();
        MemoryRegion stack = NewStack();
        int entryDepth = _depth++;
        uint outerMayGoto = _mayGoto;
        _mayGoto = ProgramRuntime.MayGotoRounds;
        try
        {
            while (true)
            {
                if ((uint)slot >= (uint)_program.Program.Insns.Length || _program.Second[slot]) return Stop(slot, RunFault.BadInstruction, "the program runs past its end");
                Insn insn = _program.Program.Insns[slot];
                _context->InsnsExecuted++;
                _program.Engine.Observer?.Invoke(_program.Program, slot, frames.Count + entryDepth, _r, _regions);
                if (insn.IsLocalCall)
                {
                    if (frames.Count == ProgramRuntime.MaxFrames - 1) return Stop(slot, RunFault.CallTooDeep, "calls are nested deeper than 8 frames");
                    if (!Spend(slot)) return 0;
                    frames.Push((slot + 1, _r[6..11], _regions[6..11], stack, _program, _mayGoto));
                    _mayGoto = ProgramRuntime.MayGotoRounds;
                    stack = NewStack();
                    slot += insn.Imm + 1;
                    continue;
                }

                int? next = insn.IsExit ? EndOfFunction : Step(slot, insn);
                if (next is null || _context->Fault != RunFault.None) return 0;
                slot = next.Value;
                if (slot != EndOfFunction) continue;
                if (frames.Count == 0) return _r[0];
                FreeStack(stack);
                (slot, ulong[] saved, MemoryRegion?[] savedRegions, stack, _program, _mayGoto) = frames.Pop();
                _context->Program = _program.Handle;
                saved.CopyTo(_r, 6);
                savedRegions.CopyTo(_regions, 6);
            }
        }
        finally
        {
            FreeStack(stack);
            foreach (var frame in frames) FreeStack(frame.Stack);
            _depth--;
            _mayGoto = outerMayGoto;
        }
    }

    /// <summary>Runs one instruction; the next slot, <see cref="EndOfFunction"/>, or null after a fault.</summary>
    private int? Step(int slot, Insn insn)
    {
        if (insn.Class == InsnClass.Ldx && insn.Mode is MemMode.ProbeMem or MemMode.ProbeMemSx) return Probe(slot, insn);
        if (InsnTable.Find(insn) is not { } form) return Bad(slot);
        switch (form.Row.Syntax)
        {
            case InsnSyntax.Binary or InsnSyntax.Negate or InsnSyntax.Swap or InsnSyntax.MoveSignExtended or InsnSyntax.AddrSpaceCast:
                Arithmetic(form, insn);
                return slot + 1;
            case InsnSyntax.Goto:
                return Jump(slot, insn);
            case InsnSyntax.Branch:
                return AluSemantics.Taken(form, _r[insn.Dst], Operand(form, insn)) ? Jump(slot, insn) : slot + 1;
            case InsnSyntax.MayGoto:
                if (_mayGoto == 0) return Jump(slot, insn);
                _mayGoto--;
                return slot + 1;
            case InsnSyntax.Call:
                return Call(slot, insn);
            case InsnSyntax.Load64:
                Load64(slot, insn);
                return slot + 2;
            case InsnSyntax.Packet:
                uint offset = (uint)insn.Imm + (form.Row.Op == InsnOp.LdInd ? (uint)_r[insn.Src] : 0);
                _regions[0] = null;
                if (ProgramRuntime.LoadPacket(_program.Program, _r[6], offset, insn.SizeBytes, _context, out _r[0])) return slot + 1;
                _r[0] = 0;
                return EndOfFunction;
            default:
                return Memory(slot, form, insn) ? slot + 1 : null;
        }
    }

    private void Arithmetic(InsnForm form, Insn insn)
    {
        MemoryRegion? source = form.IsRegisterForm ? _regions[insn.Src] : null, own = _regions[insn.Dst];
        bool wide = form.Class == InsnClass.Alu64;
        _r[insn.Dst] = AluSemantics.Compute(form, insn, _r[insn.Dst], Operand(form, insn));
        _regions[insn.Dst] = !wide ? null : form.Row.Op switch
        {
            InsnOp.Mov or InsnOp.AddrSpaceCast => source,
            InsnOp.Add => own is null ? source : source is null ? own : null,
            InsnOp.Sub => source is null ? own : null,
            _ => null,
        };
    }

    private ulong Operand(InsnForm form, Insn insn) => form.IsRegisterForm && form.Src.IsRegister ? _r[insn.Src] : (ulong)(long)insn.Imm;

    private int? Jump(int slot, Insn insn)
    {
        var target = (int)InsnChecks.Target(insn, slot)!;
        return target > slot || Spend(slot) ? target : null;
    }

    private bool Spend(int slot)
    {
        if (--_fuel >= 0) return true;
        Stop(slot, RunFault.OutOfFuel, "the program took more jumps than it is allowed");
        return false;
    }

    private void Load64(int slot, Insn insn)
    {
        ulong value = InsnDecoder.Load64(_program.Program, _program.Program.Insns, slot);
        _r[insn.Dst] = value;
        _regions[insn.Dst] = null;
        if (insn.Src is not ((int)PseudoSource.MapValue or (int)PseudoSource.MapIdxValue) || (uint)insn.Imm >= (uint)_program.Program.Maps.Length) return;
        BpfMap map = _program.Program.Maps[insn.Imm];
        _regions[insn.Dst] = _memory.Add($"value of map {map.Spec.Name}", (ulong)map.Header->Data, map.Header->ValueSize);
    }

    private int? Call(int slot, Insn insn)
    {
        HelperPrototype? helper = (insn.IsKfuncCall ? _program.Program.Kfuncs : _program.Program.Helpers).Find(insn.Imm);
        if (insn.IsHelperCall && insn.Imm == ProgramRuntime.TailCallHelper) return TailCall(slot);
        if (helper is null && !_program.Program.Verified)
        {
            Stop(slot, RunFault.BadInstruction, "there is no such function");
            return null;
        }

        if (helper is null || helper.Implementation == null)
        {
            SetResult(unchecked((ulong)-(long)Errno.EOPNOTSUPP), null);
            return slot + 1;
        }

        if (!HelperArguments.Check(helper, _r, _regions, out string problem, out int register))
        {
            Stop(slot, RunFault.BadAccess, $"argument {register} of {helper.Name}: {problem}; r{register}=0x{_r[register]:x}");
            return null;
        }

        (_helper, _helperArguments, _helperRegions) = (helper, _r[1..6], _regions[1..6]);
        ulong result = helper.Implementation(_r[1], _r[2], _r[3], _r[4], _r[5], _context);
        HelperArguments.ForgetWritten(helper, _helperArguments, _memory);
        SetResult(result, HelperArguments.ResultRegion(helper, _helperArguments, _helperRegions, result, _memory));
        return slot + 1;
    }

    private int? TailCall(int slot)
    {
        MemoryRegion? context = _regions[1];
        if (!_program.Program.Maps.Any(map => map.Spec.Type == MapType.ProgArray && (ulong)map.Header == _r[2]))
        {
            Stop(slot, RunFault.BadAccess, $"argument 2 of bpf_tail_call: no prog_array; r2=0x{_r[2]:x}");
            return null;
        }

        SetResult(ProgramRuntime.TailCallFailed, null);
        if (_context->TailCalls >= ProgramRuntime.MaxTailCalls) return slot + 1;
        if (ProgramRuntime.TailCallTarget((MapHeader*)_r[2], (uint)_r[3]) is not { } target) return slot + 1;
        _regions[1] = context;
        _context->TailCalls++;
        if (target is CheckedProgram next)
        {
            _program = next;
            _context->Program = next.Handle;
            _mayGoto = ProgramRuntime.MayGotoRounds;
            return 0;
        }

        uint tailCalls = _context->TailCalls;
        _r[0] = target.Run((void*)_r[1], _context);
        _context->TailCalls = tailCalls;
        return EndOfFunction;
    }

    private void SetResult(ulong value, MemoryRegion? region)
    {
        (_r[0], _regions[0]) = (value, region);
        Array.Clear(_regions, 1, 5);
    }

    private int? Probe(int slot, Insn insn)
    {
        byte* at = ProgramRuntime.Arena(_context, _r[insn.Src] + (ulong)insn.Off, (uint)insn.SizeBytes);
        ulong value = at == null ? 0 : Read((ulong)at, insn.SizeBytes);
        _r[insn.Dst] = insn.Mode == MemMode.ProbeMemSx ? AluSemantics.SignExtend(value, insn.SizeBytes * 8) : value;
        _regions[insn.Dst] = null;
        return slot + 1;
    }

    private bool Memory(int slot, InsnForm form, Insn insn)
    {
        InsnOp op = form.Row.Op;
        bool load = op is InsnOp.Ldx or InsnOp.LdxSx or InsnOp.LoadAcquire;
        int register = load ? insn.Src : insn.Dst, size = insn.SizeBytes;
        ulong address = _r[register] + (ulong)insn.Off;
        if (!Allowed(slot, register, address, size, !load)) return false;
        if (load)
        {
            ulong value = Read(address, size);
            bool fromContext = ReferenceEquals(_regions[register], _contextRegion);
            _r[insn.Dst] = op == InsnOp.LdxSx ? AluSemantics.SignExtend(value, size * 8) : value;
            _regions[insn.Dst] = size == 8 ? _memory.Load(address, value) : size == 4 && fromContext ? Packet(value) : null;
            return true;
        }

        if (op is InsnOp.St or InsnOp.Stx or InsnOp.StoreRelease)
        {
            Write(address, size, op == InsnOp.St ? (ulong)(long)insn.Imm : _r[insn.Src]);
            _memory.Store(address, size, op == InsnOp.St ? null : _regions[insn.Src]);
            return true;
        }

        Atomic(op, insn, address, size);
        return true;
    }

    /// <summary>Network contexts hold the addresses of packets, and of their ends, in 32 bits.</summary>
    private MemoryRegion? Packet(ulong address)
    {
        foreach (MemoryRegion region in _program.Engine.Regions)
            if (region.Contains(address, 0)) return region;
        return _program.Engine.Packet?.Invoke(_context) is { } packet && packet.Contains(address, 0) ? packet : null;
    }

    private void Atomic(InsnOp op, Insn insn, ulong address, int size)
    {
        ulong operand = AluSemantics.Truncate(_r[insn.Src], size * 8), old, wanted;
        ulong expected = AluSemantics.Truncate(_r[0], size * 8);
        bool done;
        do
        {
            old = Read(address, size);
            wanted = op switch
            {
                InsnOp.AtomicAdd or InsnOp.AtomicFetchAdd => old + operand,
                InsnOp.AtomicOr or InsnOp.AtomicFetchOr => old | operand,
                InsnOp.AtomicAnd or InsnOp.AtomicFetchAnd => old & operand,
                InsnOp.AtomicXor or InsnOp.AtomicFetchXor => old ^ operand,
                InsnOp.AtomicXchg => operand,
                _ => old == expected ? operand : old,
            };
            done = size == 4
                ? Interlocked.CompareExchange(ref *(uint*)address, (uint)wanted, (uint)old) == (uint)old
                : Interlocked.CompareExchange(ref *(ulong*)address, wanted, old) == old;
        }
        while (!done);
        _memory.Store(address, size, null);
        int result = op == InsnOp.AtomicCmpxchg ? 0 : insn.Src;
        if (op is InsnOp.AtomicAdd or InsnOp.AtomicOr or InsnOp.AtomicAnd or InsnOp.AtomicXor) return;
        (_r[result], _regions[result]) = (old, null);
    }

    private bool Allowed(int slot, int register, ulong address, int size, bool write)
    {
        MemoryRegion? region = _regions[register];
        if (region is not null && region.Contains(address, (ulong)size) && (region.Writable || !write)) return true;
        string place = region is null ? $"r{register} is no pointer" : region.Contains(address, (ulong)size) ? $"{region.Name} is read-only" : $"outside {region.Describe(address)}";
        Stop(slot, RunFault.BadAccess, $"{size}-byte {(write ? "write" : "read")} at 0x{address:x}: {place}; r{register}=0x{_r[register]:x}");
        return false;
    }

    private int? Bad(int slot)
    {
        Stop(slot, RunFault.BadInstruction, "this instruction cannot be run");
        return null;
    }

    private ulong Stop(int slot, RunFault fault, string problem)
    {
        _context->Fault = fault;
        _context->FaultInsn = slot;
        Insn[] insns = _program.Program.Insns;
        string text = slot < insns.Length ? Disassembler.Line(insns, slot) : "";
        CheckedProgram.Report = $"insn {slot}: {text}: {problem}";
        return 0;
    }

    private MemoryRegion NewStack()
    {
        s_stacks ??= [];
        if (s_stacksInUse == s_stacks.Count) s_stacks.Add(GC.AllocateArray<byte>(ProgramRuntime.StackSize + 8, pinned: true));
        byte[] bytes = s_stacks[s_stacksInUse++];
        Array.Clear(bytes);
        ulong start = ((ulong)Marshal.UnsafeAddrOfPinnedArrayElement(bytes, 0) + 7) & ~7UL;
        MemoryRegion region = _memory.Add("stack", start, ProgramRuntime.StackSize);
        _r[10] = start + ProgramRuntime.StackSize;
        _regions[10] = region;
        return region;
    }

    private void FreeStack(MemoryRegion stack)
    {
        _memory.Remove(stack);
        s_stacksInUse--;
    }

    private static ulong Read(ulong address, int size) => size switch
    {
        1 => *(byte*)address,
        2 => *(ushort*)address,
        4 => *(uint*)address,
        _ => *(ulong*)address,
    };

    private static void Write(ulong address, int size, ulong value)
    {
        switch (size)
        {
            case 1: *(byte*)address = (byte)value; break;
            case 2: *(ushort*)address = (ushort)value; break;
            case 4: *(uint*)address = (uint)value; break;
            default: *(ulong*)address = value; break;
        }
    }
}
