using System.Security.Cryptography;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Bpf;

/// <summary>A loaded program: verified, compiled, with an id. Links and descriptors keep it alive.</summary>
public sealed class BpfProgram : KernelObject
{
    private readonly IReadOnlyList<MapObject> _maps;
    private readonly List<MapObject> _boundMaps = [];
    private readonly BtfObject? _btf;
    private readonly Lock _lock = new();
    private ulong _runCount, _runTime, _recursionMisses;

    internal BpfProgram(ProgLoadAttr attr, ProgramAttributes attributes, ProgramTypeInfo typeInfo, LoadedProgram loaded,
        VerifierResult verdict, IReadOnlyList<MapObject> maps, BtfObject? btf, ulong loadTime)
    {
        Name = attr.ProgName;
        Attributes = attributes;
        TypeInfo = typeInfo;
        Loaded = loaded;
        Verdict = verdict;
        LoadTime = loadTime;
        FuncInfos = attr.FuncInfo;
        LineInfos = attr.LineInfo;
        Tag = ComputeTag(attr.Insns);
        MaxContextOffset = FindMaxContextOffset(attr.Insns);
        RunsInSeries = !loaded.Program.Insns.Any(i => i.IsHelperCall && loaded.Program.Helpers.Find(i.Imm)?.Name is "bpf_timer_start" or "bpf_tail_call");
        _maps = maps;
        foreach (MapObject map in maps) map.Get();
        _btf = btf;
        btf?.Get();
    }

    /// <summary>Type, attach type, flags, licence.</summary>
    public ProgramAttributes Attributes { get; }

    /// <summary>The program's type.</summary>
    public ProgramType Type => Attributes.Type;

    /// <summary>The row of the program's type.</summary>
    public ProgramTypeInfo TypeInfo { get; }

    /// <summary>The compiled program.</summary>
    public LoadedProgram Loaded { get; }

    /// <summary>What the verifier found: the rewritten instructions, counters, log.</summary>
    public VerifierResult Verdict { get; }

    /// <summary>Nanoseconds since boot at which it was loaded.</summary>
    public ulong LoadTime { get; }

    /// <summary>The user who loaded it.</summary>
    public uint CreatedByUid { get; init; }

    /// <summary>The first 8 bytes of the SHA-256 of the instructions with map descriptors zeroed.</summary>
    public byte[] Tag { get; }

    /// <summary>Bytes of context that the main program reads, as far as it reads them through plain copies of r1.</summary>
    internal int MaxContextOffset { get; }

    /// <summary>Whether many events can be run in one call of the engine: it starts no timers, itself or by a tail call.</summary>
    internal bool RunsInSeries { get; }

    private static int FindMaxContextOffset(Insn[] insns)
    {
        int most = 0, aliases = 1 << 1;
        foreach (Insn insn in insns)
        {
            if (insn.IsExit) continue;
            if (insn.Class == InsnClass.Ldx && (aliases >> insn.Src & 1) != 0) most = Math.Max(most, insn.Off + insn.SizeBytes);
            if (insn.Class == InsnClass.Jmp && insn.JmpOp == JmpOp.Call) aliases &= ~0x3f;
            if (insn.Class is InsnClass.Ldx or InsnClass.Alu or InsnClass.Ld) aliases &= ~(1 << insn.Dst);
            if (insn.Class != InsnClass.Alu64) continue;
            bool copies = insn.AluOp == AluOp.Mov && insn.Source == OperandSource.X && insn.Off == 0 && (aliases >> insn.Src & 1) != 0;
            aliases = copies ? aliases | 1 << insn.Dst : aliases & ~(1 << insn.Dst);
        }
        return most;
    }

    /// <summary>The tag in hex, as bpftool prints it.</summary>
    public string TagText => Convert.ToHexStringLower(Tag);

    /// <summary>The program's BTF, null if it was loaded without.</summary>
    public BtfObject? Btf => _btf;

    /// <summary>Functions and their BTF ids, as loaded.</summary>
    public IReadOnlyList<FuncInfo> FuncInfos { get; }

    /// <summary>Source lines, as loaded.</summary>
    public IReadOnlyList<LineInfo> LineInfos { get; }

    /// <summary>The maps that the instructions use and those bound by BPF_PROG_BIND_MAP, in that order.</summary>
    public IReadOnlyList<MapObject> Maps
    {
        get { lock (_lock) return [.. _maps, .. _boundMaps]; }
    }

    /// <summary>Runs, counted while statistics are on (run_cnt).</summary>
    public ulong RunCount => Volatile.Read(ref _runCount);

    /// <summary>Wall nanoseconds of those runs (run_time_ns).</summary>
    public ulong RunTimeNs => Volatile.Read(ref _runTime);

    /// <summary>Events that the program missed because it was already running on that CPU (recursion_misses).</summary>
    public ulong RecursionMisses => Volatile.Read(ref _recursionMisses);

    internal void CountRun(ulong runs, ulong ns)
    {
        Interlocked.Add(ref _runCount, runs);
        Interlocked.Add(ref _runTime, ns);
    }

    internal void CountRecursionMiss() => Interlocked.Increment(ref _recursionMisses);

    /// <summary>Bytes of the rewritten instructions, as the kernel counts them.</summary>
    public uint XlatedBytes => (uint)Verdict.Shown.Length * 8;

    /// <summary>Memory charged: whole pages of the instructions and the kernel's struct bpf_prog in front of them.</summary>
    public ulong MemoryBytes => (72u + XlatedBytes + 4095) / 4096 * 4096;

    /// <summary>BPF_PROG_BIND_MAP: keeps a map alive as long as the program. Binding twice changes nothing.</summary>
    internal void Bind(MapObject map)
    {
        lock (_lock)
        {
            if (_maps.Contains(map) || _boundMaps.Contains(map)) return;
            map.Get();
            _boundMaps.Add(map);
        }
    }

    /// <summary>The tag of a program: what identifies its instructions across loads.</summary>
    public static byte[] ComputeTag(ReadOnlySpan<Insn> insns) => ComputeDigest(insns)[..8];

    /// <summary>The SHA-256 of the instructions with map descriptors zeroed, which begins with the tag.</summary>
    internal static byte[] ComputeDigest(ReadOnlySpan<Insn> insns)
    {
        Insn[] copy = insns.ToArray();
        bool secondHalf = false;
        for (int i = 0; i < copy.Length; i++)
        {
            Insn insn = copy[i];
            if (!secondHalf && insn.IsLdImm64 && insn.Src is (int)PseudoSource.MapFd or (int)PseudoSource.MapValue)
            {
                secondHalf = true;
                copy[i] = insn with { Imm = 0 };
            }
            else if (secondHalf && insn is { Code: 0, Registers: 0, Off: 0 })
            {
                secondHalf = false;
                copy[i] = insn with { Imm = 0 };
            }
            else
            {
                secondHalf = false;
            }
        }
        return SHA256.HashData(Insn.ToBytes(copy));
    }

    /// <summary>The program as a prog_array refers to it.</summary>
    internal IMapProgram AsReferent() => new Referent(this);

    private sealed unsafe class Referent(BpfProgram program) : IMapProgram
    {
        public uint Id => program.Id;

        public nint Handle => program.Loaded.Handle;

        public void* Entry => null;

        public void Retain() => program.Get();

        public void Release() => program.PutFollowed();
    }

    /// <inheritdoc/>
    protected override void Release()
    {
        Loaded.Dispose();
        foreach (MapObject map in Maps) map.Put();
        _btf?.Put();
    }
}

/// <summary>A map with an id: the live <see cref="BpfMap"/> and what user space knows of it.</summary>
public sealed class MapObject : KernelObject
{
    private readonly BtfObject? _btf;

    internal MapObject(BpfMap map, BtfObject? btf)
    {
        Map = map;
        Name = map.Spec.Name;
        _btf = btf;
        btf?.Get();
        map.Owner = new Referent(this);
    }

    /// <summary>The live map.</summary>
    public BpfMap Map { get; }

    /// <summary>The SHA-256 of the only program that may use the map (excl_prog_hash); empty for none.</summary>
    public byte[] ExclProgHash { get; internal init; } = [];

    /// <summary>The BTF that describes key and value, null if there is none.</summary>
    public BtfObject? Btf => _btf;

    /// <summary>
    /// Bytes of a value as user space copies it: of per-CPU kinds all CPUs' copies, each rounded up to 8;
    /// of kinds whose values are descriptors, 4.
    /// </summary>
    public uint UserValueSize => Map.UserValueSize;

    private (ProgramType Type, uint AttachType)? _owner;

    /// <summary>The map as another map refers to it.</summary>
    private sealed class Referent(MapObject map) : IMapReferent
    {
        public uint Id => map.Id;

        public void Retain() => map.Get();

        public void Release() => map.PutFollowed();
    }

    /// <summary>A prog_array takes programs of one kind only: that of the first one.</summary>
    internal bool AcceptsProgram(BpfProgram program)
    {
        _owner ??= (program.Type, program.Type == ProgramType.Tracing ? program.Attributes.ExpectedAttachType : 0);
        return _owner.Value.Type == program.Type
            && (program.Type != ProgramType.Tracing || _owner.Value.AttachType == program.Attributes.ExpectedAttachType);
    }

    /// <inheritdoc/>
    protected override void Release()
    {
        Map.Dispose();
        _btf?.Put();
    }
}

/// <summary>A loaded BTF: the bytes and what they say.</summary>
public sealed class BtfObject : KernelObject
{
    internal BtfObject(byte[] raw, Vm.Btf.BtfData data, string name = "")
    {
        Raw = raw;
        Data = data;
        Name = name;
    }

    /// <summary>The bytes as loaded.</summary>
    public byte[] Raw { get; }

    /// <summary>The parsed types.</summary>
    public Vm.Btf.BtfData Data { get; }

    private Dictionary<string, uint>? _strings;

    /// <summary>Where each string of the string section begins; made when first asked for.</summary>
    internal Dictionary<string, uint> Strings => _strings ??= IndexStrings();

    private Dictionary<string, uint> IndexStrings()
    {
        var strings = new Dictionary<string, uint>();
        for (uint offset = 0; offset < Data.StringsLength; offset += (uint)Data.GetStringBytes(offset).Length + 1)
            strings.TryAdd(Data.GetString(offset), offset);
        return strings;
    }

    /// <summary>Whether it describes the kernel rather than a program.</summary>
    public bool IsKernel { get; init; }

    /// <inheritdoc/>
    protected override void Release()
    {
    }
}
