using System.Runtime.InteropServices;

namespace BpfSim.Vm.Jit.Emit;

/// <summary>
/// Jumps, labels and alignments of the emitted code. The emitter leaves jumps out of its bytes altogether;
/// <see cref="Arrange"/> chooses the shortest form of each (all start short, those that do not reach grow,
/// until nothing changes) and <see cref="Write"/> copies the code with jumps and padding put in.
/// </summary>
internal sealed class CodeLayout
{
    /// <summary>What a jump encodes to.</summary>
    public enum JumpKind : byte { Jmp, Jcc, Call }

    private enum EventKind : byte { Jump, Label, Align }

    private struct Event
    {
        public int Position;
        public int Label;
        public EventKind Kind;
        public JumpKind Jump;
        public byte Condition;
        public bool Long;
        public byte Most;
    }

    // Multi-byte forms of nop: opcode 0f 1f with operands of growing length.
    private static readonly byte[][] Nops =
    [
        [], [0x90], [0x66, 0x90], [0x0f, 0x1f, 0x00], [0x0f, 0x1f, 0x40, 0x00], [0x0f, 0x1f, 0x44, 0x00, 0x00],
        [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00], [0x0f, 0x1f, 0x80, 0, 0, 0, 0], [0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0],
        [0x66, 0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0],
    ];

    private readonly List<Event> _events = [];
    private readonly List<int> _labels = [];

    /// <summary>Length of the code after <see cref="Arrange"/>.</summary>
    public int Length { get; private set; }

    public void Reset()
    {
        _events.Clear();
        _labels.Clear();
    }

    public int NewLabel()
    {
        _labels.Add(-1);
        return _labels.Count - 1;
    }

    public void Bind(int label, int position)
    {
        _labels[label] = 0;
        _events.Add(new Event { Position = position, Label = label, Kind = EventKind.Label });
    }

    public void AddJump(int position, int label, JumpKind kind, byte condition) =>
        _events.Add(new Event { Position = position, Label = label, Kind = EventKind.Jump, Jump = kind, Condition = condition, Long = kind == JumpKind.Call });

    public void AddAlignment(int position, int alignment, int most) =>
        _events.Add(new Event { Position = position, Label = alignment, Kind = EventKind.Align, Most = (byte)most });

    /// <summary>Where a label lies in the final code.</summary>
    public int AddressOf(int label) => _labels[label];

    /// <summary>Decides the form of every jump; the final code will have <see cref="Length"/> bytes.</summary>
    public void Arrange(int codeLength)
    {
        Span<Event> events = CollectionsMarshal.AsSpan(_events);
        Span<int> labels = CollectionsMarshal.AsSpan(_labels);
        bool changed = true;
        while (changed)
        {
            changed = false;
            int shift = 0;
            foreach (ref Event e in events)
            {
                if (e.Kind == EventKind.Label) labels[e.Label] = e.Position + shift;
                else if (e.Kind == EventKind.Align) shift += PaddingAt(e, e.Position + shift);
                else shift += SizeOf(e);
            }
            Length = codeLength + shift;
            // Everything is within reach of everything.
            if (Length <= 127) return;
            shift = 0;
            foreach (ref Event e in events)
            {
                if (e.Kind == EventKind.Align) shift += PaddingAt(e, e.Position + shift);
                if (e.Kind != EventKind.Jump) continue;
                shift += SizeOf(e);
                int distance = labels[e.Label] - (e.Position + shift);
                if (!e.Long && distance is < -128 or > 127)
                {
                    e.Long = true;
                    changed = true;
                }
            }
        }
    }

    /// <summary>Writes the final code.</summary>
    public void Write(ReadOnlySpan<byte> code, Span<byte> target)
    {
        int from = 0, to = 0;
        foreach (ref Event e in CollectionsMarshal.AsSpan(_events))
        {
            if (e.Kind == EventKind.Label) continue;
            int length = e.Position - from;
            code.Slice(from, length).CopyTo(target[to..]);
            from += length;
            to += length;
            if (e.Kind == EventKind.Align) to = Pad(target, to, PaddingAt(e, to));
            else to = WriteJump(target, to, e);
        }
        code[from..].CopyTo(target[to..]);
    }

    /// <summary>How many jumps, labels and alignments there are so far; with a position it says exactly where something stands.</summary>
    public int EventCount => _events.Count;

    /// <summary>Translates ascending positions of the bytes before layout, each with the events before it, to the final code.</summary>
    public void MapPositions(Span<int> ascending, ReadOnlySpan<int> eventsBefore)
    {
        Span<Event> events = CollectionsMarshal.AsSpan(_events);
        int next = 0, shift = 0;
        for (int i = 0; i < ascending.Length; i++)
        {
            while (next < eventsBefore[i])
            {
                ref Event e = ref events[next++];
                if (e.Kind == EventKind.Align) shift += PaddingAt(e, e.Position + shift);
                else if (e.Kind == EventKind.Jump) shift += SizeOf(e);
            }
            ascending[i] += shift;
        }
    }

    private int WriteJump(Span<byte> target, int to, in Event e)
    {
        int distance = _labels[e.Label] - (to + SizeOf(e));
        if (!e.Long)
        {
            target[to] = (byte)(e.Jump == JumpKind.Jmp ? 0xeb : 0x70 | e.Condition);
            target[to + 1] = (byte)distance;
            return to + 2;
        }
        if (e.Jump == JumpKind.Jcc) target[to++] = 0x0f;
        target[to++] = e.Jump switch { JumpKind.Jmp => 0xe9, JumpKind.Call => 0xe8, _ => (byte)(0x80 | e.Condition) };
        BitConverter.TryWriteBytes(target[to..], distance);
        return to + 4;
    }

    private static int PaddingAt(in Event e, int position)
    {
        int full = -position & (e.Label - 1);
        return full <= e.Most ? full : -position & 7;
    }

    private static int SizeOf(in Event e) => !e.Long ? 2 : e.Jump == JumpKind.Jcc ? 6 : 5;

    private static int Pad(Span<byte> target, int to, int length)
    {
        while (length > 0)
        {
            byte[] nop = Nops[Math.Min(length, 9)];
            nop.CopyTo(target[to..]);
            to += nop.Length;
            length -= nop.Length;
        }
        return to;
    }
}
