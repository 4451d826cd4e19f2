using System.Globalization;
using BpfSim.Maps;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Kernel.Tests.Soundness;

/// <summary>
/// Follows a run of the checked interpreter and holds each of its steps against the explored states: one of
/// them must have the same calls, and contain every register that matters and every stack slot that may
/// still be read. Pointers are compared by region and offset.
/// <para>With pruning by precision an explored state stands for others whose imprecise numbers differ. So
/// numbers are only compared where the checkpoint was marked to need them, unless the program was verified
/// with all numbers compared.</para>
/// </summary>
internal sealed unsafe class Containment(ExploredSnapshots explored, bool allNumbers)
{
    private const int MaxSteps = 4000;
    private readonly ulong[] _stackTop = new ulong[VerifierState.MaxFrames + 1];
    private readonly int[] _callSite = new int[VerifierState.MaxFrames + 1];
    private readonly Dictionary<int, int> _last = [];
    private int _depth, _previous, _steps;

    /// <summary>The loaded program's slot of each slot that runs.</summary>
    public required int[] OriginalSlots { get; init; }

    /// <summary>The program's maps.</summary>
    public required BpfMap[] Maps { get; init; }

    /// <summary>First byte of the context.</summary>
    public required ulong Context { get; init; }

    /// <summary>First byte of the packet, and behind its last.</summary>
    public required (ulong Start, ulong End) Packet { get; init; }

    /// <summary>What went wrong first; null if nothing did.</summary>
    public string? Violation { get; private set; }

    /// <summary>Steps that were compared.</summary>
    public int Compared { get; private set; }

    /// <summary>The run begins anew.</summary>
    public void Restart()
    {
        _depth = -1;
        _previous = -1;
        _steps = 0;
    }

    /// <summary>One step of the run.</summary>
    public void Step(ExecutableProgram program, int slot, int frame, ReadOnlySpan<ulong> registers, ReadOnlySpan<MemoryRegion?> regions)
    {
        int insn = OriginalSlots[slot];
        FollowCalls(registers[10], insn);
        if (Violation != null || ++_steps > MaxSteps) return;
        Compared++;
        IReadOnlyList<Snapshot> candidates = explored.At(insn);
        int start = _last.GetValueOrDefault(insn);
        string? reason = "no path came here";
        for (int i = 0; i < candidates.Count; i++)
        {
            // Runs meet the states in the order of the walk.
            int at = (start + i) % candidates.Count;
            reason = Mismatch(candidates[at], insn, registers, regions);
            if (reason != null) continue;
            _last[insn] = at;
            return;
        }

        Violation = string.Create(CultureInfo.InvariantCulture, $"insn {insn} in frame {_depth}: none of {candidates.Count} explored states contains the run: {reason}");
    }

    // A frame has a stack of its own, which tells calls and returns.
    private void FollowCalls(ulong stackTop, int insn)
    {
        int known = -1;
        for (int f = 0; f <= _depth && known < 0; f++)
        {
            if (_stackTop[f] == stackTop) known = f;
        }

        if (known >= 0)
        {
            _depth = known;
        }
        else
        {
            _depth++;
            _stackTop[_depth] = stackTop;
            _callSite[_depth] = _previous;
        }

        if (_depth < _callSite.Length) _previous = insn;
    }

    private string? Mismatch(Snapshot snapshot, int insn, ReadOnlySpan<ulong> registers, ReadOnlySpan<MemoryRegion?> regions)
    {
        VerifierState state = snapshot.State;
        if (state.CurFrame != _depth) return "other calls";
        for (int f = 1; f <= _depth; f++)
        {
            if (state.Peek(f).CallSite != _callSite[f]) return "other calls";
        }

        int live = explored.LiveRegs(insn);
        FuncFrame frame = state.Current;
        for (int i = 0; i < 10; i++)
        {
            if ((live & (1 << i)) == 0) continue;
            bool exact = allNumbers || (snapshot.Checkpoint?.Current.Regs[i] is { } marked && marked.Type == RegType.Scalar && marked.Precise);
            if (Mismatch(frame.Regs[i], registers[i], regions[i], exact, known: true) is { } reason) return $"r{i}=0x{registers[i]:x}: {reason}";
        }

        if (allNumbers && MismatchOfLinks(frame, live, registers) is { } links) return links;
        for (int f = 0; f <= _depth; f++)
        {
            if (MismatchOfStack(snapshot, f) is { } reason) return reason;
        }

        return null;
    }

    // Numbers with one id are equal, or differ by a constant.
    private static string? MismatchOfLinks(FuncFrame frame, int live, ReadOnlySpan<ulong> registers)
    {
        for (int i = 0; i < 10; i++)
        {
            ref RegisterState a = ref frame.Regs[i];
            if ((live & (1 << i)) == 0 || a.Type != RegType.Scalar || a.Id == 0) continue;
            for (int j = i + 1; j < 10; j++)
            {
                ref RegisterState b = ref frame.Regs[j];
                if ((live & (1 << j)) == 0 || b.Type != RegType.Scalar || (b.Id & ~RegisterState.AddConst) != (a.Id & ~RegisterState.AddConst)) continue;
                ulong x = registers[i] - (ulong)((a.Id & RegisterState.AddConst) != 0 ? a.Off : 0);
                ulong y = registers[j] - (ulong)((b.Id & RegisterState.AddConst) != 0 ? b.Off : 0);
                bool half = ((a.Id | b.Id) & RegisterState.AddConst32) != 0;
                if (half ? (uint)x != (uint)y : x != y) return $"r{i}=0x{registers[i]:x} and r{j}=0x{registers[j]:x} should be linked";
            }
        }

        return null;
    }

    private string? MismatchOfStack(Snapshot snapshot, int frameNo)
    {
        FuncFrame frame = snapshot.State.Peek(frameNo);
        for (int spi = 0; spi < frame.StackSlots; spi++)
        {
            if ((snapshot.LiveSlots[frameNo] & (1ul << spi)) == 0) continue;
            ref StackSlot slot = ref frame.Stack[spi];
            byte* top = (byte*)_stackTop[frameNo] - (spi * 8);
            int spilled = 0;
            while (spilled < 8 && slot.Types[7 - spilled] == SlotType.Spill) spilled++;
            for (int i = 0; i < 8 - spilled; i++)
            {
                if (slot.Types[i] == SlotType.Zero && top[-1 - i] != 0) return $"fp{-(spi + 1) * 8} of frame {frameNo}: byte {7 - i} is 0x{top[-1 - i]:x}, not zero";
            }

            if (spilled == 0) continue;
            ulong value = *(ulong*)(top - 8) & (spilled == 8 ? ulong.MaxValue : (1ul << (spilled * 8)) - 1);
            bool exact = allNumbers;
            if (!exact && snapshot.Checkpoint?.Peek(frameNo) is { } marked && spi < marked.StackSlots)
                exact = marked.Stack[spi].IsSpilledScalar && marked.Stack[spi].Spilled.Precise;
            RegisterState expected = slot.Spilled;
            if (spilled < 8) expected.Bounds.Truncate(spilled);
            if (Mismatch(expected, value, null, exact, known: false) is { } reason) return $"fp{-(spi + 1) * 8} of frame {frameNo}=0x{value:x}: {reason}";
        }

        return null;
    }

    /// <summary>What speaks against a value; the region of what stands in memory is not known.</summary>
    private string? Mismatch(in RegisterState reg, ulong value, MemoryRegion? region, bool exact, bool known)
    {
        if (reg.Type == RegType.NotInit) return null;
        if (reg.Type == RegType.Scalar) return !exact || reg.Bounds.Contains(value) ? null : $"not in {Text(reg.Bounds)}";
        if (reg.Type.MayBeNull() && value == 0) return null;
        switch (reg.Type.Base())
        {
            case RegType.PtrToCtx: return Offset(reg, value, Context);
            case RegType.PtrToStack: return Offset(reg, value, _stackTop[reg.FrameNo]);
            case RegType.ConstPtrToMap: return value == (ulong)Maps[reg.MapIndex].Header ? null : "not that map";
            case RegType.PtrToPacketEnd: return value == Packet.End ? null : "not the packet's end";
            case RegType.PtrToPacket:
                if (reg.Range > 0 && value - (ulong)(long)reg.Off + (ulong)reg.Range > Packet.End) return $"the packet ends before range {reg.Range}";
                return Offset(reg, value, Packet.Start);
            case RegType.PtrToMapValue or RegType.PtrToMapKey:
                if (!known) return value > 4096 ? null : "no pointer";
                if (region == null) return "no pointer";
                MapSpec map = Maps[reg.MapIndex].Spec;
                ulong size = reg.Type.Base() == RegType.PtrToMapKey ? map.KeySize : map.ValueSize;
                return region.Size == size ? Offset(reg, value, region.Start) : $"points into {region.Name}";
            default: return null;
        }
    }

    private static string? Offset(in RegisterState reg, ulong value, ulong start)
    {
        ulong offset = value - start - (ulong)(long)reg.Off;
        return reg.Bounds.Contains(offset) ? null : $"offset {(long)offset} of {reg.Type} not in {Text(reg.Bounds)}";
    }

    private static string Text(in ScalarRange r) => string.Create(CultureInfo.InvariantCulture,
        $"[{r.UMin}..{r.UMax}] s[{r.SMin}..{r.SMax}] w[{r.U32Min}..{r.U32Max}] sw[{r.S32Min}..{r.S32Max}] {r.VarOff}");
}
