using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>Accesses to contexts and sockets, which the kernel turns into accesses to its own structures.</summary>
internal sealed partial class KernelFormBuilder
{
    /// <summary>The number of a queue that stands for none.</summary>
    private const int NoQueue = 0xffff;

    /// <summary>TC_ACT_SHOT.</summary>
    private const int DropPacket = 2;

    private readonly BtfData? _kernel = input.Attributes.KernelBtf;

    private static string? VisibleStructure(ProgramType type) => type switch
    {
        ProgramType.SocketFilter or ProgramType.SchedCls or ProgramType.SchedAct or ProgramType.CgroupSkb => "__sk_buff",
        ProgramType.Xdp => "xdp_md",
        ProgramType.PerfEvent => "bpf_perf_event_data",
        _ => null,
    };

    private string? StructureBehind(RegType pointer) => pointer.Base() switch
    {
        RegType.PtrToCtx => VisibleStructure(input.Attributes.Type),
        RegType.PtrToSocket or RegType.PtrToSockCommon => "bpf_sock",
        _ => null,
    };

    /// <summary>Where a member of the kernel's lies; <c>a.b</c> and, in it, <c>c.d</c>.</summary>
    private MemberPath? Locate(string[] nested)
    {
        int offset = 0, size = 0;
        foreach (string name in nested)
        {
            string[] parts = name.Split('.', 2);
            MemberPath? found = parts.Length == 1 ? new MemberPath(0, 0) : MemberPath.Find(_kernel, parts[0], parts[1]);
            if (found is not { } member) return null;
            (offset, size) = (offset + member.Offset, member.Size);
        }

        return new MemberPath(offset, Math.Max(size, 1));
    }

    private static int SizeCode(int bytes) => (int)(bytes switch { 1 => MemSize.B, 2 => MemSize.H, 4 => MemSize.W, _ => MemSize.Dw });

    private bool Context(in Insn insn, in InsnAux facts)
    {
        if (insn.Class is not (InsnClass.Ldx or InsnClass.St or InsnClass.Stx) || insn.Mode == MemMode.Atomic) return false;
        if (StructureBehind(facts.PtrType) is not { } name || _kernel?.FindComposite(name) is not { } structure) return false;
        if (ContextFields.MemberAt(structure, insn.Off) is not { } member || ContextFields.Find(name, member.Name) is not { } field) return false;
        return insn.Class == InsnClass.Ldx ? ReadField(insn, facts, field, member.Offset, member.Size) : WriteField(insn, field, member.Name, member.Offset);
    }

    private bool WriteField(in Insn insn, ContextField field, string name, int start)
    {
        if (field.Steps.Length != 1 || Locate(field.Steps[0]) is not { } place) return false;
        if (name == "queue_mapping")
        {
            if (insn.Class == InsnClass.St) return false;
            Emit(Jmp | (int)JmpOp.Jge, insn.Src, 0, 1, NoQueue);
        }

        int offset = place.Offset + (field.Indexed ? insn.Off - start : 0), size = field.Indexed ? insn.SizeBytes : place.Size;
        Emit((int)insn.Class | Mem | SizeCode(size), insn.Dst, insn.Src, offset, insn.Imm);
        return true;
    }

    private bool ReadField(in Insn insn, in InsnAux facts, ContextField field, int start, int fieldSize)
    {
        int from = insn.Src, size = insn.SizeBytes;
        for (int step = 0; step < field.Steps.Length; step++)
        {
            string[] nested = field.Steps[step];
            if (nested[0].StartsWith('@'))
            {
                if (!BehindBuffer(insn.Dst, from)) return false;
                nested = [nested[0][1..]];
                from = insn.Dst;
            }

            if (Locate(nested) is not { } place) return false;
            bool last = step == field.Steps.Length - 1, indexed = last && field.Indexed;
            // Registers are read whole, whatever the width of the access.
            int width = !indexed ? place.Size : nested[0].Contains('.') ? size : 8;
            Load(SizeCode(width), insn.Dst, from, place.Offset + (indexed ? insn.Off - start : 0));
            from = insn.Dst;
        }

        if (field.Mask != 0) Emit(Alu | (int)AluOp.And, insn.Dst, 0, 0, field.Mask);
        if (field.Truth)
        {
            Emit(Jmp | (int)JmpOp.Jeq, insn.Dst, 0, 1, 0);
            Emit(Alu | (int)AluOp.Mov, insn.Dst, 0, 0, 1);
        }

        if (field.Shift != 0) Emit(Alu | (int)AluOp.Lsh, insn.Dst, 0, 0, field.Shift);
        int whole = facts.CtxFieldSize;
        if (field.Indexed || size >= whole || size >= fieldSize) return true;
        int shift = (insn.Off & (whole - 1)) * 8;
        if (shift != 0) Emit((whole <= 4 ? Alu : Alu64) | (int)AluOp.Rsh, insn.Dst, 0, 0, shift);
        Emit(Alu | (int)AluOp.And, insn.Dst, 0, 0, (int)((1L << (size * 8)) - 1));
        return true;
    }

    /// <summary>The address behind a packet's buffer: its head and, in 64-bit kernels, the offset of its end.</summary>
    private bool BehindBuffer(int dst, int skb)
    {
        if (Locate(["sk_buff.head"]) is not { } head || Locate(["sk_buff.end"]) is not { } end) return false;
        Load(SizeCode(end.Size), Ax, skb, end.Offset);
        Load(SizeCode(head.Size), dst, skb, head.Offset);
        Emit(Alu64 | (int)AluOp.Add | FromReg, dst, Ax, 0, 0);
        return true;
    }

    /// <summary>A classifier that writes into packets first makes them its own.</summary>
    private void Prologue()
    {
        if (input.Attributes.Type is not (ProgramType.SchedCls or ProgramType.SchedAct)) return;
        if (!program.OriginalSlots.Any(slot => aux[slot].Seen && aux[slot].PtrType.Base() == RegType.PtrToPacket
                && input.Insns[slot].Class is InsnClass.St or InsnClass.Stx)) return;
        if (_kernel?.FindComposite("sk_buff")?.FindMember("cloned") is not { } cloned) return;
        Load(Byte, 6, 1, (int)cloned.ByteOffset);
        Emit(Alu | (int)AluOp.And, 6, 0, 0, 1 << (int)(cloned.BitOffset % 8));
        Emit(Jmp | (int)JmpOp.Jeq, 6, 0, 7, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 6, 1, 0, 0);
        Emit(Alu64 | (int)AluOp.Xor | FromReg, 2, 2, 0, 0);
        Emit(Jmp | (int)JmpOp.Call, 0, 0, 0, Helpers.HelperId.SkbPullData);
        Emit(Jmp | (int)JmpOp.Jeq, 0, 0, 2, 0);
        Emit(Alu | (int)AluOp.Mov, 0, 0, 0, DropPacket);
        Emit(Jmp | (int)JmpOp.Exit, 0, 0, 0, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 1, 6, 0, 0);
        while (_from.Count < _out.Count) _from.Add(0);
    }
}
