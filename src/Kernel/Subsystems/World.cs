using System.Text;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Memory;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>Tasks and files of the machine, and their images in simulated kernel memory.</summary>
internal sealed unsafe class World
{
    private const uint UserRegsSize = 168;
    private static readonly string[] s_commonFiles =
    [
        "/etc/ld.so.cache", "/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/etc/localtime", "/etc/nsswitch.conf",
        "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/locale/locale-archive", "/proc/self/status", "/proc/meminfo",
        "/var/log/syslog", "/var/lib/dpkg/status", "/tmp/scratch", "/usr/share/zoneinfo/UTC",
    ];

    private readonly Simulation _simulation;
    private readonly Dictionary<string, SimInode> _inodes = [];
    private readonly Dictionary<uint, SimTask> _tasks = [];
    private readonly Dictionary<uint, (ulong Mm, ulong Signal, ulong Cred, ulong NsProxy, ulong Css)> _processes = [];
    private readonly RandomStream _random;
    private uint _nextPid = 1000;
    private ulong _nextInode = 131073;

    public World(Simulation simulation)
    {
        _simulation = simulation;
        _random = new RandomStream(simulation.Kernel.Seed, "world");
        _nextPid = 800 + (uint)_random.Below(400);
    }

    /// <summary>Living tasks by thread id.</summary>
    public IReadOnlyDictionary<uint, SimTask> Tasks => _tasks;

    /// <summary>The idle task of a CPU, pid 0.</summary>
    public SimTask NewIdleTask(uint cpu)
    {
        var spec = new ProcessSpec { Comm = $"swapper/{cpu}" };
        SimTask task = NewTask(spec, 0, 0, null, spec.Comm, cpu);
        task.State = TaskState.Running;
        task.OnCpu = true;
        return task;
    }

    /// <summary>A process's first thread.</summary>
    public SimTask NewProcess(ProcessSpec spec, SimTask? parent, string? comm = null, uint pid = 0)
    {
        if (pid == 0) pid = TakePid();
        return NewTask(spec, pid, pid, parent, comm ?? spec.Comm, (uint)_random.Below(_simulation.Cpus));
    }

    /// <summary>Another thread of a process.</summary>
    public SimTask NewThread(SimTask leader) =>
        NewTask(leader.Spec, TakePid(), leader.Tgid, leader.Parent, leader.Comm, (uint)_random.Below(_simulation.Cpus));

    /// <summary>The task is gone: its memory can be used again.</summary>
    public void Remove(SimTask task)
    {
        _tasks.Remove(task.Pid);
        _simulation.Arena.Free(task.Address, _simulation.Types.SizeOf("task_struct", 8192));
    }

    /// <summary>A file of the simulated disk; made at first use.</summary>
    public SimInode Inode(string path)
    {
        if (_inodes.TryGetValue(path, out SimInode? inode)) return inode;
        inode = new SimInode { Path = path, Number = _nextInode++, Size = 4096 * (1 + _random.Below(64)) };
        inode.Address = _simulation.Arena.Allocate(_simulation.Types.SizeOf("inode", 640));
        inode.DentryAddress = _simulation.Arena.Allocate(_simulation.Types.SizeOf("dentry", 192));
        Put("inode", inode.Address, "i_ino", inode.Number);
        Put("inode", inode.Address, "i_mode", 0x81a4);
        Put("inode", inode.Address, "i_size", inode.Size);
        string name = path[(path.LastIndexOf('/') + 1)..];
        ulong text = _simulation.Arena.Allocate((uint)name.Length + 1);
        PutText(text, name, name.Length + 1);
        Put("dentry", inode.DentryAddress, "d_name.name", text);
        Put("dentry", inode.DentryAddress, "d_name.len", (ulong)name.Length);
        Put("dentry", inode.DentryAddress, "d_inode", inode.Address);
        int slash = path.LastIndexOf('/');
        Put("dentry", inode.DentryAddress, "d_parent", slash > 0 ? Inode(path[..slash]).DentryAddress : inode.DentryAddress);
        _inodes.Add(path, inode);
        return inode;
    }

    /// <summary>A struct file on an inode.</summary>
    public ulong NewFile(SimInode inode, ulong flags)
    {
        ulong address = _simulation.Arena.Allocate(_simulation.Types.SizeOf("file", 192));
        Put("file", address, "f_inode", inode.Address);
        Put("file", address, "f_path.dentry", inode.DentryAddress);
        Put("file", address, "f_flags", flags);
        Put("file", address, "f_mode", (flags & 3) == 0 ? 1u : 3u);
        return address;
    }

    /// <summary>A struct file is closed.</summary>
    public void FreeFile(ulong address) => _simulation.Arena.Free(address, _simulation.Types.SizeOf("file", 192));

    /// <summary>One of the files that every process opens.</summary>
    public static string CommonFile(RandomStream random) => s_commonFiles[random.Below((ulong)s_commonFiles.Length)];

    /// <summary>Writes a field at once, for objects that no program can know yet.</summary>
    public void Put(string type, ulong address, string field, ulong value)
    {
        KernelField found = _simulation.Types.Field(type, field);
        if (!found.Exists || address == 0) return;
        byte* target = _simulation.Arena.Translate(address + found.Offset, (ulong)Math.Min(8, found.Size));
        if (target == null) return;
        if (found.BitCount != 0)
        {
            ulong mask = ((1ul << found.BitCount) - 1) << found.BitOffset;
            for (int i = 0; i * 8 < found.BitOffset + found.BitCount; i++)
                target[i] = (byte)(target[i] & ~(mask >> (8 * i)) | (value << found.BitOffset & mask) >> (8 * i));
            return;
        }
        for (int i = 0; i < Math.Min(8, found.Size); i++) target[i] = (byte)(value >> (8 * i));
    }

    /// <summary>Writes a text at once, cut to the room and NUL-terminated.</summary>
    public void PutText(ulong address, string text, int room)
    {
        byte* target = _simulation.Arena.Translate(address, (ulong)room);
        if (target == null) return;
        var span = new Span<byte>(target, room);
        span.Clear();
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        bytes.AsSpan(0, Math.Min(bytes.Length, room - 1)).CopyTo(span);
    }

    /// <summary>The identity that programs see changes with the name (execve, prctl).</summary>
    public void Rename(SimTask task, string comm)
    {
        task.Comm = comm.Length > 15 ? comm[..15] : comm;
        TaskIdentity identity = *_simulation.Kernel.Identities.At(task.Identity);
        SetComm(ref identity, task.Comm);
        task.Identity = _simulation.Kernel.Identities.Add(identity);
        KernelField field = _simulation.Types.Field("task_struct", "comm");
        if (!field.Exists) return;
        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        Encoding.UTF8.GetBytes(task.Comm, bytes);
        _simulation.Store(task.Cpu, task.Address + field.Offset, bytes);
    }

    private uint TakePid()
    {
        do _nextPid += 1 + (uint)_random.Below(3);
        while (_tasks.ContainsKey(_nextPid));
        return _nextPid;
    }

    private SimTask NewTask(ProcessSpec spec, uint pid, uint tgid, SimTask? parent, string comm, uint cpu)
    {
        comm = comm.Length > 15 ? comm[..15] : comm;
        KernelArena arena = _simulation.Arena;
        ulong address = arena.Allocate(_simulation.Types.SizeOf("task_struct", 8192));
        ulong userRegs = pid == 0 ? 0 : arena.Allocate(UserRegsSize);
        var task = new SimTask
        {
            Pid = pid,
            Tgid = tgid,
            Comm = comm,
            Uid = spec.Uid,
            Gid = spec.Gid,
            Nice = spec.Nice,
            Parent = parent,
            Spec = spec,
            Address = address,
            UserRegs = userRegs,
            Cpu = cpu,
            Random = new RandomStream(_simulation.Kernel.Seed, pid == 0 ? comm : $"task{pid}"),
        };
        ulong cgroup = CgroupId(spec.Cgroup);
        var identity = new TaskIdentity
        {
            PidTgid = (ulong)tgid << 32 | pid,
            UidGid = (ulong)spec.Gid << 32 | spec.Uid,
            TaskAddress = address,
            CgroupId = cgroup,
            UserRegs = userRegs,
            ParentTgid = parent?.Tgid ?? (pid == 0 ? 0u : 1u),
        };
        SetComm(ref identity, comm);
        task.Identity = _simulation.Kernel.Identities.Add(identity);
        WriteTask(task, parent);
        if (pid != 0) _tasks[pid] = task;
        return task;
    }

    /// <summary>The id of a cgroup: from its path, 1 for the root.</summary>
    public static ulong CgroupId(string path)
    {
        if (path is "/" or "") return 1;
        ulong hash = 0xcbf29ce484222325;
        foreach (char c in path) hash = (hash ^ c) * 0x100000001b3;
        return 2 + hash % 1_000_000;
    }

    private void WriteTask(SimTask task, SimTask? parent)
    {
        const string Type = "task_struct";
        ulong address = task.Address;
        Put(Type, address, "pid", task.Pid);
        Put(Type, address, "tgid", task.Tgid);
        Put(Type, address, "prio", (ulong)task.Prio);
        Put(Type, address, "static_prio", (ulong)task.Prio);
        Put(Type, address, "start_time", _simulation.NowNs);
        Put(Type, address, "start_boottime", _simulation.NowNs);
        Put(Type, address, "flags", task.Pid == 0 ? 0x00200042u : 0x00400000u);
        Put(Type, address, "stack", task.UserRegs == 0 ? 0 : task.UserRegs + UserRegsSize - 0x4000);
        Put(Type, address, "cpus_ptr", 0);
        KernelField comm = _simulation.Types.Field(Type, "comm");
        if (comm.Exists) PutText(address + comm.Offset, task.Comm, 16);

        ulong parentAddress = parent?.Address ?? address;
        Put(Type, address, "parent", parentAddress);
        Put(Type, address, "real_parent", parentAddress);
        SimTask leader = _tasks.GetValueOrDefault(task.Tgid, task);
        Put(Type, address, "group_leader", leader.Address);
        if (!_processes.TryGetValue(task.Tgid, out (ulong Mm, ulong Signal, ulong Cred, ulong NsProxy, ulong Css) process))
        {
            process = NewProcessObjects(task);
            _processes[task.Tgid] = process;
        }
        Put(Type, address, "mm", task.Pid == 0 ? 0 : process.Mm);
        Put(Type, address, "active_mm", process.Mm);
        Put(Type, address, "signal", process.Signal);
        Put(Type, address, "cred", process.Cred);
        Put(Type, address, "real_cred", process.Cred);
        Put(Type, address, "nsproxy", process.NsProxy);
        Put(Type, address, "cgroups", process.Css);
        WritePid(task);
    }

    private (ulong, ulong, ulong, ulong, ulong) NewProcessObjects(SimTask task)
    {
        KernelArena arena = _simulation.Arena;
        KernelTypes types = _simulation.Types;
        ulong mm = arena.Allocate(types.SizeOf("mm_struct", 1536));
        ulong signal = arena.Allocate(types.SizeOf("signal_struct", 1152));
        ulong cred = arena.Allocate(types.SizeOf("cred", 192));
        Put("cred", cred, "uid.val", task.Uid);
        Put("cred", cred, "euid.val", task.Uid);
        Put("cred", cred, "gid.val", task.Gid);
        Put("cred", cred, "egid.val", task.Gid);
        Put("signal_struct", signal, "oom_score_adj", 0);
        string exe = task.Spec.Executable ?? "/usr/bin/" + task.Spec.Comm;
        Put("mm_struct", mm, "exe_file", NewFile(Inode(exe), 0x8000));
        Put("mm_struct", mm, "arg_start", arena.AllocateUser(256));

        ulong css = arena.Allocate(types.SizeOf("css_set", 512)), cgroup = arena.Allocate(types.SizeOf("cgroup", 1024));
        ulong node = arena.Allocate(types.SizeOf("kernfs_node", 128));
        Put("css_set", css, "dfl_cgrp", cgroup);
        Put("cgroup", cgroup, "kn", node);
        Put("kernfs_node", node, "id", CgroupId(task.Spec.Cgroup));

        ulong proxy = arena.Allocate(types.SizeOf("nsproxy", 128));
        foreach ((string field, string type, uint number) in new[]
                 {
                     ("pid_ns_for_children", "pid_namespace", 4026531836u), ("net_ns", "net", 4026531840u),
                     ("mnt_ns", "mnt_namespace", 4026531841u), ("uts_ns", "uts_namespace", 4026531838u),
                 })
        {
            ulong ns = Namespace(type, number);
            Put("nsproxy", proxy, field, ns);
        }
        return (mm, signal, cred, proxy, css);
    }

    private readonly Dictionary<string, ulong> _namespaces = [];

    /// <summary>The initial namespace of a type (all processes live in it).</summary>
    public ulong Namespace(string type, uint number)
    {
        if (_namespaces.TryGetValue(type, out ulong address)) return address;
        address = _simulation.Arena.Allocate(_simulation.Types.SizeOf(type, 512));
        Put(type, address, "ns.inum", number);
        if (type == "uts_namespace")
        {
            KernelField name = _simulation.Types.Field(type, "name.nodename");
            if (name.Exists) PutText(address + name.Offset, "bpfsim", 65);
        }
        _namespaces.Add(type, address);
        return address;
    }

    private void WritePid(SimTask task)
    {
        ulong pid = _simulation.Arena.Allocate(_simulation.Types.SizeOf("pid", 128) + 16);
        Put("pid", pid, "level", 0);
        KernelField numbers = _simulation.Types.Field("pid", "numbers");
        if (numbers.Exists)
        {
            Put("upid", pid + numbers.Offset, "nr", task.Pid);
            Put("upid", pid + numbers.Offset, "ns", Namespace("pid_namespace", 4026531836u));
        }
        Put("task_struct", task.Address, "thread_pid", pid);
    }

    private static void SetComm(ref TaskIdentity identity, string comm)
    {
        fixed (byte* target = identity.Comm)
        {
            var span = new Span<byte>(target, 16);
            span.Clear();
            Encoding.UTF8.GetBytes(comm, span[..15]);
        }
    }
}
