using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Emitted ring buffer records against the helpers', with consumers that lag, sleep and run in parallel.</summary>
public sealed class JitRingTests
{
    private const int NoWakeup = 1;

    [Theory]
    [InlineData(1)]
    [InlineData(16)]
    [InlineData(77)]
    [InlineData(4088)]
    public unsafe void Emitted_records_are_those_of_the_helpers(int size)
    {
        using RingbufMap here = Ring(4096), there = Ring(4096);
        List<LoadedProgram> inlined = Programs(here, size, JitOptions.Default), called = Programs(there, size, JitOptions.None);
        Random random = new(size);
        byte* ctx = stackalloc byte[128];
        for (int i = 0; i < 3000; i++)
        {
            *(ulong*)ctx = (ulong)random.NextInt64();
            random.NextBytes(new Span<byte>(ctx + 8, 100));
            int which = random.Next(inlined.Count);
            RunContext context = default;
            Assert.Equal(called[which].Run(ctx, &context), inlined[which].Run(ctx, &context));
            if (i % 1000 > 600 && random.Next(2) == 0) Assert.Equal(Consume(there, 5), Consume(here, 5));
            Assert.Equal((there.ProducerPosition, there.ConsumerPosition, there.Drops), (here.ProducerPosition, here.ConsumerPosition, here.Drops));
        }
        Assert.True(here.Drops > 0);
        inlined.Concat(called).ToList().ForEach(p => p.Dispose());
    }

    [Fact]
    public async Task A_sleeping_consumer_is_woken_unless_the_flags_say_no()
    {
        using RingbufMap ring = Ring(4096);
        List<LoadedProgram> programs = Programs(ring, 16, JitOptions.Default);
        Assert.True(((JitProgram)programs[0]).JitedBytes > 150);
        for (int round = 0; round < 100; round++)
        {
            Task waiting = ring.WaitAsync().AsTask();
            Run(programs[2]);
            Assert.False(waiting.IsCompleted);
            Assert.Equal(1, ring.Consume(_ => 0));
            // Submitted, discarded, output: each wakes.
            Run(programs[(round % 3) switch { 0 => 0, 1 => 1, _ => 3 }]);
            await waiting.WaitAsync(TimeSpan.FromSeconds(20));
            ring.Consume(_ => 0);
        }
        programs.ForEach(p => p.Dispose());
    }

    [Fact]
    public unsafe void Producers_on_threads_lose_nothing_that_they_were_given()
    {
        const int producers = 3, records = 40_000;
        using RingbufMap ring = Ring(8192);
        LoadedProgram program = Programs(ring, 16, JitOptions.Default)[0];
        long taken = 0, wrong = 0;
        int left = producers;
        Thread[] threads = [.. Enumerable.Range(0, producers).Select(number => new Thread(() =>
        {
            byte* ctx = stackalloc byte[128];
            RunContext context = default;
            for (ulong i = 1; i <= records;)
            {
                *(ulong*)ctx = ((ulong)number << 32) | i;
                if (program.Run(ctx, &context) == 0) i++;
                else Thread.Yield();
            }
            Interlocked.Decrement(ref left);
        }))];
        foreach (Thread t in threads) t.Start();
        uint[] last = new uint[producers];
        while (Volatile.Read(ref left) > 0 || ring.Available > 0)
        {
            int got = ring.Consume(sample =>
            {
                ulong word = BitConverter.ToUInt64(sample);
                if (sample.Length != 16 || (uint)word != last[(int)(word >> 32)] + 1) wrong++;
                last[(int)(word >> 32)] = (uint)word;
                return 0;
            });
            taken += got;
            if (got == 0) Thread.Yield();
        }
        foreach (Thread t in threads) t.Join();
        Assert.Equal((0L, (long)producers * records), (wrong, taken));
        program.Dispose();
    }

    private static RingbufMap Ring(uint size) => (RingbufMap)MapFactory.Create(new MapSpec { Name = "r", Type = MapType.Ringbuf, MaxEntries = size }, 2).Map!;

    private static List<string> Consume(RingbufMap ring, int atMost)
    {
        List<string> samples = [];
        ring.Consume(sample =>
        {
            // Behind its first word a reserved record holds what the place held before.
            samples.Add(sample.Length + ":" + Convert.ToHexString(sample[..Math.Min(8, sample.Length)]));
            return 0;
        }, atMost);
        return samples;
    }

    private static unsafe void Run(LoadedProgram program)
    {
        byte* ctx = stackalloc byte[128];
        new Span<byte>(ctx, 128).Clear();
        RunContext context = default;
        Assert.Equal(0ul, program.Run(ctx, &context));
    }

    /// <summary>Reserve, write the context's first word, and submit or discard, waking or not (0 to 2); output of the context (3, 4). r0 is 0, or 1 where there was no room.</summary>
    private static List<LoadedProgram> Programs(RingbufMap ring, int size, JitOptions options)
    {
        List<Insn[]> programs = [];
        foreach ((int helper, int flags) in new[] { (132, 0), (133, 0), (132, NoWakeup) })
        {
            int store = size >= 8 ? 0x7b : 0x73;
            programs.Add([
                new(0xbf, 6, 1, 0, 0), new(0x18, 1, (int)PseudoSource.MapFd, 0, 0), default, new(0xb7, 2, 0, 0, size), new(0xb7, 3, 0, 0, 0),
                new(0x85, 0, 0, 0, 131), new(0x55, 0, 0, 2, 0), new(0xb7, 0, 0, 0, 1), new(0x95, 0, 0, 0, 0),
                new(0x79, 2, 6, 0, 0), new(store, 0, 2, 0, 0), new(0xbf, 1, 0, 0, 0), new(0xb7, 2, 0, 0, flags), new(0x85, 0, 0, 0, helper),
                new(0xb7, 0, 0, 0, 0), new(0x95, 0, 0, 0, 0)]);
        }
        foreach (int flags in new[] { 0, NoWakeup })
            programs.Add([
                new(0xbf, 2, 1, 0, 0), new(0x18, 1, (int)PseudoSource.MapFd, 0, 0), default, new(0xb7, 3, 0, 0, Math.Min(size, 100)), new(0xb7, 4, 0, 0, flags),
                new(0x85, 0, 0, 0, 130), new(0x95, 0, 0, 0, 0)]);
        return [.. programs.Select(insns => new JitEngine(options).Load(new ExecutableProgram { Insns = insns, Maps = [ring], Helpers = TestHelpers.Table, Verified = true }))];
    }
}
