namespace BpfSim.Vm.Helpers;

/// <summary>The helpers that a simulated kernel offers, by id and by name.</summary>
public sealed class HelperTable
{
    private readonly HelperPrototype[] _rows;
    private readonly HelperPrototype?[] _byId;
    private readonly Dictionary<string, HelperPrototype> _byName = [];

    /// <summary>Builds a table; ids and names must be unique.</summary>
    public HelperTable(IEnumerable<HelperPrototype> rows)
    {
        _rows = [.. rows];
        int last = -1;
        foreach (HelperPrototype row in _rows) last = Math.Max(last, row.Id);
        _byId = new HelperPrototype?[last + 1];
        foreach (HelperPrototype row in _rows)
        {
            if (_byId[row.Id] != null) throw new ArgumentException($"two helpers have the id {row.Id}", nameof(rows));
            _byId[row.Id] = row;
            _byName.Add(row.Name, row);
        }
    }

    /// <summary>A table without helpers.</summary>
    public static HelperTable Empty { get; } = new([]);

    /// <summary>All rows.</summary>
    public IEnumerable<HelperPrototype> Rows => _rows;

    /// <summary>The helper with this id, or null.</summary>
    public HelperPrototype? Find(int id) => (uint)id < (uint)_byId.Length ? _byId[id] : null;

    /// <summary>The helper with this kernel name, or null.</summary>
    public HelperPrototype? Find(string name) => _byName.GetValueOrDefault(name);
}
