using BpfSim.Maps;
using BpfSim.Vm.Isa;

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

    private static Insn[] End(List<Insn> program)
    {
        program.Add(new(0xb7, 0, 0, 0, 0));
        program.Add(new(0x95, 0, 0, 0, 0));
        return [.. program];
    }
}
