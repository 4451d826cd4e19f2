namespace BpfSim.Kernel.Subsystems;

/// <summary>What a machine's processes do, and on what: the deterministic part of a scenario.</summary>
public sealed record WorkloadSpec
{
    /// <summary>The processes, started in this order.</summary>
    public IReadOnlyList<ProcessSpec> Processes { get; init; } = [];

    /// <summary>The cgroups of the processes and the root: ids, as bpf_get_current_cgroup_id gives them, and paths as user space sees them.</summary>
    public IEnumerable<(ulong Id, string Path)> Cgroups =>
        Processes.Select(p => p.Cgroup).Append("/").Distinct().Select(c => (World.CgroupId(c), "/sys/fs/cgroup" + (c is "/" ? "" : c.StartsWith('/') ? c : "/" + c)));

    /// <summary>The network interfaces: index and name.</summary>
    public static IReadOnlyDictionary<uint, string> Interfaces { get; } = new Dictionary<uint, string> { [1] = "lo", [2] = "eth0" };

    /// <summary>The disks; the first one holds all files.</summary>
    public IReadOnlyList<DiskSpec> Disks { get; init; } = [new()];
}

/// <summary>Some processes of one kind.</summary>
public sealed record ProcessSpec
{
    /// <summary>Task name, at most 15 bytes.</summary>
    public required string Comm { get; init; }

    /// <summary>How many processes.</summary>
    public int Count { get; init; } = 1;

    /// <summary>Threads in each, 1 or more.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>First process id; 0 lets the machine choose.</summary>
    public uint Pid { get; init; }

    /// <summary>User id.</summary>
    public uint Uid { get; init; }

    /// <summary>Group id.</summary>
    public uint Gid { get; init; }

    /// <summary>Path of the executable; null means <c>/usr/bin/COMM</c>.</summary>
    public string? Executable { get; init; }

    /// <summary>The cgroup's path.</summary>
    public string Cgroup { get; init; } = "/";

    /// <summary>Nice value, -20 to 19.</summary>
    public int Nice { get; init; }

    /// <summary>When the process starts, in seconds of the run.</summary>
    public double StartSeconds { get; init; }

    /// <summary>When it exits, in seconds of the run; null for never.</summary>
    public double? StopSeconds { get; init; }

    /// <summary>What each thread does.</summary>
    public IReadOnlyList<ActivitySpec> Activities { get; init; } = [];
}

/// <summary>What a thread does again and again.</summary>
public enum ActivityKind
{
    /// <summary>openat and close.</summary>
    Open,
    /// <summary>openat, read, close.</summary>
    Read,
    /// <summary>openat, write, perhaps fsync, close.</summary>
    Write,
    /// <summary>openat with O_CREAT, write, close, unlinkat.</summary>
    Create,
    /// <summary>newfstatat.</summary>
    Stat,
    /// <summary>fsync of an open file.</summary>
    Fsync,
    /// <summary>fork, in the child execve, and exit.</summary>
    Exec,
    /// <summary>TCP connect, send, receive, close.</summary>
    Connect,
    /// <summary>Answers incoming TCP connections.</summary>
    Serve,
    /// <summary>UDP sendto.</summary>
    Udp,
    /// <summary>Computes on the CPU.</summary>
    Compute,
    /// <summary>Maps memory and touches it.</summary>
    Memory,
    /// <summary>Sends a signal to another process (kill).</summary>
    Signal,
    /// <summary>Takes a lock that others hold (futex).</summary>
    Futex,
    /// <summary>getpid: the cheapest system call.</summary>
    Getpid,
    /// <summary>Calls a function of a user-space binary (uprobes).</summary>
    UserCall,
}

/// <summary>One activity of a thread; it happens at random times (a Poisson process) at the given mean rate.</summary>
public sealed record ActivitySpec
{
    /// <summary>What happens.</summary>
    public required ActivityKind Kind { get; init; }

    /// <summary>Mean times a second in each thread.</summary>
    public double Rate { get; init; } = 10;

    /// <summary>Files, chosen at random; empty means some of /etc, /usr and /var.</summary>
    public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>Bytes of a read, write or packet.</summary>
    public uint Bytes { get; init; } = 4096;

    /// <summary>Chance, 0 to 1, that a page is not in the page cache, a file does not exist, a connection is refused.</summary>
    public double MissChance { get; init; } = 0.1;

    /// <summary>Nanoseconds of computing each time (mean).</summary>
    public ulong ComputeNs { get; init; } = 20_000;

    /// <summary>Whether a write is followed by fsync.</summary>
    public bool Sync { get; init; }

    /// <summary>Peer of a connection as <c>address:port</c>; null draws one.</summary>
    public string? Peer { get; init; }

    /// <summary>What is executed (Exec); what is called, as <c>path:offset</c> (UserCall).</summary>
    public string? Target { get; init; }
}

/// <summary>A disk and how fast it is.</summary>
public sealed record DiskSpec
{
    /// <summary>The disk's name.</summary>
    public string Name { get; init; } = "nvme0n1";

    /// <summary>Major device number.</summary>
    public uint Major { get; init; } = 259;

    /// <summary>Minor device number.</summary>
    public uint Minor { get; init; }

    /// <summary>Median latency of a read in nanoseconds.</summary>
    public ulong ReadLatencyNs { get; init; } = 90_000;

    /// <summary>Median latency of a write in nanoseconds.</summary>
    public ulong WriteLatencyNs { get; init; } = 25_000;

    /// <summary>Spread of the latencies: the standard deviation of their logarithm.</summary>
    public double Spread { get; init; } = 0.5;

    /// <summary>Requests that the disk works on at once.</summary>
    public int QueueDepth { get; init; } = 32;
}
