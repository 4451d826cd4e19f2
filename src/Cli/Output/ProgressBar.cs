using System.Diagnostics;

namespace BpfSim.Cli.Output;

/// <summary>
/// A progress bar on standard error, only on a terminal and only for what takes longer than a second. It
/// draws itself on one line and leaves nothing behind.
/// </summary>
internal sealed class ProgressBar(string title) : IDisposable
{
    private const int Width = 40;
    private static readonly bool s_terminal = !Console.IsErrorRedirected;
    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly Lock _lock = new();
    private TimeSpan _next = TimeSpan.FromSeconds(1);
    private bool _drawn;

    /// <summary>The finished part, 0 to 1.</summary>
    public void Report(double done)
    {
        if (!s_terminal) return;
        lock (_lock)
        {
            if (_watch.Elapsed < _next) return;
            _next = _watch.Elapsed + TimeSpan.FromMilliseconds(100);
            int filled = (int)(Math.Clamp(done, 0, 1) * Width);
            Console.Error.Write($"\r{title} [{new string('#', filled)}{new string('.', Width - filled)}] {done:P0} ");
            _drawn = true;
        }
    }

    /// <summary>Takes the bar off the screen, so that other output has the line.</summary>
    public void Hide()
    {
        if (!_drawn) return;
        lock (_lock)
        {
            Console.Error.Write($"\r{new string(' ', title.Length + Width + 10)}\r");
            _drawn = false;
        }
    }

    /// <summary>Takes the bar off the screen for good.</summary>
    public void Dispose() => Hide();
}
