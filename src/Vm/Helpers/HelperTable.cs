using System.Collections.Frozen;

namespace BpfSim.Vm.Helpers;

/// <summary>The helpers that a simulated kernel offers, by id and by name.</summary>
public sealed class HelperTable
{
    private readonly FrozenDictionary<int, HelperPrototype> _byId;
    private readonly FrozenDictionary<string, HelperPrototype> _byName;

    /// <summary>Builds a table; ids and names must be unique.</summary>
    public HelperTable(IEnumerable<HelperPrototype> rows)
    {
        var list = rows.ToList();
        _byId = list.ToFrozenDictionary(h => h.Id);
        _byName = list.ToFrozenDictionary(h => h.Name);
    }

    /// <summary>A table without helpers.</summary>
    public static HelperTable Empty { get; } = new([]);

    /// <summary>All rows.</summary>
    public IEnumerable<HelperPrototype> Rows => _byId.Values;

    /// <summary>The helper with this id, or null.</summary>
    public HelperPrototype? Find(int id) => _byId.GetValueOrDefault(id);

    /// <summary>The helper with this kernel name, or null.</summary>
    public HelperPrototype? Find(string name) => _byName.GetValueOrDefault(name);
}
