using System.Globalization;
using System.Text;
using BpfSim.Agent.Config;
using BpfSim.Kernel;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Agent.Scenarios;

/// <summary>Loads and attaches the programs of a scenario, each source as one object of a libbpf-like loader.</summary>
internal static class ScenarioLoader
{
    /// <summary>Opens, loads and attaches one source.</summary>
    /// <param name="machine">Where to.</param>
    /// <param name="file">Names the scenario in errors.</param>
    /// <param name="source">The programs.</param>
    /// <param name="prepare">Called with the object before it is loaded.</param>
    /// <exception cref="ConfigException">The source cannot be read, or names what it does not have.</exception>
    /// <exception cref="BpfObjectException">The kernel refuses something.</exception>
    public static BpfObject Load(Machine machine, string file, ProgramSource source, Action<BpfObject> prepare)
    {
        BpfObject loaded = BpfObject.From(Parse(file, source));
        foreach (BpfObjectProgram program in loaded.Programs)
        {
            if (source.Attach.Count == 0) continue;
            program.AutoLoad = source.Attach.ContainsKey(program.Name);
            if (program.AutoLoad && Target(source.Attach[program.Name]) is { Length: > 0 } target) program.AttachTarget = target;
        }
        if (source.Attach.Keys.FirstOrDefault(name => loaded.Spec.FindProgram(name) == null) is { } unknown)
            throw new ConfigException(file, source.Line, $"{source.Name} has no program '{unknown}' (it has {string.Join(", ", loaded.Programs.Select(p => p.Name))})");
        foreach ((string map, string size) in source.MaxEntries)
        {
            BpfObjectMap found = loaded.FindMap(map) ?? throw new ConfigException(file, source.Line, $"{source.Name} has no map '{map}' (it has {string.Join(", ", loaded.Maps.Select(m => m.Name))})");
            found.MaxEntries = uint.TryParse(size, NumberStyles.None, CultureInfo.InvariantCulture, out uint entries) ? entries
                : throw new ConfigException(file, source.Line, $"max_entries of '{map}' must be a whole number, not '{size}'");
        }
        try
        {
            prepare(loaded);
            loaded.Load(machine);
            loaded.Attach();
            foreach (BpfObjectProgram program in loaded.Programs)
                if (program.IsLoaded && program.Spec.Type == ProgramType.PerfEvent) AttachSamples(machine, file, source, program);
        }
        catch
        {
            loaded.Dispose();
            throw;
        }
        return loaded;
    }

    private static ObjectSpec Parse(string file, ProgramSource source)
    {
        try
        {
            return source.Kind switch
            {
                ProgramSourceKind.Object => ObjectFile.Parse(source.Content, ObjectFile.NameOf(source.Name), SectionTable.All),
                ProgramSourceKind.Assembly => ObjectFile.Parse(
                    BpfAssembler.ToElf(Encoding.UTF8.GetString(source.Content), HelperCatalog.Table, source.Name), ObjectFile.NameOf(source.Name), SectionTable.All),
                _ => Bytes(source),
            };
        }
        catch (Exception e) when (e is ObjectException or AssemblerException or FormatException)
        {
            throw new ConfigException(file, source.Line, e.Message.StartsWith(source.Name, StringComparison.Ordinal) ? e.Message : $"{source.Name}: {e.Message}");
        }
    }

    /// <summary>One program without maps, named after its file, from hex text.</summary>
    private static ObjectSpec Bytes(ProgramSource source)
    {
        string name = Path.GetFileName(source.Name).Split('.')[0];
        byte[] bytes = Convert.FromHexString(string.Concat(Encoding.UTF8.GetString(source.Content).Where(c => !char.IsWhiteSpace(c))));
        if (bytes.Length == 0 || bytes.Length % 8 != 0) throw new FormatException($"{bytes.Length} bytes are no whole number of instructions of 8 bytes");
        string section = source.Attach.GetValueOrDefault(name) ?? throw new FormatException($"bytes need 'attach: {{{name}: SECTION/TARGET}}'");
        SectionDefinition? definition = SectionTable.All.Cast<SectionDefinition?>().FirstOrDefault(s => section.Split('/')[0] == s!.Value.Prefix.TrimEnd('+', '/'));
        if (definition == null) throw new FormatException($"unknown section '{section}'");
        return new ObjectSpec
        {
            Name = name,
            License = "GPL",
            Programs =
            [
                new ProgramSpec
                {
                    Name = name, Section = section, Type = definition.Value.Type, ExpectedAttachType = definition.Value.AttachType,
                    AttachTarget = Target(section), License = "GPL", Insns = Insn.FromBytes(bytes),
                },
            ],
        };
    }

    /// <summary>What stands behind the first slash of a section.</summary>
    private static string Target(string section) => section.IndexOf('/', StringComparison.Ordinal) is var slash and >= 0 ? section[(slash + 1)..] : "";

    /// <summary>Samples of every CPU's clock, as many a second as stands behind <c>perf_event/</c>; else 99.</summary>
    private static void AttachSamples(Machine machine, string file, ProgramSource source, BpfObjectProgram program)
    {
        string text = string.IsNullOrEmpty(program.AttachTarget) ? "99" : program.AttachTarget;
        if (!ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong frequency) || frequency is 0 or > 100_000)
            throw new ConfigException(file, source.Line, $"program '{program.Name}': samples a second must be from 1 to 100000, not '{text}'");
        for (int cpu = 0; cpu < machine.Spec.Cpus; cpu++)
        {
            int fd = machine.Bpf.PerfEventOpen(new PerfEventAttr { Type = PerfEventType.Software, SampleFrequency = frequency, Cpu = cpu });
            int link = fd < 0 ? fd : machine.Bpf.LinkCreate(new LinkCreateAttr { ProgFd = program.Fd, TargetFd = fd, AttachType = AttachType.PerfEvent });
            if (link < 0) throw new BpfObjectException($"program '{program.Name}': cannot sample CPU {cpu}: {(Errno)(-link)}", (Errno)(-link));
        }
    }
}
