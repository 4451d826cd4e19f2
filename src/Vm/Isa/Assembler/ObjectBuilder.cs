using System.Buffers.Binary;
using System.Text;
using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>
/// Makes an ELF object of an assembled text, as clang would: a section a SEC(), symbols for functions, maps
/// and data, relocations, map definitions in BTF, and .BTF.ext with functions and source lines.
/// </summary>
internal sealed class ObjectBuilder
{
    private const uint Load64Relocation = 1, CallRelocation = 10;

    private readonly AssemblyUnit _unit;
    private readonly ElfWriter _elf = new();
    private readonly BtfBuilder _btf = new();
    private readonly Dictionary<string, int> _symbols = [];
    private readonly Dictionary<string, int> _sectionSymbols = [];
    private readonly Dictionary<string, int> _sections = [];
    private readonly uint _int;

    private ObjectBuilder(AssemblyUnit unit)
    {
        _unit = unit;
        _int = _btf.AddInt("int", 4, BtfIntEncoding.Signed);
    }

    public static byte[] Build(AssemblyUnit unit) => new ObjectBuilder(LocalFunctions.MoveToText(unit)).Build();

    private byte[] Build()
    {
        var sections = _unit.Code.Where(c => c.Insns.Count > 0).Select(c => (Code: c, Index: AddCode(c))).ToList();
        foreach (DataSection data in _unit.Data) AddData(data);
        AddMaps();
        AddExterns();
        if (_unit.License is { } license) _elf.AddSection("license", [.. Encoding.UTF8.GetBytes(license), 0], ElfWriter.Alloc | ElfWriter.Write, 1);
        if (_unit.KernelVersion is { } version) _elf.AddSection("version", BitConverter.GetBytes(version), ElfWriter.Alloc | ElfWriter.Write, 4);
        foreach ((CodeSection code, int index) in sections)
            foreach (Reference reference in code.References) AddRelocation(index, reference);
        byte[] ext = ExtBytes(sections.Select(s => s.Code));
        _elf.AddSection(".BTF", _btf.ToBytes(), 0, 4);
        _elf.AddSection(".BTF.ext", ext, 0, 4);
        return _elf.ToBytes();
    }

    private int AddCode(CodeSection code)
    {
        Insn[] insns = [.. code.Insns];
        foreach (Reference reference in code.References)
        {
            // In an object every reference is plain; the loader sets the source field.
            Insn insn = insns[reference.Slot];
            insns[reference.Slot] = reference.Kind switch
            {
                FixupKind.Call => insn with { Imm = -1 },
                FixupKind.Symbol => new Insn(insn.Code, insn.Dst, 0, 0, Function(reference) is { } target ? target.Start * 8 : insn.Imm),
                _ => new Insn(insn.Code, insn.Dst, 0, 0, 0),
            };
        }

        int index = _elf.AddSection(code.Name, Insn.ToBytes(insns), ElfWriter.Alloc | ElfWriter.Exec, 8);
        _sections[code.Name] = index;
        foreach (FunctionSymbol function in code.Functions.Where(f => f.HasSymbol && f.End > f.Start))
        {
            _symbols[function.Name] = _elf.AddSymbol(
                function.Name, index, (ulong)function.Start * 8, (ulong)(function.End - function.Start) * 8, 2, code.Name != ".text");
        }

        return index;
    }

    private void AddData(DataSection data)
    {
        bool constant = data.Name.StartsWith(".rodata", StringComparison.Ordinal);
        int index = _elf.AddSection(data.Name, [.. data.Bytes], ElfWriter.Alloc | (constant ? 0 : ElfWriter.Write), 8, data.IsBss);
        int[] ends = [.. data.Symbols.Values.Append(data.Bytes.Count).Order()];
        foreach ((string name, int at) in data.Symbols)
            _symbols[name] = _elf.AddSymbol(name, index, (ulong)at, (ulong)(ends.FirstOrDefault(e => e > at, at) - at), 1, true);
    }

    private void AddMaps()
    {
        if (_unit.Maps.Count == 0) return;
        var variables = new List<BtfVarSecInfo>();
        uint offset = 0;
        foreach (MapDefinition map in _unit.Maps)
        {
            uint type = MapType(map, out uint size);
            variables.Add(new BtfVarSecInfo(_btf.AddVar(map.Name, type), offset, size));
            offset += size;
        }

        _btf.AddDatasec(".maps", offset, variables);
        int index = _elf.AddSection(".maps", new byte[offset], ElfWriter.Alloc | ElfWriter.Write, 8);
        foreach ((MapDefinition map, BtfVarSecInfo place) in _unit.Maps.Zip(variables))
            _symbols[map.Name] = _elf.AddSymbol(map.Name, index, place.Offset, place.Size, 1, true);
    }

    private void AddExterns()
    {
        foreach (IGrouping<string, ExternDeclaration> section in _unit.Externs.GroupBy(e => e.Section))
        {
            var members = new List<BtfVarSecInfo>();
            foreach (ExternDeclaration declaration in section)
            {
                // The loader gives settings their places, and takes their sizes from their types.
                members.Add(new BtfVarSecInfo(declaration.AddTo(_btf), 0, 0));
                _symbols[declaration.Name] = _elf.AddExtern(declaration.Name, declaration.Weak);
            }

            _btf.AddDatasec(section.Key, 0, members);
        }
    }

    /// <summary>The anonymous struct of a map definition: each number is a pointer to an array of that many ints.</summary>
    private uint MapType(MapDefinition map, out uint size)
    {
        var members = new List<BtfMember>();
        void Add(string name, uint type) => members.Add(new BtfMember(name, type, (uint)members.Count * 64, 0));
        Add("type", Number((uint)map.Type));
        foreach ((string attribute, uint value) in map.Attributes) Add(attribute, Number(value));
        if (map.Inner is { } inner)
        {
            MapDefinition definition = _unit.Maps.Find(m => m.Name == inner)
                ?? throw new AssemblerException(_unit.File, 1, 1, $"there is no map called {inner} to be the inner map of {map.Name}");
            uint pointer = _btf.AddReference(BtfKind.Ptr, "", MapType(definition, out _));
            Add("values", _btf.AddArray(pointer, _int, 0));
        }

        size = (uint)members.Count * 8;
        return _btf.AddComposite(BtfKind.Struct, "", size, members);
    }

    private uint Number(uint value) => _btf.AddReference(BtfKind.Ptr, "", _btf.AddArray(_int, _int, value));

    private void AddRelocation(int section, Reference reference)
    {
        if (reference.Kind == FixupKind.MapValue)
            throw new AssemblerException(_unit.File, reference.Line, reference.Column, "an object cannot hold the address of a map's value: use a data section");
        // libbpf knows the address of a local function only as the section's symbol and an offset.
        bool address = reference.Kind == FixupKind.Symbol && Function(reference) is not null;
        int symbol = 0;
        if (address) symbol = SectionSymbol(Function(reference)!.Section.Name);
        else if (!_symbols.TryGetValue(reference.Name, out symbol))
            throw new AssemblerException(_unit.File, reference.Line, reference.Column, $"{reference.Name} is empty and has no address");
        _elf.AddRelocation(section, (ulong)reference.Slot * 8, symbol, reference.Kind == FixupKind.Call ? CallRelocation : Load64Relocation);
    }

    private FunctionSymbol? Function(Reference reference) => _unit.Functions.FirstOrDefault(f => f.HasSymbol && f.Name == reference.Name);

    private int SectionSymbol(string name)
    {
        if (_sectionSymbols.TryGetValue(name, out int symbol)) return symbol;
        return _sectionSymbols[name] = _elf.AddSymbol("", _sections[name], 0, 0, 3, false);
    }

    private byte[] ExtBytes(IEnumerable<CodeSection> sections)
    {
        // Without parameters, so that the kernel does not take the functions' arguments for anything in particular.
        uint prototype = _btf.AddFuncProto(_int, []);
        var functions = new List<uint> { 8 };
        var lines = new List<uint> { 16 };
        uint file = _btf.AddString(_unit.File);
        foreach (CodeSection code in sections)
        {
            uint name = _btf.AddString(code.Name);
            functions.AddRange([name, (uint)code.Functions.Count]);
            foreach (FunctionSymbol function in code.Functions)
            {
                bool isProgram = function.HasSymbol && code.Name != ".text";
                uint id = _btf.AddFunc(Identifier(function.Name), prototype, isProgram ? BtfLinkage.Global : BtfLinkage.Static);
                functions.AddRange([(uint)function.Start * 8, id]);
            }

            bool[] second = InsnChecks.SecondHalves([.. code.Insns]);
            int[] slots = [.. Enumerable.Range(0, code.Insns.Count).Where(slot => !second[slot])];
            lines.AddRange([name, (uint)slots.Length]);
            foreach (int slot in slots)
                lines.AddRange([(uint)slot * 8, file, _btf.AddString(code.Source[slot].Text), (uint)code.Source[slot].Line << 10]);
        }

        const int Header = 32;
        var bytes = new byte[Header + 4 * (functions.Count + lines.Count)];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, 0xeb9f);
        bytes[2] = 1;
        uint[] header = [Header, 0, 4 * (uint)functions.Count, 4 * (uint)functions.Count, 4 * (uint)lines.Count, 4 * (uint)(functions.Count + lines.Count), 0];
        Buffer.BlockCopy(header, 0, bytes, 4, 28);
        Buffer.BlockCopy(functions.Concat(lines).ToArray(), 0, bytes, Header, bytes.Length - Header);
        return bytes;
    }

    private static string Identifier(string name) => string.Concat(name.Select(c => char.IsAsciiLetterOrDigit(c) ? c : '_'));
}
