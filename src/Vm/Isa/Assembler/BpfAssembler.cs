using BpfSim.Maps;
using BpfSim.Vm.Helpers;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>
/// From text in the kernel's syntax to instructions, to a whole program with its maps, or to an ELF object.
/// The language is described in docs/assembler.md.
/// </summary>
public static class BpfAssembler
{
    /// <summary>Translates one program without maps or data.</summary>
    /// <param name="text">Instructions, a line each, with labels.</param>
    /// <param name="helpers">Names that <c>call</c> may use; without it helpers are called by number.</param>
    /// <param name="file">How errors name the text.</param>
    /// <exception cref="AssemblerException">The text is wrong; the message names file, line and column.</exception>
    public static Insn[] Insns(string text, HelperTable? helpers = null, string file = "<text>") => Program(text, helpers, file).Insns;

    /// <summary>
    /// Translates a text and links one of its programs: the main function, then the local functions that it
    /// calls. References to maps stay symbolic.
    /// </summary>
    /// <param name="text">The whole text.</param>
    /// <param name="helpers">Names that <c>call</c> may use.</param>
    /// <param name="file">How errors name the text.</param>
    /// <param name="name">The main function; by default the first one outside <c>.text</c>.</param>
    /// <exception cref="AssemblerException">The text is wrong; the message names file, line and column.</exception>
    public static AssembledProgram Program(string text, HelperTable? helpers = null, string file = "<text>", string? name = null)
    {
        AssemblyUnit unit = Parse(text, helpers, file);
        FunctionSymbol main = unit.Functions.FirstOrDefault(f => f.HasSymbol && (name is null ? f.Section.Name != ".text" : f.Name == name))
            ?? unit.Functions.FirstOrDefault(f => name is null || f.Name == name)
            ?? throw new AssemblerException(file, 1, 1, name is null ? "there is no program" : $"there is no program {name}");
        return new ProgramLinker(unit).Link(main);
    }

    /// <summary>Translates a text into a relocatable ELF object (EM_BPF) that libbpf loads.</summary>
    /// <exception cref="AssemblerException">The text is wrong; the message names file, line and column.</exception>
    public static byte[] ToElf(string text, HelperTable? helpers = null, string file = "<text>") => ObjectBuilder.Build(Parse(text, helpers, file));

    private static AssemblyUnit Parse(string text, HelperTable? helpers, string file)
    {
        AssemblyUnit unit = new SourceParser(file, helpers ?? HelperTable.Empty).Parse(text);
        SectionResolver.Resolve(unit);
        return unit;
    }
}

/// <summary>One linked program of an assembler text.</summary>
/// <param name="Name">Name of the main function.</param>
/// <param name="Section">The SEC() string.</param>
/// <param name="License">The licence; empty if the text gives none.</param>
/// <param name="Insns">The instructions, main function first.</param>
/// <param name="FunctionStarts">First slot of every function, ascending.</param>
/// <param name="MapReferences">Slot of a 64-bit load → name of its map.</param>
/// <param name="Maps">The maps of the text.</param>
public sealed record AssembledProgram(
    string Name, string Section, string License, Insn[] Insns, int[] FunctionStarts,
    IReadOnlyDictionary<int, string> MapReferences, IReadOnlyList<MapSpec> Maps);
