using System.Text.RegularExpressions;
using BpfSim.Agent.Config;
using BpfSim.Kernel;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Profile;
using BpfSim.Maps;

namespace BpfSim.Agent.Scenarios;

/// <summary>
/// What the agent's process does beside reading maps: before loading it writes the kernel addresses that programs
/// ask for, then it fills the map of cgroups and counts the records of perf_event_arrays, at fixed moments of
/// simulated time.
/// </summary>
internal sealed class UserSpace : IDisposable
{
    private const uint PagesPerCpu = 64;
    private static readonly TimeSpan s_period = TimeSpan.FromMilliseconds(10);
    private readonly List<(PerfBuffer Buffer, RecordCounts Counts)> _buffers = [];
    private readonly List<IDisposable> _turns = [];

    /// <summary>Begins once the objects are loaded.</summary>
    /// <exception cref="ConfigException">The configuration names a map that the objects do not have, or of a type that does not do.</exception>
    public UserSpace(Machine machine, Scenario scenario, IReadOnlyList<BpfObject> objects)
    {
        foreach (CounterConfig counter in scenario.Agent.Counters.Where(c => c.PerfEventArray))
        {
            BpfObjectMap map = Find(scenario, objects, counter.Name, MapType.PerfEventArray);
            RecordCounts counts = new(map.Live.Spec with { Name = map.Name }, counter.Labels.Sum(l => l.Size + l.Padding), scenario.Agent.CardinalityLimit);
            _buffers.Add((new PerfBuffer(map, PagesPerCpu), counts));
            if (counter.FlushInterval > TimeSpan.Zero) _turns.Add(machine.Every(counter.FlushInterval, _ => counts.Drop()));
        }
        if (_buffers.Count > 0) _turns.Add(machine.Every(s_period, _ => Consume()));
        if (scenario.Agent.CgroupIdMap is { } wanted) FillCgroups(scenario, Find(scenario, objects, wanted.Name, MapType.Hash), wanted);
    }

    /// <summary>What was counted so far.</summary>
    public IReadOnlyList<RecordCounts> Counts => [.. _buffers.Select(b => b.Counts)];

    /// <summary>Takes what is in the buffers. Only while the machine stands still: between windows, or after a run.</summary>
    public void Consume()
    {
        foreach ((PerfBuffer buffer, RecordCounts counts) in _buffers)
        {
            buffer.Consume((_, record) => counts.Add(record));
            counts.NeverCame = buffer.Lost;
        }
    }

    /// <summary>Sets the variables <c>kaddr_NAME</c> of an object that is not loaded yet; adds those that it has to <paramref name="found"/>.</summary>
    /// <exception cref="ConfigException">The kernel has no such symbol.</exception>
    public static void SetKernelAddresses(Scenario scenario, BpfObject target, HashSet<string> found)
    {
        foreach (string name in scenario.Agent.KernelAddresses)
        {
            ulong address = KernelProfile.Embedded.SymbolAddress(name);
            if (address == 0) throw new ConfigException(scenario.File, 0, $"kaddrs: the kernel has no symbol '{name}'");
            foreach (BpfObjectMap map in target.Maps)
            {
                try
                {
                    map.SetVariable("kaddr_" + name, address);
                    found.Add(name);
                }
                catch (KeyNotFoundException)
                {
                    // Another section or object has it.
                }
            }
        }
    }

    private static void FillCgroups(Scenario scenario, BpfObjectMap map, CgroupIdMapConfig wanted)
    {
        if (wanted.Type != "hash" || map.Spec.KeySize != 8)
            throw new ConfigException(scenario.File, 0, $"cgroup_id_map '{wanted.Name}' must be a hash with keys of 8 bytes, not {wanted.Type} with {map.Spec.KeySize}");
        Regex[] patterns = [.. wanted.Regexps.Select(p => new Regex(p, RegexOptions.NonBacktracking))];
        byte[] one = new byte[map.Live.UserValueSize];
        one[0] = 1;
        foreach ((ulong id, string path) in scenario.Machine.Workload.Cgroups)
        {
            if (!patterns.Any(p => p.IsMatch(path))) continue;
            int error = map.Live.Update(BitConverter.GetBytes(id), one);
            if (error != 0) throw new ConfigException(scenario.File, 0, $"cgroup_id_map '{wanted.Name}': cannot enter {path}: {(Errno)(-error)}");
        }
    }

    private static BpfObjectMap Find(Scenario scenario, IReadOnlyList<BpfObject> objects, string name, MapType type) =>
        objects.Select(o => o.FindMap(name)).FirstOrDefault(m => m is { Fd: >= 0 }) is not { } map
            ? throw new ConfigException(scenario.File, 0, $"the agent reads map '{name}', which no program has")
            : map.Spec.Type == type ? map : throw new ConfigException(scenario.File, 0, $"the agent wants map '{name}' to be of type {type}, not {map.Spec.Type}");

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IDisposable turn in _turns) turn.Dispose();
        foreach ((PerfBuffer buffer, _) in _buffers) buffer.Dispose();
    }
}
