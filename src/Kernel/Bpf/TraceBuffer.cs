namespace BpfSim.Kernel.Bpf;

/// <summary>One line of the trace: what bpf_trace_printk wrote, and in whose name.</summary>
/// <param name="Comm">Name of the current task.</param>
/// <param name="Pid">Its thread id.</param>
/// <param name="Cpu">The CPU.</param>
/// <param name="Flags">Five characters: interrupts off, need to reschedule, interrupt context, preempt depth, migrate-disable depth.</param>
/// <param name="TimeNs">Nanoseconds since boot.</param>
/// <param name="Message">The text, without its final newline.</param>
public readonly record struct TraceLine(string Comm, uint Pid, uint Cpu, string Flags, ulong TimeNs, string Message)
{
    /// <summary>The line as trace_pipe prints it.</summary>
    public override string ToString()
    {
        ulong micros = (TimeNs + 500) / 1000;
        return $"{Comm,16}-{Pid,-7} [{Cpu:D3}] {Flags} {micros / 1_000_000,5}.{micros % 1_000_000:D6}: bpf_trace_printk: {Message}";
    }
}

/// <summary>
/// The trace buffer: lines in the order in which they were written. It holds a number of them at most and
/// then drops the oldest, as the kernel's ring does; what it dropped is counted.
/// </summary>
public sealed class TraceBuffer
{
    private readonly Queue<TraceLine> _lines = new();
    private readonly Lock _lock = new();

    /// <summary>Lines that the buffer holds at most.</summary>
    public int Capacity { get; set; } = 1_000_000;

    /// <summary>Lines written so far.</summary>
    public ulong Written { get; private set; }

    /// <summary>Lines dropped because nobody read them in time.</summary>
    public ulong Dropped { get; private set; }

    /// <summary>Called with each line as it is written, in place of storing it, once there is a listener.</summary>
    public event Action<TraceLine>? LineWritten;

    /// <summary>Takes all lines that are stored.</summary>
    public IReadOnlyList<TraceLine> Read()
    {
        lock (_lock)
        {
            TraceLine[] lines = [.. _lines];
            _lines.Clear();
            return lines;
        }
    }

    /// <summary>Writes a message: each of its lines but an empty last one becomes part of one trace entry, as in the kernel.</summary>
    internal void Write(in TraceLine line)
    {
        lock (_lock)
        {
            Written++;
            if (LineWritten != null)
            {
                LineWritten(line);
                return;
            }
            if (_lines.Count >= Capacity)
            {
                _lines.Dequeue();
                Dropped++;
            }
            _lines.Enqueue(line);
        }
    }
}
