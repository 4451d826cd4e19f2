namespace BpfSim.Vm.Verifier.State;

/// <summary>
/// Frames and states for reuse, so that walking a path allocates nothing. A thread's next verification finds
/// what the last one left, unless the memory was needed in between.
/// </summary>
internal sealed class StatePool
{
    private const int MaxFrames = 32 * 1024, MaxStates = 32 * 1024;

    [ThreadStatic]
    private static WeakReference<StatePool>? s_last;

    private readonly Stack<FuncFrame> _frames = new();
    private readonly Stack<VerifierState> _states = new();

    /// <summary>The thread's pool; it is the caller's alone until <see cref="GiveBack"/>.</summary>
    public static StatePool Take()
    {
        if (s_last == null || !s_last.TryGetTarget(out StatePool? pool)) return new StatePool();
        s_last = null;
        return pool;
    }

    /// <summary>Leaves the pool to the thread's next verification.</summary>
    public void GiveBack() => s_last = new WeakReference<StatePool>(this);

    /// <summary>A frame with arbitrary content that nobody shares.</summary>
    public FuncFrame RentFrame() => _frames.Count > 0 ? _frames.Pop() : new FuncFrame();

    /// <summary>Gives a frame back, if nobody shares it.</summary>
    public void Return(FuncFrame? frame)
    {
        if (frame is { Shared: false } && _frames.Count < MaxFrames) _frames.Push(frame);
    }

    /// <summary>A state with arbitrary content, to be overwritten by <see cref="VerifierState.CopyFrom"/>.</summary>
    public VerifierState RentState() => _states.Count > 0 ? _states.Pop() : new VerifierState();

    /// <summary>Gives a state back with its frames; nobody may refer to it any more.</summary>
    public void Return(VerifierState state)
    {
        if (_states.Count >= MaxStates) return;
        state.Parent = null;
        state.EqualState = null;
        state.History.Clear();
        _states.Push(state);
    }
}
