using System.Runtime.CompilerServices;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Hints;

/// <summary>The kinds of r0 to r10 before a step.</summary>
[InlineArray(11)]
internal struct StepTypes
{
    private RegType _first;
}

/// <summary>One instruction on the way to a rejection.</summary>
/// <param name="Insn">The instruction.</param>
/// <param name="Frame">Depth of calls.</param>
/// <param name="Types">What the registers held before it.</param>
internal readonly record struct PathStep(int Insn, int Frame, StepTypes Types);

/// <summary>Remembers the path that is being walked, so that a rejection can be explained by what stands on it.</summary>
internal sealed class PathTrace(int insns) : IExplorationObserver
{
    private readonly List<PathStep> _steps = [];

    // How long the path was when each of the waiting paths branched off.
    private readonly List<int> _lengths = [];

    /// <summary>The steps up to now, from the start of the function.</summary>
    public IReadOnlyList<PathStep> Steps => _steps;

    /// <summary>How often each instruction was walked, over all paths.</summary>
    public int[] Visits { get; } = new int[insns];

    /// <inheritdoc/>
    public void Visit(int insnIdx, VerifierState state, int waiting)
    {
        NoteBranches(waiting);
        Visits[insnIdx]++;
        StepTypes types = default;
        RegisterState[] regs = state.Peek(state.CurFrame).Regs;
        for (int i = 0; i < 11; i++) types[i] = regs[i].Type;
        _steps.Add(new PathStep(insnIdx, state.CurFrame, types));
    }

    /// <inheritdoc/>
    public void PathEnded(ProgramVerifier verifier, int waiting)
    {
        NoteBranches(waiting);
        int kept = waiting == 0 ? 0 : _lengths[waiting - 1];
        _steps.RemoveRange(kept, _steps.Count - kept);
        _lengths.RemoveRange(Math.Max(0, waiting - 1), _lengths.Count - Math.Max(0, waiting - 1));
    }

    /// <inheritdoc/>
    public void Accepted(ProgramVerifier verifier)
    {
        // An accepted program needs no explanation.
    }

    private void NoteBranches(int waiting)
    {
        while (_lengths.Count < waiting) _lengths.Add(_steps.Count);
    }
}
