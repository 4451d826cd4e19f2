namespace BpfSim.Agent.Decoders;

/// <summary>
/// What the machine under observation knows by number: the simulated kernel's symbols, devices, interfaces
/// and cgroups. Each returns null for a number it does not know.
/// </summary>
public sealed record KernelNames
{
    /// <summary>The symbol that contains an address (without offset).</summary>
    public Func<ulong, string?> Symbol { get; init; } = _ => null;

    /// <summary>Path of a cgroup by id.</summary>
    public Func<ulong, string?> Cgroup { get; init; } = _ => null;

    /// <summary>Name of a block device by major and minor number.</summary>
    public Func<uint, uint, string?> BlockDevice { get; init; } = (_, _) => null;

    /// <summary>Name of a network interface by index.</summary>
    public Func<uint, string?> Interface { get; init; } = _ => null;
}
