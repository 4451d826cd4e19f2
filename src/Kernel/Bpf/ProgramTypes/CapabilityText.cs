using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>Capabilities as users write and read them.</summary>
public static class CapabilityText
{
    private static readonly (string Name, Capabilities Value)[] s_names =
    [
        ("bpf", Capabilities.Bpf), ("perfmon", Capabilities.Perfmon), ("net_admin", Capabilities.NetAdmin), ("sys_admin", Capabilities.SysAdmin),
    ];

    /// <summary>Reads a list such as <c>bpf,net_admin</c> (<c>cap_</c> may stand before each; <c>none</c>, and <c>all</c>, too).</summary>
    /// <exception cref="FormatException">A name is unknown.</exception>
    public static Capabilities Parse(string? list)
    {
        if (list is null or "all") return Capabilities.All;
        Capabilities all = Capabilities.None;
        foreach (string part in list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            string name = part.StartsWith("cap_", StringComparison.OrdinalIgnoreCase) ? part[4..] : part;
            if (name.Equals("none", StringComparison.OrdinalIgnoreCase)) continue;
            int row = Array.FindIndex(s_names, n => n.Name.Equals(name, StringComparison.OrdinalIgnoreCase));
            if (row < 0) throw new FormatException($"unknown capability '{part}': use {string.Join(", ", s_names.Select(n => n.Name))}, none or all");
            all |= s_names[row].Value;
        }

        return all;
    }

    /// <summary>The kernel's names: <c>CAP_BPF and CAP_NET_ADMIN</c>.</summary>
    public static string Names(Capabilities capabilities) =>
        string.Join(" and ", s_names.Where(n => (capabilities & n.Value) != 0).Select(n => $"CAP_{n.Name.ToUpperInvariant()}"));
}
