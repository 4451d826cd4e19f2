using System.Globalization;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Libbpf;

/// <summary>
/// Load flags that a program asks for in its source by
/// <c>__attribute__((btf_decl_tag("comment:test_prog_flags=BPF_F_…")))</c>, the convention of loaders that test programs.
/// </summary>
internal static class LoadFlagTags
{
    private const string Prefix = "comment:test_prog_flags=";

    private static readonly Dictionary<string, uint> s_flags = new()
    {
        ["BPF_F_STRICT_ALIGNMENT"] = 1 << 0, ["BPF_F_ANY_ALIGNMENT"] = 1 << 1, ["BPF_F_TEST_RND_HI32"] = 1 << 2,
        ["BPF_F_TEST_STATE_FREQ"] = 1 << 3, ["BPF_F_SLEEPABLE"] = 1 << 4, ["BPF_F_XDP_HAS_FRAGS"] = 1 << 5,
        ["BPF_F_TEST_REG_INVARIANTS"] = 1 << 7,
    };

    /// <summary>The flags on the program's function, 0 if there are none. A name with <c>!</c> in front takes a flag back.</summary>
    public static uint Of(ProgramSpec program)
    {
        uint flags = 0;
        if (program.Btf?.Find(program.Name, BtfKind.Func) is not { } function) return flags;
        foreach (BtfDeclTag tag in function.Btf.DeclTags(function.Id))
        {
            if (tag.ComponentIndex != -1 || !tag.Text.StartsWith(Prefix, StringComparison.Ordinal)) continue;
            string name = tag.Text[Prefix.Length..];
            bool remove = name.StartsWith('!');
            if (remove) name = name[1..];
            if (!s_flags.TryGetValue(name, out uint flag)) _ = uint.TryParse(name, NumberStyles.Integer, CultureInfo.InvariantCulture, out flag);
            flags = remove ? flags & ~flag : flags | flag;
        }
        return flags;
    }
}
