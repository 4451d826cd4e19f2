namespace BpfSim.Kernel.Cpus;

/// <summary>Call chains, shared: each is a function's address and the chain that it was called from.</summary>
internal sealed class StackTable
{
    private readonly Dictionary<(int, ulong), int> _index = [];
    private readonly Lock _lock = new();
    private (int Caller, ulong Address)[] _nodes = new (int, ulong)[1024];
    private int _count = 1;

    /// <summary>The chain of a function called from another chain; 0 is the empty chain.</summary>
    public int Push(int caller, ulong address)
    {
        lock (_lock)
        {
            if (_index.TryGetValue((caller, address), out int found)) return found;
            if (_count == _nodes.Length) Array.Resize(ref _nodes, _count * 2);
            _nodes[_count] = (caller, address);
            _index.Add((caller, address), _count);
            return _count++;
        }
    }

    /// <summary>The chain without its innermost function.</summary>
    public int CallerOf(int chain) => _nodes[chain].Caller;

    /// <summary>Addresses of a chain, innermost first, as many as fit; returns how many.</summary>
    public int Read(int chain, Span<ulong> addresses)
    {
        (int Caller, ulong Address)[] nodes = _nodes;
        int n = 0;
        while (chain != 0 && n < addresses.Length)
        {
            addresses[n++] = nodes[chain].Address;
            chain = nodes[chain].Caller;
        }
        return n;
    }
}
