using System.Diagnostics;
using System.Globalization;
using BpfSim.Maps;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Hints;
using BpfSim.Vm.Verifier.Logging;
using BpfSim.Vm.Verifier.Rewrites;

namespace BpfSim.Vm.Verifier;

/// <summary>The verifier: Linux 6.18's verdict on a program, its log, and the rewritten program.</summary>
public static class EbpfVerifier
{
    /// <summary>Most maps that a program can refer to (MAX_USED_MAPS).</summary>
    public const int MaxUsedMaps = 64;

    /// <summary>Judges a program; never throws for a bad one.</summary>
    public static VerifierResult Verify(VerifierInput input)
    {
        long started = Stopwatch.GetTimestamp();
        // At level 1 an accepted program leaves no trace in the log, so it is only written for a rejected one.
        bool detailed = (input.LogLevel & 2) != 0;
        var log = new VerifierLog(detailed ? input.LogLevel : input.LogLevel & 4);
        var verifier = new ProgramVerifier(input, log);
        Errno errno = Judge(verifier);
        PathTrace? trace = null;
        if (errno != Errno.None && !detailed && (input.LogLevel & 1) != 0)
        {
            log = new VerifierLog(input.LogLevel | 1);
            verifier.Recycle();
            (verifier, trace) = Again(input, log);
            errno = Judge(verifier);
        }

        if (errno == Errno.None) input.Observer?.Accepted(verifier);
        if (errno == Errno.None && (input.LogLevel & 3) == 1) log.Append(verifier.SafeFunctions);
        // The statistics count the stack that the rewrites add.
        bool longJumps = errno == Errno.None && RewriteLimits.HasLongJumps(verifier.Insns);
        RewrittenProgram? rewritten = errno != Errno.None || (input.VerdictOnly && !log.Statistics && !longJumps) ? null
            : Rewriter.Rewrite(verifier.Insns, verifier.Aux, verifier.Subprogs, input.Attributes.Capabilities.Allows(Capabilities.Bpf));
        if (rewritten != null) verifier.AddLoopStacks(rewritten.OriginalSlots);
        Lazy<KernelForm>? form = rewritten == null ? null : KernelForm.WhenAsked(rewritten, verifier, input);
        string? refusal = null;
        if (errno == Errno.None && RewriteLimits.Find(verifier.Insns, verifier.Aux, longJumps ? form?.Value : null) is { } limit)
        {
            (errno, refusal) = limit;
            rewritten = null;
            form = null;
            log.Append(refusal + "\n");
        }

        string? message = errno == Errno.None ? null
            : refusal ?? verifier.Decisive ?? LastLine(log.Level != 0 ? log.ToString() : log.Tail, errno);
        if (log.Statistics)
        {
            log.Append($"verification time {(long)Stopwatch.GetElapsedTime(started).TotalMicroseconds} usec\n");
            log.Append($"stack depth {string.Join('+', verifier.ListedStacks(rewritten?.OriginalSlots))}\n");
        }

        if (input.LogLevel != 0)
        {
            log.Append(string.Create(CultureInfo.InvariantCulture,
                $"processed {verifier.InsnsProcessed} insns (limit {ProgramVerifier.InsnLimit}) max_states_per_insn {verifier.Explored.MaxPerInsn} total_states {verifier.Explored.Total} peak_states {verifier.Explored.Peak} mark_read 0\n"));
        }

        string? hint = message == null ? null : Explain(input, verifier, trace, message);
        var result = new VerifierResult
        {
            Errno = errno,
            Message = message,
            Hint = hint,
            Log = input.LogLevel == 0 ? "" : log.ToString(),
            Xlated = rewritten?.Insns ?? [],
            OriginalSlots = rewritten?.OriginalSlots ?? [],
            KernelForm = form,
            FunctionStarts = rewritten?.FunctionStarts ?? [0],
            StackDepths = rewritten?.StackDepths ?? [],
            Facts = rewritten?.Facts ?? [],
            ReadsUninitStack = verifier.ReadsUninitStack,
            InsnsProcessed = verifier.InsnsProcessed,
            TotalStates = verifier.Explored.Total,
            PeakStates = verifier.Explored.Peak,
            PeakStateBytes = verifier.Explored.PeakBytes,
            MaxStatesPerInsn = verifier.Explored.MaxPerInsn,
            StackDepth = verifier.Subprogs.Count > 0 ? verifier.Subprogs[0].StackDepth : 0,
        };
        verifier.Recycle();
        return result;
    }

    /// <summary>A second verification, which remembers the path for the hint; an observer of the caller's own goes before.</summary>
    private static (ProgramVerifier Verifier, PathTrace? Trace) Again(VerifierInput input, VerifierLog log)
    {
        PathTrace? trace = input.Observer == null ? new PathTrace(input.Insns.Length) : null;
        return (new ProgramVerifier(trace == null ? input : input with { Observer = trace }, log), trace);
    }

    private static string? Explain(VerifierInput input, ProgramVerifier verifier, PathTrace? trace, string message)
    {
        if (trace == null && input.LogLevel != 0 && input.Observer == null)
        {
            (verifier, trace) = Again(input, new VerifierLog(0));
            Judge(verifier);
        }

        return HintWriter.For(verifier, trace, message);
    }

    private static Errno Judge(ProgramVerifier verifier)
    {
        try
        {
            verifier.Run();
            return Errno.None;
        }
        catch (VerifierReject reject)
        {
            return reject.Errno;
        }
    }

    private static string LastLine(string log, Errno errno)
    {
        string trimmed = log.TrimEnd('\n');
        string line = trimmed[(trimmed.LastIndexOf('\n') + 1)..];
        return line.Length > 0 ? line : errno.ToString();
    }
}
