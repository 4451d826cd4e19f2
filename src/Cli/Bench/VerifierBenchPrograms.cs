using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Cli.Bench;

/// <summary>One program of <c>bench verifier</c>: type socket_filter; map references are indices into the maps.</summary>
internal sealed record VerifierBenchProgram(string Name, Insn[] Insns, MapSpec[] Maps);

/// <summary>The programs that <c>bpfsim bench verifier</c> verifies, made from their sizes.</summary>
internal static class VerifierBenchPrograms
{
    private static readonly MapSpec[] s_counters =
        [new MapSpec { Name = "counters", Type = MapType.Array, KeySize = 4, ValueSize = 8, MaxEntries = 16 }];

    /// <summary>All of them, small ones first in each kind.</summary>
    public static IEnumerable<VerifierBenchProgram> All()
    {
        foreach (int n in new[] { 4_000, 100_000, 900_000 }) yield return new($"straight-line ALU {n}", StraightLine(n), []);
        foreach (int n in new[] { 1_000, 100_000 }) yield return new($"bounded loop {n}", Loop(n), []);
        foreach (int n in new[] { 100, 1_000, 4_000 }) yield return new($"diamonds {n}", Diamonds(n), []);
        foreach (int n in new[] { 100, 1_000, 8_000 }) yield return new($"lookups {n}", Lookups(n), s_counters);
        // More than 8192 tests for NULL in a row are too complex; with an end of its own for each, no path waits for long.
        foreach (int n in new[] { 1_000, 10_000 }) yield return new($"lookups {n}, NULL exits", LookupsWithExits(n), s_counters);
        yield return new("loop of full frames, to 1M", FullFrames(), []);
        foreach (string name in new[] { "compute", "tables" })
        {
            foreach (VerifierBenchProgram program in Compiled(name)) yield return program;
        }
    }

    /// <summary>The programs of the VM benchmark.</summary>
    private static IEnumerable<VerifierBenchProgram> Compiled(string name)
    {
        ObjectSpec obj = ObjectFile.Parse(BenchVmCommand.Resource($"{name}.bpf.o"), name, [new SectionDefinition("socket", ProgramType.SocketFilter, 0)]);
        foreach (ProgramSpec spec in obj.Programs)
        {
            string[] maps = [.. spec.MapReferences.Values.Distinct()];
            Insn[] insns = [.. spec.Insns];
            foreach ((int slot, string map) in spec.MapReferences) insns[slot] = insns[slot] with { Imm = Array.IndexOf(maps, map) };
            yield return new(spec.Name, insns, [.. maps.Select(m => obj.FindMap(m)!)]);
        }
    }

    private static Insn[] StraightLine(int length)
    {
        var program = new List<Insn>(length) { new(0x61, 0, 1, 0, 0), new(0xbf, 2, 0, 0, 0) };
        for (int i = 0; program.Count < length - 2; i++)
        {
            program.Add((i % 4) switch
            {
                0 => new Insn(0x07, 0, 0, 0, 3),
                1 => new Insn(0xaf, 0, 2, 0, 0),
                2 => new Insn(0x57, 0, 0, 0, 0xffff),
                _ => new Insn(0x0f, 2, 0, 0, 0),
            });
        }

        return End(program);
    }

    private static Insn[] Loop(int rounds) => End(
    [
        new(0xb7, 0, 0, 0, 0), new(0xb7, 1, 0, 0, 0),
        new(0x07, 1, 0, 0, 1), new(0x07, 0, 0, 0, 3), new(0xa5, 1, 0, -3, rounds),
    ]);

    private static Insn[] Diamonds(int count)
    {
        var program = new List<Insn> { new(0xbf, 6, 1, 0, 0), new(0xb7, 7, 0, 0, 0) };
        for (int i = 0; i < count; i++)
        {
            program.Add(new(0x61, 0, 6, 0, 0));
            program.Add(new(0x15, 0, 0, 1, i));
            program.Add(new(0x07, 7, 0, 0, 1));
        }

        return End(program);
    }

    private static Insn[] Lookups(int count)
    {
        var program = new List<Insn>();
        for (int i = 0; i < count; i++)
        {
            program.Add(new(0x62, 10, 0, -4, i & 15));
            program.Add(new(0xbf, 2, 10, 0, 0));
            program.Add(new(0x07, 2, 0, 0, -4));
            program.Add(new(0x18, 1, (int)PseudoSource.MapFd, 0, 0));
            program.Add(default);
            program.Add(new(0x85, 0, 0, 0, 1));
            program.Add(new(0x15, 0, 0, 2, 0));
            program.Add(new(0xb7, 1, 0, 0, 1));
            program.Add(new(0xdb, 0, 1, 0, 0));
        }

        return End(program);
    }

    private static Insn[] LookupsWithExits(int count)
    {
        var program = new List<Insn>();
        for (int i = 0; i < count; i++)
        {
            program.Add(new(0x62, 10, 0, -4, i & 15));
            program.Add(new(0xbf, 2, 10, 0, 0));
            program.Add(new(0x07, 2, 0, 0, -4));
            program.Add(new(0x18, 1, (int)PseudoSource.MapFd, 0, 0));
            program.Add(default);
            program.Add(new(0x85, 0, 0, 0, 1));
            program.Add(new(0x55, 0, 0, 1, 0));
            program.Add(new(0x95, 0, 0, 0, 0));
            program.Add(new(0xb7, 1, 0, 0, 1));
            program.Add(new(0xdb, 0, 1, 0, 0));
        }

        return End(program);
    }

    /// <summary>Eight frames with all their stack in use, and in the last a loop that only the limit of a million instructions ends: the most that states can take.</summary>
    private static Insn[] FullFrames()
    {
        const int Frames = 8;
        var program = new List<Insn>();
        for (int frame = 0; frame < Frames; frame++)
        {
            for (int slot = 8; slot <= 512; slot += 8)
            {
                program.Add(new(0x85, 0, 0, 0, 7));
                program.Add(new(0x7b, 10, 0, -slot, 0));
            }

            if (frame < Frames - 1)
            {
                // The next function follows behind this one's end.
                program.Add(new(0x85, 0, 1, 0, 1));
                program.Add(new(0x95, 0, 0, 0, 0));
                continue;
            }

            program.Add(new(0xb7, 6, 0, 0, 0));
            // A counter whose every value is a state of its own; the branch on an unknown number ends at once.
            program.AddRange(
            [
                new(0x85, 0, 0, 0, 7), new(0x55, 0, 0, 1, 1), new(0x95, 0, 0, 0, 0), new(0x07, 6, 0, 0, 1), new(0xa5, 6, 0, -5, int.MaxValue),
            ]);
        }

        return End(program);
    }

    private static Insn[] End(List<Insn> program)
    {
        program.Add(new(0xb7, 0, 0, 0, 0));
        program.Add(new(0x95, 0, 0, 0, 0));
        return [.. program];
    }
}
