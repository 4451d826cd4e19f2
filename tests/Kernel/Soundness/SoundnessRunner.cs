using System.Globalization;
using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.Soundness;

/// <summary>
/// Verifies a program twice, as users do and with all numbers compared, and runs it on random packets: in the
/// checked interpreter, step by step against the explored states, and in the other engines, which must agree.
/// </summary>
internal sealed unsafe class SoundnessRunner : IDisposable
{
    private const int ContextSize = 24, MaxSteps = 200_000;
    private readonly KernelState _kernel = new(new MachineSpec { Cpus = 1, ArenaBytes = 1 << 20 }, new HookTable(1));
    private readonly Cpu _cpu;
    private readonly PacketBuffer _packet = new();
    private readonly BpfMap[] _maps = [.. TypedProgram.Maps.Select(m => MapFactory.Create(m, 1).Map!)];
    private readonly ExploredSnapshots _explored = new();
    private readonly List<MemoryRegion> _regions = [];
    private readonly CheckedEngine _checked;
    private readonly InterpreterEngine _interpreter = new();
    private readonly JitEngine? _jit = JitEngine.IsSupported ? new JitEngine() : null;
    private Containment? _containment;

    public SoundnessRunner()
    {
        _cpu = new Cpu(0, _kernel) { Packet = _packet };
        _checked = new CheckedEngine
        {
            ContextSize = _ => ContextSize,
            Regions = _regions,
            Observer = (program, slot, frame, registers, regions) => _containment?.Step(program, slot, frame, registers, regions),
        };
    }

    /// <summary>Programs that were accepted.</summary>
    public int Accepted { get; private set; }

    /// <summary>Steps of runs that were found in an explored state, with all numbers, and with pointers and precise numbers only.</summary>
    public (long AllNumbers, long PreciseNumbers) Compared { get; private set; }

    /// <summary>Runs whose results were compared between engines.</summary>
    public long EngineRuns { get; private set; }

    /// <summary>Runs one program; returns what is wrong, or null.</summary>
    public string? Check(TypedProgram program, int seed, int runs)
    {
        VerifierResult result = Verify(program, allNumbers: false);
        if (!result.Accepted || result.InsnsProcessed > _explored.Limit) return null;
        Accepted++;
        // The walk of each mode is compared with the same runs.
        string? wrong = Run(program, result, seed, runs, allNumbers: false);
        if (wrong != null) return wrong;
        VerifierResult exact = Verify(program, allNumbers: true);
        // Comparing more walks more paths, among them some that no run can take: their refusal proves nothing.
        return exact.Accepted ? Run(program, result, seed, runs, allNumbers: true) : null;
    }

    /// <summary>The verdict of a program.</summary>
    public VerifierResult Verify(TypedProgram program, bool allNumbers)
    {
        _explored.Clear();
        return EbpfVerifier.Verify(new VerifierInput
        {
            Name = "random",
            Insns = program.Insns,
            ProgramType = ProgramTypeTable.Find(ProgramType.Xdp)!,
            Helpers = Platform.Helpers,
            Attributes = new ProgramAttributes { Type = ProgramType.Xdp, GplCompatible = true },
            Maps = _maps,
            Btf = TypedProgram.Btf,
            FuncInfos = program.Functions,
            CpuCount = 1,
            LogLevel = 0,
            Observer = _explored,
            CompareAllNumbers = allNumbers,
        });
    }

    private string? Run(TypedProgram program, VerifierResult result, int seed, int runs, bool allNumbers)
    {
        var executable = new ExecutableProgram
        {
            Name = "random",
            Type = ProgramType.Xdp,
            Insns = result.Xlated,
            FunctionStarts = result.FunctionStarts,
            StackDepths = result.StackDepths,
            Facts = result.Facts,
            Helpers = Platform.Helpers,
            Maps = _maps,
            Verified = true,
        };
        using LoadedProgram watched = _checked.Load(executable), interpreted = _interpreter.Load(executable);
        using LoadedProgram? jited = allNumbers ? null : _jit?.Load(executable);
        for (int run = 0; run < runs; run++)
        {
            int input = (seed * 31) + run;
            string outcome = Once(watched, result, input, allNumbers);
            if (_cpu.Context->Fault != RunFault.None)
                return $"run {run}: {_cpu.Context->Fault} at insn {_cpu.Context->FaultInsn}: {CheckedProgram.Report}";
            if (_containment is { } containment)
            {
                if (containment.Violation != null) return $"run {run}, {(allNumbers ? "all" : "precise")} numbers: {containment.Violation}";
                Compared = allNumbers ? (Compared.AllNumbers + containment.Compared, Compared.PreciseNumbers)
                    : (Compared.AllNumbers, Compared.PreciseNumbers + containment.Compared);
                _containment = null;
            }

            if (allNumbers || !program.Deterministic) continue;
            EngineRuns++;
            string other = Once(interpreted, null, input, false);
            if (other != outcome) return $"run {run}: checked gives {outcome}, the interpreter {other}";
            if (jited == null) continue;
            other = Once(jited, null, input, false);
            if (other != outcome) return $"run {run}: the interpreters give {outcome}, the JIT {other}";
        }

        return null;
    }

    /// <summary>One run on fresh maps and a random packet; the outcome is the result and hashes of packet and maps, as text.</summary>
    private string Once(LoadedProgram program, VerifierResult? watched, int input, bool allNumbers)
    {
        var random = new Random(input);
        FillMaps(random);
        byte[] packet = new byte[14 + (random.Next(3) == 0 ? random.Next(4) : random.Next(60))];
        random.NextBytes(packet);
        if (random.Next(2) == 0) packet.AsSpan(0, 8).Clear();
        _packet.Load(packet, xdp: true);
        _packet.Publish();
        *(uint*)(_packet.Context + 12) = Field(random);
        *(uint*)(_packet.Context + 16) = Field(random);
        _regions.Clear();
        _regions.Add(new MemoryRegion("packet", (ulong)_packet.Data, _packet.Length));
        RunContext* context = _cpu.Context;
        context->TimeNs = (ulong)random.NextInt64();
        context->RandomState = (ulong)random.NextInt64() | 1;
        context->Fuel = MaxSteps;
        _containment = watched == null || _explored.Overflowed ? null : new Containment(_explored, allNumbers)
        {
            OriginalSlots = watched.OriginalSlots,
            Maps = _maps,
            Context = (ulong)_packet.Context,
            Packet = ((ulong)_packet.Data, (ulong)_packet.End),
        };
        _containment?.Restart();
        ulong r0 = program.Run(_packet.Context, context);
        var bytes = new HashCode();
        bytes.AddBytes(new ReadOnlySpan<byte>(_packet.Data, (int)_packet.Length));
        return string.Create(CultureInfo.InvariantCulture, $"r0=0x{r0:x}, packet #{bytes.ToHashCode():x}, maps #{HashOfMaps():x}");
    }

    private static uint Field(Random random) => random.Next(4) switch
    {
        0 => (uint)random.Next(-2, 16),
        1 => 1u << random.Next(32),
        2 => (uint)random.Next(int.MinValue, int.MaxValue),
        _ => (uint)random.Next(256),
    };

    private void FillMaps(Random random)
    {
        Span<byte> key = stackalloc byte[4], value = stackalloc byte[48];
        while (_maps[0].GetNextKey([], key) == 0) _maps[0].Delete(key);
        for (int i = 0; i < 4; i++)
        {
            BitConverter.TryWriteBytes(key, i);
            random.NextBytes(value);
            if (random.Next(2) == 0) value[..16].Clear();
            _maps[1].Update(key, value);
            if (random.Next(2) == 0) _maps[0].Update(key, value[..24]);
        }
    }

    /// <summary>The same for the same elements, in whatever order a map keeps them.</summary>
    private int HashOfMaps()
    {
        Span<byte> key = stackalloc byte[4], value = stackalloc byte[48];
        int sum = 0;
        for (int m = 0; m < _maps.Length; m++)
        {
            Span<byte> element = value[..(int)_maps[m].Spec.ValueSize];
            for (int error = _maps[m].GetNextKey([], key); error == 0; error = _maps[m].GetNextKey(key, key))
            {
                _maps[m].Lookup(key, element);
                var hash = new HashCode();
                hash.Add(m);
                hash.AddBytes(key);
                hash.AddBytes(element);
                sum += hash.ToHashCode();
            }
        }

        return sum;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (BpfMap map in _maps) map.Dispose();
        _packet.Dispose();
        _cpu.Dispose();
        _kernel.Dispose();
    }
}
