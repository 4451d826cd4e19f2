using System.Buffers.Binary;
using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Object;

/// <summary>
/// The way from an ELF file to an <see cref="ObjectSpec"/>, in libbpf's order: sections, type information,
/// externs, maps, programs with their relocations, and at last each program with the subprograms it calls.
/// </summary>
internal sealed partial class ObjectReader
{
    private readonly ElfFile _elf;
    private readonly string _name;
    private readonly SectionMatcher _sectionNames;
    private readonly List<string> _skipped = [];
    private readonly List<MapEntry> _maps = [];
    private readonly List<ProgramEntry> _programs = [];
    private readonly Dictionary<int, ExternEntry> _externs = [];
    private BtfData? _btf;
    private BtfExtInfo? _btfExt;
    private string _license = "";
    private uint _version;
    private int _textSection = -1;

    public ObjectReader(ElfFile elf, string name, SectionMatcher sectionNames)
    {
        _elf = elf;
        _name = name;
        _sectionNames = sectionNames;
    }

    public ObjectSpec Read()
    {
        ReadPlainSections();
        ReadBtf();
        ReadExterns();
        FindPrograms();
        FixBtf();
        ReadMaps();
        foreach (ProgramEntry program in _programs) ReadRelocations(program);
        List<StructOpsMember> structOps = ReadStructOps();
        bool hasCalls = _programs.Exists(p => p.HasCalls);
        var linker = new SubprogramLinker(_programs, _textSection);
        var specs = new List<ProgramSpec>();
        foreach (ProgramEntry program in _programs)
        {
            // Functions of .text are subprograms if anybody calls any.
            if (program.Section.Index == _textSection && hasCalls) continue;
            specs.Add(ToSpec(program, linker));
        }
        BtfRefusal? refusal = _btf == null ? null : BtfValidator.Check(_btf);
        return new ObjectSpec
        {
            Name = _name,
            Programs = specs,
            Maps = [.. _maps.Select(m => refusal == null ? m.Spec : WithoutBtf(m.Spec))],
            Btf = _btf,
            BtfRefusal = refusal,
            License = _license,
            KernelVersion = _version,
            Kconfig = _kconfig,
            StructOps = structOps,
            Skipped = _skipped,
        };
    }

    /// <summary>A map that is created without type information has no special fields either.</summary>
    private static MapSpec WithoutBtf(MapSpec map) => map with
    {
        Btf = null,
        BtfKeyTypeId = 0,
        BtfValueTypeId = 0,
        SpecialFields = [],
        InnerMap = map.InnerMap is { } inner ? WithoutBtf(inner) : null,
    };

    private void ReadPlainSections()
    {
        foreach (ElfSection section in _elf.Sections)
        {
            // What there is of these has to be in the file, used or not.
            if (section.IsProgram || section.Name == ".maps") _ = section.Data;
            if (section.Name == "license")
            {
                ReadOnlySpan<byte> text = section.Data.Span;
                int end = text.IndexOf((byte)0);
                _license = Encoding.UTF8.GetString(end < 0 ? text : text[..end]);
            }
            else if (section.Name == "version")
            {
                if (section.Data.Length != 4) throw new ObjectException($"section 'version': {section.Data.Length} bytes, expected 4");
                _version = BinaryPrimitives.ReadUInt32LittleEndian(section.Data.Span);
            }
            else if (section.IsProgram && section.Name == ".text")
            {
                _textSection = section.Index;
            }
        }
    }

    private void ReadBtf()
    {
        ElfSection? types = _elf.Find(".BTF"), ext = _elf.Find(".BTF.ext");
        foreach (ElfSection? section in (ElfSection?[])[types, ext])
            if (section != null && section.Type != ElfSectionType.ProgBits) throw new ObjectException($"section '{section.Name}': type {(uint)section.Type}, expected {(uint)ElfSectionType.ProgBits}");
        bool needed = _elf.Find(".maps") != null || HasExterns();
        if (types == null)
        {
            if (needed) throw new ObjectException("BTF is required, but is missing or corrupted");
            return;
        }
        try
        {
            _btf = BtfData.Parse(types.Data.Span);
            if (ext != null) _btfExt = BtfExtInfo.Parse(ext.Data.Span, _btf);
        }
        catch (FormatException e) when (!needed && e is BtfException or ObjectException)
        {
            // Like libbpf, go on without what only describes the program.
            _skipped.Add(e.Message);
        }
    }

    private void FindPrograms()
    {
        foreach (ElfSection section in _elf.Sections)
        {
            if (!section.IsProgram || section.Size == 0) continue;
            foreach (ElfSymbol symbol in _elf.Symbols)
            {
                if (symbol.Section != section.Index || symbol.Type != ElfSymbolType.Func) continue;
                if (symbol.Value > section.Size || symbol.Size > section.Size - symbol.Value)
                    throw new ObjectException($"sec '{section.Name}': program at offset {symbol.Value} crosses section boundary");
                if (section.Index != _textSection && symbol.Binding == ElfBinding.Local)
                    throw new ObjectException($"sec '{section.Name}': program '{symbol.Name}' is static and not supported");
                if (symbol.Size == 0 || symbol.Size % 8 != 0 || symbol.Value % 8 != 0)
                    throw new ObjectException($"sec '{section.Name}': corrupted program '{symbol.Name}', offset {symbol.Value}, size {symbol.Size}");
                _programs.Add(new ProgramEntry(section, symbol));
            }
        }
        _programs.Sort((a, b) => a.Section.Index != b.Section.Index ? a.Section.Index.CompareTo(b.Section.Index) : a.FirstSlot.CompareTo(b.FirstSlot));
    }

    /// <summary>What libbpf corrects in the type information before anyone uses it: sizes and offsets of data sections, linkage of hidden functions.</summary>
    private void FixBtf()
    {
        if (_btf == null) return;
        var patch = new BtfPatch(_btf);
        var hidden = _programs.Where(p => p.Symbol.Binding != ElfBinding.Local && p.Symbol.IsHidden).Select(p => p.Symbol.Name).ToHashSet();
        foreach (BtfType type in _btf.Types)
        {
            if (type.Kind == BtfKind.Func && hidden.Count != 0 && hidden.Contains(type.Name)) patch.SetFuncLinkage(type, BtfLinkage.Static);
            if (type.Kind == BtfKind.Datasec) FixDatasec(type, patch);
        }
        ReplaceExterns(patch);
        _btf = patch.Apply();
        if (_btfExt != null && patch.Changed) _btfExt = BtfExtInfo.Parse(_elf.Find(".BTF.ext")!.Data.Span, _btf);
    }

    private void FixDatasec(BtfType datasec, BtfPatch patch)
    {
        string name = datasec.Name;
        if (name is ".ksyms" or ".kconfig") return;
        ElfSection? section = _elf.Find(name);
        if (section == null || section.Size == 0)
        {
            if (datasec.Size == 0) throw new ObjectException($"sec '{name}': invalid size 0: BTF describes a section that the file does not have");
            return;
        }
        if (datasec.Size == 0) patch.SetDatasecSize(datasec, (uint)Math.Min(section.Size, uint.MaxValue));
        var variables = datasec.Variables.ToArray();
        // Compilers leave the offsets of global variables to the linker; those of static ones are in place.
        bool fixOffsets = datasec.Size == 0 || (variables.Length > 0 && variables[0].Offset == 0);
        for (int i = 0; fixOffsets && i < variables.Length; i++)
        {
            BtfType variable = _btf![variables[i].TypeId];
            if (variable.Kind != BtfKind.Var) throw new ObjectException($"sec '{name}': BTF lists type {variable.Id}, which is not a variable");
            if (variable.Linkage == BtfLinkage.Static) continue;
            string variableName = variable.Name;
            foreach (ElfSymbol symbol in _elf.Symbols)
            {
                if (symbol.Section != section.Index || symbol.Type != ElfSymbolType.Object || symbol.Name != variableName) continue;
                variables[i] = variables[i] with { Offset = (uint)symbol.Value };
                break;
            }
        }
        Array.Sort(variables, (a, b) => a.Offset.CompareTo(b.Offset));
        patch.SetVariables(datasec, variables);
    }
}

/// <summary>A function of the object, with its own instructions and relocations.</summary>
internal sealed class ProgramEntry(ElfSection section, ElfSymbol symbol)
{
    public ElfSection Section { get; } = section;

    public ElfSymbol Symbol { get; } = symbol;

    public string Name => Symbol.Name;

    public int FirstSlot { get; } = (int)(symbol.Value / 8);

    public int Slots { get; } = (int)(symbol.Size / 8);

    public Isa.Insn[] Insns { get; } = Isa.Insn.FromBytes(section.Data.Span.Slice((int)symbol.Value, (int)symbol.Size));

    public List<ProgramRelocation> Relocations { get; } = [];

    /// <summary>The relocation of a slot, null if it has none.</summary>
    public ProgramRelocation? FindRelocation(int slot)
    {
        int low = 0, high = Relocations.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2, at = Relocations[middle].Slot;
            if (at == slot) return Relocations[middle];
            if (at < slot) low = middle + 1;
            else high = middle - 1;
        }
        return null;
    }

    public bool HasCalls { get; set; }

    /// <summary>Why the function cannot be loaded, in libbpf's words.</summary>
    public string? Error { get; set; }
}

/// <summary>A map with the place it was declared at.</summary>
internal sealed class MapEntry
{
    public required MapSpec Spec { get; set; }

    public required int Section { get; init; }

    public ulong Offset { get; init; }

    /// <summary>Whether this is the whole content of a section and not a definition in one.</summary>
    public bool IsData { get; init; }

    /// <summary>For BTF definitions: size of the variable, and where its values begin (-1 without).</summary>
    public uint VariableSize { get; init; }

    public long ValuesOffset { get; init; } = -1;
}

internal enum RelocationKind { Map, MapValue, Extern, ExternCall, Call, SubprogramAddress }

/// <summary>A relocation of one function: slot counted from its start.</summary>
internal readonly record struct ProgramRelocation(RelocationKind Kind, int Slot, string Name, long SymbolOffset, ExternEntry? Extern = null);

/// <summary>An extern of .ksyms or .kconfig.</summary>
internal sealed record ExternEntry(string Name, bool Weak, bool IsKconfig, ExternKind Kind, uint TypeId)
{
    public int KconfigOffset { get; set; }
}
