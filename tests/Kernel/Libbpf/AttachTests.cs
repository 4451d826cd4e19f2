using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Subsystems;
using BpfSim.Maps;
using BpfSim.Vm.Isa.Assembler;

namespace BpfSim.Kernel.Tests.Libbpf;

/// <summary>A program that counts, hung by its section's name on every kind of hook, counts what the ledger counts.</summary>
public sealed class AttachTests
{
    private const string App = "/usr/bin/app:0x1000";

    [Theory]
    [InlineData("kprobe/vfs_read", "vfs_read")]
    [InlineData("kretprobe/vfs_read", "vfs_read")]
    [InlineData("kprobe.multi/vfs_rea?", "vfs_read")]
    [InlineData("kretprobe.multi/vfs_read", "vfs_read")]
    [InlineData("ksyscall/openat", "openat")]
    [InlineData("kretsyscall/openat", "openat")]
    [InlineData("fentry/vfs_read", "vfs_read")]
    [InlineData("fexit/vfs_read", "vfs_read")]
    [InlineData("tracepoint/syscalls/sys_exit_openat", "openat")]
    [InlineData("tp/sched/sched_process_exec", "exec")]
    [InlineData("raw_tp/sched_process_exec", "exec")]
    [InlineData("raw_tracepoint/sched_process_fork", "fork")]
    [InlineData("tp_btf/sched_process_fork", "fork")]
    [InlineData("uprobe/" + App, "user_call")]
    [InlineData("uretprobe/" + App, "user_call")]
    public void Every_kind_of_hook_is_counted(string section, string measure)
    {
        using Machine machine = NewMachine();
        using BpfObject counter = Counter(section);
        counter.Load(machine);
        counter.Attach();
        machine.Run(TimeSpan.FromSeconds(2));

        ulong truth = machine.Ledger.Count(measure);
        Assert.True(truth > 20, $"{truth} {measure}");
        Assert.Equal(truth, counter.Map("counts").Lookup<uint, ulong>(0));
        BpfObjectLink link = Assert.Single(Assert.Single(counter.Programs).Links);
        link.Dispose();
        machine.Run(TimeSpan.FromMilliseconds(10));
        Assert.Equal(truth, counter.Map("counts").Lookup<uint, ulong>(0));
    }

    [Fact]
    public void A_detached_program_counts_no_more()
    {
        using Machine machine = NewMachine();
        using BpfObject counter = Counter("fentry/vfs_read");
        counter.Load(machine);
        BpfObjectLink link = counter.Programs[0].Attach();
        machine.Run(TimeSpan.FromMilliseconds(300));
        link.Dispose();
        ulong? counted = counter.Map("counts").Lookup<uint, ulong>(0);
        ulong then = machine.Ledger.Count("vfs_read");
        machine.Run(TimeSpan.FromMilliseconds(300));
        Assert.True(counted > 5);
        Assert.True(machine.Ledger.Count("vfs_read") > then);
        Assert.Equal(counted, counter.Map("counts").Lookup<uint, ulong>(0));
    }

    [Theory]
    [InlineData("kprobe/no_such_function", Errno.ENOENT)]
    [InlineData("tracepoint/sched/no_such_event", Errno.ENOENT)]
    [InlineData("raw_tp/no_such_event", Errno.ENOENT)]
    [InlineData("uprobe/no-offset", Errno.EINVAL)]
    public void A_hook_that_is_not_there_is_named(string section, Errno errno)
    {
        using Machine machine = NewMachine();
        using BpfObject counter = Counter(section);
        counter.Load(machine);
        var refused = Assert.Throws<BpfObjectException>(counter.Attach);
        Assert.Equal(errno, refused.Errno);
        Assert.Contains(section[(section.IndexOf('/') + 1)..].Replace('/', ':').Split(':')[^1], refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Maps_are_read_with_the_types_of_the_program()
    {
        using Machine machine = NewMachine();
        using BpfObject counter = Counter("kprobe/vfs_read");
        counter.Load(machine);
        BpfObjectMap counts = counter.Map("counts");
        Assert.Equal([new KeyValuePair<uint, ulong>(0, 0)], counts.Entries<uint, ulong>());
        Assert.Null(counts.Lookup<uint, ulong>(1));
        Assert.Equal("a key of map 'counts' has 4 bytes, a UInt64 8", Assert.Throws<InvalidOperationException>(() => counts.Lookup<ulong, ulong>(0)).Message);
        Assert.Equal("a value of map 'counts' has 8 bytes, a UInt32 4", Assert.Throws<InvalidOperationException>(() => counts.Entries<uint, uint>()).Message);
    }

    private static Machine NewMachine() => new(new MachineSpec
    {
        Cpus = 2,
        Workload = new WorkloadSpec
        {
            Processes =
            [
                new ProcessSpec
                {
                    Comm = "app",
                    StopSeconds = 1,
                    Activities =
                    [
                        new ActivitySpec { Kind = ActivityKind.Read, Rate = 60 },
                        new ActivitySpec { Kind = ActivityKind.Exec, Rate = 60 },
                        new ActivitySpec { Kind = ActivityKind.UserCall, Rate = 60, Target = App },
                    ],
                },
            ],
        },
    });

    private static BpfObject Counter(string section) => BpfObject.Open(BpfAssembler.ToElf($"""
        .license "GPL"
        .map counts array key=4 value=8 entries=1
        .section "{section}"
        .func count
                r1 = 0
                *(u32 *)(r10 -4) = r1
                r1 = map[counts]
                r2 = r10
                r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                r1 = 1
                lock *(u64 *)(r0 +0) += r1
        out:
                r0 = 0
                exit
        """, HelperCatalog.Table, "counter.s"), "counter");
}
