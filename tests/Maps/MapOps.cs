using BpfSim.Kernel.Host;

namespace BpfSim.Maps.Tests;

public enum OpKind { Lookup, Update, Delete, LookupAndDelete, NextKey, Peek, Pop }

/// <summary>One operation of user space on a small key space, so that keys meet.</summary>
public readonly record struct MapOp(OpKind Kind, int Key, byte Fill, ulong Flags)
{
    public override string ToString() => $"{Kind}({Key}, {Fill:x2}, flags {Flags})";
}

/// <summary>Runs operations on a map of the simulation or of the host's kernel, and says what came out as text.</summary>
internal abstract class MapDriver(MapSpec spec, uint cpus)
{
    private uint ValueSize { get; } = MapTypes.Get(spec.Type).IsPerCpu ? ((spec.ValueSize + 7) & ~7u) * cpus : spec.ValueSize;

    public string Run(MapOp op)
    {
        var key = KeyOf(op.Key);
        var value = new byte[ValueSize];
        var errno = 0;
        switch (op.Kind)
        {
            case OpKind.Lookup:
                if (spec.Type == MapType.BloomFilter) value.AsSpan().Fill(op.Fill);
                errno = Lookup(key, value, op.Flags & 0xc);
                break;
            case OpKind.Update:
                value.AsSpan().Fill(op.Fill);
                errno = Update(key, value, op.Flags);
                break;
            case OpKind.Delete:
                errno = Delete(key);
                break;
            case OpKind.LookupAndDelete:
                errno = LookupAndDelete(key, value, op.Flags & 0xc);
                break;
            case OpKind.NextKey:
                var next = new byte[spec.KeySize];
                errno = NextKey(op.Key < 0 ? [] : key, next);
                value = next;
                break;
        }

        // The padding behind a per-CPU value is nobody's; the kernel copies what its memory holds.
        if (errno == 0 && MapTypes.Get(spec.Type).IsPerCpu && op.Kind is OpKind.Lookup or OpKind.LookupAndDelete)
            for (var i = 0; i < value.Length; i++)
                if (i % ((spec.ValueSize + 7) & ~7u) >= spec.ValueSize) value[i] = 0;
        var shows = errno == 0 && op.Kind is OpKind.Lookup or OpKind.LookupAndDelete or OpKind.NextKey;
        return shows && errno == 0 ? Convert.ToHexString(value) : ((Errno)(-errno)).ToString();
    }

    public byte[] KeyOf(int key)
    {
        var bytes = new byte[spec.KeySize];
        if (spec.Type == MapType.LpmTrie)
        {
            // The low bits choose a prefix length, the others the leading bytes.
            BitConverter.TryWriteBytes(bytes, (key & 15) * 2);
            bytes[4] = (byte)(key >> 4 << 5);
            bytes[5] = (byte)(key >> 7);
        }
        else if (bytes.Length > 0) bytes[0] = (byte)key;
        if (bytes.Length > 4 && spec.Type != MapType.LpmTrie) bytes[^1] = (byte)(key * 7);
        return bytes;
    }

    public abstract int Lookup(byte[] key, byte[] value, ulong flags);
    public abstract int Update(byte[] key, byte[] value, ulong flags);
    public abstract int Delete(byte[] key);
    public abstract int LookupAndDelete(byte[] key, byte[] value, ulong flags);
    public abstract int NextKey(byte[] key, byte[] next);
}

internal sealed class SimulatedMap(BpfMap map) : MapDriver(map.Spec, map.Cpus)
{
    public override int Lookup(byte[] key, byte[] value, ulong flags) => map.Lookup(key, value, flags);
    public override int Update(byte[] key, byte[] value, ulong flags) => map.Update(key, value, flags);
    public override int Delete(byte[] key) => map.Delete(key);
    public override int LookupAndDelete(byte[] key, byte[] value, ulong flags) => map.LookupAndDelete(key, value, flags);
    public override int NextKey(byte[] key, byte[] next) => map.GetNextKey(key, next);
}

internal sealed class HostMap(MapSpec spec, uint cpus, int fd) : MapDriver(spec, cpus)
{
    public override int Lookup(byte[] key, byte[] value, ulong flags) => HostKernel.LookupMap(fd, key, value, flags);
    public override int Update(byte[] key, byte[] value, ulong flags) => HostKernel.UpdateMap(fd, key, value, flags);
    public override int Delete(byte[] key) => HostKernel.DeleteMap(fd, key);
    public override int LookupAndDelete(byte[] key, byte[] value, ulong flags) => HostKernel.LookupAndDeleteMap(fd, key, value, flags);
    public override int NextKey(byte[] key, byte[] next) => HostKernel.NextKey(fd, key, next);

    /// <summary>Possible CPUs of the host.</summary>
    public static uint PossibleCpus => uint.Parse(File.ReadAllText("/sys/devices/system/cpu/possible").Trim().Split('-')[^1]) + 1;

    /// <summary>The accounted memory of a map.</summary>
    public static ulong Memlock(int fd) => ulong.Parse(File.ReadLines($"/proc/self/fdinfo/{fd}").First(l => l.StartsWith("memlock:"))[8..].Trim());
}
