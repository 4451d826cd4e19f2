using BpfSim.Vm.Jit.Ir;

namespace BpfSim.Vm.Jit;

/// <summary>Map lookups as emitted code.</summary>
internal sealed partial class JitCompiler
{
    private static void EmitLookup(in IrInsn n) => throw new InvalidProgramException($"insn {n.Slot}: no code for this lookup");
}
