using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Inlined lookups against the helper's, on every kind and key size, hits and misses.</summary>
public sealed unsafe class JitLookupTests
{
    public static TheoryData<MapType, uint, uint> Kinds
    {
        get
        {
            TheoryData<MapType, uint, uint> data = [];
            foreach (uint valueSize in new uint[] { 8, 16, 24, 40 })
            {
                data.Add(MapType.Array, 4, valueSize);
                data.Add(MapType.PercpuArray, 4, valueSize);
                foreach (MapType hash in new[] { MapType.Hash, MapType.LruHash, MapType.PercpuHash, MapType.LruPercpuHash })
                    foreach (uint keySize in new uint[] { 4, 8, 16 }) data.Add(hash, keySize, valueSize);
            }
            return data;
        }
    }

    [Theory, MemberData(nameof(Kinds))]
    public void Inlined_lookups_find_what_the_helper_finds(MapType type, uint keySize, uint valueSize)
    {
        const uint entries = 50, cpus = 4;
        (BpfMap? created, Errno errno) = MapFactory.Create(new MapSpec { Type = type, KeySize = keySize, ValueSize = valueSize, MaxEntries = entries }, cpus);
        Assert.Equal(Errno.None, errno);
        BpfMap map = created!;
        using (map)
        {
            byte* key = stackalloc byte[16], value = stackalloc byte[64];
            for (uint i = 0; i < 30; i++)
            {
                *(ulong*)key = i;
                ((ulong*)key)[1] = i * 3;
                for (uint cpu = 0; cpu < cpus; cpu++)
                {
                    *(ulong*)value = (i * 10) + cpu;
                    map.ProgramUpdate(key, value, 0, cpu);
                }
            }
            using JitProgram inlined = (JitProgram)Load(map, keySize, JitOptions.Default), called = (JitProgram)Load(map, keySize, JitOptions.None);
            Assert.True(inlined.JitedBytes != called.JitedBytes);
            using EpochScope epoch = MapEpoch.EnterThread();
            for (uint i = 0; i < 60; i++)
            {
                *(ulong*)key = i;
                ((ulong*)key)[1] = i * 3;
                foreach (uint cpu in new uint[] { 0, 3 })
                {
                    RunContext context = new() { CpuId = cpu };
                    ulong expected = called.Run(key, &context);
                    Assert.Equal(expected, inlined.Run(key, &context));
                    bool present = i < 30 || (i < entries && type is MapType.Array or MapType.PercpuArray && i < entries);
                    Assert.Equal(present, expected != ulong.MaxValue);
                }
            }
        }
    }

    /// <summary>The value of the key in the context on the stack, or -1.</summary>
    private static LoadedProgram Load(BpfMap map, uint keySize, JitOptions options)
    {
        List<Insn> insns = [];
        for (int at = 0; at < keySize; at += (int)Math.Min(8, keySize))
        {
            int size = keySize == 4 ? 0x00 : 0x18;
            insns.Add(new Insn(0x61 | size, 3, 1, at, 0));
            insns.Add(new Insn(0x63 | size, 10, 3, at - 16, 0));
        }
        insns.AddRange(
        [
            new Insn(0xbf, 2, 10, 0, 0), new Insn(0x07, 2, 0, 0, -16),
            new Insn(0x18, 1, (int)PseudoSource.MapFd, 0, 0), default,
            new Insn(0x85, 0, 0, 0, 1),
            new Insn(0x15, 0, 0, 2, 0), new Insn(0x79, 0, 0, 0, 0), new Insn(0x95, 0, 0, 0, 0),
            new Insn(0xb7, 0, 0, 0, -1), new Insn(0x95, 0, 0, 0, 0),
        ]);
        return new JitEngine(options).Load(new ExecutableProgram { Insns = [.. insns], Maps = [map], Helpers = TestHelpers.Table, Verified = true });
    }
}
