using BpfSim.Kernel.Bpf;
using BpfSim.Maps;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Libbpf;

/// <summary>
/// An object file in the hands of a loader, as in libbpf: opened, perhaps changed (map sizes, constants, which
/// programs to load), loaded into a machine, attached.
/// <code>
/// using var obj = BpfObject.Open("opensnoop.bpf.o");
/// obj.Map("events").MaxEntries = 64 * 1024;
/// obj.Load(machine);
/// obj.Attach();
/// </code>
/// Disposing it detaches and unloads everything.
/// </summary>
public sealed class BpfObject : IDisposable
{
    private readonly List<BpfObjectMap> _maps = [];
    private readonly List<BpfObjectProgram> _programs = [];
    private ObjectLoader? _loader;

    private BpfObject(ObjectSpec spec)
    {
        Spec = spec;
        foreach (MapSpec map in spec.Maps) _maps.Add(new BpfObjectMap(map));
        foreach (Vm.Programs.ProgramSpec program in spec.Programs) _programs.Add(new BpfObjectProgram(program));
    }

    /// <summary>Opens an object file, or assembles a text (<c>*.s</c>).</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="ObjectException">It is not a BPF object.</exception>
    public static BpfObject Open(string path) => new(ObjectSource.Open(path));

    /// <summary>Opens an object from its bytes; the name begins the names of its global-data maps.</summary>
    /// <exception cref="ObjectException">The bytes are not a BPF object.</exception>
    public static BpfObject Open(ReadOnlyMemory<byte> bytes, string name) => new(ObjectFile.Parse(bytes, name, SectionTable.All));

    /// <summary>Takes a specification from elsewhere, such as the assembler.</summary>
    public static BpfObject From(ObjectSpec spec) => new(spec);

    /// <summary>What the file says.</summary>
    public ObjectSpec Spec { get; }

    /// <summary>The object's name.</summary>
    public string Name => Spec.Name;

    /// <summary>The maps, in the order of the file.</summary>
    public IReadOnlyList<BpfObjectMap> Maps => _maps;

    /// <summary>The programs, in the order of the file.</summary>
    public IReadOnlyList<BpfObjectProgram> Programs => _programs;

    /// <summary>
    /// Called for each program that is refused, which then is left out; null lets the first refusal fail the load,
    /// as libbpf does.
    /// </summary>
    public Action<BpfObjectProgram, BpfObjectException>? ProgramRefused { get; set; }

    /// <summary>Gives maps that a tool would size at run time a plain size, so that the object loads without its tool.</summary>
    public void GiveMapsPlainSizes()
    {
        foreach (BpfObjectMap map in _maps) map.GivePlainSize();
    }

    /// <summary>The machine that the object is loaded into, null before <see cref="Load"/>.</summary>
    public Machine? Machine { get; private set; }

    /// <summary>The map with this name; global data is also found by its section (<c>.rodata</c>).</summary>
    /// <exception cref="KeyNotFoundException">There is none; the message lists those there are.</exception>
    public BpfObjectMap Map(string name) => FindMap(name)
        ?? throw new KeyNotFoundException($"no map '{name}' in object '{Name}'; it has {string.Join(", ", _maps.Select(m => m.Name))}");

    /// <summary>The map with this name, or null.</summary>
    public BpfObjectMap? FindMap(string name) => _maps.Find(m => m.Name == name) ?? _maps.Find(m => m.Spec.Section == name);

    /// <summary>The program with this name.</summary>
    /// <exception cref="KeyNotFoundException">There is none; the message lists those there are.</exception>
    public BpfObjectProgram Program(string name) => _programs.Find(p => p.Name == name)
        ?? throw new KeyNotFoundException($"no program '{name}' in object '{Name}'; it has {string.Join(", ", _programs.Select(p => p.Name))}");

    /// <summary>Creates the maps and loads the programs that are wanted, all through the machine's bpf(2).</summary>
    /// <exception cref="BpfObjectException">Something was refused; nothing stays loaded.</exception>
    /// <exception cref="InvalidOperationException">The object is loaded already.</exception>
    public void Load(Machine machine)
    {
        if (_loader != null) throw new InvalidOperationException($"object '{Name}' is loaded already");
        var loader = new ObjectLoader(this, machine);
        try
        {
            loader.Load();
        }
        catch
        {
            loader.Unload();
            throw;
        }
        _loader = loader;
        Machine = machine;
    }

    /// <summary>Attaches every loaded program that names a target in its section.</summary>
    /// <exception cref="BpfObjectException">A program could not be attached.</exception>
    public void Attach()
    {
        foreach (BpfObjectProgram program in _programs)
            if (program.IsLoaded && program.CanAttach) program.Attach();
    }

    /// <summary>Detaches and unloads everything.</summary>
    public void Dispose()
    {
        _loader?.Unload();
        _loader = null;
    }
}
