namespace BpfSim.Maps;

/// <summary>
/// What epoll is to a ring buffer's descriptor: one consumer waits without spinning, producers wake it. Waking nobody
/// costs a load.
/// </summary>
internal sealed class WakeSignal
{
    private TaskCompletionSource? _waiter;

    /// <summary>Wakes the waiter, if there is one. The caller has published its data and passed a fence.</summary>
    public void Wake()
    {
        if (Volatile.Read(ref _waiter) is not null) Interlocked.Exchange(ref _waiter, null)?.TrySetResult();
    }

    /// <summary>Completes when <paramref name="ready"/> holds, or at the next wake-up; the state is checked once more after waiting is announced.</summary>
    public async ValueTask WaitAsync(Func<bool> ready, CancellationToken cancellation)
    {
        if (ready()) return;
        var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (Interlocked.Exchange(ref _waiter, source) is { } other) other.TrySetResult();
        if (ready())
        {
            Interlocked.CompareExchange(ref _waiter, null, source);
            return;
        }

        await source.Task.WaitAsync(cancellation).ConfigureAwait(false);
    }
}
