namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>What else a history entry says about its instruction.</summary>
[Flags]
internal enum HistoryFlags : uint
{
    None = 0,
    /// <summary>Bits 0–2: number of the frame whose stack was accessed.</summary>
    FrameMask = 7,
    /// <summary>Bits 3–8: the stack slot.</summary>
    SlotShift = 3,
    SlotMask = 0x3f << 3,
    /// <summary>The instruction spilled to, or filled from, the stack.</summary>
    StackAccess = 1 << 9,
    /// <summary>A comparison whose operand was a stack pointer, which is never precise.</summary>
    DstRegStack = 1 << 10,
    SrcRegStack = 1 << 11,
}

/// <summary>One step that going backwards could not guess: where it came from and what it did.</summary>
internal struct HistoryEntry
{
    public int Idx;
    public int PrevIdx;
    public HistoryFlags Flags;

    /// <summary>Registers and slots that shared an id here, packed: see <see cref="LinkedRegs"/>.</summary>
    public ulong LinkedRegs;
}

/// <summary>The entries between two checkpoints; a growing array that is copied by value.</summary>
internal sealed class JumpHistory
{
    /// <summary>Most entries there can be: the kernel's have 16 bytes, and its kmalloc gives at most 4 MiB in one piece.</summary>
    public const int Limit = (4 << 20) / 16;

    public HistoryEntry[] Entries = [];
    public int Count;

    public void CopyFrom(JumpHistory other)
    {
        if (Entries.Length < other.Count) Entries = new HistoryEntry[Math.Max(other.Count, 8)];
        other.Entries.AsSpan(0, other.Count).CopyTo(Entries);
        Count = other.Count;
    }

    public ref HistoryEntry Add()
    {
        if (Count == Entries.Length) Array.Resize(ref Entries, Math.Max(8, Entries.Length * 2));
        ref HistoryEntry e = ref Entries[Count++];
        e = default;
        return ref e;
    }

    public void Clear() => Count = 0;
}
