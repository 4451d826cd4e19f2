using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Memory;
using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// What BPF_ITER_CREATE opens: a file whose reading runs an iterator program for each object of its target and once
/// more without one, and gives what the program wrote. Objects are those there are at the first read.
/// </summary>
public sealed unsafe class BpfIterator : KernelObject
{
    private static ulong s_sessions;

    private readonly BpfLink _link;
    private readonly IteratorTargets _targets;
    private readonly TestBench _bench;
    private readonly ulong _meta;
    private readonly ulong _session = Interlocked.Increment(ref s_sessions);
    private readonly Queue<byte> _pending = new();
    private List<IteratorElement>? _elements;
    private int _next;
    private ulong _sequence;

    internal BpfIterator(BpfLink link, IteratorTargets targets, TestBench bench)
    {
        _link = link;
        link.Get();
        _targets = targets;
        _bench = bench;
        _meta = targets.NewMeta();
    }

    /// <summary>read(2): bytes read, 0 at the end, -EAGAIN if the program asks for the same object again, -E2BIG if one run writes more than 32 KiB.</summary>
    internal int Read(Span<byte> buffer)
    {
        _elements ??= _targets.List(_link);
        while (_pending.Count == 0 && _next <= _elements.Count)
        {
            int error = Step();
            if (error != 0) return error;
        }
        int count = Math.Min(buffer.Length, _pending.Count);
        for (int i = 0; i < count; i++) buffer[i] = _pending.Dequeue();
        return count;
    }

    /// <summary>Runs the program once: for the next object, or for the end.</summary>
    private int Step()
    {
        IteratorElement element = _next < _elements!.Count ? _elements[_next] : default;
        _targets.WriteMeta(_meta, _session, _sequence);
        var output = new SeqBuffer();
        ulong* context = stackalloc ulong[4];
        fixed (byte* key = element.Key, value = element.Value)
        {
            context[0] = _meta;
            context[1] = element.Object;
            context[2] = (ulong)key;
            context[3] = (ulong)value;
            // The map stays in sight at the end, the element does not.
            if (_next == _elements.Count && _link.IterMap != null) context[1] = _targets.MapAddress(_link.IterMap);
            _bench.Cpu.SeqOutput = output;
            var attr = new TestRunAttr();
            int error = _bench.Run(_link.Program, context, attr, null);
            _bench.Cpu.SeqOutput = null;
            if (error != 0) return error;
            if (output.Overflowed) return -(int)Errno.E2BIG;
            if (attr.Retval != 0) return -(int)Errno.EAGAIN;
        }
        if (element.Key is { } elementKey && element.Value is { } changed) _link.IterMap!.Map.Update(elementKey, changed, 2);
        foreach (byte b in output.ToArray()) _pending.Enqueue(b);
        _next++;
        _sequence++;
        return 0;
    }

    /// <inheritdoc/>
    protected override void Release() => _link.Put();
}

/// <summary>One object of an iteration.</summary>
/// <param name="Object">Its address in simulated kernel memory.</param>
/// <param name="Key">Map elements: the key.</param>
/// <param name="Value">Map elements: the value, which the program may change.</param>
internal readonly record struct IteratorElement(ulong Object, byte[]? Key = null, byte[]? Value = null);

/// <summary>What iterators walk: tasks as they are in the arena; maps, programs and links as far as programs look at them, written there by field name.</summary>
internal sealed class IteratorTargets
{
    private readonly KernelArena _arena;
    private readonly KernelTypes _types;
    private readonly Func<IEnumerable<ulong>> _tasks;
    private readonly Dictionary<KernelObject, ulong> _addresses = [];

    public IteratorTargets(KernelArena arena, KernelTypes types, Func<IEnumerable<ulong>> tasks)
    {
        _arena = arena;
        _types = types;
        _tasks = tasks;
    }

    /// <summary>The bpf() whose objects are walked.</summary>
    public BpfSyscall Bpf { get; set; } = null!;

    /// <summary>Whether a target (<c>task</c>, <c>bpf_map</c>, …) can be walked here.</summary>
    public static bool Knows(string target) => target is "task" or "bpf_map" or "bpf_prog" or "bpf_link" or "bpf_map_elem";

    /// <summary>The objects that a link's iterator walks.</summary>
    public List<IteratorElement> List(BpfLink link) => link.Target switch
    {
        "task" => [.. _tasks().Select(t => new IteratorElement(t))],
        "bpf_map" => [.. Bpf.Maps.Select(m => new IteratorElement(MapAddress(m)))],
        "bpf_prog" => [.. Bpf.Programs.Select(p => new IteratorElement(ProgramAddress(p)))],
        "bpf_link" => [.. Bpf.Links.Select(l => new IteratorElement(LinkAddress(l)))],
        _ => Elements(link.IterMap!),
    };

    /// <summary>Room for a bpf_iter_meta.</summary>
    public ulong NewMeta() => _arena.Allocate(_types.SizeOf("bpf_iter_meta", 24));

    /// <summary>Fills a bpf_iter_meta. The file behind it is a place of its own that nothing but the printing helpers takes.</summary>
    public void WriteMeta(ulong meta, ulong session, ulong sequence)
    {
        Put("bpf_iter_meta", meta, "seq", meta);
        Put("bpf_iter_meta", meta, "session_id", session);
        Put("bpf_iter_meta", meta, "seq_num", sequence);
    }

    /// <summary>The struct bpf_map of a map.</summary>
    public ulong MapAddress(MapObject map)
    {
        ulong at = AddressOf(map, "bpf_map");
        MapSpec spec = map.Map.Spec;
        Put("bpf_map", at, "map_type", (ulong)spec.Type);
        Put("bpf_map", at, "key_size", spec.KeySize);
        Put("bpf_map", at, "value_size", spec.ValueSize);
        Put("bpf_map", at, "max_entries", spec.MaxEntries);
        Put("bpf_map", at, "map_flags", spec.Flags);
        Put("bpf_map", at, "id", map.Id);
        Put("bpf_map", at, "refcnt.counter", (ulong)map.References);
        PutText("bpf_map", at, "name", map.Name);
        return at;
    }

    private ulong ProgramAddress(BpfProgram program)
    {
        ulong at = AddressOf(program, "bpf_prog");
        ulong aux = at + (_types.SizeOf("bpf_prog", 256) + 63 & ~63u);
        Put("bpf_prog", at, "type", (ulong)program.Type);
        Put("bpf_prog", at, "expected_attach_type", program.Attributes.ExpectedAttachType);
        Put("bpf_prog", at, "len", (ulong)program.Verdict.Shown.Length);
        Put("bpf_prog", at, "aux", aux);
        Put("bpf_prog_aux", aux, "id", program.Id);
        Put("bpf_prog_aux", aux, "refcnt.counter", (ulong)program.References);
        Put("bpf_prog_aux", aux, "used_map_cnt", (ulong)program.Maps.Count);
        Put("bpf_prog_aux", aux, "load_time", program.LoadTime);
        Put("bpf_prog_aux", aux, "verified_insns", (ulong)program.Verdict.InsnsProcessed);
        PutText("bpf_prog_aux", aux, "name", program.Name);
        return at;
    }

    private ulong LinkAddress(BpfLink link)
    {
        ulong at = AddressOf(link, "bpf_link");
        Put("bpf_link", at, "id", link.Id);
        Put("bpf_link", at, "type", (ulong)link.Type);
        Put("bpf_link", at, "prog", ProgramAddress(link.Program));
        Put("bpf_link", at, "refcnt.counter", (ulong)link.References);
        return at;
    }

    private List<IteratorElement> Elements(MapObject map)
    {
        var all = new List<IteratorElement>();
        ulong at = MapAddress(map);
        byte[] key = [];
        while (true)
        {
            byte[] next = new byte[map.Map.Spec.KeySize], value = new byte[map.UserValueSize];
            if (map.Map.GetNextKey(key, next) != 0) return all;
            if (map.Map.Lookup(next, value) == 0) all.Add(new IteratorElement(at, next, value));
            key = next;
        }
    }

    /// <summary>Room for an object and what belongs to it, kept as long as the machine.</summary>
    private ulong AddressOf(KernelObject value, string type)
    {
        if (_addresses.TryGetValue(value, out ulong at)) return at;
        uint size = (_types.SizeOf(type, 256) + 63 & ~63u) + (type == "bpf_prog" ? _types.SizeOf("bpf_prog_aux", 1024) : 0);
        return _addresses[value] = _arena.Allocate(size);
    }

    private unsafe void Put(string type, ulong at, string path, ulong value)
    {
        KernelField field = _types.Field(type, path);
        if (!field.Exists || field.BitCount != 0 || _arena.TranslateKernel(at + field.Offset, (ulong)field.Size) is var target && target == null) return;
        new ReadOnlySpan<byte>(&value, Math.Min(8, field.Size)).CopyTo(new Span<byte>(target, field.Size));
    }

    private unsafe void PutText(string type, ulong at, string path, string text)
    {
        KernelField field = _types.Field(type, path);
        if (!field.Exists || _arena.TranslateKernel(at + field.Offset, (ulong)field.Size) is var target && target == null) return;
        var room = new Span<byte>(target, field.Size);
        room.Clear();
        System.Text.Encoding.UTF8.GetBytes(text.AsSpan(0, Math.Min(text.Length, field.Size - 1)), room);
    }
}
