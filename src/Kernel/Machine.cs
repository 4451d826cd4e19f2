using Akka.Actor;
using Akka.Configuration;
using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Memory;
using BpfSim.Kernel.Subsystems;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel;

/// <summary>
/// A simulated computer: CPUs, a kernel with its subsystems, processes, and the bpf(2) call through which
/// programs and maps get in. Everything that it does follows from its <see cref="MachineSpec"/>.
/// </summary>
public sealed class Machine : IDisposable
{
    private readonly KernelState _kernel;
    private readonly MachineRunner _runner;
    private readonly Syscalls _syscalls;
    private readonly MemorySubsystem _memory;
    private readonly Lazy<Task<ActorSystem>> _system = new(() => Task.Run(CreateActorSystem));
    private IActorRef? _actor;
    private bool _begun;

    /// <summary>Builds the machine; nothing runs yet.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number of CPUs is not 1 to 256.</exception>
    public Machine(MachineSpec spec)
    {
        ArgumentOutOfRangeException.ThrowIfZero(spec.Cpus);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(spec.Cpus, 256u);
        Spec = spec;
        // Takes a while, on another thread; nobody asks for it before the programs are loaded.
        if (spec.Workload.Processes.Count != 0) _ = _system.Value;
        KernelBtf = spec.KernelBtf ?? Platform.KernelBtf;
        Hooks = new HookTable(spec.Cpus)
        {
            IsKnownFunction = name => Platform.IsKnownFunction(KernelBtf, name),
            IsKnownTracepoint = Platform.IsKnownTracepoint,
            FindCategory = Platform.FindCategory,
        };
        _kernel = new KernelState(spec, Hooks);
        Ledger = new Ledger(keepValues: spec.Mode != RunMode.Flood);
        var simulation = new Simulation(_kernel, spec, new KernelTypes(KernelBtf), Ledger) { FindLayout = Platform.FindLayout };
        var world = new World(simulation);
        var scheduler = new Scheduler(simulation, world);
        var interrupts = new Interrupts(simulation, scheduler);
        var block = new Block(simulation, scheduler, world, interrupts);
        _syscalls = new Syscalls(simulation, world, scheduler);
        var processes = new Processes(_syscalls, scheduler);
        var network = new Network(_syscalls, scheduler);
        _memory = new MemorySubsystem(simulation, scheduler, processes);
        _ = new Activities(_syscalls, new Vfs(_syscalls, block), processes, network);
        _runner = new MachineRunner(spec, _kernel, simulation, [interrupts, scheduler, _syscalls, block, network, _memory]);
        Bpf = new BpfSyscall(new BpfEnvironment
        {
            Cpus = spec.Cpus,
            Engine = Platform.Engine(spec.Engine),
            Helpers = Platform.Helpers,
            Kfuncs = Platform.KfuncsOf(KernelBtf),
            FindProgramType = Platform.FindProgramType,
            Verify = Platform.Verify,
            CreateMap = Platform.CreateMap,
            Hooks = Hooks,
            KernelBtf = KernelBtf,
            SymbolAddress = spec.KernelBtf == null ? Profile.KernelProfile.Embedded.SymbolAddress : null,
            Now = () => NowNs,
            Capabilities = spec.Capabilities,
            Kernel = _kernel,
            IteratorTargets = new IteratorTargets(_kernel.Arena, simulation.Types, () => world.Tasks.Values.OrderBy(t => t.Pid).Where(t => t.Pid != 0).Select(t => t.Address)),
        });
    }

    /// <summary>What the machine was built from.</summary>
    public MachineSpec Spec { get; }

    /// <summary>The kernel's types.</summary>
    public BtfData? KernelBtf { get; }

    /// <summary>The bpf(2) call.</summary>
    public BpfSyscall Bpf { get; }

    /// <summary>Where programs hang.</summary>
    public HookTable Hooks { get; }

    /// <summary>What really happened. Read it between runs.</summary>
    public Ledger Ledger { get; }

    /// <summary>What programs print.</summary>
    public TraceBuffer Trace => _kernel.Trace;

    /// <summary>Simulated memory.</summary>
    public KernelArena Arena => _kernel.Arena;

    /// <summary>Nanoseconds since the simulated boot.</summary>
    public ulong NowNs => _runner.Simulation.NowNs;

    /// <summary>Simulated time since the machine was built.</summary>
    public TimeSpan Elapsed => TimeSpan.FromTicks((long)((NowNs - Spec.BootTimeNs) / 100));

    /// <summary>Crashes of actors so far; each was restarted.</summary>
    public IReadOnlyList<string> Crashes => _runner.Crashes;

    /// <summary>The actor system in which the machine's actors live, for actors of user space that belong to it.</summary>
    public ActorSystem ActorSystem => _system.Value.GetAwaiter().GetResult();

    private static ActorSystem CreateActorSystem() => ActorSystem.Create("bpfsim", ConfigurationFactory.ParseString(
        "akka { loglevel = OFF, stdout-loglevel = OFF, log-dead-letters = off, coordinated-shutdown.run-by-clr-shutdown-hook = off }"));

    /// <summary>Flood mode: events delivered to CPUs so far.</summary>
    public ulong FloodEvents => _runner.FloodDelivered;

    internal MachineRunner Runner => _runner;

    internal KernelState Kernel => _kernel;

    /// <summary>
    /// Calls something every so often in simulated time, between two windows while nothing else runs: user
    /// space's turn (polling maps, reading ring buffers). The argument is the time in nanoseconds since boot.
    /// </summary>
    public IDisposable Every(TimeSpan period, Action<ulong> action) => _runner.Every((ulong)period.Ticks * 100, action);

    /// <summary>
    /// Lets simulated time pass; in realtime mode as much wall time passes, in flood mode the duration is wall time. May be called again to go on. Returns
    /// early if cancelled.
    /// </summary>
    public void Run(TimeSpan duration, CancellationToken cancellation = default)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (Spec.Mode == RunMode.Flood)
        {
            _runner.BeginFlood(_syscalls.World);
            Actor.Tell(new StartFlood((ulong)duration.Ticks * 100, done, cancellation));
            done.Task.GetAwaiter().GetResult();
            return;
        }
        if (!_begun)
        {
            _begun = true;
            _syscalls.Begin();
            _memory.Begin();
        }
        Actor.Tell(new RunUntil(NowNs + (ulong)duration.Ticks * 100, done, cancellation));
        done.Task.GetAwaiter().GetResult();
    }

    /// <summary>
    /// Checks that nothing is missing: for each attachment ever made, the events that were emitted against runs
    /// and misses.
    /// </summary>
    public IReadOnlyList<ReconciliationRow> Reconcile() =>
        [.. Hooks.AllAttachments.Select(a => new ReconciliationRow(a.Site.Name, a.Kind, a.Program.Name, a.Emitted, a.Runs, a.RecursionMisses, a.Filtered, a.LostInCrash))];

    /// <summary>Makes an actor fail (<c>cpu0</c>, <c>scheduler</c>, …), to see that the machine goes on.</summary>
    internal void CrashActor(string name) => Actor.Tell(new CrashChild(name, "injected"));

    private IActorRef Actor => _actor ??= ActorSystem.ActorOf(Props.Create<MachineActor>(_runner), "machine");

    /// <summary>Stops everything and frees programs, maps and memory.</summary>
    public void Dispose()
    {
        if (_system.IsValueCreated) ActorSystem.Terminate().GetAwaiter().GetResult();
        Bpf.Dispose();
        _runner.Dispose();
    }
}

/// <summary>One line of the reconciliation: events emitted must equal runs plus misses.</summary>
/// <param name="Hook">The site.</param>
/// <param name="Kind">How the program hangs there.</param>
/// <param name="Program">The program.</param>
/// <param name="Emitted">Events that passed while it was attached.</param>
/// <param name="Runs">Runs.</param>
/// <param name="RecursionMisses">Missed because a program was running on that CPU.</param>
/// <param name="Filtered">Kept away by a filter (pid, session).</param>
/// <param name="Lost">Lost with an actor that crashed.</param>
public readonly record struct ReconciliationRow(
    string Hook, HookKind Kind, string Program, ulong Emitted, ulong Runs, ulong RecursionMisses, ulong Filtered, ulong Lost)
{
    /// <summary>Whether nothing is missing.</summary>
    public bool Balanced => Emitted == Runs + RecursionMisses + Filtered + Lost;
}
