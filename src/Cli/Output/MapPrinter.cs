using System.Text;
using System.Text.Json.Nodes;
using BpfSim.Kernel.Bpf;
using BpfSim.Maps;

namespace BpfSim.Cli.Output;

/// <summary>Maps as bpftool prints them, plain and as JSON.</summary>
internal static class MapPrinter
{
    /// <summary><c>bpftool map show</c>.</summary>
    public static void Show(TextWriter output, MapObject map)
    {
        MapSpec spec = map.Map.Spec;
        output.Write($"{map.Id}: {TypeName(spec)}  ");
        if (map.Name.Length > 0) output.Write($"name {map.Name}  ");
        output.Write($"flags 0x{spec.Flags:x}\n\tkey {spec.KeySize}B  value {spec.ValueSize}B  max_entries {spec.MaxEntries}  memlock {map.Map.MemoryBytes}B\n");
        if (map.Btf != null) output.Write($"\tbtf_id {map.Btf.Id}{(map.Map.Frozen ? "  frozen" : "")}\n");
        else if (map.Map.Frozen) output.Write("\tfrozen\n");
    }

    /// <summary><c>bpftool -j map show</c>.</summary>
    public static JsonObject ShowJson(MapObject map)
    {
        MapSpec spec = map.Map.Spec;
        JsonObject json = new() { ["id"] = map.Id, ["type"] = TypeName(spec) };
        if (map.Name.Length > 0) json["name"] = map.Name;
        json["flags"] = spec.Flags;
        json["bytes_key"] = spec.KeySize;
        json["bytes_value"] = spec.ValueSize;
        json["max_entries"] = spec.MaxEntries;
        json["bytes_memlock"] = map.Map.MemoryBytes;
        json["frozen"] = map.Map.Frozen ? 1 : 0;
        if (map.Btf != null) json["btf_id"] = map.Btf.Id;
        return json;
    }

    /// <summary><c>bpftool map dump</c>.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="map">The map.</param>
    /// <param name="skipZero">Leaves out elements of arrays that are all zero.</param>
    /// <param name="atMost">Prints no more elements than this and says how many there are.</param>
    public static void Dump(TextWriter output, MapObject map, bool skipZero = false, int atMost = int.MaxValue)
    {
        int found = 0, shown = 0;
        foreach ((byte[] key, byte[] value) in Entries(map))
        {
            found++;
            if (shown >= atMost || (skipZero && IsArray(map) && value.All(b => b == 0))) continue;
            shown++;
            if (IsPerCpu(map)) PerCpu(output, map, key, value);
            else Entry(output, key, value);
        }
        string hidden = shown < found ? $" ({shown} shown)" : "";
        output.Write($"Found {found} element{(found == 1 ? "" : "s")}{hidden}\n");
    }

    /// <summary><c>bpftool map dump</c> of a map with BTF, by its types; of one without, its bytes.</summary>
    public static void DumpTyped(TextWriter output, MapObject map)
    {
        if (!IsTyped(map))
        {
            Dump(output, map);
            return;
        }
        var json = new JsonText(pretty: true);
        json.Begin('[');
        foreach ((byte[] key, byte[] value) in Entries(map)) Formatted(json, map, key, value);
        json.End(']');
        output.Write(json.ToString() + "\n");
    }

    private static bool IsTyped(MapObject map) => map.Btf != null && map.Map.Spec.BtfValueTypeId != 0;

    /// <summary>Key and value by their types; global data has no key.</summary>
    private static void Formatted(JsonText json, MapObject map, byte[] key, byte[] value)
    {
        MapSpec spec = map.Map.Spec;
        var printer = new BtfValuePrinter(map.Btf!.Data, json);
        json.Begin('{');
        if (spec.BtfKeyTypeId != 0)
        {
            json.Name("key");
            printer.Print(spec.BtfKeyTypeId, key);
        }
        if (IsPerCpu(map))
        {
            json.Name("values");
            json.Begin('[');
            foreach ((int cpu, byte[] one) in Split(map, value))
            {
                json.Begin('{');
                json.Name("cpu");
                json.Raw(cpu.ToString(System.Globalization.CultureInfo.InvariantCulture));
                json.Name("value");
                printer.Print(spec.BtfValueTypeId, one);
                json.End('}');
            }
            json.End(']');
        }
        else
        {
            json.Name("value");
            printer.Print(spec.BtfValueTypeId, value);
        }
        json.End('}');
    }

    /// <summary><c>bpftool -j map dump</c>.</summary>
    public static JsonArray DumpJson(MapObject map)
    {
        JsonArray elements = [];
        foreach ((byte[] key, byte[] value) in Entries(map))
        {
            JsonObject element = new() { ["key"] = Hex(key) };
            if (IsPerCpu(map))
            {
                JsonArray values = [];
                foreach ((int cpu, byte[] one) in Split(map, value)) values.Add(new JsonObject { ["cpu"] = cpu, ["value"] = Hex(one) });
                element["values"] = values;
            }
            else
            {
                element["value"] = Hex(value);
            }
            if (IsTyped(map))
            {
                var json = new JsonText(pretty: false);
                Formatted(json, map, key, value);
                element["formatted"] = JsonNode.Parse(json.ToString());
            }
            elements.Add(element);
        }
        return elements;
    }

    private static string TypeName(MapSpec spec) => MapTypes.Find(spec.Type)?.Name ?? $"type {(uint)spec.Type}";

    private static bool IsPerCpu(MapObject map) => MapTypes.Find(map.Map.Spec.Type)?.IsPerCpu == true;

    private static bool IsArray(MapObject map) => map.Map.Spec.Type is MapType.Array or MapType.PercpuArray;

    private static IEnumerable<(byte[] Key, byte[] Value)> Entries(MapObject map)
    {
        byte[] key = [], next = new byte[map.Map.Spec.KeySize];
        while (next.Length > 0 && map.Map.GetNextKey(key, next) == 0)
        {
            key = [.. next];
            byte[] value = new byte[map.UserValueSize];
            if (map.Map.Lookup(key, value) == 0) yield return (key, value);
        }
    }

    private static IEnumerable<(int Cpu, byte[] Value)> Split(MapObject map, byte[] value)
    {
        int size = (int)map.Map.Spec.ValueSize, stride = (size + 7) & ~7;
        for (int cpu = 0; cpu < map.Map.Cpus; cpu++) yield return (cpu, value.AsSpan(cpu * stride, size).ToArray());
    }

    private static void Entry(TextWriter output, byte[] key, byte[] value)
    {
        bool breakNames = key.Length > 16 || value.Length > 16, singleLine = key.Length + value.Length <= 24 && !breakNames;
        char after = breakNames ? '\n' : ' ';
        output.Write($"key:{after}{Bytes(key)}{(singleLine ? "  " : "\n")}value:{after}{Bytes(value)}\n");
    }

    private static void PerCpu(TextWriter output, MapObject map, byte[] key, byte[] value)
    {
        output.Write($"key:\n{Bytes(key)}\n");
        foreach ((int cpu, byte[] one) in Split(map, value))
            output.Write($"value (CPU {cpu:00}):{(map.Map.Spec.ValueSize > 16 ? '\n' : ' ')}{Bytes(one)}\n");
    }

    /// <summary>Hex bytes: two spaces between groups of 8, a line for each 16.</summary>
    private static string Bytes(byte[] bytes)
    {
        StringBuilder text = new();
        for (int i = 0; i < bytes.Length; i++)
        {
            if (i > 0) text.Append(i % 16 == 0 ? "\n" : i % 8 == 0 ? "  " : " ");
            text.Append(bytes[i].ToString("x2", System.Globalization.CultureInfo.InvariantCulture));
        }
        return text.ToString();
    }

    private static JsonArray Hex(byte[] bytes) => [.. bytes.Select(b => (JsonNode)$"0x{b:x2}")];
}
