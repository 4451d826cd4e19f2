using System.Collections.Concurrent;

namespace BpfSim.Kernel.Attach;

/// <summary>
/// Addresses of kernel functions and variables: from the name alone, so that they are the same in every run. All lie in
/// the kernel's text (0xffffffff81000000 and up), 16-byte aligned, 4 KiB apart at most in density.
/// </summary>
public static class KernelSymbols
{
    private const ulong TextStart = 0xffffffff81000000, TextSize = 0x01600000;
    private static readonly ConcurrentDictionary<string, ulong> s_byName = new();
    private static readonly ConcurrentDictionary<ulong, string> s_byAddress = new();

    /// <summary>The address of a function.</summary>
    public static ulong AddressOf(string name) => s_byName.GetOrAdd(name, static n =>
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (char c in n) hash = (hash ^ c) * 0x100000001b3;
        ulong address = TextStart + (hash % TextSize & ~15ul);
        // Two names on one spot: the later one moves on. Order matters only for names that collide.
        while (!s_byAddress.TryAdd(address, n) && s_byAddress[address] != n) address += 16;
        return address;
    });

    /// <summary>The function that an address lies in, as <c>name+0xoffset</c>; null if none is known near it.</summary>
    public static string? NameOf(ulong address)
    {
        for (ulong offset = 0; offset < 4096; offset++)
        {
            if (s_byAddress.TryGetValue(address - offset, out string? name)) return offset == 0 ? name : $"{name}+0x{offset:x}";
        }
        return null;
    }
}
