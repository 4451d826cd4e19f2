namespace BpfSim.Kernel.Laboratory;

/// <summary>Draws the numbers of keys before a run, so that drawing costs the run nothing.</summary>
internal static class KeyChooser
{
    /// <summary>Number of draws a CPU goes round in.</summary>
    public const int Length = 1 << 15;

    /// <summary>The key numbers of one CPU.</summary>
    public static uint[] Draw(ContentionSpec spec, uint cpu, uint cpus)
    {
        var state = (spec.Seed * 0x9E3779B97F4A7C15) ^ ((cpu + 1) * 0xD1B54A32D192ED03);
        var cumulative = spec.Distribution == KeyDistribution.Zipf ? Zipf(spec.Keys, spec.ZipfExponent) : [];
        var draws = new uint[Length];
        for (var i = 0; i < Length; i++)
            draws[i] = spec.Distribution switch
            {
                KeyDistribution.Zipf => Search(cumulative, NextDouble(ref state)),
                KeyDistribution.Hot => NextDouble(ref state) < 0.9 ? 0 : Below(ref state, spec.Keys),
                KeyDistribution.Disjoint => OwnKey(ref state, spec.Keys, cpu, cpus),
                _ => Below(ref state, spec.Keys),
            };
        return draws;
    }

    private static uint OwnKey(ref ulong state, uint keys, uint cpu, uint cpus)
    {
        var share = Math.Max(1, keys / cpus);
        return Math.Min(keys - 1, (cpu * share) + Below(ref state, share));
    }

    private static double[] Zipf(uint keys, double exponent)
    {
        var sums = new double[keys];
        var sum = 0.0;
        for (var i = 0; i < sums.Length; i++) sums[i] = sum += Math.Pow(i + 1, -exponent);
        for (var i = 0; i < sums.Length; i++) sums[i] /= sum;
        return sums;
    }

    private static uint Search(double[] cumulative, double at)
    {
        var found = Array.BinarySearch(cumulative, at);
        return (uint)Math.Min(cumulative.Length - 1, found < 0 ? ~found : found + 1);
    }

    private static uint Below(ref ulong state, uint limit) => (uint)(((UInt128)Next(ref state) * limit) >> 64);

    private static double NextDouble(ref ulong state) => (Next(ref state) >> 11) * (1.0 / (1ul << 53));

    /// <summary>SplitMix64.</summary>
    private static ulong Next(ref ulong state)
    {
        var z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
