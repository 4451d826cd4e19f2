using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using BpfSim.Kernel.Bpf;
using BpfSim.Maps;

namespace BpfSim.Kernel.Tests.Bpf;

/// <summary>One line of tests/data/bpf/errno.txt: a call of bpf(2) and what it returns. The file's head explains the form.</summary>
internal sealed partial record SyscallCase(int Line, BpfCommand Command, string Text, int Size, IReadOnlyList<(string Place, string Value)> Fields, string Expected)
{
    public delegate int Call(BpfCommand command, Span<byte> attr);

    private static readonly Dictionary<string, (int Offset, int Size)> s_fields = [];

    /// <summary>Reads the file.</summary>
    public static IReadOnlyList<SyscallCase> Read(string path)
    {
        var cases = new List<SyscallCase>();
        Dictionary<string, (int, int)> fields = s_fields;
        string[] lines = File.ReadAllLines(path);
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].Trim();
            if (line.Length == 0 || line[0] == '#' || line.StartsWith("bpf(", StringComparison.Ordinal)) continue;
            if (line.StartsWith("layout ", StringComparison.Ordinal))
            {
                string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                foreach (string field in words[2..])
                {
                    string[] parts = field.Split(':');
                    foreach (string command in words[1].Split('|'))
                        fields[$"{command} {parts[0]}"] = (int.Parse(parts[1], CultureInfo.InvariantCulture), int.Parse(parts[2], CultureInfo.InvariantCulture));
                }
                continue;
            }
            string[] halves = line.Split("->");
            string[] tokens = Token().Matches(halves[0]).Select(m => m.Value).ToArray();
            int size = 168;
            var values = new List<(string, string)>();
            foreach (string token in tokens[1..])
            {
                int equals = token.IndexOf('=');
                if (token.StartsWith("size=", StringComparison.Ordinal)) size = int.Parse(token[5..], CultureInfo.InvariantCulture);
                else values.Add((token[..equals], token[(equals + 1)..]));
            }
            BpfCommand command2 = Enum.TryParse("BPF_" + tokens[0], out BpfCommand known) ? known : (BpfCommand)int.Parse(tokens[0], CultureInfo.InvariantCulture);
            cases.Add(new SyscallCase(i + 1, command2, halves[0].Trim(), size, values, halves.Length > 1 ? halves[1].Trim() : "?"));
        }
        return cases;
    }

    /// <summary>Makes the call; the answer as the file writes it.</summary>
    public unsafe string Run(SyscallObjects objects)
    {
        var attr = new byte[Size];
        Span<byte> bytes = stackalloc byte[8];
        foreach ((string place, string value) in Fields)
        {
            (int offset, int size) = place[0] == '+' ? (int.Parse(place[1..], CultureInfo.InvariantCulture), 1)
                : s_fields.TryGetValue($"{Command.ToString()["BPF_".Length..]} {place}", out var found) ? found
                : throw new FormatException($"line {Line}: unknown field {place}");
            ulong number = value[0] switch
            {
                '@' => (ulong)(uint)objects.Fd(value[1..]),
                '&' => objects.Memory(value[1..]),
                '"' => objects.String(value.Trim('"')),
                _ => value.StartsWith("0x", StringComparison.Ordinal) ? ulong.Parse(value.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture)
                    : value[0] == '-' ? (ulong)long.Parse(value, CultureInfo.InvariantCulture) : ulong.Parse(value, CultureInfo.InvariantCulture),
            };
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, number);
            if (size > 8) Encoding.ASCII.GetBytes(objects.Text(number)).CopyTo(attr, offset);
            else bytes[..Math.Min(size, attr.Length - offset)].CopyTo(attr.AsSpan(offset));
        }
        int result = objects.Do(Command, attr);
        return result < 0 ? ((Errno)(-result)).ToString() : result == 0 ? "0" : "fd";
    }

    [GeneratedRegex("""(?:"[^"]*"|[^\s"])+""")]
    private static partial Regex Token();
}

/// <summary>What the calls of one case refer to, made anew for each through the same door.</summary>
internal sealed unsafe class SyscallObjects(SyscallCase.Call call, Action<int> close) : IDisposable
{
    private readonly List<int> _fds = [];
    private readonly List<nint> _memory = [];
    private readonly Dictionary<string, ulong> _named = [];
    private readonly Dictionary<string, int> _byName = [];

    public int Do(BpfCommand command, Span<byte> attr)
    {
        int result = call(command, attr);
        if (result > 0) _fds.Add(result);
        return result;
    }

    /// <summary>The descriptor of the object with this name; see the head of the data file.</summary>
    public int Fd(string name)
    {
        if (_byName.TryGetValue(name, out int known)) return known;
        int fd = name switch
        {
            "hash" => Map(1, 4, 8, 4),
            "array" => Map(2, 4, 8, 4),
            "percpu" => Map(6, 4, 8, 4),
            "stack" => Map(23, 0, 8, 4),
            "bloom" => Map(30, 0, 8, 4),
            "ring" => Map(27, 0, 0, 4096),
            "lru" => Map(9, 4, 8, 4),
            "trie" => Map(11, 8, 8, 4, 1),
            "progs" => Map(3, 4, 4, 4),
            "perfs" => Map(4, 4, 4, 4),
            "stacks" => Map(7, 4, 8, 4),
            "rdonly" => Map(1, 4, 8, 4, 8),
            "wronly" => Map(1, 4, 8, 4, 16),
            "outer" => Map(12, 4, 4, 4, 0, Fd("array")),
            "frozen" => Frozen(),
            "btf" => Btf(),
            "lock" => Map(1, 4, 8, 4, 0, 0, Fd("btf"), 1, 4),
            "prog" => Program(1, 0),
            "kprobe" => Program(2, 0),
            "cls" => Program(3, 0),
            "tp" => Program(5, 0),
            "xdp" => Program(6, 0),
            "perf_event" => Program(7, 0),
            "cgroup_skb" => Program(8, 0),
            "sockops" => Program(13, 0),
            "sk_skb" => Program(14, 0),
            "rawtp" => Program(17, 0),
            "flow" => Program(22, 0),
            "multi" => Program(2, 42),
            "umulti" => Program(2, 48),
            "syscall" => Program(31, 0, 16),
            "netfilter" => Program(32, 45),
            _ => throw new FormatException($"unknown object @{name}"),
        };
        if (fd <= 0) throw new InvalidOperationException($"@{name}: {fd}");
        return _byName[name] = fd;
    }

    /// <summary>The address of named memory: 64 KiB of zeros, or instructions.</summary>
    public ulong Memory(string name)
    {
        if (_named.TryGetValue(name, out ulong known)) return known;
        byte[] content = name switch
        {
            "insns" => [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0],
            "bad_insns" => [0xbf, 0x20, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0],
            "one" => [1, 0, 0, 0],
            "nine" => [9, 0, 0, 0],
            "fd_none" => BitConverter.GetBytes(999),
            "minus" => [0xff, 0xff, 0xff, 0xff],
            "fd_prog" => BitConverter.GetBytes(Fd("prog")),
            "fd_kprobe" => BitConverter.GetBytes(Fd("kprobe")),
            "fd_array" => BitConverter.GetBytes(Fd("array")),
            "fd_hash" => BitConverter.GetBytes(Fd("hash")),
            "btf_bytes" => BtfBytes,
            "btf_cut" => BtfBytes[..^5],
            "func0" => [0, 0, 0, 0, 6, 0, 0, 0],
            "func1" => [1, 0, 0, 0, 6, 0, 0, 0],
            "func_int" => [0, 0, 0, 0, 1, 0, 0, 0],
            "func_none" => [0, 0, 0, 0, 99, 0, 0, 0],
            "line0" => [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 4, 0, 0],
            "line1" => [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 4, 0, 0],
            "line9" => [9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 4, 0, 0],
            "line_bad_name" => [0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0, 1, 4, 0, 0],
            "line_twice" => [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 4, 0, 0],
            "ones" => [.. Enumerable.Repeat((byte)0xff, 4096)],
            "trie_key" => [64, 0, 0, 0, 1, 2, 3, 4],
            _ when name.StartsWith("buf", StringComparison.Ordinal) => new byte[65536],
            _ => throw new FormatException($"unknown memory &{name}"),
        };
        return _named[name] = Place(content, Math.Max(content.Length, 65536));
    }

    private readonly Dictionary<ulong, string> _texts = [];

    /// <summary>The address of a NUL-terminated text.</summary>
    public ulong String(string text)
    {
        ulong address = Place(Encoding.UTF8.GetBytes(text), text.Length + 1);
        _texts[address] = text;
        return address;
    }

    /// <summary>The text at an address that <see cref="String"/> gave.</summary>
    public string Text(ulong address) => _texts[address];

    private ulong Place(byte[] content, int room)
    {
        byte* at = (byte*)NativeMemory.AllocZeroed((nuint)room);
        content.CopyTo(new Span<byte>(at, room));
        _memory.Add((nint)at);
        return (ulong)at;
    }

    private int Map(uint type, uint key, uint value, uint entries, uint flags = 0, int inner = 0, int btf = 0, uint keyType = 0, uint valueType = 0)
    {
        var attr = new byte[72];
        uint[] head = [type, key, value, entries, flags, (uint)inner];
        for (int i = 0; i < head.Length; i++) BinaryPrimitives.WriteUInt32LittleEndian(attr.AsSpan(4 * i), head[i]);
        BinaryPrimitives.WriteInt32LittleEndian(attr.AsSpan(48), btf);
        BinaryPrimitives.WriteUInt32LittleEndian(attr.AsSpan(52), keyType);
        BinaryPrimitives.WriteUInt32LittleEndian(attr.AsSpan(56), valueType);
        return Do(BpfCommand.BPF_MAP_CREATE, attr);
    }

    private int Frozen()
    {
        int fd = Map(2, 4, 8, 4);
        var attr = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(attr, fd);
        Do(BpfCommand.BPF_MAP_FREEZE, attr);
        return fd;
    }

    private int Program(uint type, uint attachType, uint flags = 0)
    {
        var attr = new byte[128];
        BinaryPrimitives.WriteUInt32LittleEndian(attr, type);
        attr[4] = 2;
        BinaryPrimitives.WriteUInt64LittleEndian(attr.AsSpan(8), Memory("insns"));
        BinaryPrimitives.WriteUInt64LittleEndian(attr.AsSpan(16), String("GPL"));
        BinaryPrimitives.WriteUInt32LittleEndian(attr.AsSpan(44), flags);
        BinaryPrimitives.WriteUInt32LittleEndian(attr.AsSpan(68), attachType);
        return Do(BpfCommand.BPF_PROG_LOAD, attr);
    }

    private int Btf()
    {
        var attr = new byte[32];
        BinaryPrimitives.WriteUInt64LittleEndian(attr, Memory("btf_bytes"));
        BinaryPrimitives.WriteUInt32LittleEndian(attr.AsSpan(16), (uint)BtfBytes.Length);
        return Do(BpfCommand.BPF_BTF_LOAD, attr);
    }

    /// <summary>[1] int; [2] struct bpf_spin_lock { int val; }; [3] → 1; [4] struct { bpf_spin_lock lock; int x; }; [5] int f(void); [6] func f; [7] func static.</summary>
    public static byte[] BtfBytes { get; } = BuildBtf();

    private static byte[] BuildBtf()
    {
        const string names = "\0int\0bpf_spin_lock\0val\0value\0lock\0x\0f\0";
        uint Name(string name) => (uint)names.IndexOf("\0" + name + "\0", StringComparison.Ordinal) + 1;
        uint[] types =
        [
            Name("int"), 1u << 24, 4, 1u << 24 | 32,
            Name("bpf_spin_lock"), 4u << 24 | 1, 4, Name("val"), 1, 0,
            0, 2u << 24, 1,
            Name("value"), 4u << 24 | 2, 8, Name("lock"), 2, 0, Name("x"), 1, 32,
            0, 13u << 24, 1,
            Name("f"), 12u << 24 | 1, 5,
        ];
        uint[] header = [0x0001eb9f, 24, 0, (uint)types.Length * 4, (uint)types.Length * 4, (uint)names.Length];
        return [.. MemoryMarshal.AsBytes<uint>(header), .. MemoryMarshal.AsBytes<uint>(types), .. Encoding.ASCII.GetBytes(names)];
    }

    public void Dispose()
    {
        foreach (int fd in _fds.Distinct()) close(fd);
        foreach (nint memory in _memory) NativeMemory.Free((void*)memory);
    }
}
