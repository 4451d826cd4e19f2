using System.Globalization;
using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>
/// Programs and whole objects as assembler text that assembles again: jump targets become labels, maps and
/// data directives.
/// </summary>
public static class ProgramText
{
    /// <summary>Instructions alone, a line each, with labels where jumps and calls lead.</summary>
    public static string Of(Insn[] insns, InsnNames? names = null)
    {
        var text = new StringBuilder();
        Append(text, insns, new TextNames(names ?? InsnNames.None, new Dictionary<int, string>(), _ => null));
        return text.ToString();
    }

    /// <summary>A whole object. Type information and CO-RE relocations are not part of the text; a comment says so.</summary>
    public static string Of(ObjectSpec spec, InsnNames? names = null)
    {
        var text = new StringBuilder();
        if (spec.License.Length > 0) text.Append(CultureInfo.InvariantCulture, $".license {Quote(spec.License)}\n");
        if (spec.KernelVersion != 0) text.Append(CultureInfo.InvariantCulture, $".version 0x{spec.KernelVersion:x}\n");
        var data = new Dictionary<string, string>();
        foreach (MapSpec map in spec.Maps)
            if (DataSection(map) is { } section) data[map.Name] = section.TrimStart('.').Replace('.', '_');
        foreach (MapSpec map in spec.Maps.Where(m => !data.ContainsKey(m.Name) && m.Section != ".kconfig")) AppendMap(text, map);
        foreach (KconfigExtern setting in spec.Kconfig) text.Append(ExternDeclaration.Text(setting)).Append('\n');
        foreach (ExternReference kfunc in spec.Programs.SelectMany(p => p.Externs).Where(e => e.Kind == ExternKind.Kfunc).DistinctBy(e => e.Name))
            if (spec.Btf is { } btf) text.Append(ExternDeclaration.Text(kfunc.Name, btf[kfunc.TypeId], kfunc.Weak)).Append('\n');
        foreach (MapSpec map in spec.Maps.Where(m => data.ContainsKey(m.Name))) AppendData(text, map, data[map.Name]);
        foreach (IGrouping<string, ProgramSpec> section in spec.Programs.GroupBy(p => p.Section))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n.section {Quote(section.Key)}\n");
            foreach (ProgramSpec program in section)
            {
                text.Append(CultureInfo.InvariantCulture, $".func {program.Name}\n");
                if (program.CoreRelocations.Count > 0) text.Append("    ; CO-RE relocations are not part of this text\n");
                var programNames = new TextNames(names ?? InsnNames.None, program.MapReferences, name => data.GetValueOrDefault(name))
                {
                    Settings = spec.Kconfig,
                    SettingsMap = spec.FindMap(".kconfig")?.Name,
                    Externs = program.Externs.ToDictionary(e => e.InsnOff, e => e.Name),
                };
                Append(text, program.Insns, programNames);
            }
        }

        return text.ToString();
    }

    private static void Append(StringBuilder text, Insn[] insns, TextNames names)
    {
        bool[] second = InsnChecks.SecondHalves(insns);
        SortedDictionary<int, string> labels = Labels(insns, second, names);
        for (int slot = 0; slot < insns.Length; slot++)
        {
            if (second[slot]) continue;
            if (labels.TryGetValue(slot, out string? label)) text.Append(CultureInfo.InvariantCulture, $"{label}:\n");
            text.Append("    ").Append(Line(insns, slot, names, labels)).Append('\n');
        }
    }

    /// <summary>The text of one instruction; bytes where the text would not assemble to the same instruction.</summary>
    private static string Line(Insn[] insns, int slot, TextNames names, SortedDictionary<int, string> labels)
    {
        Insn insn = insns[slot];
        if (!insn.IsLdImm64 && names.Externs.TryGetValue(slot, out string? kfunc)) return $"call {kfunc}";
        int slots = insn.IsLdImm64 && slot + 1 < insns.Length ? 2 : 1;
        bool plain = InsnChecks.Encoding(insns, slot) is null && InsnChecks.Reserved(insn) is null
            && !(insn.IsExit && insn.Off != 0) && !(insn.IsKfuncCall && insn.Off != 0);
        if (!plain) return string.Join("\n    ", Enumerable.Range(slot, slots).Select(at => ".insn " + Convert.ToHexString(Insn.ToBytes([insns[at]])).ToLowerInvariant().InPairs()));
        string text = Disassembler.Text(insns, slot, names);
        if (InsnChecks.Target(insn, slot) is not { } target || !labels.TryGetValue((int)target, out string? label)) return text;
        if (insn.IsLdImm64) return $"r{insn.Dst} = &{label}";
        return insn.IsLocalCall ? $"call {label}" : text[..text.LastIndexOf("pc", StringComparison.Ordinal)] + label;
    }

    private static SortedDictionary<int, string> Labels(Insn[] insns, bool[] second, TextNames names)
    {
        var labels = new SortedDictionary<int, string>();
        for (int slot = 0; slot < insns.Length; slot++)
        {
            if (second[slot] || names.Externs.ContainsKey(slot) || InsnChecks.Target(insns[slot], slot) is not { } target || target < 0 || target >= insns.Length || second[(int)target]) continue;
            bool function = insns[slot].IsLocalCall || insns[slot].IsLdImm64;
            if (function || !labels.ContainsKey((int)target)) labels[(int)target] = function ? $"f{target}" : $"l{target}";
        }

        return labels;
    }

    private static void AppendMap(StringBuilder text, MapSpec map)
    {
        text.Append(CultureInfo.InvariantCulture, $".map {map.Name} {MapTypes.Find(map.Type)?.Name ?? ((uint)map.Type).ToString(CultureInfo.InvariantCulture)} key={map.KeySize} value={map.ValueSize} entries={map.MaxEntries}");
        if (map.Flags != 0) text.Append(CultureInfo.InvariantCulture, $" flags=0x{map.Flags:x}");
        if (map.MapExtra != 0) text.Append(CultureInfo.InvariantCulture, $" extra={map.MapExtra}");
        if (map.PinByName) text.Append(" pin");
        if (map.InnerMap is { } inner) text.Append(CultureInfo.InvariantCulture, $" inner={map.Name}_inner");
        text.Append('\n');
        if (map.InnerMap is not null) AppendMap(text, map.InnerMap with { Name = map.Name + "_inner" });
    }

    private static void AppendData(StringBuilder text, MapSpec map, string symbol)
    {
        byte[] bytes = map.InitialValues.TryGetValue(0, out byte[]? value) ? value : new byte[map.ValueSize];
        text.Append(CultureInfo.InvariantCulture, $"\n.section {DataSection(map)}\n{symbol}:\n");
        if (Array.TrueForAll(bytes, b => b == 0)) text.Append(CultureInfo.InvariantCulture, $"    .zero {bytes.Length}\n");
        else foreach (byte[] row in bytes.Chunk(16)) text.Append(CultureInfo.InvariantCulture, $"    .u8 {string.Join(", ", row.Select(b => $"0x{b:x2}"))}\n");
    }

    private static string? DataSection(MapSpec map) =>
        map.Section is { } name && (name is ".data" or ".rodata" or ".bss" || name.StartsWith(".data.", StringComparison.Ordinal)
            || name.StartsWith(".rodata.", StringComparison.Ordinal) || name.StartsWith(".bss.", StringComparison.Ordinal)) ? name : null;

    private static string Quote(string text) => $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";

    private static string InPairs(this string hex) => string.Join(' ', hex.Chunk(2).Select(pair => new string(pair)));

    /// <summary>Names of maps and data for 64-bit loads, on top of the caller's names.</summary>
    private sealed class TextNames(InsnNames names, IReadOnlyDictionary<int, string> maps, Func<string, string?> symbolOfData) : InsnNames
    {
        /// <summary>Settings of the kernel, and the name of the map that they lie in.</summary>
        public IReadOnlyList<KconfigExtern> Settings { get; init; } = [];

        public string? SettingsMap { get; init; }

        /// <summary>Names of the kernel's functions and variables by the slot that refers to them.</summary>
        public Dictionary<int, string> Externs { get; init; } = [];

        public override string? Helper(int id) => names.Helper(id);

        public override string? Kfunc(int id, int btfIndex) => names.Kfunc(id, btfIndex);

        public override string? Load64(int slot, Insn first, Insn second)
        {
            if (Externs.TryGetValue(slot, out string? symbol)) return $"&{symbol}";
            if (!maps.TryGetValue(slot, out string? map)) return names.Load64(slot, first, second);
            if (map == SettingsMap && Settings.Where(k => k.Offset == second.Imm).Select(k => k.Name).FirstOrDefault() is { } setting) return $"&{setting}";
            if (symbolOfData(map) is { } data) return second.Imm == 0 ? $"&{data}" : $"&{data}{second.Imm.ToString("+0;-0", CultureInfo.InvariantCulture)}";
            return first.Src == (int)PseudoSource.MapValue ? $"map[{map}][0]+{(uint)second.Imm}" : $"map[{map}]";
        }
    }
}
