using System.Text;
using BpfSim.Maps;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>Map types by the names that bpftool gives them, which are those of <see cref="MapType"/> in snake case.</summary>
internal static class MapNames
{
    private static readonly Dictionary<string, MapType> ByName = Enum.GetValues<MapType>().ToDictionary(NameOf);

    public static MapType? Find(string name) => ByName.TryGetValue(name.ToLowerInvariant(), out MapType type) ? type : null;

    public static string NameOf(MapType type)
    {
        var name = new StringBuilder();
        foreach (char c in type.ToString())
        {
            if (char.IsUpper(c) && name.Length > 0) name.Append('_');
            name.Append(char.ToLowerInvariant(c));
        }

        return name.ToString();
    }
}
