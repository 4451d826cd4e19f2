using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>Sees what a verification explores: with it, runs can be held against what was proved of them.</summary>
internal interface IExplorationObserver
{
    /// <summary>An instruction is about to be checked; the state is what is known before it. It changes afterwards: copy what shall stay.</summary>
    /// <param name="insnIdx">The instruction.</param>
    /// <param name="state">The state.</param>
    /// <param name="waiting">How many paths wait to be walked.</param>
    void Visit(int insnIdx, VerifierState state, int waiting);

    /// <summary>A path has ended. What was visited while no more paths waited than now has been followed to all its ends.</summary>
    void PathEnded(ProgramVerifier verifier, int waiting);

    /// <summary>The program was accepted; nothing more will be visited.</summary>
    void Accepted(ProgramVerifier verifier);
}
