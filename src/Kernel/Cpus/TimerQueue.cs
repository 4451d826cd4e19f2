using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Cpus;

/// <summary>A bpf_timer: its callback, and when it is due.</summary>
internal sealed unsafe class BpfTimer
{
    /// <summary>The program that the callback belongs to; null until bpf_timer_set_callback.</summary>
    public LoadedProgram? Program { get; set; }

    /// <summary>First slot of the callback.</summary>
    public int Callback { get; set; }

    /// <summary>The map whose value holds the timer.</summary>
    public ulong Map { get; init; }

    /// <summary>Address of the map value.</summary>
    public ulong Value { get; set; }

    /// <summary>When it fires, in nanoseconds since boot.</summary>
    public ulong ExpiresNs { get; set; }

    /// <summary>The queue that it waits in, null if it does not.</summary>
    public TimerQueue? Queue { get; set; }

    /// <summary>Whether its callback runs now.</summary>
    public bool Running { get; private set; }

    /// <summary>Calls the callback: map, address of the key (of an array's index, in a place of its own), value.</summary>
    public void Fire(RunContext* context)
    {
        if (Program == null) return;
        Running = true;
        var map = (MapHeader*)Map;
        uint index = 0;
        var key = (ulong)(&index);
        if (map->Type == MapType.Array) index = (uint)((Value - (ulong)map->Data) / map->Stride);
        else key = Value - ((map->KeySize + 7) & ~7u);
        Program.InvokeCallback(Callback, Map, key, Value, 0, 0, context);
        Running = false;
    }
}

/// <summary>The timers of one CPU in the order in which they are due.</summary>
internal sealed class TimerQueue
{
    private readonly PriorityQueue<(BpfTimer Timer, ulong Expires), (ulong, ulong)> _queue = new();
    private ulong _sequence;

    /// <summary>When the next one is due; <see cref="ulong.MaxValue"/> if there is none.</summary>
    public ulong NextNs { get; private set; } = ulong.MaxValue;

    /// <summary>Enters a timer, whose <see cref="BpfTimer.ExpiresNs"/> is set.</summary>
    public void Add(BpfTimer timer)
    {
        timer.Queue = this;
        _queue.Enqueue((timer, timer.ExpiresNs), (timer.ExpiresNs, ++_sequence));
        Refresh();
    }

    /// <summary>Takes the next timer out.</summary>
    public BpfTimer Take()
    {
        BpfTimer timer = _queue.Dequeue().Timer;
        timer.Queue = null;
        Refresh();
        return timer;
    }

    /// <summary>Forgets a timer; false if it was not waiting.</summary>
    public static bool Cancel(BpfTimer timer)
    {
        TimerQueue? queue = timer.Queue;
        if (queue == null) return false;
        timer.Queue = null;
        queue.Refresh();
        return true;
    }

    private void Refresh()
    {
        // Cancelled or restarted timers leave entries behind that no longer count.
        while (_queue.TryPeek(out (BpfTimer Timer, ulong Expires) head, out _) && (head.Timer.Queue != this || head.Timer.ExpiresNs != head.Expires))
            _queue.Dequeue();
        NextNs = _queue.TryPeek(out (BpfTimer Timer, ulong Expires) first, out _) ? first.Expires : ulong.MaxValue;
    }
}
