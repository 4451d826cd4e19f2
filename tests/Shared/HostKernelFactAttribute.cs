using BpfSim.Kernel.Host;

namespace BpfSim.Tests.Shared;

/// <summary>A test that asks the host's bpf(2); skipped, with the reason, where that is not allowed.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class HostKernelFactAttribute : FactAttribute
{
    public HostKernelFactAttribute()
    {
        Skip = Requirement.Skip(HostKernel.IsAvailable, HostKernel.UnavailableReason ?? "");
    }
}

/// <summary>A parametrised test that asks the host's bpf(2); skipped, with the reason, where that is not allowed.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class HostKernelTheoryAttribute : TheoryAttribute
{
    public HostKernelTheoryAttribute()
    {
        Skip = Requirement.Skip(HostKernel.IsAvailable, HostKernel.UnavailableReason ?? "");
    }
}
