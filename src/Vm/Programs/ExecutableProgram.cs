using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Programs;

/// <summary>
/// A program ready to run: instructions after the verifier's rewrites, with everything they refer to. All
/// engines take this and nothing else.
/// <para>64-bit loads keep their source field: MapFd and MapIdx have in imm the index into <see cref="Maps"/>;
/// MapValue and MapIdxValue the same, and in the second slot's imm the offset into the value; Func has the
/// target relative to the next slot; Imm64 (also what was a BTF id) is the value itself. The imm of a helper
/// call is the helper's id, of a local call the target relative to the next slot, of a kfunc call the id of
/// its FUNC in the kernel's BTF.</para>
/// </summary>
public sealed record ExecutableProgram
{
    /// <summary>The program's name.</summary>
    public string Name { get; init; } = "";

    /// <summary>The program's type.</summary>
    public ProgramType Type { get; init; }

    /// <summary>The instructions, main function first.</summary>
    public required Insn[] Insns { get; init; }

    /// <summary>First slot of every function, ascending; the first is 0.</summary>
    public int[] FunctionStarts { get; init; } = [0];

    /// <summary>
    /// Bytes below r10 that each function, or what it hands its stack to, may touch: a multiple of 8 up to 512, in
    /// the order of <see cref="FunctionStarts"/>. Empty if nobody proved it.
    /// </summary>
    public int[] StackDepths { get; init; } = [];

    /// <summary>Whether the program may read stack that it never wrote, which then reads as 0.</summary>
    public bool ReadsUninitStack { get; init; }

    /// <summary>The maps that the instructions refer to by index.</summary>
    public BpfMap[] Maps { get; init; } = [];

    /// <summary>The helpers that may be called.</summary>
    public HelperTable Helpers { get; init; } = HelperTable.Empty;

    /// <summary>The kfuncs that may be called; the id of a row is that of its FUNC in the kernel's BTF.</summary>
    public HelperTable Kfuncs { get; init; } = HelperTable.Empty;

    /// <summary>The program's own types, for functions that allocate objects of them; null without BTF.</summary>
    public Btf.BtfData? Btf { get; init; }

    /// <summary>What the verifier proved about instructions, by slot; empty for an unverified program.</summary>
    public InsnFacts[] Facts { get; init; } = [];

    /// <summary>False for a program that was never verified: engines then count fuel and check what they can.</summary>
    public bool Verified { get; init; }
}

/// <summary>
/// What the verifier proved about one instruction over all paths; default means nothing. Ranges of numbers are no such
/// facts: a path that is cut off as equivalent to an earlier one need not have the same, where precision did not matter.
/// </summary>
/// <param name="MapIndex">Helper calls: index + 1 of the one map that r1 always is; 0 if unknown.</param>
/// <param name="ConstKey">Array lookups: the constant key, where <see cref="HasConstKey"/>.</param>
/// <param name="HasConstKey">Whether the key in memory is the same constant on all paths.</param>
/// <param name="StackAccess">Loads and stores: always the own frame's stack at a fixed offset.</param>
/// <param name="ProbeMem">Loads: may fault and then reads 0.</param>
public readonly record struct InsnFacts(
    int MapIndex, uint ConstKey, bool HasConstKey, bool StackAccess, bool ProbeMem);
