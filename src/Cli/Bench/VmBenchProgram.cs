using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Host;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Cli.Bench;

/// <summary>One program of the VM benchmark, with maps of its own, for the engines here and for the host's kernel.</summary>
internal sealed unsafe class VmBenchProgram : IDisposable
{
    private readonly ObjectSpec _object;
    private readonly ProgramSpec _spec;
    private readonly Dictionary<string, int> _mapIndex = [];
    private readonly List<int> _hostFds = [];

    private VmBenchProgram(ObjectSpec obj, ProgramSpec spec, bool compute)
    {
        (_object, _spec, IsCompute) = (obj, spec, compute);
        List<BpfMap> maps = [];
        foreach (string name in spec.MapReferences.Values.Distinct())
        {
            MapSpec map = obj.FindMap(name) ?? throw new CliException($"benchmark {spec.Name}: no map {name}");
            (BpfMap? created, Errno errno) = MapFactory.Create(map, 1);
            if (created == null) throw new CliException($"benchmark {spec.Name}: map {name}: {errno}");
            foreach ((uint slot, byte[] value) in map.InitialValues) created.Update(BitConverter.GetBytes(slot), value);
            _mapIndex[name] = maps.Count;
            maps.Add(created);
        }
        Maps = [.. maps];
        Insn[] insns = [.. spec.Insns];
        foreach ((int slot, string name) in spec.MapReferences) insns[slot] = insns[slot] with { Imm = _mapIndex[name] };
        VerifierResult verdict = Verify(insns);
        Executable = new ExecutableProgram
        {
            Name = spec.Name,
            Type = spec.Type,
            Insns = verdict.Xlated,
            FunctionStarts = verdict.FunctionStarts,
            StackDepths = verdict.StackDepths,
            ReadsUninitStack = verdict.ReadsUninitStack,
            Facts = verdict.Facts,
            Maps = Maps,
            Helpers = BenchHelpers.Table,
            Verified = true,
        };
    }

    /// <summary>The C function's name.</summary>
    public string Name => _spec.Name;

    /// <summary>Whether it needs neither helpers nor maps but global data, so that gcc can compile it too.</summary>
    public bool IsCompute { get; }

    /// <summary>The maps that it uses.</summary>
    public BpfMap[] Maps { get; }

    /// <summary>For the engines.</summary>
    public ExecutableProgram Executable { get; }

    /// <summary>All programs of an object file.</summary>
    public static IEnumerable<VmBenchProgram> Load(string name, byte[] bytes, bool compute)
    {
        SectionDefinition[] sections = [new("socket", ProgramType.SocketFilter, 0)];
        ObjectSpec obj = ObjectFile.Parse(bytes, name, sections);
        foreach (ProgramSpec spec in obj.Programs) yield return new VmBenchProgram(obj, spec, compute);
    }

    /// <summary>Loads the program into the host's kernel; the error's text if it refuses.</summary>
    public int LoadOnHost(out string? error)
    {
        error = null;
        Insn[] insns = [.. _spec.Insns];
        Dictionary<string, int> fds = [];
        foreach (string name in _mapIndex.Keys)
        {
            MapSpec map = _object.FindMap(name)!;
            int fd = HostKernel.CreateMap(map);
            if (fd < 0)
            {
                error = $"map {name}: {HostKernel.ErrnoName(fd)}";
                return fd;
            }
            _hostFds.Add(fd);
            foreach ((uint slot, byte[] value) in map.InitialValues) HostKernel.UpdateMap(fd, BitConverter.GetBytes(slot), value);
            if (map.FreezeAfterLoad) HostKernel.FreezeMap(fd);
            fds[name] = fd;
        }
        foreach ((int slot, string name) in _spec.MapReferences) insns[slot] = insns[slot] with { Imm = fds[name] };
        HostProgram program = HostKernel.LoadProgram(new HostProgramSpec { Type = (uint)_spec.Type, Insns = Insn.ToBytes(insns), Name = Name, LogLevel = 4 });
        if (program.Fd < 0)
        {
            string[] lines = program.Log.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            error = $"{HostKernel.ErrnoName(program.Fd)}: {lines.LastOrDefault(l => !l.StartsWith("processed", StringComparison.Ordinal))}";
            return program.Fd;
        }
        _hostFds.Add(program.Fd);
        return program.Fd;
    }

    public void Dispose()
    {
        foreach (int fd in _hostFds) HostKernel.Close(fd);
        foreach (BpfMap map in Maps) map.Dispose();
    }

    /// <summary>The engines run what the verifier makes of a program, and use what it found out.</summary>
    private VerifierResult Verify(Insn[] insns)
    {
        VerifierResult verdict = EbpfVerifier.Verify(new VerifierInput
        {
            Name = _spec.Name,
            Insns = insns,
            ProgramType = ProgramTypeTable.Find(_spec.Type)!,
            Attributes = new ProgramAttributes { Type = _spec.Type, GplCompatible = BpfSyscall.IsGplCompatible(_spec.License) },
            Helpers = BenchHelpers.Table,
            Maps = Maps,
            Btf = _spec.Btf,
            FuncInfos = _spec.FuncInfos,
            LineInfos = _spec.LineInfos,
        });
        return verdict.Accepted ? verdict : throw new CliException($"benchmark {_spec.Name}: {verdict.Errno}: {verdict.Message}");
    }
}
