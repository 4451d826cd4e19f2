using System.Diagnostics;
using System.Runtime.InteropServices;
using BpfSim.Kernel.Host;
using BpfSim.Maps;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Cli.Bench;

/// <summary>One row of the table: nanoseconds a run for each way to run a program; null where a way is not available.</summary>
/// <param name="Name">The program.</param>
/// <param name="IsCompute">Whether it counts for the geometric means of the compute programs.</param>
/// <param name="Insns">BPF instructions executed in one run; 0 if they could not be counted.</param>
/// <param name="Interpreter">The interpreter.</param>
/// <param name="Jit">The JIT.</param>
/// <param name="Kernel">The host kernel's JIT, through BPF_PROG_TEST_RUN.</param>
/// <param name="Gcc">The same C by gcc -O2.</param>
/// <param name="JitedBytes">Bytes of machine code.</param>
/// <param name="JitedInsns">x86-64 instructions.</param>
/// <param name="CompileNs">Nanoseconds to compile it, when warm.</param>
/// <param name="Note">What went wrong, if anything.</param>
internal sealed record VmBenchRow(
    string Name, bool IsCompute, ulong Insns, double? Interpreter, double? Jit, double? Kernel, double? Gcc,
    int JitedBytes, int JitedInsns, double CompileNs, string? Note);

/// <summary>
/// Measures the ways to run a program in turns, so that noise hits all alike, and keeps the best round of
/// each: interference only ever adds time.
/// </summary>
internal sealed unsafe class VmBenchRunner(TimeSpan slice, int rounds, nint gccLibrary)
{
    private const int PacketLength = 64;

    /// <summary>Which ways to measure.</summary>
    public bool WithInterpreter { get; init; } = true;

    /// <summary>Lets .NET compile the engines and helpers for good before anything is measured.</summary>
    public static void WarmUp(IReadOnlyList<VmBenchProgram> programs, JitOptions options)
    {
        RunContext* context = stackalloc RunContext[1];
        *context = new RunContext { TimeNs = 1_000_000, RandomState = 1 };
        ulong* ctx = stackalloc ulong[32];
        *ctx = PacketLength - 14;
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(1.5))
        {
            foreach (VmBenchProgram program in programs)
            {
                using LoadedProgram interpreted = new InterpreterEngine().Load(program.Executable), jited = new JitEngine(options).Load(program.Executable);
                RunBatches(interpreted, ctx, context, 4);
                RunBatches(jited, ctx, context, 64);
            }
        }
    }

    /// <summary>Measures one program.</summary>
    public VmBenchRow Measure(VmBenchProgram program, JitOptions options)
    {
        string? note = null;
        RunContext* context = stackalloc RunContext[1];
        *context = new RunContext { TimeNs = 1_000_000, RandomState = 1, PidTgid = (1ul << 32) | 1 };
        // The input: a context whose first field is the packet length, without the Ethernet header as the host has it.
        ulong* ctx = stackalloc ulong[32];
        *ctx = PacketLength - 14;
        using LoadedProgram interpreted = new InterpreterEngine().Load(program.Executable);
        using JitProgram jited = (JitProgram)new JitEngine(options).Load(program.Executable);
        uint expected = (uint)interpreted.Run(ctx, context), actual = (uint)jited.Run(ctx, context);
        if (expected != actual) note = $"the JIT returns {actual}, the interpreter {expected}";
        int host = -1;
        if (HostKernel.IsAvailable)
        {
            host = program.LoadOnHost(out string? error);
            note ??= error;
            if (host >= 0 && HostKernel.TestRun(host, new byte[PacketLength], repeat: 1).ReturnValue != expected)
                note ??= $"the host's kernel does not return {expected}";
        }
        delegate* unmanaged<void*, ulong> native = null;
        if (gccLibrary != 0 && program.IsCompute && NativeLibrary.TryGetExport(gccLibrary, program.Name, out nint export))
        {
            native = (delegate* unmanaged<void*, ulong>)export;
            if ((uint)native(ctx) != expected) note ??= $"gcc's code does not return {expected}";
        }
        double interpreter = double.MaxValue, jit = double.MaxValue, kernel = double.MaxValue, gcc = double.MaxValue;
        int jitCount = 1, interpreterCount = 1, kernelCount = 1, gccCount = 1;
        for (int round = 0; round < rounds; round++)
        {
            jit = Math.Min(jit, Time(ref jitCount, n => RunBatches(jited, ctx, context, n)));
            if (native != null)
            {
                delegate* unmanaged<void*, ulong> f = native;
                gcc = Math.Min(gcc, Time(ref gccCount, n =>
                {
                    for (int i = 0; i < n; i++) f(ctx);
                }));
            }
            if (host >= 0) kernel = Math.Min(kernel, TimeOnHost(host, ref kernelCount));
            if (WithInterpreter && round < 10) interpreter = Math.Min(interpreter, Time(ref interpreterCount, n => RunBatches(interpreted, ctx, context, n)));
        }
        return new VmBenchRow(program.Name, program.IsCompute, CountInsns(program, ctx), Known(interpreter), Known(jit), Known(kernel), Known(gcc),
            jited.JitedBytes, jited.InstructionCount, 0, note);
    }

    private static double? Known(double ns) => ns == double.MaxValue ? null : ns;

    /// <summary>Nanoseconds of one run; adapts the count until a round fills the time slice.</summary>
    private double Time(ref int count, Action<int> run)
    {
        while (true)
        {
            long start = Stopwatch.GetTimestamp();
            run(count);
            TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
            if (elapsed >= slice || count >= 1 << 28) return elapsed.TotalNanoseconds / count;
            count = (int)Math.Min(1 << 28, Math.Max(count * 2.0, count * 1.1 * (slice / (elapsed + TimeSpan.FromTicks(1)))));
        }
    }

    private double TimeOnHost(int fd, ref int count)
    {
        byte[] packet = new byte[PacketLength];
        while (true)
        {
            HostTestRun run = HostKernel.TestRun(fd, packet, repeat: (uint)count);
            if (run.Errno != 0) return double.MaxValue;
            // The kernel's mean is in whole nanoseconds.
            double total = (double)run.DurationNs * count;
            if (total >= slice.TotalNanoseconds || count >= 1 << 24) return run.DurationNs;
            count = Math.Max(count * 2, (int)(count * slice.TotalNanoseconds / Math.Max(total, count)));
        }
    }

    private static void RunBatches(LoadedProgram program, void* ctx, RunContext* context, int count)
    {
        const int batch = 64;
        RunRequest* requests = stackalloc RunRequest[batch];
        for (int i = 0; i < batch; i++) requests[i] = new RunRequest { Ctx = ctx, TimeNs = 1_000_000 + (ulong)i };
        using EpochScope epoch = MapEpoch.EnterThread();
        for (; count > 0; count -= batch) program.RunBatch(requests, Math.Min(count, batch), context);
    }

    /// <summary>
    /// Fills in the time to compile each program. The compiler's own code must have been compiled for good by
    /// then, which .NET does in the background: the best of three seconds counts.
    /// </summary>
    public static void MeasureCompilation(IReadOnlyList<VmBenchProgram> programs, JitOptions options, List<VmBenchRow> rows)
    {
        double[] best = new double[programs.Count];
        Array.Fill(best, double.MaxValue);
        JitEngine engine = new(options);
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(3))
        {
            for (int i = 0; i < best.Length; i++)
            {
                long before = Stopwatch.GetTimestamp();
                LoadedProgram loaded = engine.Load(programs[i].Executable);
                best[i] = Math.Min(best[i], Stopwatch.GetElapsedTime(before).TotalNanoseconds);
                loaded.Dispose();
            }
        }
        for (int i = 0; i < best.Length; i++) rows[i] = rows[i] with { CompileNs = best[i] };
    }

    private static ulong CountInsns(VmBenchProgram program, void* ctx)
    {
        RunContext context = new() { TimeNs = 1_000_000, RandomState = 1, Fuel = long.MaxValue };
        try
        {
            using LoadedProgram counting = new CheckedEngine().Load(program.Executable);
            counting.Run(ctx, &context);
        }
        catch (InvalidProgramException)
        {
            return 0;
        }
        return context.InsnsExecuted;
    }
}
