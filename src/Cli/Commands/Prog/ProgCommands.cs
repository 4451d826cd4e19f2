using System.CommandLine;
using BpfSim.Kernel;
using BpfSim.Kernel.Libbpf;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Object;

namespace BpfSim.Cli.Commands.Prog;

/// <summary>The commands under <c>bpfsim prog</c>.</summary>
internal static class ProgCommands
{
    public static Command Create() => new CommandGroup("prog", "Runs and shows the programs of an object file",
        "bpfsim prog run filter.bpf.o --data-in @packet.bin", new ProgRunCommand(), new ProgShowCommand(), new ProgDumpCommand());
}

/// <summary>An object file loaded into a machine that does nothing else.</summary>
internal sealed class LoadedFile : IDisposable
{
    private LoadedFile(Machine machine, BpfObject obj)
    {
        Machine = machine;
        Object = obj;
    }

    public Machine Machine { get; }

    public BpfObject Object { get; }

    /// <summary>Programs that the verifier refused, with why.</summary>
    public List<(BpfObjectProgram Program, BpfObjectException Why)> Refused { get; } = [];

    /// <summary>Loads one program of a file, or all; refused ones are reported on standard error.</summary>
    public static LoadedFile Load(string file, string? program, string? btf, EngineKind engine)
    {
        BpfObject obj = Open(file);
        if (program != null && !obj.Programs.Any(p => p.Name == program))
            throw new CliException($"no program '{program}' in {file}; it has {string.Join(", ", obj.Programs.Select(p => p.Name))}");
        foreach (BpfObjectProgram candidate in obj.Programs) candidate.AutoLoad = program == null || candidate.Name == program;
        obj.GiveMapsPlainSizes();
        Machine machine;
        try
        {
            BtfData? kernel = btf == null ? null : ObjectInput.Profile(btf).Btf;
            machine = new Machine(new MachineSpec { Cpus = 2, KernelBtf = kernel, Engine = engine, ArenaBytes = 1 << 20 });
        }
        catch (NotSupportedException e)
        {
            throw new CliException(e.Message);
        }
        var loaded = new LoadedFile(machine, obj);
        obj.ProgramRefused = (refused, why) => loaded.Refused.Add((refused, why));
        try
        {
            obj.Load(machine);
        }
        catch (BpfObjectException e)
        {
            loaded.Dispose();
            throw new CliException($"{file}: {e.Message}", ExitCode.Failed);
        }
        foreach ((_, BpfObjectException why) in loaded.Refused)
        {
            Console.Error.WriteLine($"bpfsim: {file}: {why.Message}");
            if (why.Log.Length != 0) Console.Error.Write(why.Log);
        }
        return loaded;
    }

    public static EngineKind ParseEngine(string? name) => name switch
    {
        "interpreter" => EngineKind.Interpreter,
        "checked" => EngineKind.Checked,
        _ => EngineKind.Jit,
    };

    private static BpfObject Open(string file)
    {
        try
        {
            return BpfObject.Open(file);
        }
        catch (Exception e) when (e is ObjectException or IOException)
        {
            throw new CliException($"{file}: {e.Message}");
        }
    }

    public void Dispose()
    {
        Object.Dispose();
        Machine.Dispose();
    }
}
