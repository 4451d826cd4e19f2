namespace BpfSim.Kernel.Bpf;

/// <summary>What an iterator program writes: a page at a time, as the kernel's seq_file.</summary>
internal sealed class SeqBuffer
{
    private readonly List<byte> _data = [];

    /// <summary>Most bytes that one program run may write (the kernel's buffer is 8 pages).</summary>
    public const int MaxBytes = 32 * 1024;

    private int _run;

    /// <summary>Whether something did not fit.</summary>
    public bool Overflowed { get; private set; }

    /// <summary>All bytes so far.</summary>
    public byte[] ToArray() => [.. _data];

    /// <summary>Another run of the program begins.</summary>
    public void BeginRun() => _run = 0;

    /// <summary>Appends; false if the run's room is used up.</summary>
    public bool Write(ReadOnlySpan<byte> bytes)
    {
        if (_run + bytes.Length > MaxBytes)
        {
            Overflowed = true;
            return false;
        }
        _run += bytes.Length;
        _data.AddRange(bytes);
        return true;
    }
}
