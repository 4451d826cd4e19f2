using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using BpfSim.Kernel.Bpf;
using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Libbpf;

/// <summary>A map of a <see cref="BpfObject"/>: before loading its definition, which may be changed; afterwards the live map.</summary>
public sealed class BpfObjectMap
{
    private MapSpec _spec;
    private byte[]? _content;
    private BpfSyscall? _bpf;

    internal BpfObjectMap(MapSpec spec) => _spec = spec;

    /// <summary>The definition as it stands.</summary>
    public MapSpec Spec => _spec;

    /// <summary>The map's name.</summary>
    public string Name => _spec.Name;

    /// <summary>Capacity in entries (ring buffers: bytes); settable before loading.</summary>
    public uint MaxEntries
    {
        get => _spec.MaxEntries;
        set => Change(_spec with { MaxEntries = value });
    }

    /// <summary>Value size in bytes; settable before loading.</summary>
    public uint ValueSize
    {
        get => _spec.ValueSize;
        set => Change(_spec with { ValueSize = value });
    }

    /// <summary>Key size in bytes; settable before loading.</summary>
    public uint KeySize
    {
        get => _spec.KeySize;
        set => Change(_spec with { KeySize = value });
    }

    /// <summary>False leaves the map out; programs that reach a use of it are refused.</summary>
    public bool AutoCreate { get; set; } = true;

    /// <summary>The descriptor, -1 before loading.</summary>
    public int Fd { get; private set; } = -1;

    /// <summary>The live map.</summary>
    /// <exception cref="InvalidOperationException">The object is not loaded.</exception>
    public BpfMap Live => _bpf?.FindMap(Fd)?.Map ?? throw new InvalidOperationException($"map '{Name}' is not loaded");

    /// <summary>
    /// Sets a variable of global data (.rodata, .data, .bss) before loading, by its C name: how tools pass
    /// their options to their programs.
    /// </summary>
    /// <exception cref="KeyNotFoundException">The section has no such variable.</exception>
    /// <exception cref="ArgumentException">The bytes are not as many as the variable has.</exception>
    public void SetVariable(string name, ReadOnlySpan<byte> bytes)
    {
        BtfVarSecInfo variable = FindVariable(name);
        if (bytes.Length != variable.Size) throw new ArgumentException($"variable '{name}' has {variable.Size} bytes, not {bytes.Length}", nameof(bytes));
        bytes.CopyTo(Content().AsSpan((int)variable.Offset));
    }

    /// <summary>Sets a variable of global data before loading; see <see cref="SetVariable(string, ReadOnlySpan{byte})"/>.</summary>
    public void SetVariable<T>(string name, T value) where T : unmanaged =>
        SetVariable(name, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));

    /// <summary>Reads a variable of global data: its first value before loading, the live one afterwards.</summary>
    public T GetVariable<T>(string name) where T : unmanaged
    {
        BtfVarSecInfo variable = FindVariable(name);
        byte[] content = Content();
        if (Fd >= 0) Live.Lookup(stackalloc byte[4], content = new byte[_spec.ValueSize]);
        return MemoryMarshal.Read<T>(content.AsSpan((int)variable.Offset, (int)variable.Size));
    }

    /// <summary>All keys with their values, as user space reads them one by one.</summary>
    public IEnumerable<KeyValuePair<byte[], byte[]>> Entries()
    {
        BpfMap map = Live;
        byte[] key = [], next = new byte[map.Spec.KeySize];
        while (map.GetNextKey(key, next) == 0)
        {
            byte[] value = new byte[map.UserValueSize];
            if (map.Lookup(next, value) == 0) yield return new(next, value);
            key = next;
            next = new byte[map.Spec.KeySize];
        }
    }

    /// <summary>As <see cref="Entries()"/>, keys and values as numbers or structs laid out like the program's.</summary>
    /// <exception cref="InvalidOperationException">A type is not as large as the map's keys or values.</exception>
    public IEnumerable<KeyValuePair<TKey, TValue>> Entries<TKey, TValue>() where TKey : unmanaged where TValue : unmanaged
    {
        CheckSize<TKey>("key", (int)Live.Spec.KeySize);
        CheckSize<TValue>("value", (int)Live.UserValueSize);
        return Entries().Select(e => new KeyValuePair<TKey, TValue>(MemoryMarshal.Read<TKey>(e.Key), MemoryMarshal.Read<TValue>(e.Value)));
    }

    /// <summary>The value under a key as a number or struct laid out like the program's, null if there is none.</summary>
    /// <exception cref="InvalidOperationException">A type is not as large as the map's keys or values.</exception>
    public TValue? Lookup<TKey, TValue>(TKey key) where TKey : unmanaged where TValue : unmanaged
    {
        CheckSize<TKey>("key", (int)Live.Spec.KeySize);
        CheckSize<TValue>("value", (int)Live.UserValueSize);
        return Lookup(MemoryMarshal.AsBytes(new ReadOnlySpan<TKey>(in key))) is { } value ? MemoryMarshal.Read<TValue>(value) : null;
    }

    /// <summary>The value under a key, null if there is none.</summary>
    public byte[]? Lookup(ReadOnlySpan<byte> key)
    {
        byte[] value = new byte[Live.UserValueSize];
        return Live.Lookup(key, value) == 0 ? value : null;
    }

    internal void GivePlainSize() => Change(MapFixups.WithPlainSize(_spec));

    internal MapSpec SpecForLoad(uint cpus)
    {
        MapSpec spec = MapFixups.ForLoad(_spec, cpus);
        return _content == null ? spec : spec with { InitialValues = new Dictionary<uint, byte[]>(spec.InitialValues) { [0] = _content } };
    }

    internal void Loaded(BpfSyscall bpf, int fd)
    {
        _bpf = bpf;
        Fd = fd;
    }

    internal void Unloaded()
    {
        _bpf = null;
        Fd = -1;
    }

    private void Change(MapSpec spec)
    {
        if (Fd >= 0) throw new InvalidOperationException($"map '{Name}' is loaded already");
        _spec = spec;
    }

    private void CheckSize<T>(string what, int size) where T : unmanaged
    {
        if (Unsafe.SizeOf<T>() != size) throw new InvalidOperationException($"a {what} of map '{Name}' has {size} bytes, a {typeof(T).Name} {Unsafe.SizeOf<T>()}");
    }

    private byte[] Content() => _content ??= _spec.InitialValues.TryGetValue(0, out byte[]? first) ? [.. first] : new byte[_spec.ValueSize];

    private BtfVarSecInfo FindVariable(string name)
    {
        if (_spec.Btf is BtfData btf && _spec.BtfValueTypeId != 0 && btf[_spec.BtfValueTypeId].Kind == BtfKind.Datasec)
        {
            foreach (BtfVarSecInfo variable in btf[_spec.BtfValueTypeId].Variables)
                if (btf[variable.TypeId].Name == name) return variable;
        }
        throw new KeyNotFoundException($"no variable '{name}' in map '{Name}'");
    }
}
