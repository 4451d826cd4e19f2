using System.Text;

namespace BpfSim.Vm.Verifier.Logging;

/// <summary>
/// The verifier's log. The text of paths that turned out safe is taken back at level 1, as the kernel
/// does it. Bounded: when it grows past its limit, the beginning is lost.
/// </summary>
internal sealed class VerifierLog
{
    /// <summary>Characters that are kept at the least: the end of the log, where the reason stands.</summary>
    public const int Limit = 16 << 20;

    private const int TailLimit = 4096;

    private readonly StringBuilder _text = new();
    private readonly StringBuilder _tail = new();
    private long _dropped;

    /// <summary>Creates a log for the BPF_LOG_* bits.</summary>
    public VerifierLog(uint level) => Level = level;

    /// <summary>BPF_LOG_* bits: 1, 2 and 4.</summary>
    public uint Level { get; }

    /// <summary>Whether instructions are printed (level 1 or 2).</summary>
    public bool Enabled => (Level & 3) != 0;

    /// <summary>Whether everything is printed (level 2).</summary>
    public bool Detailed => (Level & 2) != 0;

    /// <summary>Whether statistics are printed (level 4).</summary>
    public bool Statistics => (Level & 4) != 0;

    /// <summary>Characters written so far, without those taken back.</summary>
    public long Position => _dropped + _text.Length;

    /// <summary>
    /// Appends text if any level is on (at level 4 alone, messages without instructions and states); otherwise only the
    /// end is kept, for the reason of a rejection.
    /// </summary>
    public void Write(string text)
    {
        if (Level != 0)
        {
            Append(text);
            return;
        }

        if (_tail.Length > TailLimit) _tail.Clear();
        _tail.Append(text);
    }

    /// <summary>The end of what was written while no level was on.</summary>
    public string Tail => _tail.ToString();

    /// <summary>Appends text whatever the level.</summary>
    public void Append(string text)
    {
        _text.Append(text);
        if (_text.Length <= 2 * Limit) return;
        _dropped += _text.Length - Limit;
        _text.Remove(0, _text.Length - Limit);
    }

    /// <summary>Takes back what was written after a position.</summary>
    public void Reset(long position)
    {
        long length = position - _dropped;
        if (length < 0) length = 0;
        if (length < _text.Length) _text.Length = (int)length;
    }

    /// <inheritdoc/>
    public override string ToString() => _text.ToString();
}
