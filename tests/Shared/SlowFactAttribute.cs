namespace BpfSim.Tests.Shared;

/// <summary>A test of the slow suite: runs only with BPFSIM_SLOW=1.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SlowFactAttribute : FactAttribute
{
    public SlowFactAttribute()
    {
        if (Environment.GetEnvironmentVariable("BPFSIM_SLOW") != "1") Skip = "slow suite: set BPFSIM_SLOW=1";
    }
}
