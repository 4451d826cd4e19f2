using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>Sees what a verification explores: with it, runs can be held against what was proved of them.</summary>
internal interface IExplorationObserver
{
    /// <summary>An instruction is about to be checked; the state is what is known before it. It changes afterwards: copy what shall stay.</summary>
    void Visit(int insnIdx, VerifierState state);

    /// <summary>The program was accepted; nothing more will be visited.</summary>
    void Accepted(ProgramVerifier verifier);
}
