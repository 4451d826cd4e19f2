using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using BpfSim.Agent.Config;

namespace BpfSim.Agent.Decoders;

/// <summary>What flows from one decoder to the next: the bytes of the key first, text after a decoder has made some.</summary>
/// <param name="Bytes">The bytes; UTF-8 where they are text.</param>
/// <param name="IsText">Whether a decoder made text of them.</param>
internal readonly record struct Decoded(byte[] Bytes, bool IsText);

/// <summary>One step from bytes to a label value.</summary>
/// <returns>The value, or null: the whole series is to be left out.</returns>
/// <exception cref="DecodeException">The input cannot be decoded.</exception>
internal delegate Decoded? LabelDecoder(Decoded input);

/// <summary>A key or value that a decoder cannot make sense of.</summary>
public sealed class DecodeException(string message) : Exception(message);

/// <summary>The decoders by the names that ebpf_exporter gives them: the one place where a decoder is added.</summary>
internal static class DecoderTable
{
    private static readonly SortedDictionary<string, Func<DecoderConfig, KernelNames, LabelDecoder>> s_rows = new(StringComparer.Ordinal)
    {
        ["cgroup"] = (_, names) => Named(names.Cgroup, "unknown_cgroup_id:"),
        ["dname"] = (_, _) => Dname,
        ["errno"] = (_, _) => Named(n => NumberNames.Errnos.GetValueOrDefault(n), "unknown:"),
        ["hex"] = (_, _) => input => Text(Convert.ToHexStringLower(input.Bytes)),
        ["ifname"] = (_, names) => Named(n => names.Interface((uint)n), "unknown:"),
        ["inet_ip"] = (_, _) => InetIp,
        ["kstack"] = (_, names) => input => Kstack(input, names),
        ["ksym"] = (_, names) => input => Text(names.Symbol(Number(input)) ?? $"unknown_addr:0x{Number(input):x}"),
        ["majorminor"] = (_, names) => input => MajorMinor(input, names),
        ["pci_class"] = (_, _) => Pci((ids, n) => ids.Class(n)),
        ["pci_device"] = (_, _) => Pci((ids, n) => ids.Device(n)),
        ["pci_subclass"] = (_, _) => Pci((ids, n) => ids.Subclass(n)),
        ["pci_vendor"] = (_, _) => Pci((ids, n) => ids.Vendor(n)),
        ["regexp"] = Regexp,
        ["static_map"] = StaticMap,
        ["string"] = (_, _) => input => Text(input.Bytes.TakeWhile(b => b != 0).ToArray()),
        ["syscall"] = (_, _) => Named(n => NumberNames.Syscalls.GetValueOrDefault(n), "unknown_syscall:"),
        ["uint"] = (_, _) => input => input.Bytes.Length is 1 or 2 or 4 or 8
            ? Text(LittleEndian(input.Bytes).ToString(CultureInfo.InvariantCulture))
            : throw new DecodeException($"uint takes 1, 2, 4 or 8 bytes, not {input.Bytes.Length}"),
    };

    /// <summary>The known names, sorted.</summary>
    public static IReadOnlyCollection<string> Names => s_rows.Keys;

    /// <summary>The decoder of a configuration's row.</summary>
    public static LabelDecoder Create(DecoderConfig config, KernelNames names) => s_rows[config.Name](config, names);

    private static Decoded? Text(string text) => new Decoded(Encoding.UTF8.GetBytes(text), true);

    private static Decoded? Text(byte[] text) => new Decoded(text, true);

    private static LabelDecoder Named(Func<ulong, string?> find, string unknown) => input =>
    {
        ulong number = Number(input);
        return Text(find(number) ?? $"{unknown}{number}");
    };

    /// <summary>A number from decimal text, or from up to 8 bytes of the key.</summary>
    private static ulong Number(Decoded input)
    {
        if (!input.IsText)
            return input.Bytes.Length is > 0 and <= 8 ? LittleEndian(input.Bytes)
                : throw new DecodeException($"a number takes 1 to 8 bytes, not {input.Bytes.Length}");
        string text = Encoding.UTF8.GetString(input.Bytes);
        if (ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value)) return value;
        return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long signed)
            ? unchecked((ulong)signed)
            : throw new DecodeException($"'{text}' is not a number");
    }

    private static ulong LittleEndian(ReadOnlySpan<byte> bytes)
    {
        Span<byte> padded = stackalloc byte[8];
        padded.Clear();
        bytes.CopyTo(padded);
        return BinaryPrimitives.ReadUInt64LittleEndian(padded);
    }

    /// <summary>A DNS name as it stands in a packet: length, characters, length, … What is none stays as it is.</summary>
    private static Decoded? Dname(Decoded input)
    {
        byte[] bytes = input.Bytes;
        StringBuilder name = new();
        int at = 0;
        while (at < bytes.Length && bytes[at] != 0)
        {
            int length = bytes[at];
            if (length > 63 || at + 1 + length > bytes.Length) return Text(bytes);
            if (name.Length > 0) name.Append('.');
            name.Append(Encoding.Latin1.GetString(bytes, at + 1, length));
            at += 1 + length;
        }
        return Text(name.Length == 0 ? "." : name.ToString());
    }

    private static Decoded? InetIp(Decoded input) => input.Bytes.Length is 4 or 16
        ? Text(new IPAddress(input.Bytes) is { IsIPv4MappedToIPv6: true } mapped ? mapped.MapToIPv4().ToString() : new IPAddress(input.Bytes).ToString())
        : throw new DecodeException($"inet_ip takes 4 or 16 bytes, not {input.Bytes.Length}");

    private static Decoded? Kstack(Decoded input, KernelNames names)
    {
        if (input.Bytes.Length % 8 != 0) throw new DecodeException($"kstack takes a multiple of 8 bytes, not {input.Bytes.Length}");
        List<string> frames = [];
        for (int at = 0; at < input.Bytes.Length; at += 8)
        {
            ulong address = BinaryPrimitives.ReadUInt64LittleEndian(input.Bytes.AsSpan(at));
            if (address == 0) break;
            frames.Add(names.Symbol(address) ?? "??");
        }
        return Text(string.Join('\n', frames));
    }

    /// <summary>The form in which user space sees a dev_t: minor bits 0–7 and 20–31, major bits 8–19.</summary>
    private static Decoded? MajorMinor(Decoded input, KernelNames names)
    {
        if (!input.IsText && input.Bytes.Length < 4) throw new DecodeException($"majorminor takes 4 bytes, not {input.Bytes.Length}");
        uint device = (uint)(input.IsText ? Number(input) : BinaryPrimitives.ReadUInt32LittleEndian(input.Bytes));
        uint major = (device >> 8) & 0xfff, minor = (device & 0xff) | ((device >> 12) & 0xfff00);
        return Text(names.BlockDevice(major, minor) ?? $"unknown:{major}:{minor}");
    }

    private static LabelDecoder Pci(Func<PciIds, uint, string> name) => input =>
        Text(PciIds.System is { } ids ? name(ids, (uint)Number(input)) : "missing pci.ids db");

    /// <summary>Lets through what matches one of the patterns, or its first group; anything else drops the series.</summary>
    private static LabelDecoder Regexp(DecoderConfig config, KernelNames names)
    {
        Regex[] patterns = [.. config.Regexps.Select(p => new Regex(p, RegexOptions.NonBacktracking))];
        return input =>
        {
            string text = Encoding.UTF8.GetString(input.Bytes);
            foreach (Regex pattern in patterns)
            {
                if (pattern.Match(text) is not { Success: true } match) continue;
                return match.Groups.Count > 1 ? Text(match.Groups[1].Value) : Text(input.Bytes);
            }
            return null;
        };
    }

    private static LabelDecoder StaticMap(DecoderConfig config, KernelNames names)
    {
        Dictionary<string, string> map = new(config.StaticMap);
        foreach ((string key, string value) in config.StaticMap)
            if (key.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
                && ulong.TryParse(key.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong number))
                map.TryAdd(number.ToString(CultureInfo.InvariantCulture), value);
        return input =>
        {
            string text = Encoding.UTF8.GetString(input.Bytes);
            if (map.Count == 0) return Text("empty mapping");
            return map.TryGetValue(text, out string? value) ? Text(value) : config.AllowUnknown ? Text(input.Bytes) : Text($"unknown:{text}");
        };
    }
}
