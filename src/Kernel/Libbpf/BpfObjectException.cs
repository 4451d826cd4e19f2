using BpfSim.Maps;

namespace BpfSim.Kernel.Libbpf;

/// <summary>An object, map or program that the simulated kernel refused; the message is libbpf's line.</summary>
public sealed class BpfObjectException : Exception
{
    /// <summary>A failure with its errno and, for programs, the verifier's log.</summary>
    public BpfObjectException(string message, Errno errno, string log = "", string? hint = null) : base(message)
    {
        Errno = errno;
        Log = log;
        Hint = hint;
    }

    /// <summary>The kernel's errno.</summary>
    public Errno Errno { get; }

    /// <summary>The verifier's log; empty if the verifier was not reached.</summary>
    public string Log { get; }

    /// <summary>The verifier's hint in plain words, null if it has none.</summary>
    public string? Hint { get; }
}
