using System.Diagnostics.CodeAnalysis;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Logging;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

/// <summary>
/// One verification of one program (struct bpf_verifier_env): what all steps share. The steps are in the
/// other files of this class: CFG, exploration, transfer, memory, branches, calls, rewrites.
/// </summary>
internal sealed partial class ProgramVerifier
{
    /// <summary>Most instructions that are walked over all paths (BPF_COMPLEXITY_LIMIT_INSNS).</summary>
    internal const int InsnLimit = 1_000_000;

    /// <summary>Most paths that wait (BPF_COMPLEXITY_LIMIT_JMP_SEQ).</summary>
    internal const int JumpSequenceLimit = 8192;

    // Attach types of tracing and security programs that have rules of their own (enum bpf_attach_type).
    private const uint TraceRawTp = 23, TraceFentry = 24, TraceFexit = 25, ModifyReturn = 26, TraceIter = 28, LsmCgroup = 43;

    /// <summary>Bytes of stack of one program over all frames (MAX_BPF_STACK).</summary>
    internal const int MaxStack = 512;

    /// <summary>What the caller gave.</summary>
    internal VerifierInput Input { get; }

    /// <summary>The kernel-style log.</summary>
    internal VerifierLog Log { get; }

    /// <summary>The program; local changes before the walk (resolved calls) are made in place.</summary>
    internal Insn[] Insns { get; }

    /// <summary>By instruction.</summary>
    internal InsnAux[] Aux { get; }

    /// <summary>The functions, ascending by start; main is first.</summary>
    internal List<Subprogram> Subprogs { get; } = [];

    /// <summary>Maps of the program, by their index; behind them the blueprints of inner maps, as they are met.</summary>
    internal List<MapSpec> Maps { get; } = [];

    /// <summary>The state being walked.</summary>
    internal VerifierState State { get; private set; } = new();

    /// <summary>The instruction being walked.</summary>
    internal int InsnIdx { get; private set; }

    /// <summary>The instruction walked before it.</summary>
    internal int PrevInsnIdx { get; private set; }

    /// <summary>Last id given out.</summary>
    internal uint IdGenerator { get; set; }

    /// <summary>Privileged: stack that was never written may be read.</summary>
    internal bool AllowUninitStack { get; }

    /// <summary>Some path reads stack that was never written, which engines then must provide zeroed.</summary>
    internal bool ReadsUninitStack { get; private set; }

    /// <summary>Privileged: pointers may be stored and compared freely.</summary>
    internal bool AllowPtrLeaks { get; }

    /// <summary>Privileged: no defence against speculation.</summary>
    internal bool BypassSpec { get; }

    /// <summary>Has CAP_BPF: bounded loops, calls, precision tracking.</summary>
    internal bool BpfCapable { get; }

    /// <summary>BPF_F_STRICT_ALIGNMENT.</summary>
    internal bool StrictAlignment { get; }

    /// <summary>BPF_F_TEST_STATE_FREQ: a checkpoint at every chance.</summary>
    internal bool TestStateFreq { get; }

    /// <summary>BPF_F_TEST_REG_INVARIANTS: intervals that contradict each other end the verification.</summary>
    internal bool TestRegInvariants { get; }

    /// <summary>Registers of the running frame.</summary>
    internal RegisterState[] Regs => State.Current.Regs;

    /// <summary>A fresh id for registers and references.</summary>
    internal uint NewId() => ++IdGenerator;

    /// <summary>Appends to the log; the text brings its own line ends.</summary>
    internal void Verbose(string text) => Log.Write(text);

    /// <summary>Logs a line and rejects the program.</summary>
    [DoesNotReturn]
    internal void Reject(Errno errno, string line)
    {
        Verbose(line + "\n");
        throw new VerifierReject(errno);
    }

    /// <summary>Rejects the program; what there is to say was logged.</summary>
    [DoesNotReturn]
    internal static void Reject(Errno errno) => throw new VerifierReject(errno);

    /// <summary>Rejects the program because the verifier itself is at fault: the kernel's "verifier bug".</summary>
    [DoesNotReturn]
    internal void RejectBug(string text) => Reject(Errno.EFAULT, $"verifier bug: {text}");
}
