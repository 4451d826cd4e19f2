using BpfSim.Maps;

namespace BpfSim.Vm.Verifier;

/// <summary>Ends a verification with the kernel's errno; the reason is in the log.</summary>
internal sealed class VerifierReject(Errno errno) : Exception
{
    /// <summary>What BPF_PROG_LOAD returns.</summary>
    public Errno Errno { get; } = errno;
}
