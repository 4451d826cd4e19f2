using System.Collections.Concurrent;

namespace BpfSim.Kernel.Cpus;

/// <summary>What a program did to the simulation.</summary>
/// <param name="TimeNs">When.</param>
/// <param name="Kind">What.</param>
/// <param name="Pid">The task that it is done to.</param>
/// <param name="Value">The signal's number; the overriding return value.</param>
internal readonly record struct Effect(ulong TimeNs, EffectKind Kind, uint Pid, ulong Value);

/// <summary>Kinds of <see cref="Effect"/>.</summary>
internal enum EffectKind { Signal, OverrideReturn }

/// <summary>Effects of the current window; the simulation answers to them in the next one.</summary>
internal sealed class EffectQueue
{
    private readonly ConcurrentQueue<Effect> _queue = new();

    /// <summary>Enters an effect.</summary>
    public void Add(in Effect effect) => _queue.Enqueue(effect);

    /// <summary>Takes the next one.</summary>
    public bool TryTake(out Effect effect) => _queue.TryDequeue(out effect);
}
