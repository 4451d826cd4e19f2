using BpfSim.Maps;

namespace BpfSim.Kernel.Libbpf;

/// <summary>
/// A map without contents: enough for the verifier, which asks for sizes and types only. Verifying thousands of
/// objects must not allocate their maps.
/// </summary>
internal sealed class BlueprintMap(MapSpec spec, uint cpus) : BpfMap(spec, cpus)
{
    public override ulong MemoryBytes => 0;
}
