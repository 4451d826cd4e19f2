using BpfSim.Kernel.Profile;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Libbpf;

/// <summary>
/// The maps of an object as the verifier needs them: read-only data with its contents, everything else as a
/// sketch; all checked as BPF_MAP_CREATE would.
/// </summary>
internal sealed class MapSketches : IDisposable
{
    private readonly Dictionary<string, BpfMap> _maps = [];

    public MapSketches(ObjectSpec spec, KernelProfile profile, uint cpus)
    {
        foreach (MapSpec declared in spec.Maps)
        {
            MapSpec map = MapFixups.WithPlainSize(MapFixups.ForLoad(declared, cpus));
            if (map.Section == ".kconfig")
            {
                byte[]? content = Kconfig.Fill(spec.Kconfig, profile, profile.Options, out string? error);
                if (content == null)
                {
                    (Error, Errno) = (error, Errno.ESRCH);
                    return;
                }
                map = map with { InitialValues = new Dictionary<uint, byte[]> { [0] = content } };
            }
            // Names of declarations stay the key: the kernel's are cut.
            if (Create(map, cpus) is { } created) _maps[declared.Name] = created;
            if (Error != null) return;
        }
    }

    /// <summary>Why the maps cannot be created, in libbpf's words; null if they can.</summary>
    public string? Error { get; private set; }

    /// <summary>The errno that goes with <see cref="Error"/>.</summary>
    public Errno Errno { get; private set; }

    /// <summary>Puts indexes into the returned list in place of the instructions' map names.</summary>
    public List<BpfMap> Resolve(Insn[] insns, IReadOnlyDictionary<int, string> references)
    {
        var used = new List<BpfMap>();
        foreach ((int slot, string name) in references.OrderBy(r => r.Key))
        {
            if (insns[slot].Src is not ((int)PseudoSource.MapFd or (int)PseudoSource.MapValue)) continue;
            if (!_maps.TryGetValue(name, out BpfMap? map))
            {
                // What libbpf leaves of a reference to a map that it did not create.
                insns[slot] = insns[slot + 1] = new Insn((int)InsnClass.Jmp | (int)JmpOp.Call, 0, 0, 0, LogFixups.MissingMapBase);
                continue;
            }
            int index = used.IndexOf(map);
            if (index < 0)
            {
                index = used.Count;
                used.Add(map);
            }
            insns[slot] = insns[slot] with { Imm = index };
        }
        return used;
    }

    /// <summary>The loads that name a map without a reference: what they hold is a descriptor of nobody's.</summary>
    public static HashSet<int> StrayDescriptors(Insn[] insns, IReadOnlyDictionary<int, string> references)
    {
        var stray = new HashSet<int>();
        for (int slot = 0; slot < insns.Length; slot++)
        {
            Insn insn = insns[slot];
            if (!insn.IsLdImm64) continue;
            bool namesMap = (PseudoSource)insn.Src is PseudoSource.MapFd or PseudoSource.MapValue or PseudoSource.MapIdx or PseudoSource.MapIdxValue;
            if (namesMap && !references.ContainsKey(slot)) stray.Add(slot);
            slot++;
        }
        return stray;
    }

    private BpfMap? Create(MapSpec map, uint cpus)
    {
        if (map.Type == MapType.StructOps) return null;
        Errno errno = MapFactory.Check(map, cpus);
        if (errno != Errno.None)
        {
            (Error, Errno) = ($"map '{map.Name}': failed to create: {errno}", errno);
            return null;
        }
        if (!map.FreezeAfterLoad) return new BlueprintMap(MapFactory.AsCreated(map), cpus);
        (BpfMap? data, errno) = MapFactory.Create(map, cpus);
        if (data == null)
        {
            (Error, Errno) = ($"map '{map.Name}': failed to create: {errno}", errno);
            return null;
        }
        if (map.InitialValues.TryGetValue(0, out byte[]? content)) data.Update(stackalloc byte[4], content);
        data.Freeze();
        return data;
    }

    public void Dispose()
    {
        foreach (BpfMap map in _maps.Values) map.Dispose();
    }
}
