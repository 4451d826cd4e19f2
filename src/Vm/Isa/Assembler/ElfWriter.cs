using System.Buffers.Binary;
using System.Text;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>Writes a relocatable ELF64 little-endian object of machine EM_BPF.</summary>
internal sealed class ElfWriter
{
    public const ulong Write = 1, Alloc = 2, Exec = 4;
    private const int HeaderSize = 64, SectionHeaderSize = 64, SymbolSize = 24, RelocationSize = 16;

    private readonly List<Section> _sections = [];
    private readonly List<(string Name, byte Info, int Section, ulong Value, ulong Size)> _symbols = [];

    /// <summary>Adds a section; returns its index for symbols and relocations.</summary>
    public int AddSection(string name, byte[] bytes, ulong flags, uint align, bool noBits = false)
    {
        _sections.Add(new Section(name, bytes, flags, align, noBits ? 8u : 1u));
        return _sections.Count;
    }

    /// <summary>Adds a symbol; returns a handle for relocations. Types: 1 object, 2 function, 3 section.</summary>
    public int AddSymbol(string name, int section, ulong value, ulong size, int type, bool global)
    {
        _symbols.Add((name, (byte)((global ? 1 : 0) << 4 | type), section, value, size));
        return _symbols.Count - 1;
    }

    /// <summary>Adds a symbol that the loader must find; returns a handle for relocations.</summary>
    public int AddExtern(string name, bool weak)
    {
        _symbols.Add((name, (byte)((weak ? 2 : 1) << 4), 0, 0, 0));
        return _symbols.Count - 1;
    }

    /// <summary>Adds a relocation of a place in a section. Types: 1 R_BPF_64_64, 2 R_BPF_64_ABS64, 10 R_BPF_64_32.</summary>
    public void AddRelocation(int section, ulong offset, int symbol, uint type) => _sections[section - 1].Relocations.Add((offset, symbol, type));

    public byte[] ToBytes()
    {
        // Local symbols come first, which changes their numbers.
        int[] order = [.. Enumerable.Range(0, _symbols.Count).OrderBy(i => _symbols[i].Info >> 4)];
        var number = new int[_symbols.Count];
        for (int i = 0; i < order.Length; i++) number[order[i]] = i + 1;
        var strings = new StringTable();
        var symbols = new byte[SymbolSize * (_symbols.Count + 1)];
        foreach ((var symbol, int index) in _symbols.Select((s, i) => (s, number[i]))) WriteSymbol(symbols.AsSpan(index * SymbolSize), symbol, strings);
        int locals = 1 + _symbols.Count(s => s.Info >> 4 == 0);

        var all = new List<Header>();
        foreach (Section section in _sections) all.Add(new(section.Name, section.Type, section.Flags, section.Bytes, 0, 0, section.Align, 0));
        int symbolTable = _sections.Count + _sections.Count(s => s.Relocations.Count > 0) + 1;
        for (int i = 0; i < _sections.Count; i++)
        {
            if (_sections[i].Relocations.Count == 0) continue;
            byte[] bytes = RelocationBytes(_sections[i], number);
            all.Add(new(".rel" + _sections[i].Name, 9, 0, bytes, (uint)symbolTable, (uint)i + 1, 8, RelocationSize));
        }

        all.Add(new(".symtab", 2, 0, symbols, (uint)symbolTable + 1, (uint)locals, 8, SymbolSize));
        foreach (Header header in all) strings.Add(header.Name);
        strings.Add(".strtab");
        all.Add(new(".strtab", 3, 0, strings.ToBytes(), 0, 0, 1, 0));
        return Layout(all, strings);
    }

    private static byte[] Layout(List<Header> all, StringTable strings)
    {
        var file = new List<byte>(new byte[HeaderSize]);
        var headers = new byte[SectionHeaderSize * (all.Count + 1)];
        for (int i = 0; i < all.Count; i++)
        {
            Header section = all[i];
            while (file.Count % section.Align != 0) file.Add(0);
            Span<byte> at = headers.AsSpan((i + 1) * SectionHeaderSize);
            BinaryPrimitives.WriteUInt32LittleEndian(at, strings.Add(section.Name));
            BinaryPrimitives.WriteUInt32LittleEndian(at[4..], section.Type);
            BinaryPrimitives.WriteUInt64LittleEndian(at[8..], section.Flags);
            BinaryPrimitives.WriteUInt64LittleEndian(at[24..], (ulong)file.Count);
            BinaryPrimitives.WriteUInt64LittleEndian(at[32..], (ulong)section.Bytes.Length);
            BinaryPrimitives.WriteUInt32LittleEndian(at[40..], section.Link);
            BinaryPrimitives.WriteUInt32LittleEndian(at[44..], section.Info);
            BinaryPrimitives.WriteUInt64LittleEndian(at[48..], section.Align);
            BinaryPrimitives.WriteUInt64LittleEndian(at[56..], section.EntrySize);
            if (section.Type != 8) file.AddRange(section.Bytes);
        }

        while (file.Count % 8 != 0) file.Add(0);
        int headerOffset = file.Count;
        file.AddRange(headers);
        byte[] result = [.. file];
        new byte[] { 0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1 }.CopyTo(result, 0);
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(16), 1);
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(18), 247);
        BinaryPrimitives.WriteUInt32LittleEndian(result.AsSpan(20), 1);
        BinaryPrimitives.WriteUInt64LittleEndian(result.AsSpan(40), (ulong)headerOffset);
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(52), HeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(58), SectionHeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(60), (ushort)(all.Count + 1));
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(62), (ushort)all.Count);
        return result;
    }

    private static void WriteSymbol(Span<byte> at, (string Name, byte Info, int Section, ulong Value, ulong Size) symbol, StringTable strings)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(at, strings.Add(symbol.Name));
        at[4] = symbol.Info;
        BinaryPrimitives.WriteUInt16LittleEndian(at[6..], (ushort)symbol.Section);
        BinaryPrimitives.WriteUInt64LittleEndian(at[8..], symbol.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(at[16..], symbol.Size);
    }

    private static byte[] RelocationBytes(Section section, int[] number)
    {
        var bytes = new byte[RelocationSize * section.Relocations.Count];
        for (int i = 0; i < section.Relocations.Count; i++)
        {
            (ulong offset, int symbol, uint type) = section.Relocations[i];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * RelocationSize), offset);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * RelocationSize + 8), (ulong)number[symbol] << 32 | type);
        }

        return bytes;
    }

    private sealed record Section(string Name, byte[] Bytes, ulong Flags, uint Align, uint Type)
    {
        public List<(ulong Offset, int Symbol, uint Type)> Relocations { get; } = [];
    }

    private sealed record Header(string Name, uint Type, ulong Flags, byte[] Bytes, uint Link, uint Info, uint Align, ulong EntrySize);

    private sealed class StringTable
    {
        private readonly List<byte> _bytes = [0];
        private readonly Dictionary<string, uint> _offsets = new() { [""] = 0 };

        public uint Add(string text)
        {
            if (_offsets.TryGetValue(text, out uint offset)) return offset;
            offset = (uint)_bytes.Count;
            _bytes.AddRange(Encoding.UTF8.GetBytes(text));
            _bytes.Add(0);
            return _offsets[text] = offset;
        }

        public byte[] ToBytes() => [.. _bytes];
    }
}
