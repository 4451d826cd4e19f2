using System.Buffers.Binary;
using System.Runtime.InteropServices;
using BpfSim.Kernel.Bpf;
using BpfSim.Maps;
using BpfSim.Tests.Shared;

namespace BpfSim.Kernel.Tests.Bpf;

/// <summary>Wrong and right uses of bpf(2), with the errno of Linux 6.18; where the host allows it, the host is asked too.</summary>
public sealed unsafe partial class FacadeErrnoTests
{
    /// <summary>A call: command, attributes by offset, and what it returns (fds are only checked to be positive).</summary>
    public sealed record Case(string Name, BpfCommand Command, int Expected, params (int Offset, object Value)[] Fields)
    {
        public int Size { get; init; } = 144;

        public override string ToString() => Name;
    }

    // Stand-ins for what differs between the two sides.
    private const string Hash = "hash", Frozen = "frozen", Buffer = "buffer", Text = "text";

    private static Case[] All { get; } =
    [
        new("no such command", (BpfCommand)99, -22),
        new("map type 0", BpfCommand.BPF_MAP_CREATE, -22),
        new("hash", BpfCommand.BPF_MAP_CREATE, 1, (0, 1u), (4, 4u), (8, 8u), (12, 4u)),
        new("hash without key", BpfCommand.BPF_MAP_CREATE, -22, (0, 1u), (8, 8u), (12, 4u)),
        new("hash without entries", BpfCommand.BPF_MAP_CREATE, -22, (0, 1u), (4, 4u), (8, 8u)),
        new("array with 8-byte key", BpfCommand.BPF_MAP_CREATE, -22, (0, 2u), (4, 8u), (8, 8u), (12, 4u)),
        new("unknown map type", BpfCommand.BPF_MAP_CREATE, -22, (0, 77u), (4, 4u), (8, 8u), (12, 4u)),
        new("read-only and write-only", BpfCommand.BPF_MAP_CREATE, -22, (0, 1u), (4, 4u), (8, 8u), (12, 4u), (16, 24u)),
        new("unknown map flag", BpfCommand.BPF_MAP_CREATE, -22, (0, 1u), (4, 4u), (8, 8u), (12, 4u), (16, 1u << 25)),
        new("map_extra of a hash", BpfCommand.BPF_MAP_CREATE, -22, (0, 1u), (4, 4u), (8, 8u), (12, 4u), (64, 1ul)),
        new("name with a blank", BpfCommand.BPF_MAP_CREATE, -22, (0, 1u), (4, 4u), (8, 8u), (12, 4u), (28, (uint)'a' | (uint)' ' << 8)),
        new("btf key without value", BpfCommand.BPF_MAP_CREATE, -22, (0, 1u), (4, 4u), (8, 8u), (12, 4u), (52, 1u)),
        new("bad btf fd", BpfCommand.BPF_MAP_CREATE, -9, (0, 1u), (4, 4u), (8, 8u), (12, 4u), (48, 999u), (52, 1u), (56, 1u)),
        new("array of maps without inner", BpfCommand.BPF_MAP_CREATE, -9, (0, 12u), (4, 4u), (8, 4u), (12, 4u), (20, 999u)),
        new("bytes behind the last field", BpfCommand.BPF_MAP_CREATE, -22, (0, 1u), (4, 4u), (8, 8u), (12, 4u), (120, 1u)),
        new("bytes behind the union", BpfCommand.BPF_MAP_CREATE, -7, (0, 1u), (4, 4u), (8, 8u), (12, 4u), (200, 1u)) { Size = 256 },
        new("lookup bad fd", BpfCommand.BPF_MAP_LOOKUP_ELEM, -9, (0, 999u)),
        new("lookup missing", BpfCommand.BPF_MAP_LOOKUP_ELEM, -2, (0, Hash), (8, Buffer), (16, Buffer)),
        new("lookup unknown flag", BpfCommand.BPF_MAP_LOOKUP_ELEM, -22, (0, Hash), (8, Buffer), (16, Buffer), (24, 1ul)),
        new("lookup with lock, no lock", BpfCommand.BPF_MAP_LOOKUP_ELEM, -22, (0, Hash), (8, Buffer), (16, Buffer), (24, 4ul)),
        new("lookup without key", BpfCommand.BPF_MAP_LOOKUP_ELEM, -14, (0, Hash), (16, Buffer)),
        new("update EXIST missing", BpfCommand.BPF_MAP_UPDATE_ELEM, -2, (0, Hash), (8, Buffer), (16, Buffer), (24, 2ul)),
        new("update flag 9", BpfCommand.BPF_MAP_UPDATE_ELEM, -22, (0, Hash), (8, Buffer), (16, Buffer), (24, 9ul)),
        new("update frozen", BpfCommand.BPF_MAP_UPDATE_ELEM, -1, (0, Frozen), (8, Buffer), (16, Buffer)),
        new("update without value", BpfCommand.BPF_MAP_UPDATE_ELEM, -14, (0, Hash), (8, Buffer)),
        new("delete missing", BpfCommand.BPF_MAP_DELETE_ELEM, -2, (0, Hash), (8, Buffer)),
        new("delete frozen", BpfCommand.BPF_MAP_DELETE_ELEM, -1, (0, Frozen), (8, Buffer)),
        new("delete with value", BpfCommand.BPF_MAP_DELETE_ELEM, -22, (0, Hash), (8, Buffer), (16, Buffer)),
        new("next key of an empty map", BpfCommand.BPF_MAP_GET_NEXT_KEY, -2, (0, Hash), (16, Buffer)),
        new("lookup and delete missing", BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_ELEM, -2, (0, Hash), (8, Buffer), (16, Buffer)),
        new("freeze frozen", BpfCommand.BPF_MAP_FREEZE, -1, (0, Frozen)),
        new("freeze bad fd", BpfCommand.BPF_MAP_FREEZE, -9, (0, 999u)),
        new("load without insns", BpfCommand.BPF_PROG_LOAD, -7, (0, 1u), (16, Text)),
        new("load too many insns", BpfCommand.BPF_PROG_LOAD, -7, (0, 1u), (4, 1000001u), (8, Buffer), (16, Text)),
        new("load unknown flag", BpfCommand.BPF_PROG_LOAD, -22, (0, 1u), (4, 1u), (8, Buffer), (16, Text), (44, 1u << 12)),
        new("load log level without buffer", BpfCommand.BPF_PROG_LOAD, -22, (0, 1u), (4, 1u), (8, Buffer), (16, Text), (28, 100u)),
        new("load btf id for a socket filter", BpfCommand.BPF_PROG_LOAD, -22, (0, 1u), (4, 1u), (8, Buffer), (16, Text), (108, 1u)),
        new("load bad program", BpfCommand.BPF_PROG_LOAD, -22, (0, 1u), (4, 1u), (8, Buffer), (16, Text)),
        new("pin bad fd", BpfCommand.BPF_OBJ_PIN, -22, (0, Text), (8, 999u)),
        new("pin flags", BpfCommand.BPF_OBJ_PIN, -22, (0, Text), (8, Hash), (12, 1u)),
        new("get with an fd", BpfCommand.BPF_OBJ_GET, -22, (0, Text), (8, 3u)),
        new("test run bad fd", BpfCommand.BPF_PROG_TEST_RUN, -9, (0, 999u)),
        new("test run of a map", BpfCommand.BPF_PROG_TEST_RUN, -22, (0, Hash)),
        new("next id of a huge id", BpfCommand.BPF_MAP_GET_NEXT_ID, -22, (0, 0x7fffffffu)),
        new("fd of no program", BpfCommand.BPF_PROG_GET_FD_BY_ID, -2, (0, 0x7ffffff0u)),
        new("fd of no map", BpfCommand.BPF_MAP_GET_FD_BY_ID, -2, (0, 0x7ffffff0u)),
        new("map fd with bad flags", BpfCommand.BPF_MAP_GET_FD_BY_ID, -22, (0, 1u), (8, 1u)),
        new("info bad fd", BpfCommand.BPF_OBJ_GET_INFO_BY_FD, -77, (0, 999u)),
        new("raw tracepoint bad fd", BpfCommand.BPF_RAW_TRACEPOINT_OPEN, -9, (0, Text), (8, 999u)),
        new("btf of nonsense", BpfCommand.BPF_BTF_LOAD, -22, (0, Buffer), (16, 64u)),
        new("btf too large", BpfCommand.BPF_BTF_LOAD, -7, (0, Buffer), (16, 0x2000000u)),
        new("link bad fd", BpfCommand.BPF_LINK_CREATE, -9, (0, 999u)),
        new("link update bad fd", BpfCommand.BPF_LINK_UPDATE, -9, (0, 999u)),
        new("link update flag", BpfCommand.BPF_LINK_UPDATE, -22, (0, 999u), (8, 1u)),
        new("link detach bad fd", BpfCommand.BPF_LINK_DETACH, -9, (0, 999u)),
        new("link detach of a map", BpfCommand.BPF_LINK_DETACH, -22, (0, Hash)),
        new("bind bad fd", BpfCommand.BPF_PROG_BIND_MAP, -9, (0, 999u), (4, Hash)),
        new("bind flags", BpfCommand.BPF_PROG_BIND_MAP, -22, (0, 999u), (8, 1u)),
        new("stats of an unknown type", BpfCommand.BPF_ENABLE_STATS, -22, (0, 7u)),
        new("batch bad fd", BpfCommand.BPF_MAP_LOOKUP_BATCH, -9, (36, 999u)),
        new("batch of an empty map", BpfCommand.BPF_MAP_LOOKUP_BATCH, -2, (8, Buffer), (16, Buffer), (24, Buffer), (32, 4u), (36, Hash)),
        new("batch with unknown flags", BpfCommand.BPF_MAP_LOOKUP_BATCH, -22, (8, Buffer), (16, Buffer), (24, Buffer), (32, 4u), (36, Hash), (48, 1ul)),
    ];

    public static TheoryData<string> Names => [.. All.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void TheFacadeAnswersAsLinuxDoes(string name)
    {
        Case wanted = All.Single(c => c.Name == name);
        Assert.Null(Check(wanted, (command, attr) => s_machine.Bpf.Bpf((int)command, attr)));
    }

    [HostKernelFact]
    public void TheHostAgrees()
    {
        Assert.All(All, wanted => Assert.Null(Check(wanted, Host)));
    }

    private static readonly Machine s_machine = new(new MachineSpec());

    private delegate int Call(BpfCommand command, Span<byte> attr);

    private static string? Check(Case wanted, Call call)
    {
        int hash = Map(call), frozen = Map(call);
        var freeze = new byte[8];
        BinaryPrimitives.WriteInt32LittleEndian(freeze, frozen);
        Assert.Equal(0, call(BpfCommand.BPF_MAP_FREEZE, freeze));
        var attr = new byte[wanted.Size];
        byte* buffer = (byte*)NativeMemory.AllocZeroed(4096), text = (byte*)NativeMemory.AllocZeroed(64);
        "GPL"u8.CopyTo(new Span<byte>(text, 64));
        foreach ((int offset, object value) in wanted.Fields)
        {
            switch (value)
            {
                case uint number: BinaryPrimitives.WriteUInt32LittleEndian(attr.AsSpan(offset), number); break;
                case ulong number: BinaryPrimitives.WriteUInt64LittleEndian(attr.AsSpan(offset), number); break;
                case Hash: BinaryPrimitives.WriteInt32LittleEndian(attr.AsSpan(offset), hash); break;
                case Frozen: BinaryPrimitives.WriteInt32LittleEndian(attr.AsSpan(offset), frozen); break;
                case Buffer: BinaryPrimitives.WriteUInt64LittleEndian(attr.AsSpan(offset), (ulong)buffer); break;
                default: BinaryPrimitives.WriteUInt64LittleEndian(attr.AsSpan(offset), (ulong)text); break;
            }
        }
        int result = call(wanted.Command, attr);
        NativeMemory.Free(buffer);
        NativeMemory.Free(text);
        bool good = wanted.Expected > 0 ? result > 0 : wanted.Expected == result;
        return good ? null : $"{wanted.Name}: {(Errno)(-wanted.Expected)} expected, {(result < 0 ? (Errno)(-result) : result)} returned";
    }

    private static int Map(Call call)
    {
        var attr = new byte[72];
        attr[0] = 1;
        attr[4] = 4;
        attr[8] = 8;
        attr[12] = 4;
        int fd = call(BpfCommand.BPF_MAP_CREATE, attr);
        Assert.True(fd > 0);
        return fd;
    }

    private static int Host(BpfCommand command, Span<byte> attr)
    {
        fixed (byte* pointer = attr)
        {
            long result = Syscall(321, (long)command, (long)pointer, attr.Length);
            return result < 0 ? -Marshal.GetLastPInvokeError() : (int)result;
        }
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long Syscall(long number, long a, long b, long c);
}
