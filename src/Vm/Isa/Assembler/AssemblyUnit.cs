using BpfSim.Maps;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>What one assembler text says: sections of code, maps, data and licence, with references resolved as far as one section goes.</summary>
internal sealed class AssemblyUnit
{
    public string File { get; init; } = "";

    public string? License { get; set; }

    public uint? KernelVersion { get; set; }

    public List<CodeSection> Code { get; } = [];

    public List<DataSection> Data { get; } = [];

    public List<MapDefinition> Maps { get; } = [];

    public List<ExternDeclaration> Externs { get; } = [];

    public IEnumerable<FunctionSymbol> Functions => Code.SelectMany(section => section.Functions);
}

/// <summary>A section of instructions; every slot knows its source line.</summary>
internal sealed class CodeSection(string name)
{
    public string Name => name;

    public List<Insn> Insns { get; } = [];

    /// <summary>Line number and text of the statement behind each slot.</summary>
    public List<(int Line, string Text)> Source { get; } = [];

    public List<FunctionSymbol> Functions { get; } = [];

    public List<Reference> References { get; } = [];

    /// <summary>Calls and addresses of labels of the same function, which are also resolved in the instructions.</summary>
    public List<(Reference Reference, int Label)> LabelCalls { get; } = [];
}

/// <summary>A function: a program, or a local function that programs call.</summary>
internal sealed class FunctionSymbol(CodeSection section, string name, int start)
{
    public CodeSection Section => section;

    public string Name => name;

    public int Start => start;

    public int End { get; set; } = -1;

    /// <summary>Whether it has a symbol of its own; labels that are called inside a program have none.</summary>
    public bool HasSymbol { get; init; } = true;

    public Dictionary<string, int> Labels { get; } = [];
}

/// <summary>A name in an instruction that its section alone does not resolve.</summary>
internal readonly record struct Reference(int Slot, FixupKind Kind, string Name, FunctionSymbol? From, int Line, int Column);

/// <summary>A section of global data with its symbols.</summary>
internal sealed class DataSection(string name)
{
    public string Name => name;

    public bool IsBss => name.StartsWith(".bss", StringComparison.Ordinal);

    public List<byte> Bytes { get; } = [];

    public Dictionary<string, int> Symbols { get; } = [];
}

/// <summary>A map as written: numbers by attribute name of a BTF map definition, and the name of its inner map.</summary>
internal sealed record MapDefinition(string Name, MapType Type, IReadOnlyList<(string Attribute, uint Value)> Attributes, string? Inner)
{
    public uint this[string attribute] => Attributes.LastOrDefault(a => a.Attribute == attribute).Value;

    public MapSpec ToSpec(AssemblyUnit unit) => new()
    {
        Name = Name,
        Type = Type,
        KeySize = this["key_size"],
        ValueSize = this["value_size"],
        MaxEntries = this["max_entries"],
        Flags = this["map_flags"],
        MapExtra = this["map_extra"],
        PinByName = this["pinning"] == 1,
        NumaNode = Attributes.Any(a => a.Attribute == "numa_node") ? (int)this["numa_node"] : -1,
        InnerMap = Inner is null ? null : unit.Maps.Find(m => m.Name == Inner)?.ToSpec(unit),
    };
}
