using System.Globalization;

namespace BpfSim.Agent.Decoders;

/// <summary>The PCI id database of the system, read when first asked for.</summary>
internal sealed class PciIds
{
    private static readonly string[] s_places = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids"];
    private static readonly Lazy<PciIds?> s_system = new(ReadSystem);
    private readonly Dictionary<uint, string> _vendors = [], _devices = [], _classes = [], _subclasses = [];

    /// <summary>The system's database, or null where none is installed.</summary>
    public static PciIds? System => s_system.Value;

    /// <summary>Reads the format of pci.ids: vendors and classes at the margin, what belongs to them one tab in.</summary>
    public static PciIds Parse(TextReader reader)
    {
        PciIds result = new();
        uint outer = 0;
        bool inClass = false;
        while (reader.ReadLine() is { } line)
        {
            if (line.Length == 0 || line[0] == '#' || line.StartsWith("\t\t", StringComparison.Ordinal)) continue;
            bool nested = line[0] == '\t', isClass = line.StartsWith("C ", StringComparison.Ordinal);
            string body = nested ? line[1..] : isClass ? line[2..] : line;
            int space = body.IndexOf("  ", StringComparison.Ordinal);
            if (space <= 0 || !uint.TryParse(body.AsSpan(0, space), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint id))
                continue;
            string name = body[(space + 2)..];
            if (!nested)
            {
                (outer, inClass) = (id, isClass);
                (isClass ? result._classes : result._vendors)[id] = name;
            }
            else if (inClass) result._subclasses[outer << 8 | id] = name;
            else result._devices.TryAdd(outer << 16 | id, name);
        }
        return result;
    }

    /// <summary>Name of a vendor.</summary>
    public string Vendor(uint id) => _vendors.GetValueOrDefault(id) ?? $"unknown pci vendor: 0x{id:x4}";

    /// <summary>Name of a device: vendor in the high, device in the low 16 bits.</summary>
    public string Device(uint id) => _devices.GetValueOrDefault(id) ?? $"unknown pci device: 0x{id:x4}";

    /// <summary>Name of a class.</summary>
    public string Class(uint id) => _classes.GetValueOrDefault(id) ?? $"unknown pci class: 0x{id:x2}";

    /// <summary>Name of a subclass: class in the high byte.</summary>
    public string Subclass(uint id) => _subclasses.GetValueOrDefault(id)
        ?? (_classes.ContainsKey(id >> 8)
            ? $"unknown pci subclass: 0x{id & 0xff:x2} (class 0x{id >> 8:x2})"
            : Class(id >> 8));

    private static PciIds? ReadSystem()
    {
        try
        {
            if (s_places.FirstOrDefault(File.Exists) is not { } path) return null;
            using StreamReader reader = File.OpenText(path);
            return Parse(reader);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
