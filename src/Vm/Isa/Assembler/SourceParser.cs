using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>
/// Reads a whole assembler text: instructions, labels and directives.
/// <code>
/// .license "GPL"                                     also .version NUMBER
/// .map counts hash key=4 value=8 entries=1024        also flags=, inner=, extra=, numa=, pin
/// .kconfig CONFIG_HZ u32                             a setting of the kernel, loaded from &amp;CONFIG_HZ; also weak
/// .kfunc void bpf_rcu_read_lock()                    a kernel function to call
/// .section kprobe/do_sys_openat2                     also .section .data, .rodata, .bss, .text
/// .func hello                                        a label right after .section does the same
/// again:  r1 = map[counts]
/// total:  .u64 0                                     data: .u8 .u16 .u32 .u64 .ascii .asciz .zero .align
/// </code>
/// </summary>
internal sealed class SourceParser(string file, HelperTable helpers)
{
    private readonly InsnParser _insns = new(helpers);
    private readonly AssemblyUnit _unit = new() { File = file };
    private readonly HashSet<string> _names = [];
    private CodeSection? _code;
    private DataSection? _data;
    private FunctionSymbol? _function;
    private string _raw = "";
    private int _line;

    public AssemblyUnit Parse(string text)
    {
        foreach (string raw in text.Split('\n'))
        {
            _line++;
            _raw = raw.TrimEnd('\r');
            Line(new LineScanner(file, _line, _raw));
        }

        CloseFunction();
        return _unit;
    }

    private void Line(LineScanner line)
    {
        while (Label(line))
        {
        }

        if (line.AtEnd) return;
        int mark = line.Mark();
        if (line.Eat("SEC("))
        {
            BeginSection(Text(line));
            line.Expect(")");
        }
        else if (line.Name() is ['.', ..] directive) Directive(line, directive, mark);
        else
        {
            line.Reset(mark);
            Instruction(line);
            return;
        }

        line.End();
    }

    private bool Label(LineScanner line)
    {
        int mark = line.Mark();
        if (line.AtEnd || line.Name() is not { } name || !line.Eat(":"))
        {
            line.Reset(mark);
            return false;
        }

        if (_data is not null)
        {
            Declare(line, name, mark);
            _data.Symbols[name] = _data.Bytes.Count;
        }
        else if (_function is null && _code is not null && _unit.Code.Count > 0) BeginFunction(line, name, mark);
        else if (!Function().Labels.TryAdd(name, Code().Insns.Count)) throw line.Error($"the label {name} is there twice", mark);
        return true;
    }

    private void Directive(LineScanner line, string directive, int mark)
    {
        switch (directive)
        {
            case ".license": _unit.License = Text(line); break;
            case ".version": _unit.KernelVersion = (uint)line.Number(0, uint.MaxValue, "a version"); break;
            case ".section": BeginSection(SectionName(line)); break;
            case ".text" or ".data" or ".rodata" or ".bss": BeginSection(directive); break;
            case ".func":
                int at = line.Mark();
                BeginFunction(line, line.Name() ?? throw line.Error("expected the name of a function"), at);
                break;
            case ".endfunc": CloseFunction(); break;
            case ".map": Map(line); break;
            case ".kconfig": Extern(line, ExternDeclaration.Setting(line), mark); break;
            case ".kfunc": Extern(line, ExternDeclaration.Function(line), mark); break;
            case ".insn": RawInsn(line); break;
            case ".globl" or ".global" or ".type" or ".size" or ".file" or ".p2align": line.Reset(line.Mark() + line.Rest().Length); break;
            default:
                if (_data is null || !Datum(line, directive)) throw line.Error($"unknown directive {directive}", mark);
                break;
        }
    }

    private void Extern(LineScanner line, ExternDeclaration declaration, int at)
    {
        Declare(line, declaration.Name, at);
        _unit.Externs.Add(declaration);
    }

    private void Instruction(LineScanner line)
    {
        if (_data is not null) throw line.Error($"'{line.Rest()}' is no data; instructions need a .section of their own");
        ParsedInsn parsed = _insns.Parse(line);
        CodeSection code = Code();
        FunctionSymbol function = Function();
        if (parsed.Fixup != FixupKind.None) code.References.Add(new(code.Insns.Count, parsed.Fixup, parsed.Name, function, _line, parsed.Column));
        Add(parsed.First);
        if (parsed.Second is { } second) Add(second);
    }

    private void RawInsn(LineScanner line)
    {
        var bytes = new byte[8];
        for (int i = 0; i < 8; i++)
        {
            int at = line.Mark();
            string rest = line.AtEnd ? "" : line.Rest();
            if (rest.Length < 2 || !byte.TryParse(rest.AsSpan(0, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out bytes[i]))
                throw line.Error("expected 8 bytes of two hexadecimal digits");
            line.Reset(line.Mark() + 2);
        }

        Function();
        Add(Insn.FromBytes(bytes)[0]);
    }

    private void Add(Insn insn)
    {
        Code().Insns.Add(insn);
        Code().Source.Add((_line, _raw.Trim()));
    }

    private bool Datum(LineScanner line, string directive)
    {
        List<byte> bytes = _data!.Bytes;
        switch (directive)
        {
            case ".u8" or ".byte": Numbers(line, 1); break;
            case ".u16" or ".short": Numbers(line, 2); break;
            case ".u32" or ".long" or ".int": Numbers(line, 4); break;
            case ".u64" or ".quad": Numbers(line, 8); break;
            case ".ascii": bytes.AddRange(line.Quoted()); break;
            case ".asciz" or ".string": bytes.AddRange([.. line.Quoted(), 0]); break;
            case ".zero": bytes.AddRange(new byte[line.Number(0, 1 << 26, "a size")]); break;
            case ".align":
                int step = (int)line.Number(1, 4096, "an alignment");
                bytes.AddRange(new byte[(step - bytes.Count % step) % step]);
                break;
            default: return false;
        }

        return true;
    }

    private void Numbers(LineScanner line, int size)
    {
        do
        {
            int at = line.Mark();
            if (!line.TryNumber(out ulong value, out bool negative, out _)) throw line.Error("expected a number");
            ulong limit = size == 8 ? ulong.MaxValue : (1UL << (size * 8)) - 1;
            if (negative ? value > (limit >> 1) + 1 : value > limit) throw line.Error($"the number does not fit in {size} bytes", at);
            if (negative) value = (ulong)-(long)value;
            for (int i = 0; i < size; i++) _data!.Bytes.Add((byte)(value >> (8 * i)));
        }
        while (line.Eat(","));
    }

    private void Map(LineScanner line)
    {
        int at = line.Mark();
        string name = line.Name() ?? throw line.Error("expected the name of a map");
        Declare(line, name, at);
        at = line.Mark();
        line.Eat("type=");
        string type = line.Name() ?? throw line.Error("expected the type of the map, such as hash");
        MapType kind = MapTypes.Find(type.ToLowerInvariant())?.Type ?? throw line.Error($"unknown map type '{type}'", at);
        var attributes = new List<(string, uint)>();
        string? inner = null;
        while (!line.AtEnd)
        {
            line.Eat(",");
            at = line.Mark();
            string word = line.Name() ?? throw line.Error($"expected an attribute of the map, found '{line.Rest()}'");
            if (word == "pin")
            {
                attributes.Add(("pinning", 1));
                continue;
            }

            string attribute = word switch
            {
                "key" or "key_size" => "key_size",
                "value" or "value_size" => "value_size",
                "entries" or "max_entries" => "max_entries",
                "flags" or "map_flags" => "map_flags",
                "extra" or "map_extra" => "map_extra",
                "numa" or "numa_node" => "numa_node",
                "inner" => "inner",
                _ => throw line.Error($"unknown attribute '{word}': key, value, entries, flags, inner, extra, numa or pin", at),
            };
            line.Eat("=");
            if (attribute == "inner") inner = line.Name() ?? throw line.Error("expected the name of the inner map");
            else attributes.Add((attribute, (uint)line.Number(0, uint.MaxValue, $"the map's {word}")));
        }

        _unit.Maps.Add(new MapDefinition(name, kind, attributes, inner));
    }

    private static string Text(LineScanner line) => Encoding.UTF8.GetString(line.Quoted());

    private static string SectionName(LineScanner line)
    {
        int mark = line.Mark();
        if (line.Eat("\""))
        {
            line.Reset(mark);
            return Text(line);
        }

        string rest = line.AtEnd ? throw line.Error("expected the name of a section") : line.RestOfLine();
        return rest;
    }

    private void BeginSection(string name)
    {
        CloseFunction();
        (_code, _data) = (null, null);
        bool data = name is ".data" or ".rodata" or ".bss" || name.StartsWith(".data.", StringComparison.Ordinal)
            || name.StartsWith(".rodata.", StringComparison.Ordinal) || name.StartsWith(".bss.", StringComparison.Ordinal);
        if (data)
        {
            _data = _unit.Data.Find(s => s.Name == name) ?? new DataSection(name);
            if (!_unit.Data.Contains(_data)) _unit.Data.Add(_data);
            return;
        }

        _code = _unit.Code.Find(s => s.Name == name) ?? new CodeSection(name);
        if (!_unit.Code.Contains(_code)) _unit.Code.Add(_code);
    }

    private void BeginFunction(LineScanner line, string name, int at)
    {
        CloseFunction();
        Declare(line, name, at);
        CodeSection code = Code();
        _function = new FunctionSymbol(code, name, code.Insns.Count);
        code.Functions.Add(_function);
    }

    private void CloseFunction()
    {
        if (_function is not null) _function.End = _function.Section.Insns.Count;
        _function = null;
    }

    private void Declare(LineScanner line, string name, int at)
    {
        if (!_names.Add(name)) throw line.Error($"the name {name} is there twice", at);
    }

    /// <summary>The current section; a text without any directive is one program of the section <c>socket</c>.</summary>
    private CodeSection Code()
    {
        if (_code is not null) return _code;
        BeginSection("socket");
        return _code!;
    }

    /// <summary>The current function; instructions before any label belong to one called <c>main</c>.</summary>
    private FunctionSymbol Function()
    {
        if (_function is not null) return _function;
        CodeSection code = Code();
        string name = "main";
        for (int i = 1; !_names.Add(name); i++) name = $"main_{i}";
        _function = new FunctionSymbol(code, name, code.Insns.Count);
        code.Functions.Add(_function);
        return _function;
    }
}
