namespace BpfSim.Vm.Jit;

/// <summary>The emitted code of one program.</summary>
/// <param name="Block">Where it lies.</param>
/// <param name="Entries">Offset of each function, in the order of the program's functions.</param>
/// <param name="Positions">Offset of the code of each intermediate instruction, and of the end of the last.</param>
/// <param name="Slots">BPF slot of each intermediate instruction.</param>
/// <param name="InstructionCount">How many x86-64 instructions were emitted.</param>
internal sealed record JitCode(CodeBlock Block, int[] Entries, int[] Positions, int[] Slots, int InstructionCount);
