using System.Buffers.Binary;
using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Object;

internal sealed partial class ObjectReader
{
    private const uint FlagRdonlyProg = 1u << 7, FlagMmapable = 1u << 10;

    private void ReadMaps()
    {
        ReadLegacyMaps();
        ReadBtfMaps();
        foreach (ElfSection section in _elf.Sections) ReadDataMap(section);
        ReadKconfigMap();
        ReadMapReferences();
    }

    private void ReadBtfMaps()
    {
        ElfSection? section = _elf.Find(".maps");
        if (section == null) return;
        BtfType datasec = _btf!.Find(".maps", BtfKind.Datasec) ?? throw new ObjectException("DATASEC '.maps' not found in BTF");
        foreach (BtfVarSecInfo info in datasec.Variables)
        {
            BtfType variable = _btf[info.TypeId];
            string name = variable.Name;
            if (variable.Kind != BtfKind.Var) throw new ObjectException($"map '{name}': unexpected var kind {variable.Kind}");
            if (name.Length == 0) throw new ObjectException("map #0: empty name");
            if ((ulong)info.Offset + info.Size > section.Size)
                throw new ObjectException($"map '{name}' BTF data is corrupted: {info.Offset}+{info.Size} exceeds section '.maps' of {section.Size} bytes");
            if (variable.Linkage != BtfLinkage.Global) throw new ObjectException($"map '{name}': unsupported map linkage {variable.Linkage}");
            BtfType definition = _btf.Resolve(variable.TypeId);
            if (definition.Kind != BtfKind.Struct) throw new ObjectException($"map '{name}': unexpected def kind {definition.Kind}");
            if (definition.Size > info.Size) throw new ObjectException($"map '{name}': invalid def size {definition.Size}");
            var parser = new MapDefinitionParser(_btf, name);
            MapSpec spec = parser.Parse(definition);
            _maps.Add(new MapEntry
            {
                Spec = spec,
                Section = section.Index,
                Offset = info.Offset,
                VariableSize = info.Size,
                ValuesOffset = parser.ValuesOffset,
            });
        }
    }

    /// <summary>The old way: <c>struct bpf_map_def SEC("maps")</c>, five or more 32-bit numbers a map.</summary>
    private void ReadLegacyMaps()
    {
        ElfSection? section = _elf.Find("maps");
        if (section == null) return;
        ElfSymbol[] symbols = [.. _elf.Symbols.Where(s => s.Section == section.Index && s.Type is ElfSymbolType.Object or ElfSymbolType.NoType && s.Name.Length != 0).OrderBy(s => s.Value)];
        if (symbols.Length == 0) return;
        ulong size = section.Size / (ulong)symbols.Length;
        if (section.Size % (ulong)symbols.Length != 0 || size < 20)
            throw new ObjectException($"section 'maps': {section.Size} bytes are not {symbols.Length} map definitions of one size");
        foreach (ElfSymbol symbol in symbols)
        {
            if (symbol.Value > section.Size || size > section.Size - symbol.Value || (ulong)section.Data.Length < section.Size)
                throw new ObjectException($"section 'maps': map '{symbol.Name}' at offset {symbol.Value} crosses section boundary");
            ReadOnlySpan<byte> bytes = section.Data.Span.Slice((int)symbol.Value, (int)size);
            for (int at = 20; at < bytes.Length; at++)
                if (bytes[at] != 0) throw new ObjectException($"section 'maps': map '{symbol.Name}' has unknown options at offset {symbol.Value + (ulong)at}");
            uint U32(ReadOnlySpan<byte> b, int i) => BinaryPrimitives.ReadUInt32LittleEndian(b[(4 * i)..]);
            _maps.Add(new MapEntry
            {
                Section = section.Index,
                Offset = symbol.Value,
                VariableSize = (uint)size,
                Spec = new MapSpec
                {
                    Name = symbol.Name,
                    Type = (MapType)U32(bytes, 0),
                    KeySize = U32(bytes, 1),
                    ValueSize = U32(bytes, 2),
                    MaxEntries = U32(bytes, 3),
                    Flags = U32(bytes, 4),
                },
            });
        }
    }

    private void ReadDataMap(ElfSection section)
    {
        string name = section.Name;
        bool data = section.Type == ElfSectionType.ProgBits && !section.IsProgram && (name == ".data" || name.StartsWith(".data.", StringComparison.Ordinal));
        bool rodata = section.Type == ElfSectionType.ProgBits && !section.IsProgram && (name == ".rodata" || name.StartsWith(".rodata.", StringComparison.Ordinal));
        bool bss = section.Type == ElfSectionType.NoBits && (name == ".bss" || name.StartsWith(".bss.", StringComparison.Ordinal));
        if ((!data && !rodata && !bss) || section.Size == 0) return;
        if (section.Size > int.MaxValue) throw new ObjectException($"section '{name}': {section.Size} bytes are too large for a map");
        BtfType? datasec = _btf?.Find(name, BtfKind.Datasec);
        bool mmapable = datasec is { } found && found.Variables.Any(v => _btf![v.TypeId].Linkage != BtfLinkage.Static);
        var spec = new MapSpec
        {
            Name = InternalMapName(name),
            Section = name,
            Type = MapType.Array,
            KeySize = 4,
            ValueSize = (uint)section.Size,
            MaxEntries = 1,
            Flags = (rodata ? FlagRdonlyProg : 0) | (mmapable ? FlagMmapable : 0),
            FreezeAfterLoad = rodata,
            Btf = _btf,
            BtfValueTypeId = datasec?.Id ?? 0,
            SpecialFields = datasec is { } type ? SpecialFieldFinder.Find(type) : [],
            InitialValues = bss ? new Dictionary<uint, byte[]>() : new Dictionary<uint, byte[]> { [0] = section.Data.ToArray() },
        };
        _maps.Add(new MapEntry { Spec = spec, Section = section.Index, IsData = true });
    }

    private void ReadKconfigMap()
    {
        if (_kconfig.Count == 0) return;
        KconfigExtern last = _kconfig[^1];
        BtfType? datasec = _btf!.Find(".kconfig", BtfKind.Datasec);
        _maps.Add(new MapEntry
        {
            Section = -1,
            IsData = true,
            Spec = new MapSpec
            {
                Name = InternalMapName(".kconfig"),
                Section = ".kconfig",
                Type = MapType.Array,
                KeySize = 4,
                MaxEntries = 1,
                ValueSize = (uint)(last.Offset + last.Size),
                Flags = FlagRdonlyProg | FlagMmapable,
                FreezeAfterLoad = true,
                Btf = _btf,
                BtfValueTypeId = datasec?.Id ?? 0,
            },
        });
    }

    /// <summary>libbpf's names of global-data maps: the object's name is cut so that the section's fits 15 characters.</summary>
    private string InternalMapName(string section)
    {
        const int most = 15;
        int suffix = Math.Min(Math.Max(7, section.Length), most);
        int prefix = section.IndexOf('.', 1) >= 0 ? 0 : Math.Min(most - suffix, _name.Length);
        string name = _name[..prefix] + section[..Math.Min(suffix, section.Length)];
        return string.Create(name.Length, name, static (span, text) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = char.IsAsciiLetterOrDigit(text[i]) || text[i] is '_' or '.' ? text[i] : '_';
        });
    }

    /// <summary>The relocations of .maps: inner maps and programs that stand in <c>values</c>.</summary>
    private void ReadMapReferences()
    {
        ElfSection? section = _elf.Find(".maps");
        if (section == null) return;
        foreach (ElfRelocation relocation in _elf.RelocationsOf(section))
        {
            MapEntry? entry = _maps.Find(m => m.Section == section.Index && relocation.Offset >= m.Offset && relocation.Offset + 8 <= m.Offset + m.VariableSize);
            if (entry == null) throw new ObjectException($".maps relo: cannot find map '{relocation.Symbol.Name}' at offset {relocation.Offset}");
            MapSpec map = entry.Spec;
            long within = (long)(relocation.Offset - entry.Offset) - entry.ValuesOffset;
            if (entry.ValuesOffset < 0 || within < 0 || within % 8 != 0)
                throw new ObjectException($".maps relo: map '{map.Name}': offset {relocation.Offset} is not an initial value");
            string name = relocation.Symbol.Name;
            if (map.Type == MapType.ProgArray)
            {
                if (!_programs.Exists(p => p.Name == name)) throw new ObjectException($".maps relo #{within / 8}: '{name}' isn't a valid program reference");
            }
            else
            {
                MapEntry? inner = _maps.Find(m => !m.IsData && m.Section == relocation.Symbol.Section && m.Offset == relocation.Symbol.Value);
                if (inner == null) throw new ObjectException($".maps relo #{within / 8}: '{name}' isn't a valid map reference");
                name = inner.Spec.Name;
            }
            var references = new Dictionary<uint, string>(map.InitialReferences) { [(uint)(within / 8)] = name };
            entry.Spec = map with { InitialReferences = references };
        }
    }
}
