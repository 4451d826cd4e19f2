namespace BpfSim.Vm.Verifier;

/// <summary>The verifier: Linux 6.18's verdict on a program, its log, and the rewritten program.</summary>
public static class EbpfVerifier
{
    /// <summary>Judges a program; never throws for a bad one.</summary>
    public static VerifierResult Verify(VerifierInput input) => throw new NotImplementedException(input.Name);
}
