using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// The points where exploration and memory access hand over to the call checks.
internal sealed partial class ProgramVerifier
{
    /// <summary>Checks a helper call and sets r0; r1 to r5 are lost.</summary>
    private void CheckHelperCall(in Insn insn, int insnIdx) =>
        Reject(Errno.EINVAL, $"invalid func unknown#{insn.Imm}");

    /// <summary>Checks a kfunc call and sets r0; r1 to r5 are lost.</summary>
    private void CheckKfuncCall(in Insn insn, int insnIdx) =>
        Reject(Errno.EINVAL, "calling kernel function is not allowed");

    /// <summary>
    /// Checks a local call. A global function is judged by its arguments alone, and the walk goes on behind the
    /// call; into a static one the walk enters with a new frame. Returns the next instruction.
    /// </summary>
    private int CheckLocalCall(in Insn insn, int insnIdx)
    {
        Reject(Errno.EINVAL, "function calls are not supported");
        return insnIdx + 1;
    }

    /// <summary>Leaves the running frame (exit in a static function or a callback); returns the next instruction.</summary>
    private int PrepareFuncExit(int insnIdx)
    {
        Reject(Errno.EINVAL, "function calls are not supported");
        return insnIdx + 1;
    }

    /// <summary>Rejects leaving with references, locks, RCU sections or saved IRQ flags still held.</summary>
    /// <param name="exceptionExit">Leaving by bpf_throw.</param>
    /// <param name="checkLock">Whether held locks and sections matter here.</param>
    /// <param name="prefix">What is done, as the messages name it: <c>BPF_EXIT instruction in main prog</c>.</param>
    private void CheckResourceLeak(bool exceptionExit, bool checkLock, string prefix)
    {
        if (State.RefCount != 0) Reject(Errno.EINVAL, $"{prefix} {exceptionExit} {checkLock}");
    }

    /// <summary>Rejects a register as the target of a release that the program does not own, and so on: before main is walked, sets up r1 to r5 of a global function or exception callback by BTF.</summary>
    private void SetUpGlobalArguments(Subprogram subprog, int subprogNo) =>
        Reject(Errno.EINVAL, $"function {subprog.Name}#{subprogNo} has no BTF");

    /// <summary>Load or store through a BTF pointer; the loaded register is set.</summary>
    private void CheckBtfAccess(int regno, int off, int size, AccessType type, int valueRegno) =>
        Reject(Errno.EACCES, $"R{regno} invalid mem access '{size} {off} {type} {valueRegno}'");

    /// <summary>Load through a map pointer: fields of struct bpf_map by the kernel's BTF.</summary>
    private void CheckMapPtrAccess(int regno, int off, int size, AccessType type, int valueRegno) =>
        Reject(Errno.EACCES, $"R{regno} invalid mem access '{size} {off} {type} {valueRegno}'");

    /// <summary>Load or store of a kptr or uptr field in a map value; the loaded register is set.</summary>
    private void CheckMapKptrAccess(int regno, int valueRegno, int insnIdx, SpecialField field) =>
        Reject(Errno.EACCES, $"R{regno} {valueRegno} {insnIdx} {field.Offset}");

    /// <summary>A store overwrites a stack slot that belongs to a dynptr: forget it, or reject if it is referenced.</summary>
    private void DestroyIfDynptrSlot(FuncFrame frame, int spi)
    {
        if (frame.Stack[spi].Types[0] == SlotType.Dynptr) Reject(Errno.EINVAL, "cannot overwrite referenced dynptr");
    }

    /// <summary>Whether the call runs a callback before it returns (bpf_loop, bpf_for_each_map_elem, rbtree less, …).</summary>
    private static bool IsSyncCallbackCall(in Insn insn) => false;

    /// <summary>Whether the call hands over a callback that runs later (bpf_timer_set_callback, …).</summary>
    private static bool IsAsyncCallbackCall(in Insn insn) => false;

    /// <summary>Whether the call is the next function of an open-coded iterator.</summary>
    private static bool IsIterNextCall(in Insn insn) => false;

    /// <summary>Whether the call never returns (bpf_throw).</summary>
    private static bool IsThrowCall(in Insn insn) => false;

    /// <summary>Whether the call may move packet data.</summary>
    private bool ChangesPacketData(in Insn insn) =>
        insn.IsHelperCall && Input.Helpers.Find(insn.Imm) is { ChangesPacketData: true };

    /// <summary>Whether the call may sleep.</summary>
    private bool MightSleep(in Insn insn) => insn.IsHelperCall && Input.Helpers.Find(insn.Imm) is { MightSleep: true };

    /// <summary>Argument registers that a call reads (bits 1 to 5), and whether it is a bpf_fastcall that clobbers only those and r0.</summary>
    private (int Args, bool Fastcall) CallRegisters(in Insn insn)
    {
        if (insn.IsHelperCall && Input.Helpers.Find(insn.Imm) is { } helper)
            return (((1 << helper.Args.Length) - 1) << 1, helper.AllowFastcall);
        return (0b111110, false);
    }

    /// <summary>Whether reads of a global read-only map's value are constants, and that constant.</summary>
    private static bool TryReadConstMapValue(MapSpec map, int off, int size, out ulong value)
    {
        value = 0;
        return map.FreezeAfterLoad && off < 0 && size < 0;
    }

    /// <summary>Before main is walked: r1 is the context; the BTF of main may say otherwise.</summary>
    private void SetUpMainArguments() => _ = Subprogs;

    /// <summary>Functions that only the BTF knows: the exception callback.</summary>
    private static void AddFunctionsOfBtf(SortedSet<int> starts) => _ = starts;

    /// <summary>Function and line records against the program; names and BTF ids of the functions.</summary>
    private void CheckBtfInfo() => _ = Input.FuncInfos;

    /// <summary>The attach target that a tracing, LSM or extension program names.</summary>
    private void CheckAttachTarget() => _ = Input.Attributes;

    /// <summary>A kernel variable that a 64-bit load refers to, before the walk.</summary>
    private void ResolveBtfVariable(int insnIdx) => Reject(Errno.EINVAL, $"invalid insn idx {insnIdx}");

    /// <summary>The address of a kernel variable.</summary>
    private void CheckLoadBtfId(in Insn insn, ref RegisterState dst) => Reject(Errno.EINVAL, $"{insn.Imm} {dst.Off}");

    /// <summary>Which calls a held lock allows.</summary>
    private void CheckCallWhileLocked(in Insn insn)
    {
        if (State.ActiveLocks != 0 && !insn.IsLocalCall)
            Reject(Errno.EINVAL, "function calls are not allowed while holding a lock");
    }

    /// <summary>Whether a global function returns nothing.</summary>
    private static bool ReturnsVoid(Subprogram subprog) => subprog.Unreliable;

    /// <summary>Numbers that changed since a checkpoint and matter to nobody become unknown, so that a loop converges.</summary>
    private static void WidenImpreciseScalars(VerifierState old, VerifierState current) => _ = (old, current);
}
