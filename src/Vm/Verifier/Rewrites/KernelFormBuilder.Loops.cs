using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>What stands before functions: the counters of their may_gotos, and the prologue of programs that write into packets.</summary>
internal sealed partial class KernelFormBuilder
{
    /// <summary>How often a may_goto jumps before the kernel looks at the clock (BPF_MAX_TIMED_LOOPS).</summary>
    private const int TimedLoops = 0xffff;

    /// <summary>TC_ACT_SHOT and SK_DROP.</summary>
    private const int DropPacket = 2, DropStream = 0;

    /// <summary>Stack of a function below which the kernel's rewrites put what they keep.</summary>
    private static int StackUnderCounters(Subprogram function) => function.CountedStack - (function.CountsLoops ? Subprogram.CounterStack : 0);

    /// <summary>The count, and above it the time, of a function's may_gotos.</summary>
    private void CountLoops(Subprogram? function)
    {
        if (function is not { CountsLoops: true }) return;
        Emit(St | Mem | Long, Frame, 0, -function.CountedStack, TimedLoops);
        Emit(St | Mem | Long, Frame, 0, -function.CountedStack + 8, 0);
    }

    private bool MayGoto(in Insn insn, int original, int target)
    {
        if (FunctionOf(original) is not { } function) return false;
        int counter = -StackUnderCounters(function) - Subprogram.CounterStack;
        Load(Long, Ax, Frame, counter);
        _jumps.Add((_out.Count, target));
        Emit(Jmp | (int)JmpOp.Jeq, Ax, 0, 0, 0);
        Emit(Alu64 | (int)AluOp.Sub, Ax, 0, 0, 1);
        Emit(Jmp | (int)JmpOp.Jne, Ax, 0, 2, 0);
        Emit(Alu64 | (int)AluOp.Mov, Ax, 0, 0, counter);
        CallTo("arch_bpf_timed_may_goto", new Insn(Jmp | (int)JmpOp.Call, 0, 0, 0, 0));
        Emit(Stx | Mem | Long, Frame, Ax, counter, 0);
        return true;
    }

    /// <summary>Old loads from packets are calls that end the program where the packet does; the context is in r6.</summary>
    private bool LoadPacket(in Insn insn)
    {
        if (InsnTable.OpOf(insn) == InsnOp.LdAbs)
        {
            Emit(Alu64 | (int)AluOp.Mov, 2, 0, 0, insn.Imm);
        }
        else
        {
            Emit(Alu64 | (int)AluOp.Mov | FromReg, 2, insn.Src, 0, 0);
            if (insn.Imm != 0) Emit(Alu64 | (int)AluOp.Add, 2, 0, 0, insn.Imm);
        }

        Emit(Alu64 | (int)AluOp.Mov | FromReg, 1, 6, 0, 0);
        CallTo($"bpf_skb_load_helper_{insn.SizeBytes * 8}_no_cache", new Insn(Jmp | (int)JmpOp.Call, 0, 0, 0, 0));
        Emit(Jmp | (int)JmpOp.Jsge, 0, 0, 2, 0);
        Emit(Alu | (int)AluOp.Xor | FromReg, 0, 0, 0, 0);
        Emit(Jmp | (int)JmpOp.Exit, 0, 0, 0, 0);
        return true;
    }

    /// <summary>A program that writes into packets first makes them its own.</summary>
    private void Prologue()
    {
        int drop;
        switch (input.Attributes.Type)
        {
            case ProgramType.SchedCls or ProgramType.SchedAct or ProgramType.LwtXmit:
                drop = DropPacket;
                break;
            case ProgramType.SkSkb:
                drop = DropStream;
                break;
            default:
                return;
        }

        if (!Enumerable.Range(0, aux.Length).Any(slot => aux[slot].Seen && WritesPackets(input.Insns[slot], aux[slot]))) return;
        if (_kernel?.FindComposite("sk_buff")?.FindMember("cloned") is not { } cloned) return;
        Load(Byte, 6, 1, (int)cloned.ByteOffset);
        Emit(Alu | (int)AluOp.And, 6, 0, 0, 1 << (int)(cloned.BitOffset % 8));
        Emit(Jmp | (int)JmpOp.Jeq, 6, 0, 7, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 6, 1, 0, 0);
        Emit(Alu64 | (int)AluOp.Xor | FromReg, 2, 2, 0, 0);
        Emit(Jmp | (int)JmpOp.Call, 0, 0, 0, Helpers.HelperId.SkbPullData);
        Emit(Jmp | (int)JmpOp.Jeq, 0, 0, 2, 0);
        Emit(Alu | (int)AluOp.Mov, 0, 0, 0, drop);
        Emit(Jmp | (int)JmpOp.Exit, 0, 0, 0, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 1, 6, 0, 0);
    }

    private bool WritesPackets(in Insn insn, in InsnAux facts) => insn.Class is InsnClass.St or InsnClass.Stx
        ? facts.PtrType.Base() == RegType.PtrToPacket
        : insn.IsKfuncCall && KfuncName(insn) == "bpf_dynptr_slice_rdwr";
}
