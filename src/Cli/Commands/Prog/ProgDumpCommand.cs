using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using BpfSim.Kernel;
using BpfSim.Kernel.Bpf;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Cli.Commands.Prog;

/// <summary><c>bpfsim prog dump xlated|jited FILE [opcodes] [linum]</c>: a program after the verifier, or its machine code.</summary>
internal sealed class ProgDumpCommand : CliCommand
{
    private readonly Argument<string> _form = new("xlated|jited") { Description = "Which form of the program" };
    private readonly Argument<string> _file = new("FILE") { Description = "BPF object file, or assembler text (*.s)" };
    private readonly Argument<string[]> _words = new("opcodes|linum") { Description = "Also the instructions' bytes; source lines with file, line and column", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<string?> _program = new("--program") { Description = "Only this program", HelpName = "NAME" };
    private readonly Option<string?> _btf = ObjectInput.BtfOption();

    public ProgDumpCommand() : base("dump", "Prints programs as bpftool does", "bpfsim prog dump xlated programs/opensnoop.bpf.o linum", "bpfsim prog dump jited a.bpf.o opcodes --program hello")
    {
        _form.AcceptOnlyFromAmong("xlated", "jited");
        _words.AcceptOnlyFromAmong("opcodes", "linum");
        Arguments.Add(_form);
        Arguments.Add(_file);
        Arguments.Add(_words);
        Options.Add(_program);
        Options.Add(_btf);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        bool jited = parsed.GetValue(_form) == "jited", json = parsed.GetValue(CliOptions.Json);
        string[] words = parsed.GetValue(_words) ?? [];
        if (jited && !JitEngine.IsSupported) throw new CliException($"no JIT here: {JitEngine.UnsupportedReason}", ExitCode.Failed);
        using LoadedFile loaded = LoadedFile.Load(parsed.GetValue(_file)!, parsed.GetValue(_program), parsed.GetValue(_btf), EngineKind.Jit);
        BpfProgram[] programs = [.. loaded.Object.Programs.Where(p => p.IsLoaded).Select(p => p.Live)];
        if (json)
        {
            WriteJson(programs, jited, words.Contains("opcodes"));
        }
        else
        {
            for (int i = 0; i < programs.Length; i++)
            {
                if (programs.Length > 1) Console.WriteLine($"{(i == 0 ? "" : "\n")}{programs[i].Id}: {programs[i].TypeInfo.Name}  name {programs[i].Name}  tag {programs[i].TagText}");
                if (jited) DumpJited(programs[i], words.Contains("opcodes"));
                else DumpXlated(programs[i], words.Contains("opcodes"), words.Contains("linum"));
            }
        }
        return loaded.Refused.Count == 0 ? ExitCode.Done : ExitCode.Failed;
    }

    private static void DumpXlated(BpfProgram program, bool opcodes, bool linum)
    {
        Insn[] insns = program.Verdict.Shown;
        var names = new XlatedNames(program) { KernelForm = true };
        var lines = new Dictionary<int, LineInfo>();
        foreach (LineInfo line in program.LineInfos) lines[line.InsnOff] = line;
        var functions = program.FuncInfos.ToDictionary(f => f.InsnOff, f => f.TypeId);
        int[] origins = program.Verdict.ShownOriginalSlots;
        for (int slot = 0; slot < insns.Length; slot++)
        {
            int origin = slot < origins.Length ? origins[slot] : slot;
            bool first = slot == 0 || origins.Length == 0 || origins[slot - 1] != origin;
            if (first && functions.TryGetValue(origin, out uint type) && program.Btf?.Data.Find(type) is { } func)
                Console.WriteLine($"{BtfText.Signature(func)}:");
            if (first && lines.TryGetValue(origin, out LineInfo line)) Console.WriteLine(SourceLine(line, linum));
            Console.WriteLine($"{slot,4}: {XlatedLine(program, slot, names)}");
            int slots = insns[slot].IsLdImm64 && slot + 1 < insns.Length ? 2 : 1;
            if (opcodes) Console.WriteLine("       " + string.Join(' ', Insn.ToBytes(insns.AsSpan(slot, slots)).Select(b => b.ToString("x2", CultureInfo.InvariantCulture))));
            slot += slots - 1;
        }
    }

    private static string XlatedLine(BpfProgram program, int slot, XlatedNames names)
    {
        Insn insn = program.Verdict.Shown[slot];
        return program.Verdict.ShownCallNames.TryGetValue(slot, out string? function)
            ? $"({insn.Code:x2}) call {function}#{insn.Imm}"
            : Disassembler.Line(program.Verdict.Shown, slot, names);
    }

    private static string SourceLine(LineInfo line, bool linum)
    {
        string text = line.Line.TrimStart();
        return linum ? $"; {text} [file:{line.File} line_num:{line.LineNumber} line_col:{line.Column}]" : $"; {text}";
    }

    private static void DumpJited(BpfProgram program, bool opcodes)
    {
        if (program.Loaded is not JitProgram code) throw new CliException($"program {program.Name} was not compiled", ExitCode.Failed);
        Insn[] insns = program.Verdict.Xlated;
        var names = new XlatedNames(program);
        var lines = new Dictionary<int, LineInfo>();
        foreach (LineInfo line in program.LineInfos) lines[line.InsnOff] = line;
        int[] origins = program.Verdict.OriginalSlots;
        string? source(int slot)
        {
            int origin = slot < origins.Length ? origins[slot] : slot;
            bool first = slot == 0 || origins.Length == 0 || origins[slot - 1] != origin;
            return first && lines.TryGetValue(origin, out LineInfo line) ? SourceLine(line, false).TrimStart(';', ' ') : null;
        }
        string heading(int function) => $"bpf_prog_{program.TagText}_{program.Name}{(function == 0 ? "" : $"+F{function}")}";
        Console.Write(JitDump.Format(code, slot => Disassembler.Line(insns, slot, names), source, heading, opcodes));
    }

    private static void WriteJson(BpfProgram[] programs, bool jited, bool opcodes)
    {
        using Stream output = Console.OpenStandardOutput();
        using (var json = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartArray();
            foreach (BpfProgram program in programs)
            {
                json.WriteStartObject();
                json.WriteNumber("id", program.Id);
                json.WriteString("type", program.TypeInfo.Name);
                json.WriteString("name", program.Name);
                json.WriteString("tag", program.TagText);
                json.WriteBoolean("gpl_compatible", program.Attributes.GplCompatible);
                json.WriteStartArray("insns");
                if (jited && program.Loaded is JitProgram code)
                {
                    foreach ((int offset, string text, byte[] bytes) in MachineCodeText.Disassemble(code.MachineCode.ToArray()))
                        WriteInsn(json, "pc", $"0x{offset:x}", "operation", text, opcodes ? bytes : null);
                }
                else if (!jited)
                {
                    Insn[] insns = program.Verdict.Shown;
                    var names = new XlatedNames(program) { KernelForm = true };
                    for (int slot = 0; slot < insns.Length; slot++)
                    {
                        int slots = insns[slot].IsLdImm64 && slot + 1 < insns.Length ? 2 : 1;
                        WriteInsn(json, null, "", "disasm", XlatedLine(program, slot, names), opcodes ? Insn.ToBytes(insns.AsSpan(slot, slots)) : null);
                        slot += slots - 1;
                    }
                }
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        output.WriteByte((byte)'\n');
    }

    private static void WriteInsn(Utf8JsonWriter json, string? placeName, string place, string textName, string text, byte[]? bytes)
    {
        json.WriteStartObject();
        if (placeName != null) json.WriteString(placeName, place);
        json.WriteString(textName, text);
        if (bytes != null)
        {
            json.WriteStartArray("opcodes");
            foreach (byte b in bytes) json.WriteStringValue($"0x{b:x2}");
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    /// <summary>Names as bpftool finds them: helpers by table, maps by id.</summary>
    private sealed class XlatedNames(BpfProgram program) : InsnNames
    {
        private readonly IReadOnlyList<MapObject> _maps = program.Maps;

        /// <summary>Whether calls have the distance in off and the number of the function in imm, as in programs of several functions.</summary>
        public bool KernelForm { get; init; }

        public override string? Helper(int id) => HelperCatalog.Table.Find(id)?.Name;

        public override string? Kfunc(int id, int btfIndex) => program.Attributes.KernelBtf?.Find((uint)id)?.Name;

        public override string? LocalCall(int slot, Insn insn)
        {
            int[] starts = program.Verdict.FunctionStarts, origins = program.Verdict.OriginalSlots;
            if (!KernelForm || starts.Length < 2 || (uint)insn.Imm >= (uint)starts.Length) return null;
            uint type = program.FuncInfos.FirstOrDefault(f => f.InsnOff == origins[starts[insn.Imm]]).TypeId;
            string name = program.Btf?.Data.Find(type)?.Name is { Length: > 0 } known ? known : "F";
            return $"pc{insn.Off:+0;-0;+0}#bpf_prog_{program.TagText}_{name}";
        }

        public override string? Load64(int slot, Insn first, Insn second) => (PseudoSource)first.Src switch
        {
            PseudoSource.MapFd or PseudoSource.MapIdx when (uint)first.Imm < (uint)_maps.Count => $"map[id:{_maps[first.Imm].Id}]",
            PseudoSource.MapValue or PseudoSource.MapIdxValue when (uint)first.Imm < (uint)_maps.Count => $"map[id:{_maps[first.Imm].Id}][0]+{(uint)second.Imm}",
            PseudoSource.Func => $"subprog[{first.Imm:+0;-0;+0}]",
            _ => null,
        };
    }
}
