using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Profile;
using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Libbpf;

/// <summary>The bpf(2) calls that load an object, in libbpf's order: BTF, maps with their contents, programs, references to programs.</summary>
internal sealed class ObjectLoader(BpfObject obj, Machine machine)
{
    private const uint LogSize = 16 << 20;

    private readonly BpfSyscall _bpf = machine.Bpf;
    private readonly List<int> _fds = [];
    private int _btfFd;

    public void Load()
    {
        if (obj.Spec.Btf is { } btf && obj.Spec.BtfRefusal == null) _btfFd = Keep(_bpf.BtfLoad(new BtfLoadAttr { Btf = btf.Bytes.ToArray() }));
        foreach (BpfObjectMap map in obj.Maps)
            if (map.AutoCreate && map.Spec.Type != MapType.StructOps) CreateMap(map);
        foreach (BpfObjectMap map in obj.Maps)
            if (map.Fd >= 0 && map.Spec.Type != MapType.ProgArray) FillReferences(map, name => obj.FindMap(name)?.Fd ?? -1);
        var linker = new ObjectLinker(machine.KernelBtf, KernelProfile.Embedded.SymbolAddress);
        foreach (BpfObjectProgram program in obj.Programs)
            if (program.AutoLoad) TryLoadProgram(program, linker);
        foreach (BpfObjectMap map in obj.Maps)
            if (map.Fd >= 0 && map.Spec.Type == MapType.ProgArray) FillReferences(map, name => obj.Programs.FirstOrDefault(p => p.Name == name)?.Fd ?? -1);
    }

    public void Unload()
    {
        foreach (BpfObjectProgram program in obj.Programs) program.Unloaded();
        foreach (BpfObjectMap map in obj.Maps) map.Unloaded();
        for (int i = _fds.Count - 1; i >= 0; i--) _bpf.Fds.Close(_fds[i]);
        _fds.Clear();
    }

    private int Keep(int fd)
    {
        // Without type information, programs that do not need it still load.
        if (fd < 0) return 0;
        _fds.Add(fd);
        return fd;
    }

    private void CreateMap(BpfObjectMap map)
    {
        MapSpec spec = map.SpecForLoad(machine.Spec.Cpus);
        if (spec.Section == ".kconfig")
        {
            byte[] content = Kconfig.Fill(obj.Spec.Kconfig, KernelProfile.Embedded, KernelProfile.Embedded.Options, out string? error)
                ?? throw new BpfObjectException(error!, Errno.ESRCH);
            spec = spec with { InitialValues = new Dictionary<uint, byte[]> { [0] = content } };
        }
        int fd = spec.PinByName ? _bpf.ObjGet(PinPath(spec)) : -1;
        bool reused = fd >= 0;
        if (!reused) fd = Create(spec);
        if (fd < 0) throw new BpfObjectException($"map '{map.Name}': failed to create: {(Errno)(-fd)}({fd})", (Errno)(-fd));
        _fds.Add(fd);
        map.Loaded(_bpf, fd);
        if (reused) return;
        foreach ((uint slot, byte[] value) in spec.InitialValues)
            Check(_bpf.MapUpdateElem(fd, BitConverter.GetBytes(slot), value), $"map '{map.Name}': failed to set initial contents");
        if (spec.FreezeAfterLoad) Check(_bpf.MapFreeze(fd), $"map '{map.Name}': failed to freeze as read-only");
        if (spec.PinByName) Check(_bpf.ObjPin(fd, PinPath(spec)), $"map '{map.Name}': failed to auto-pin at '{PinPath(spec)}'");
    }

    private static string PinPath(MapSpec spec) => "/sys/fs/bpf/" + spec.Name;

    private int Create(MapSpec spec)
    {
        int inner = 0;
        if (spec.InnerMap is { } prototype)
        {
            inner = Create(prototype);
            if (inner < 0) return inner;
        }
        // Kinds whose values are descriptors take no type information.
        bool typed = _btfFd > 0 && spec.Type is not (MapType.PerfEventArray or MapType.CgroupArray or MapType.StackTrace or MapType.ArrayOfMaps
            or MapType.HashOfMaps or MapType.Devmap or MapType.DevmapHash or MapType.Cpumap or MapType.Xskmap or MapType.Sockmap or MapType.Sockhash
            or MapType.Queue or MapType.Stack or MapType.Ringbuf or MapType.UserRingbuf or MapType.ProgArray);
        var attr = new MapCreateAttr
        {
            MapType = spec.Type,
            KeySize = spec.KeySize,
            ValueSize = spec.ValueSize,
            MaxEntries = spec.MaxEntries,
            MapFlags = spec.Flags,
            MapName = KernelName(spec.Name),
            InnerMapFd = inner,
            NumaNode = spec.NumaNode > 0 ? (uint)spec.NumaNode : 0,
            MapExtra = spec.MapExtra,
            BtfFd = typed && spec.BtfValueTypeId != 0 ? _btfFd : 0,
            BtfKeyTypeId = typed && spec.BtfValueTypeId != 0 ? spec.BtfKeyTypeId : 0,
            BtfValueTypeId = typed ? spec.BtfValueTypeId : 0,
        };
        int fd = _bpf.MapCreate(attr);
        // Like libbpf, try once more without types before giving up.
        if (fd < 0 && attr.BtfFd != 0) fd = _bpf.MapCreate(attr with { BtfFd = 0, BtfKeyTypeId = 0, BtfValueTypeId = 0 });
        if (inner > 0) _bpf.Fds.Close(inner);
        return fd;
    }

    private void FillReferences(BpfObjectMap map, Func<string, int> find)
    {
        foreach ((uint slot, string name) in map.Spec.InitialReferences)
        {
            int fd = find(name);
            // A caller who leaves out what is refused wants the rest; libbpf has only all or nothing.
            if (fd < 0 && obj.ProgramRefused != null) continue;
            Check(_bpf.MapUpdateElem(map.Fd, BitConverter.GetBytes(slot), BitConverter.GetBytes(fd)), $"map '{map.Name}': failed to initialize slot [{slot}] to '{name}'");
        }
    }

    private void TryLoadProgram(BpfObjectProgram program, ObjectLinker linker)
    {
        try
        {
            LoadProgram(program, linker);
        }
        catch (BpfObjectException e) when (obj.ProgramRefused != null)
        {
            obj.ProgramRefused(program, e);
        }
    }

    private void LoadProgram(BpfObjectProgram program, ObjectLinker linker)
    {
        if (program.Spec.Type == ProgramType.StructOps)
            throw new BpfObjectException($"prog '{program.Name}': struct_ops is not supported: nothing in the simulation would call it", Errno.ENOTSUPP);
        ProgramSpec linked = linker.Link(program.Spec with { AttachTarget = program.AttachTarget });
        if (linked.LoadError != null) throw new BpfObjectException(linked.LoadError, linked.LoadErrno);
        Insn[] insns = linked.Insns;
        foreach ((int slot, string name) in linked.MapReferences)
        {
            if (insns[slot].Src is not ((int)PseudoSource.MapFd or (int)PseudoSource.MapValue)) continue;
            int fd = obj.FindMap(name)?.Fd ?? -1;
            if (fd >= 0) insns[slot] = insns[slot] with { Imm = fd };
            else insns[slot] = insns[slot + 1] = new Insn((int)InsnClass.Jmp | (int)JmpOp.Call, 0, 0, 0, LogFixups.MissingMapBase);
        }
        var attr = new ProgLoadAttr
        {
            ProgType = linked.Type,
            Insns = insns,
            License = linked.License,
            KernVersion = linked.KernelVersion,
            ProgFlags = linked.Flags,
            ProgName = KernelName(linked.Name),
            ExpectedAttachType = linked.ExpectedAttachType,
            AttachBtfId = linked.AttachBtfId,
            ProgBtfFd = _btfFd,
            FuncInfo = _btfFd > 0 ? linked.FuncInfos : [],
            LineInfo = _btfFd > 0 ? linked.LineInfos : [],
        };
        int result = _bpf.ProgLoad(attr);
        if (result < 0)
        {
            // Once more with the log, as libbpf does.
            attr = attr with { LogLevel = 1, LogSize = LogSize };
            result = _bpf.ProgLoad(attr);
        }
        program.Log = attr.LogBuf;
        if (result < 0)
        {
            var verdict = LogFixups.Apply(new ProgramVerdict(linked, (Errno)(-result), LastLine(attr.LogBuf)) { Log = attr.LogBuf });
            throw new BpfObjectException($"prog '{program.Name}': BPF program load failed: {(Errno)(-result)}: {verdict.Message}", (Errno)(-result), verdict.Log, attr.Hint);
        }
        _fds.Add(result);
        program.Loaded(_bpf, result, machine.KernelBtf);
        // Constants stay readable for tools that look at the program later.
        foreach (BpfObjectMap map in obj.Maps)
            if (map.Fd >= 0 && map.Spec.Section.StartsWith(".rodata", StringComparison.Ordinal)) _bpf.ProgBindMap(result, map.Fd);
    }

    /// <summary>The decisive line of a rejection: the last before the statistics.</summary>
    private static string LastLine(string log)
    {
        string[] lines = log.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return lines.LastOrDefault(l => !l.StartsWith("processed ", StringComparison.Ordinal)) ?? "";
    }

    /// <summary>A name as the kernel takes it: 15 characters.</summary>
    private static string KernelName(string name) => name.Length > 15 ? name[..15] : name;

    private static void Check(int result, string what)
    {
        if (result < 0) throw new BpfObjectException($"{what}: {(Errno)(-result)}", (Errno)(-result));
    }
}
