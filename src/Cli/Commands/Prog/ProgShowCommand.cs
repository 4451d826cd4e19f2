using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using BpfSim.Kernel;
using BpfSim.Kernel.Bpf;
using BpfSim.Vm.Jit;

namespace BpfSim.Cli.Commands.Prog;

/// <summary><c>bpfsim prog show FILE</c>: what bpftool would list once the object is loaded.</summary>
internal sealed class ProgShowCommand : CliCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "BPF object file, or assembler text (*.s)" };
    private readonly Option<string?> _btf = ObjectInput.BtfOption();

    public ProgShowCommand() : base("show", "Loads an object and lists its programs as bpftool does", "bpfsim prog show programs/opensnoop.bpf.o")
    {
        Aliases.Add("list");
        Arguments.Add(_file);
        Options.Add(_btf);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        using LoadedFile loaded = LoadedFile.Load(parsed.GetValue(_file)!, null, parsed.GetValue(_btf), EngineKind.Jit);
        DateTimeOffset now = DateTimeOffset.UtcNow;
        BpfProgram[] programs = [.. loaded.Object.Programs.Where(p => p.IsLoaded).Select(p => p.Live)];
        if (parsed.GetValue(CliOptions.Json)) WriteJson(programs, now);
        else foreach (BpfProgram program in programs) Console.Write(Describe(program, now));
        return loaded.Refused.Count == 0 ? ExitCode.Done : ExitCode.Failed;
    }

    private static int JitedBytes(BpfProgram program) => (program.Loaded as JitProgram)?.JitedBytes ?? 0;

    private static string Describe(BpfProgram program, DateTimeOffset now)
    {
        string gpl = program.Attributes.GplCompatible ? "  gpl" : "";
        string maps = program.Maps.Count == 0 ? "" : "  map_ids " + string.Join(',', program.Maps.Select(m => m.Id));
        string jited = JitedBytes(program) == 0 ? "not jited" : $"jited {JitedBytes(program)}B";
        string btf = program.Btf is { } types ? $"\n\tbtf_id {types.Id}" : "";
        return $"{program.Id}: {program.TypeInfo.Name}  name {program.Name}  tag {program.TagText}{gpl}\n"
            + $"\tloaded_at {now.ToString("yyyy-MM-dd'T'HH:mm:ss", CultureInfo.InvariantCulture)}+0000  uid {program.CreatedByUid}\n"
            + $"\txlated {program.XlatedBytes}B  {jited}  memlock {program.MemoryBytes}B{maps}{btf}\n";
    }

    private static void WriteJson(BpfProgram[] programs, DateTimeOffset now)
    {
        using Stream output = Console.OpenStandardOutput();
        using (var json = new Utf8JsonWriter(output))
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
                json.WriteNumber("loaded_at", now.ToUnixTimeSeconds());
                json.WriteNumber("uid", program.CreatedByUid);
                json.WriteNumber("bytes_xlated", program.XlatedBytes);
                json.WriteBoolean("jited", JitedBytes(program) != 0);
                if (JitedBytes(program) != 0) json.WriteNumber("bytes_jited", JitedBytes(program));
                json.WriteNumber("bytes_memlock", program.MemoryBytes);
                if (program.Maps.Count != 0)
                {
                    json.WriteStartArray("map_ids");
                    foreach (MapObject map in program.Maps) json.WriteNumberValue(map.Id);
                    json.WriteEndArray();
                }
                if (program.Btf is { } btf) json.WriteNumber("btf_id", btf.Id);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        output.WriteByte((byte)'\n');
    }
}
