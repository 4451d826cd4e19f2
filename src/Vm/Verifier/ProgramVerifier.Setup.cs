using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Logging;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

internal sealed partial class ProgramVerifier
{
    private const uint FlagStrictAlignment = 1 << 0, FlagAnyAlignment = 1 << 1, FlagTestStateFreq = 1 << 3;

    /// <summary>Prepares a verification; nothing is checked yet.</summary>
    internal ProgramVerifier(VerifierInput input, VerifierLog log)
    {
        Input = input;
        Log = log;
        Insns = (Insn[])input.Insns.Clone();
        Aux = new InsnAux[Insns.Length];
        foreach (BpfMap map in input.Maps) Maps.Add(map.Spec);
        bool privileged = input.Attributes.Privileged;
        AllowUninitStack = AllowPtrLeaks = BypassSpec = BpfCapable = privileged;
        StrictAlignment = (input.Attributes.Flags & (FlagStrictAlignment | FlagAnyAlignment)) == FlagStrictAlignment;
        TestStateFreq = privileged && (input.Attributes.Flags & FlagTestStateFreq) != 0;
    }
}
