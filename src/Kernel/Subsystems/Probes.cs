using BpfSim.Kernel.Attach;

namespace BpfSim.Kernel.Subsystems;

/// <summary>A kernel function as the simulation passes it: its two sites.</summary>
internal sealed class KernelFunction
{
    private readonly Simulation _simulation;

    public KernelFunction(Simulation simulation, string name)
    {
        _simulation = simulation;
        Entry = simulation.Site(SiteKind.FunctionEntry, name);
        Return = simulation.Site(SiteKind.FunctionReturn, name);
    }

    public HookSite Entry { get; }

    public HookSite Return { get; }

    /// <summary>A task calls the function; until <see cref="Leave"/> it stands on the task's call chain.</summary>
    public void Enter(SimTask task, params ReadOnlySpan<ulong> args)
    {
        task.Stack = _simulation.Kernel.Stacks.Push(task.Stack, Entry.Address + 0x1f);
        _simulation.Emit(Entry, task.Cpu, task.Identity, task.Stack, args);
    }

    /// <summary>The function returns; <paramref name="args"/> are what it was called with.</summary>
    public void Leave(SimTask task, long result, params ReadOnlySpan<ulong> args)
    {
        _simulation.Emit(Return, task.Cpu, task.Identity, task.Stack, args, (ulong)result);
        task.Stack = _simulation.Kernel.Stacks.CallerOf(task.Stack);
    }

    /// <summary>The function is called and returns at this moment.</summary>
    public void Pass(SimTask task, long result, params ReadOnlySpan<ulong> args)
    {
        Enter(task, args);
        Leave(task, result, args);
    }
}

/// <summary>A tracepoint as the simulation passes it.</summary>
internal sealed class Tracepoint
{
    private readonly Simulation _simulation;
    private readonly RecordWriter _writer;

    public Tracepoint(Simulation simulation, string category, string name)
    {
        _simulation = simulation;
        Site = simulation.Site(SiteKind.Tracepoint, $"{category}:{name}");
        _writer = new RecordWriter(simulation.LayoutOf(category, name));
    }

    public HookSite Site { get; }

    /// <summary>The fields behind <c>__syscall_nr</c> of a sys_enter tracepoint: the arguments in order.</summary>
    public TracepointField[] ArgumentFields() => [.. _writer.Layout.Fields.Where(f => f.Offset >= 16)];

    /// <summary>A field of the record.</summary>
    public TracepointField Field(string name) => _writer.Layout.Field(name);

    /// <summary>
    /// True if a program wants the record: fill it and call <see cref="Emit"/>. False: the event is counted
    /// and that was all.
    /// </summary>
    public bool Begin(SimTask task, out RecordWriter record)
    {
        record = _writer;
        if (!Site.IsActive)
        {
            Site.Pass(task.Cpu);
            return false;
        }
        _writer.Begin(task.Pid);
        return true;
    }

    /// <summary>Delivers the record that was begun, with the raw arguments.</summary>
    public void Emit(SimTask task, params ReadOnlySpan<ulong> args) =>
        _simulation.EmitTracepoint(Site, task.Cpu, task.Identity, task.Stack, args, _writer.Data);
}
