namespace BpfSim.Kernel.Time;

/// <summary>
/// A stream of random numbers (SplitMix64) that belongs to one component: drawn from the machine's seed and
/// the component's name, so that one component's draws never shift another's.
/// </summary>
public sealed class RandomStream
{
    private ulong _state;

    /// <summary>The stream of a component.</summary>
    public RandomStream(ulong seed, string name)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (char c in name) hash = (hash ^ c) * 0x100000001b3;
        _state = seed * 0x9e3779b97f4a7c15 ^ hash;
        Next();
    }

    /// <summary>64 random bits.</summary>
    public ulong Next()
    {
        ulong z = _state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }

    /// <summary>A number from 0 up to, not including, the bound (at least 1).</summary>
    public ulong Below(ulong bound) => Math.BigMul(Next(), bound, out _);

    /// <summary>A number in [0, 1).</summary>
    public double Fraction() => (Next() >> 11) * (1.0 / (1ul << 53));

    /// <summary>Whether something of this chance (0 to 1) happens.</summary>
    public bool Chance(double probability) => Fraction() < probability;

    /// <summary>Nanoseconds until the next event of a Poisson process with this mean distance; at least 1.</summary>
    public ulong Exponential(double meanNs) => (ulong)Math.Max(1, -Math.Log(1 - Fraction()) * meanNs);

    /// <summary>A latency in nanoseconds with this median whose logarithm is normally distributed; at least 1.</summary>
    public ulong LogNormal(double medianNs, double sigma)
    {
        double normal = Math.Sqrt(-2 * Math.Log(1 - Fraction())) * Math.Cos(2 * Math.PI * Fraction());
        return (ulong)Math.Max(1, medianNs * Math.Exp(sigma * normal));
    }
}
