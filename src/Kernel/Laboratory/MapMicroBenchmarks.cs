using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using BpfSim.Kernel.Host;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Laboratory;

/// <summary>One line of the micro-benchmark.</summary>
/// <param name="Operation">What was measured.</param>
/// <param name="Nanoseconds">Nanoseconds an operation inside a program here (or a factor, where <paramref name="HigherIsBetter"/>); null if it could not run.</param>
/// <param name="Target">What the project aims at, null for none.</param>
/// <param name="KernelNanoseconds">The same program by BPF_PROG_TEST_RUN on the host's kernel; null where that is not allowed.</param>
/// <param name="DictionaryNanoseconds">The same on a ConcurrentDictionary; null where it has no counterpart.</param>
/// <param name="HigherIsBetter">Whether this is a factor of scaling.</param>
public sealed record MicroResult(
    string Operation, double? Nanoseconds, double? Target, double? KernelNanoseconds = null, double? DictionaryNanoseconds = null, bool HigherIsBetter = false);

/// <summary>
/// Single map operations inside compiled programs, against the host kernel's maps and against ConcurrentDictionary, in one run. Every program does
/// <see cref="Rounds"/> operations on pseudo-random keys; the best of several runs counts, since a busy machine only ever adds.
/// </summary>
public static unsafe class MapMicroBenchmarks
{
    /// <summary>Operations of one program run.</summary>
    public const int Rounds = 1024;

    private const int Trials = 30;

    /// <summary>Runs all of them; some seconds.</summary>
    public static IReadOnlyList<MicroResult> Run(CancellationToken cancellation = default)
    {
        // First all of them once, unmeasured: the runtime compiles hot methods anew, some time after it has seen them run.
        foreach (var step in Steps(new Effort(3, Rivals: false)))
        {
            if (cancellation.IsCancellationRequested) return [];
            step();
        }

        Thread.Sleep(300);
        var results = new List<MicroResult>();
        foreach (var step in Steps(new Effort(16, Rivals: true)))
        {
            if (cancellation.IsCancellationRequested) break;
            results.Add(step());
        }

        return results;
    }

    /// <summary>Both parts of <c>bench maps</c> as one JSON document.</summary>
    public static string Json(IReadOnlyList<MicroResult> micro, IReadOnlyList<ContentionResult> contention)
    {
        return "{\n\"micro\": " + JsonSerializer.Serialize(micro, ContentionReport.JsonOptions) + ",\n\"contention\": " + ContentionReport.Json(contention) + "\n}";
    }

    /// <summary>The micro-benchmark as comma-separated values.</summary>
    public static string Csv(IReadOnlyList<MicroResult> results)
    {
        if (results.Count == 0) return "";
        var text = new StringBuilder("operation,ns,target,kernel_ns,concurrent_dictionary_ns\n");
        foreach (var r in results)
            text.AppendLine(CultureInfo.InvariantCulture, $"\"{r.Operation}\",{r.Nanoseconds:0.###},{r.Target},{r.KernelNanoseconds:0.###},{r.DictionaryNanoseconds:0.###}");
        return text.ToString();
    }

    private static IEnumerable<Func<MicroResult>> Steps(Effort effort)
    {
        yield return () => Program(effort, "array lookup + atomic add, one slot", 5, Spec(MapType.Array, 1), 0, AtomicAdd);
        yield return () => Program(effort, "per-CPU array lookup + add", 1.5, Spec(MapType.PercpuArray, 1), 0, PlainAdd);
        foreach (var keys in new uint[] { 1024, 8192 })
            yield return () => Program(effort, $"hash lookup hit, {keys} keys", 8, Spec(MapType.Hash, keys), keys - 1, Load) with
            {
                DictionaryNanoseconds = Dictionary(effort, keys, (d, k) => d.TryGetValue(k, out _)),
            };
        yield return () => Program(effort, "hash overwrite, 8192 keys", 25, Spec(MapType.Hash, 8192), 8191, Overwrite) with
        {
            DictionaryNanoseconds = Dictionary(effort, 8192, (d, k) => d.AddOrUpdate(k, 1, static (_, v) => v + 1)),
        };
        yield return () => Program(effort, "hash insert + delete", 60, Spec(MapType.Hash, 16384), 8191, InsertAndDelete, filled: false) with
        {
            DictionaryNanoseconds = Dictionary(effort, 8192, (d, k) =>
            {
                d.TryAdd(k | 0x10000, 1);
                d.TryRemove(k | 0x10000, out _);
            }),
        };
        yield return () => Program(effort, "lru_hash lookup hit, 8192 keys", null, Spec(MapType.LruHash, 16384), 8191, Load);
        yield return () => Program(effort, "ring buffer reserve + submit, 16 B", 20, new MapSpec { Name = "ring", Type = MapType.Ringbuf, MaxEntries = 1 << 24 }, 0, ReserveAndSubmit, filled: false);
        yield return () => Snapshot(effort);
        yield return () => Scaling(effort);
    }

    private static MapSpec Spec(MapType type, uint entries) => new() { Name = "bench", Type = type, KeySize = 4, ValueSize = 8, MaxEntries = entries };

    private static MicroResult Program(Effort effort, string name, double? target, MapSpec spec, uint mask, Action<List<Insn>> body, bool filled = true)
    {
        var insns = Build(mask, body);
        return new MicroResult(name, Here(effort, spec, insns, filled, mask), target, effort.Rivals ? Host(spec, insns, filled, mask) : null);
    }

    /// <summary>for (r6 = 0; r6 != Rounds; r6++) { key = next(r7) &amp; mask; body }.</summary>
    private static Insn[] Build(uint mask, Action<List<Insn>> body)
    {
        List<Insn> code = [new(0xb7, 6, 0, 0, 0), new(0xb7, 7, 0, 0, 1), new(0xb7, 0, 0, 0, 0), new(0x7b, 10, 7, -16, 0)];
        var loop = code.Count;
        code.AddRange([new(0x27, 7, 0, 0, 1103515245), new(0x07, 7, 0, 0, 12345), new(0xbf, 1, 7, 0, 0), new(0x77, 1, 0, 0, 16),
            new(0x57, 1, 0, 0, (int)mask), new(0x63, 10, 1, -4, 0)]);
        body(code);
        code.AddRange([new(0x07, 6, 0, 0, 1), new(0x55, 6, 0, loop - code.Count - 2, Rounds), new(0xb7, 0, 0, 0, 0), new(0x95, 0, 0, 0, 0)]);
        return [.. code];
    }

    private static void MapAndKey(List<Insn> code) =>
        code.AddRange([new(0x18, 1, (int)PseudoSource.MapFd, 0, 0), new(0, 0, 0, 0, 0), new(0xbf, 2, 10, 0, 0), new(0x07, 2, 0, 0, -4)]);

    private static void Lookup(List<Insn> code, Insn use)
    {
        MapAndKey(code);
        code.AddRange([new(0x85, 0, 0, 0, 1), new(0x15, 0, 0, use.Code == 0x79 ? 1 : 2, 0)]);
        if (use.Code != 0x79) code.Add(new(0xb7, 1, 0, 0, 1));
        code.Add(use);
    }

    private static void Load(List<Insn> code) => Lookup(code, new(0x79, 8, 0, 0, 0));

    private static void AtomicAdd(List<Insn> code) => Lookup(code, new(0xdb, 0, 1, 0, 0));

    private static void PlainAdd(List<Insn> code)
    {
        MapAndKey(code);
        code.AddRange([new(0x85, 0, 0, 0, 1), new(0x15, 0, 0, 3, 0), new(0x79, 1, 0, 0, 0), new(0x07, 1, 0, 0, 1), new(0x7b, 0, 1, 0, 0)]);
    }

    private static void Overwrite(List<Insn> code)
    {
        MapAndKey(code);
        code.AddRange([new(0xbf, 3, 10, 0, 0), new(0x07, 3, 0, 0, -16), new(0xb7, 4, 0, 0, 0), new(0x85, 0, 0, 0, 2)]);
    }

    private static void InsertAndDelete(List<Insn> code)
    {
        Overwrite(code);
        MapAndKey(code);
        code.Add(new(0x85, 0, 0, 0, 3));
    }

    private static void ReserveAndSubmit(List<Insn> code) => code.AddRange([
        new(0x18, 1, (int)PseudoSource.MapFd, 0, 0), new(0, 0, 0, 0, 0), new(0xb7, 2, 0, 0, 16), new(0xb7, 3, 0, 0, 0), new(0x85, 0, 0, 0, 131),
        new(0x15, 0, 0, 4, 0), new(0x7b, 0, 7, 0, 0), new(0xbf, 1, 0, 0, 0), new(0xb7, 2, 0, 0, 1), new(0x85, 0, 0, 0, 132)]);

    private static double? Here(Effort effort, MapSpec spec, Insn[] insns, bool filled, uint mask)
    {
        if (insns.Any(n => n.IsHelperCall && Platform.Helpers.Find(n.Imm)?.Implementation == null)) return null;
        using var map = MapFactory.Create(spec, 2).Map!;
        if (filled) Fill(map.Info.IsPerCpu ? 2u : 1u, mask, (k, v) => map.Update(k, v));
        try
        {
            using var runner = new Runner(map, insns, cpu: 0);
            return runner.Best(effort, () => (map as RingbufMap)?.Consume(_ => 0)) / Rounds;
        }
        catch (Exception e) when (e is InvalidProgramException or NotSupportedException or PlatformNotSupportedException)
        {
            return null;
        }
    }

    private static void Fill(uint copies, uint mask, Func<byte[], byte[], int> update)
    {
        for (var i = 0u; i <= mask; i++) update(BitConverter.GetBytes(i), new byte[8 * copies]);
    }

    private static double? Host(MapSpec spec, Insn[] insns, bool filled, uint mask)
    {
        if (!HostKernel.IsAvailable) return null;
        var best = double.MaxValue;
        // A ring that nobody empties must not fill up: a fresh one for every few runs.
        var (fresh, runs) = spec.Type == MapType.Ringbuf ? (4, 120u) : (1, 800u);
        for (var i = 0; i < fresh; i++)
        {
            var map = HostKernel.CreateMap(spec);
            if (map < 0) return null;
            var host = insns.Select(n => n.IsLdImm64 ? n with { Imm = map } : n).ToArray();
            var program = HostKernel.LoadProgram(new HostProgramSpec { Type = (uint)ProgramType.SocketFilter, Insns = Insn.ToBytes(host), License = "GPL" });
            if (program.Fd >= 0)
            {
                var cpus = (uint)(spec.Type == MapType.PercpuArray ? PossibleCpus() : 1);
                if (filled) Fill(cpus, mask, (k, v) => HostKernel.UpdateMap(map, k, v));
                for (var trial = 0; trial < (fresh > 1 ? 1 : 6); trial++)
                    best = Math.Min(best, HostKernel.TestRun(program.Fd, new byte[64], repeat: runs).DurationNs / (double)Rounds);
            }

            HostKernel.Close(program.Fd);
            HostKernel.Close(map);
        }

        return best == double.MaxValue ? null : best;
    }

    private static int PossibleCpus() => int.Parse(File.ReadAllText("/sys/devices/system/cpu/possible").Trim().Split('-')[^1], CultureInfo.InvariantCulture) + 1;

    private static double Dictionary(Effort effort, uint keys, Action<ConcurrentDictionary<uint, long>, uint> operation)
    {
        var dictionary = new ConcurrentDictionary<uint, long>();
        for (var i = 0u; i < keys; i++) dictionary[i] = i;
        return Best(effort, () =>
        {
            var state = 1ul;
            for (var i = 0; i < Rounds; i++)
            {
                state = (state * 1103515245) + 12345;
                operation(dictionary, (uint)(state >> 16) & (keys - 1));
            }
        }, null) / Rounds;
    }

    private static MicroResult Snapshot(Effort effort)
    {
        const uint Keys = 10_000;
        using var map = MapFactory.Create(Spec(MapType.Hash, Keys), 2).Map!;
        Fill(1, Keys - 1, (k, v) => map.Update(k, v));
        var here = Best(effort, () => map.Snapshot(), null) / Keys;
        if (!effort.Rivals || !HostKernel.IsAvailable) return new MicroResult("snapshot, 10k entries, a key", here, 50);
        var fd = HostKernel.CreateMap(Spec(MapType.Hash, Keys));
        Fill(1, Keys - 1, (k, v) => HostKernel.UpdateMap(fd, k, v));
        var (keys, values, token) = (new byte[4 * Keys], new byte[8 * Keys], new byte[4]);
        var kernel = Best(effort, () =>
        {
            var count = Keys;
            HostKernel.Batch(BpfCommand.MapLookupBatch, fd, [], token, keys, values, ref count);
        }, null) / Keys;
        HostKernel.Close(fd);
        return new MicroResult("snapshot, 10k entries, a key", here, 50, kernel);
    }

    /// <summary>How many times the lookups of one thread two threads do, on keys of their own.</summary>
    private static MicroResult Scaling(Effort effort)
    {
        using var map = MapFactory.Create(Spec(MapType.Hash, 8192), 2).Map!;
        Fill(1, 8191, (k, v) => map.Update(k, v));
        try
        {
            var insns = Build(4095, Load);
            var one = LookupsPerSecond(effort, map, insns, 1);
            var two = LookupsPerSecond(effort, map, insns, 2);
            return new MicroResult("lookups on two threads, times one", two / one, 1.9, HigherIsBetter: true);
        }
        catch (Exception e) when (e is InvalidProgramException or NotSupportedException or PlatformNotSupportedException)
        {
            return new MicroResult("lookups on two threads, times one", null, 1.9, HigherIsBetter: true);
        }
    }

    private static double LookupsPerSecond(Effort effort, BpfMap map, Insn[] insns, int threads)
    {
        using var start = new Barrier(threads);
        var speeds = new double[threads];
        var workers = Enumerable.Range(0, threads).Select(i => new Thread(() =>
        {
            using var runner = new Runner(map, insns, (uint)i);
            runner.Best(effort, null);
            start.SignalAndWait();
            var begin = Stopwatch.GetTimestamp();
            var runs = 0;
            for (; Stopwatch.GetElapsedTime(begin) < TimeSpan.FromMilliseconds(200); runs++) runner.Run();
            speeds[i] = runs * (double)Rounds / Stopwatch.GetElapsedTime(begin).TotalSeconds;
        })).ToList();
        workers.ForEach(w => w.Start());
        workers.ForEach(w => w.Join());
        return speeds.Sum();
    }

    /// <summary>
    /// The shortest run in nanoseconds. The runtime compiles hot methods anew in the background, which takes its time on a busy machine: rounds
    /// follow each other until several of them in a row were no faster.
    /// </summary>
    private static double Best(Effort effort, Action action, Action? between)
    {
        var best = double.MaxValue;
        for (var (round, steady) = (0, 0); round < effort.MostRounds && steady < 4; round++)
        {
            var fastest = double.MaxValue;
            for (var i = 0; i < Trials; i++)
            {
                var begin = Stopwatch.GetTimestamp();
                action();
                fastest = Math.Min(fastest, RealTime.NanosecondsSince(begin));
                between?.Invoke();
            }

            steady = fastest < best * 0.9 ? 0 : steady + 1;
            best = Math.Min(best, fastest);
            Thread.Sleep(40);
        }

        return best;
    }

    /// <summary>How long to go on for a better time, and whether to measure the others too.</summary>
    private readonly record struct Effort(int MostRounds, bool Rivals);

    /// <summary>A program on a map, compiled where that is possible, with the context of one CPU.</summary>
    private sealed class Runner : IDisposable
    {
        private readonly LoadedProgram _program;
        private readonly RunContext* _context;
        private readonly EpochReader* _epoch = MapEpoch.Register();
        private readonly byte* _packet;

        public Runner(BpfMap map, Insn[] insns, uint cpu)
        {
            var facts = new InsnFacts[insns.Length];
            for (var i = 0; i < insns.Length; i++)
                if (insns[i].IsHelperCall && insns[i].Imm is 1 or 2 or 3 or 131) facts[i] = new InsnFacts { MapIndex = 1 };
            _program = Platform.Engine(EngineKind.Jit).Load(new ExecutableProgram
            {
                Name = "bench",
                Type = ProgramType.SocketFilter,
                Insns = insns,
                Maps = [map],
                Helpers = Platform.Helpers,
                Facts = facts,
                Verified = true,
            });
            _context = (RunContext*)System.Runtime.InteropServices.NativeMemory.AllocZeroed((nuint)sizeof(RunContext) + 256);
            *_context = new RunContext { CpuId = cpu, RandomState = 1, Fuel = long.MaxValue };
            _packet = (byte*)_context + sizeof(RunContext);
        }

        public void Run()
        {
            MapEpoch.Enter(_epoch);
            _context->Fuel = long.MaxValue;
            _program.Run(_packet, _context);
            MapEpoch.Leave(_epoch);
        }

        public double Best(Effort effort, Action? between) => MapMicroBenchmarks.Best(effort, Run, between);

        public void Dispose()
        {
            _program.Dispose();
            MapEpoch.Unregister(_epoch);
            System.Runtime.InteropServices.NativeMemory.Free(_context);
        }
    }
}
