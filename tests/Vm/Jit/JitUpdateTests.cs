using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Emitted updates and deletions of hashes against the helpers': results, contents, counters; and among threads.</summary>
public sealed unsafe class JitUpdateTests
{
    private const int KeyAt = 8, ValueAt = 24;
    private const uint Cpus = 4;

    [Theory, CombinatorialSizes]
    public void Emitted_changes_do_what_the_helpers_do(uint keySize, uint valueSize)
    {
        MapSpec spec = new() { Name = "m", Type = MapType.Hash, KeySize = keySize, ValueSize = valueSize, MaxEntries = 20 };
        using BpfMap here = MapFactory.Create(spec, Cpus).Map!, there = MapFactory.Create(spec, Cpus).Map!;
        List<LoadedProgram> inlined = Programs(here, JitOptions.Default), called = Programs(there, JitOptions.None);
        Assert.All(inlined.Zip(called), p => Assert.True(((JitProgram)p.First).JitedBytes != ((JitProgram)p.Second).JitedBytes));
        byte* ctx = stackalloc byte[ValueAt + 128];
        Random random = new((int)((keySize * 1000) + valueSize));
        EpochReader* reader = MapEpoch.Register();
        for (int i = 0; i < 6000; i++)
        {
            // Long and short stays, so that queues fill and empty.
            if (i % 50 < 30 || i % 50 == 30) MapEpoch.Enter(reader);
            int operation = random.Next(inlined.Count);
            ((ulong*)(ctx + KeyAt))[0] = (ulong)random.Next(30) * 0x1_0000_0001;
            ((ulong*)(ctx + KeyAt))[1] = (ulong)random.Next(2);
            random.NextBytes(new Span<byte>(ctx + ValueAt, 128));
            RunContext context = new() { CpuId = (uint)random.Next((int)Cpus) };
            Assert.Equal(called[operation].Run(ctx, &context), inlined[operation].Run(ctx, &context));
            Assert.Equal(there.Count, here.Count);
            if (i % 50 < 30 || i % 50 == 49) MapEpoch.Leave(reader);
        }
        MapEpoch.Unregister(reader);
        Assert.Equal(Contents(there), Contents(here));
        Assert.Equal(there.Statistics.Total, here.Statistics.Total);
        inlined.ForEach(p => p.Dispose());
        called.ForEach(p => p.Dispose());
    }

    /// <summary>
    /// Threads on CPUs of their own, and two on the same one: each value carries its key and a checksum, readers inside the
    /// epoch never see anything else, and what was inserted and not deleted is there.
    /// </summary>
    [Fact]
    public void Threads_see_whole_values_and_lose_no_element()
    {
        using BpfMap map = MapFactory.Create(new MapSpec { Name = "m", Type = MapType.Hash, KeySize = 8, ValueSize = 32, MaxEntries = 64 }, Cpus).Map!;
        List<LoadedProgram> programs = Programs(map, JitOptions.Default);
        int bad = 0;
        long balance = 0;
        Thread[] threads = [.. Enumerable.Range(0, 5).Select(number => new Thread(() =>
        {
            Random random = new(number);
            EpochReader* reader = MapEpoch.Register();
            RunContext context = new() { CpuId = (uint)number % Cpus };
            byte* ctx = stackalloc byte[ValueAt + 128];
            long mine = 0;
            for (int round = 0; round < 3000; round++)
            {
                MapEpoch.Enter(reader);
                for (int i = 0; i < 8; i++)
                {
                    ulong key = (ulong)random.Next(96), salt = (ulong)random.NextInt64();
                    *(ulong*)(ctx + KeyAt) = key;
                    ulong* value = (ulong*)(ctx + ValueAt);
                    (value[0], value[1], value[2], value[3]) = (key, salt, (key * 31) + salt, ~salt);
                    switch (random.Next(5))
                    {
                        // Only what surely was an insertion or a deletion is counted.
                        case 0: programs[2].Run(ctx, &context); break;
                        case 1: mine += programs[1].Run(ctx, &context) == 0 ? 1 : 0; break;
                        case 2: mine -= programs[3].Run(ctx, &context) == 0 ? 1 : 0; break;
                        default:
                            ulong* found = (ulong*)map.ProgramLookup(ctx + KeyAt, context.CpuId);
                            if (found == null) break;
                            if (random.Next(4) == 0) Thread.Yield();
                            if (found[0] != key || found[2] != (key * 31) + found[1] || found[3] != ~found[1]) Interlocked.Increment(ref bad);
                            break;
                    }
                }
                MapEpoch.Leave(reader);
            }
            MapEpoch.Unregister(reader);
            Interlocked.Add(ref balance, mine);
        }))];
        foreach (Thread t in threads) t.Start();
        foreach (Thread t in threads) t.Join();
        Assert.Equal(0, bad);
        Assert.Equal(balance, map.Count);
        Assert.Equal((int)map.Count, Contents(map).Count);
        programs.ForEach(p => p.Dispose());
    }

    /// <summary>Programs that update with BPF_ANY, NOEXIST and EXIST, and one that deletes, by key and value in the context.</summary>
    private static List<LoadedProgram> Programs(BpfMap map, JitOptions options)
    {
        List<LoadedProgram> programs = [];
        for (int flags = 0; flags <= 3; flags++)
        {
            List<Insn> insns = [new Insn(0xbf, 2, 1, 0, 0), new Insn(0x07, 2, 0, 0, KeyAt)];
            if (flags < 3) insns.AddRange([new Insn(0xbf, 3, 1, 0, 0), new Insn(0x07, 3, 0, 0, ValueAt), new Insn(0xb7, 4, 0, 0, flags)]);
            insns.AddRange([new Insn(0x18, 1, (int)PseudoSource.MapFd, 0, 0), default, new Insn(0x85, 0, 0, 0, flags < 3 ? 2 : 3), new Insn(0x95, 0, 0, 0, 0)]);
            programs.Add(new JitEngine(options).Load(new ExecutableProgram { Insns = [.. insns], Maps = [map], Helpers = TestHelpers.Table, Verified = true }));
        }
        return programs;
    }

    private static List<string> Contents(BpfMap map)
    {
        MapSnapshot snapshot = map.Snapshot();
        List<string> entries = [];
        for (int i = 0; i < snapshot.Count; i++) entries.Add(Convert.ToHexString(snapshot.KeyAt(i)) + ":" + Convert.ToHexString(snapshot.ValueAt(i)));
        entries.Sort(StringComparer.Ordinal);
        return entries;
    }

    private sealed class CombinatorialSizesAttribute : Xunit.Sdk.DataAttribute
    {
        public override IEnumerable<object[]> GetData(System.Reflection.MethodInfo testMethod) =>
            from key in new uint[] { 4, 8, 16 } from value in new uint[] { 1, 4, 8, 15, 40, 128 } select new object[] { key, value };
    }
}
