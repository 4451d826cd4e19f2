using System.Buffers.Binary;
using System.Text;

namespace BpfSim.Vm.Object;

/// <summary>
/// The sections, symbols and relocations of an ELF64 little-endian BPF object (EM_BPF, ET_REL), every offset
/// checked against the file. Knows ELF only; what the sections mean is <see cref="ObjectFile"/>'s business.
/// </summary>
internal sealed class ElfFile
{
    private const int HeaderSize = 64, SectionHeaderSize = 64, SymbolSize = 24, RelSize = 16, RelaSize = 24;
    private const ushort MachineBpf = 247, TypeRelocatable = 1;

    private ElfFile(ReadOnlyMemory<byte> bytes) => Bytes = bytes;

    public ReadOnlyMemory<byte> Bytes { get; }

    public ElfSection[] Sections { get; private set; } = [];

    public ElfSymbol[] Symbols { get; private set; } = [];

    public static ElfFile Parse(ReadOnlyMemory<byte> bytes)
    {
        var file = new ElfFile(bytes);
        file.ReadSections();
        file.ReadSymbols();
        return file;
    }

    /// <summary>The section with this name, or null; the first if there are several.</summary>
    public ElfSection? Find(string name) => Array.Find(Sections, s => s.Name == name);

    /// <summary>The relocations that apply to a section, in the order of the file.</summary>
    public IEnumerable<ElfRelocation> RelocationsOf(ElfSection target)
    {
        foreach (ElfSection section in Sections)
        {
            bool addend = section.Type == ElfSectionType.Rela;
            if ((section.Type != ElfSectionType.Rel && !addend) || section.Info != target.Index) continue;
            int size = addend ? RelaSize : RelSize;
            if (section.EntrySize != (ulong)size) throw new ObjectException($"section '{section.Name}': entries of {section.EntrySize} bytes, expected {size}");
            ReadOnlyMemory<byte> data = section.Data;
            if (data.Length % size != 0) throw new ObjectException($"section '{section.Name}': {data.Length} bytes are not a whole number of {size}-byte relocations");
            for (int at = 0; at < data.Length; at += size)
            {
                ReadOnlySpan<byte> entry = data.Span[at..];
                ulong info = BinaryPrimitives.ReadUInt64LittleEndian(entry[8..]);
                int symbol = (int)Math.Min(info >> 32, int.MaxValue);
                if (symbol >= Symbols.Length) throw new ObjectException($"section '{section.Name}': relocation at offset {at} refers to symbol {symbol} of {Symbols.Length}");
                yield return new ElfRelocation(BinaryPrimitives.ReadUInt64LittleEndian(entry), (uint)info, Symbols[symbol],
                    addend ? BinaryPrimitives.ReadInt64LittleEndian(entry[16..]) : 0);
            }
        }
    }

    private void ReadSections()
    {
        ReadOnlySpan<byte> head = Bytes.Span;
        if (head.Length < HeaderSize || head[0] != 0x7f || head[1] != 'E' || head[2] != 'L' || head[3] != 'F')
            throw new ObjectException("not an ELF file: no ELF header at offset 0");
        if (head[4] != 2) throw new ObjectException($"ELF class {head[4]} at offset 4 is not supported: BPF objects are ELF64 (2)");
        if (head[5] == 2) throw new ObjectException("big-endian BPF objects are not supported: compile with -target bpfel");
        if (head[5] != 1) throw new ObjectException($"ELF data encoding {head[5]} at offset 5 is unknown");
        ushort type = BinaryPrimitives.ReadUInt16LittleEndian(head[16..]), machine = BinaryPrimitives.ReadUInt16LittleEndian(head[18..]);
        if (type != TypeRelocatable) throw new ObjectException($"ELF type {type} at offset 16 is not a relocatable object (1)");
        // Very old compilers wrote EM_NONE.
        if (machine != MachineBpf && machine != 0) throw new ObjectException($"ELF machine {machine} at offset 18 is not BPF (247)");
        ulong table = BinaryPrimitives.ReadUInt64LittleEndian(head[40..]);
        int entrySize = BinaryPrimitives.ReadUInt16LittleEndian(head[58..]), count = BinaryPrimitives.ReadUInt16LittleEndian(head[60..]);
        int names = BinaryPrimitives.ReadUInt16LittleEndian(head[62..]);
        if (count == 0) throw new ObjectException("ELF file without sections");
        if (entrySize != SectionHeaderSize) throw new ObjectException($"ELF section headers of {entrySize} bytes, expected {SectionHeaderSize}");
        if (table > (ulong)head.Length || (ulong)count * SectionHeaderSize > (ulong)head.Length - table)
            throw new ObjectException($"ELF section headers at offset {table} exceed the file of {head.Length} bytes");
        if (names >= count) throw new ObjectException($"ELF section name table {names} is not one of {count} sections");

        var sections = new ElfSection[count];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> entry = head.Slice((int)table + i * SectionHeaderSize, SectionHeaderSize);
            var sectionType = (ElfSectionType)BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]);
            ulong offset = BinaryPrimitives.ReadUInt64LittleEndian(entry[24..]), size = BinaryPrimitives.ReadUInt64LittleEndian(entry[32..]);
            bool inFile = sectionType is not (ElfSectionType.NoBits or ElfSectionType.Null) && size != 0;
            bool outside = inFile && (offset > (ulong)head.Length || size > (ulong)head.Length - offset);
            sections[i] = new ElfSection
            {
                Index = i,
                NameOffset = BinaryPrimitives.ReadUInt32LittleEndian(entry),
                Type = sectionType,
                Flags = BinaryPrimitives.ReadUInt64LittleEndian(entry[8..]),
                Size = size,
                Link = BinaryPrimitives.ReadUInt32LittleEndian(entry[40..]),
                Info = BinaryPrimitives.ReadUInt32LittleEndian(entry[44..]),
                EntrySize = BinaryPrimitives.ReadUInt64LittleEndian(entry[56..]),
                // Of sections that nobody reads, nobody asks where they are.
                Problem = outside ? $"ELF section {i}: contents at {offset}+{size} exceed the file of {head.Length} bytes" : null,
                Data = inFile && !outside ? Bytes.Slice((int)offset, (int)size) : default,
            };
            if (sectionType == ElfSectionType.Rel && sections[i].Info >= count)
                throw new ObjectException($"ELF section {i}: relocations apply to section {sections[i].Info} of {count}");
        }
        foreach (ElfSection section in sections) section.Name = ReadString(sections[names], section.NameOffset, $"name of section {section.Index}");
        Sections = sections;
    }

    private void ReadSymbols()
    {
        ElfSection? table = Array.Find(Sections, s => s.Type == ElfSectionType.SymTab);
        if (table == null) return;
        if (table.Link >= Sections.Length) throw new ObjectException($"section '{table.Name}': string table {table.Link} is not one of {Sections.Length} sections");
        if (table.EntrySize != SymbolSize) throw new ObjectException($"section '{table.Name}': symbols of {table.EntrySize} bytes, expected {SymbolSize}");
        if (table.Data.Length % SymbolSize != 0) throw new ObjectException($"section '{table.Name}': {table.Data.Length} bytes are not a whole number of symbols");
        ElfSection strings = Sections[table.Link];
        var symbols = new ElfSymbol[table.Data.Length / SymbolSize];
        for (int i = 0; i < symbols.Length; i++)
        {
            ReadOnlySpan<byte> entry = table.Data.Span.Slice(i * SymbolSize, SymbolSize);
            int section = BinaryPrimitives.ReadUInt16LittleEndian(entry[6..]);
            var type = (ElfSymbolType)(entry[4] & 0xf);
            string name = ReadString(strings, BinaryPrimitives.ReadUInt32LittleEndian(entry), $"name of symbol {i}");
            if (type == ElfSymbolType.Section && name.Length == 0 && section < Sections.Length) name = Sections[section].Name;
            symbols[i] = new ElfSymbol(i, name, type, (ElfBinding)(entry[4] >> 4), entry[5] & 3, section,
                BinaryPrimitives.ReadUInt64LittleEndian(entry[8..]), BinaryPrimitives.ReadUInt64LittleEndian(entry[16..]));
        }
        Symbols = symbols;
    }

    private static string ReadString(ElfSection table, uint offset, string what)
    {
        if (offset == 0 && table.Data.IsEmpty) return "";
        if (offset >= table.Data.Length) throw new ObjectException($"ELF {what}: offset {offset} is outside the string table of {table.Data.Length} bytes");
        ReadOnlySpan<byte> rest = table.Data.Span[(int)offset..];
        int end = rest.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
    }
}

internal enum ElfSectionType : uint { Null = 0, ProgBits = 1, SymTab = 2, StrTab = 3, Rela = 4, NoBits = 8, Rel = 9 }

internal enum ElfSymbolType : byte { NoType = 0, Object = 1, Func = 2, Section = 3, File = 4 }

internal enum ElfBinding : byte { Local = 0, Global = 1, Weak = 2 }

internal sealed class ElfSection
{
    public const ulong FlagWrite = 1, FlagAlloc = 2, FlagExec = 4, FlagStrings = 0x20;

    public required int Index { get; init; }

    public string Name { get; set; } = "";

    public uint NameOffset { get; init; }

    public required ElfSectionType Type { get; init; }

    public ulong Flags { get; init; }

    /// <summary>Size in bytes, also of a section without contents in the file (.bss).</summary>
    public ulong Size { get; init; }

    public uint Link { get; init; }

    public uint Info { get; init; }

    /// <summary>Bytes of an entry of a table.</summary>
    public ulong EntrySize { get; init; }

    /// <summary>Why there is no content to read, or null.</summary>
    public string? Problem { get; init; }

    private readonly ReadOnlyMemory<byte> _data;

    /// <summary>The content.</summary>
    /// <exception cref="ObjectException">It lies outside the file.</exception>
    public ReadOnlyMemory<byte> Data
    {
        get => Problem == null ? _data : throw new ObjectException(Problem);
        init => _data = value;
    }

    public bool IsProgram => Type == ElfSectionType.ProgBits && (Flags & FlagExec) != 0;
}

internal readonly record struct ElfSymbol(
    int Index, string Name, ElfSymbolType Type, ElfBinding Binding, int Visibility, int Section, ulong Value, ulong Size)
{
    /// <summary>Visibilities that make libbpf verify a global function as if it were static.</summary>
    public bool IsHidden => Visibility is 1 or 2;

    public bool IsUndefined => Section == 0;

    /// <summary>Whether the section index is a real one and not ABS or COMMON.</summary>
    public bool InSection => Section is > 0 and < 0xff00;
}

internal readonly record struct ElfRelocation(ulong Offset, uint Type, ElfSymbol Symbol, long Addend);
