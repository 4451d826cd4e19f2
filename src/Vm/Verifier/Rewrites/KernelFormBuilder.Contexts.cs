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

    /// <summary>Bits in the byte of a packet that says what its time means, and on which way the packet is.</summary>
    private const int TimestampType = 3, AtIngress = 4;

    private readonly BtfData? _kernel = input.Attributes.KernelBtf;

    /// <summary>What a program of the type sees as its context; before it, if need be, the name of the rows that come first.</summary>
    private static (string? First, string Name)? VisibleStructure(ProgramType type) => type switch
    {
        ProgramType.SchedCls or ProgramType.SchedAct => ("classifier", "__sk_buff"),
        ProgramType.SocketFilter or ProgramType.CgroupSkb or ProgramType.LwtIn or ProgramType.LwtOut or ProgramType.LwtXmit
            or ProgramType.LwtSeg6local => (null, "__sk_buff"),
        ProgramType.SkSkb => ("sk_skb", "__sk_buff"),
        ProgramType.FlowDissector => ("flow_dissector", "__sk_buff"),
        ProgramType.Xdp => (null, "xdp_md"),
        ProgramType.PerfEvent => (null, "bpf_perf_event_data"),
        ProgramType.CgroupSock => (null, "bpf_sock"),
        ProgramType.CgroupSockAddr => (null, "bpf_sock_addr"),
        ProgramType.CgroupSockopt => (null, "bpf_sockopt"),
        ProgramType.CgroupSysctl => (null, "bpf_sysctl"),
        ProgramType.SockOps => (null, "bpf_sock_ops"),
        ProgramType.SkMsg => (null, "sk_msg_md"),
        ProgramType.SkLookup => (null, "bpf_sk_lookup"),
        ProgramType.SkReuseport => (null, "sk_reuseport_md"),
        _ => null,
    };

    private (string? First, string Name)? StructureBehind(RegType pointer) => pointer.Base() switch
    {
        RegType.PtrToCtx => VisibleStructure(input.Attributes.Type),
        RegType.PtrToSocket or RegType.PtrToSockCommon => (null, "bpf_sock"),
        RegType.PtrToTcpSock => (null, "bpf_tcp_sock"),
        RegType.PtrToXdpSock => (null, "bpf_xdp_sock"),
        _ => null,
    };

    private static ContextField? FieldAt((string? First, string Name) names, BtfType structure, int offset, out (string Name, int Offset, int Size) member)
    {
        member = default;
        if (ContextFields.MemberAt(structure, offset) is { } named)
        {
            member = named;
        }
        else
        {
            // Padding behind a member has no name of its own.
            if (ContextFields.MemberAt(structure, (offset & ~1) - 2) is not { } before) return null;
            member = (before.Name + "+2", before.Offset + 2, 2);
        }

        return (names.First is { } first ? ContextFields.Find(first, member.Name) : null) ?? ContextFields.Find(names.Name, member.Name);
    }

    /// <summary>Where a member of the kernel's lies; <c>a.b</c> and, in it, <c>c.d</c>.</summary>
    private MemberPath? Locate(string[] nested)
    {
        int offset = 0, size = 0;
        foreach (string name in nested)
        {
            if (name[0] == '*') return new MemberPath(0, name[1] - '0');
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
        if (StructureBehind(facts.PtrType) is not { } names || _kernel?.FindComposite(names.Name) is not { } structure) return false;
        if (FieldAt(names, structure, insn.Off, out (string Name, int Offset, int Size) member) is not { } field) return false;
        return insn.Class == InsnClass.Ldx ? ReadField(insn, facts, field, member) : WriteField(insn, field, member.Name, member.Offset);
    }

    private bool WriteField(in Insn insn, ContextField field, string name, int start)
    {
        if (Locate(field.Steps[^1].Path) is not { } place) return false;
        if (name == "queue_mapping")
        {
            if (insn.Class == InsnClass.St && insn.Imm >= NoQueue)
            {
                Skip(0);
                return true;
            }

            if (insn.Class == InsnClass.Stx) Emit(Jmp | (int)JmpOp.Jge, insn.Src, 0, 1, NoQueue);
        }

        int offset = place.Offset + (field.Indexed ? insn.Off - start : 0), size = field.Indexed ? insn.SizeBytes : place.Size;
        if (field.Steps.Length == 1)
        {
            if (field.Special == SpecialContextField.Timestamp && !StampTypeAsked && !EnterStampWrite(insn.Dst)) return false;
            Emit((int)insn.Class | Mem | SizeCode(size), insn.Dst, insn.Src, offset, insn.Imm);
            return true;
        }

        // A register is borrowed for the way there; it waits in the context itself.
        string context = field.Steps[0].Path[0].Split('.')[0];
        if ((Locate([context + ".tmp_reg"]) ?? Locate([context + ".temp"])) is not { } kept) return false;
        int borrowed = SpareRegister(insn.Dst, insn.Src), from = insn.Dst;
        Emit(Stx | Mem | Long, insn.Dst, borrowed, kept.Offset, 0);
        if (field.Guard is { } guard)
        {
            if (Locate(guard) is not { } flag) return false;
            Load(SizeCode(flag.Size), borrowed, insn.Dst, flag.Offset);
            Emit(Jmp | (int)JmpOp.Jeq, borrowed, 0, field.Steps.Length, 0);
        }

        foreach (ContextStep step in field.Steps[..^1])
        {
            if (Locate(step.Path) is not { } pointer) return false;
            Load(Long, borrowed, from, pointer.Offset);
            from = borrowed;
        }

        Emit((int)insn.Class | Mem | SizeCode(size), borrowed, insn.Src, offset, insn.Imm);
        Load(Long, borrowed, insn.Dst, kept.Offset);
        return true;
    }

    /// <summary>The highest register that an access does not use.</summary>
    private static int SpareRegister(int one, int other)
    {
        int spare = 9;
        while (spare == one || spare == other) spare--;
        return spare;
    }

    private bool ReadField(in Insn insn, in InsnAux facts, ContextField field, (string Name, int Offset, int Size) member)
    {
        int whole = field.AsWritten ? 0 : field.Special == SpecialContextField.Zero || facts.CtxFieldSize == 0 && !field.Indexed ? member.Size : facts.CtxFieldSize;
        int width = Math.Max(insn.SizeBytes, whole), size = width, offset = insn.Off;
        if (whole > 0) offset &= ~(whole - 1);
        bool read = field.Special switch
        {
            SpecialContextField.Zero => ReadZero(insn.Dst, ref size),
            SpecialContextField.LinearEnd => ReadLinearEnd(insn),
            SpecialContextField.Timestamp when !StampTypeAsked => ReadTimestamp(insn, field),
            _ => Follow(insn, field, offset - member.Offset, width, ref size),
        };
        if (!read) return false;
        if (field.Mask != 0) Emit(Alu | (int)AluOp.And, insn.Dst, 0, 0, field.Mask);
        if (field.Truth)
        {
            size = 4;
            Emit(Jmp | (int)JmpOp.Jeq, insn.Dst, 0, 1, 0);
            Emit(Alu | (int)AluOp.Mov, insn.Dst, 0, 0, 1);
        }

        if (field.Unless is { } unless)
        {
            Emit(Jmp | (int)unless.Stays, insn.Dst, 0, 1, unless.Limit);
            Emit(Alu64 | (int)AluOp.Mov, insn.Dst, 0, 0, unless.Else);
        }

        if (field.Shift != 0) Emit(Alu | (int)AluOp.Lsh, insn.Dst, 0, 0, field.Shift);
        int wanted = insn.SizeBytes;
        if (wanted < whole && wanted < size)
        {
            int shift = (insn.Off & (whole - 1)) * 8;
            if (shift != 0) Emit((whole <= 4 ? Alu : Alu64) | (int)AluOp.Rsh, insn.Dst, 0, 0, shift);
            Emit(Alu | (int)AluOp.And, insn.Dst, 0, 0, (int)((1L << (wanted * 8)) - 1));
        }

        if (insn.Mode == MemMode.MemSx) Emit(Alu64 | (int)AluOp.Mov | FromReg, insn.Dst, insn.Dst, wanted * 8, 0);
        return true;
    }

    /// <summary>Loads one step after the other; <paramref name="size"/> becomes the width of the last.</summary>
    private bool Follow(in Insn insn, ContextField field, int inside, int width, ref int size)
    {
        int from = insn.Src, guard = -1, dst = insn.Dst, spare = 0, temp = 0;
        if (field.Guard != null)
        {
            if (Locate(field.Guard) is not { } flag) return false;
            int test = dst;
            if (dst == from)
            {
                // The context is needed after the test.
                if (Locate([field.Steps[0].Path[0].Split('.')[0] + ".temp"]) is not { } kept) return false;
                (spare, temp) = (SpareRegister(dst, from), kept.Offset);
                Emit(Stx | Mem | Long, from, spare, temp, 0);
                test = spare;
            }

            Load(SizeCode(flag.Size), test, from, flag.Offset);
            guard = _out.Count;
            Emit(Jmp | (int)JmpOp.Jeq, test, 0, 0, 0);
            if (spare != 0) Load(Long, spare, from, temp);
        }

        int nulls = -1;
        for (int i = 0; i < field.Steps.Length; i++)
        {
            string[] nested = field.Steps[i].Path;
            if (nested[0].StartsWith('@'))
            {
                if (!BehindBuffer(dst, from)) return false;
                nested = [nested[0][1..]];
                from = dst;
            }

            if (Locate(nested) is not { } place) return false;
            bool last = i == field.Steps.Length - 1, indexed = last && field.Indexed;
            size = !indexed ? place.Size : width;
            // Registers are read whole, whatever the width of the access.
            if (indexed && nested[0] == "pt_regs") size = 8;
            Load(SizeCode(size), dst, from, place.Offset + (indexed ? inside : 0));
            from = dst;
            if (!field.Steps[i].MayBeNull) continue;
            nulls = _out.Count;
            Emit(Jmp | (int)JmpOp.Jeq, dst, 0, 0, 0);
        }

        if (nulls >= 0) _out[nulls] = _out[nulls] with { Off = (short)(_out.Count - nulls - 1) };
        if (guard < 0) return true;
        if (spare != 0)
        {
            Skip(2);
            _out[guard] = _out[guard] with { Off = (short)(_out.Count - guard - 1) };
            Load(Long, spare, insn.Src, temp);
            Emit(Alu64 | (int)AluOp.Mov, dst, 0, 0, 0);
        }
        else
        {
            _out[guard] = _out[guard] with { Off = (short)(_out.Count - guard - 1) };
        }

        return true;
    }

    private bool ReadZero(int dst, ref int size)
    {
        size = 2;
        Emit(Alu | (int)AluOp.Mov, dst, 0, 0, 0);
        return true;
    }

    /// <summary>Where the data in the packet's own buffer ends: its beginning, its length, less what lies elsewhere.</summary>
    private bool ReadLinearEnd(in Insn insn)
    {
        if (Locate(["sk_buff.data"]) is not { } data || Locate(["sk_buff.len"]) is not { } length || Locate(["sk_buff.data_len"]) is not { } elsewhere
            || Locate(["sk_buff.cb", "sk_skb_cb.temp_reg"]) is not { } kept) return false;
        bool same = insn.Dst == insn.Src;
        int sum = same ? SpareRegister(insn.Dst, insn.Src) : insn.Dst;
        if (same) Emit(Stx | Mem | Long, insn.Src, sum, kept.Offset, 0);
        Load(Long, sum, insn.Src, data.Offset);
        Load(Word, Ax, insn.Src, length.Offset);
        Emit(Alu64 | (int)AluOp.Add | FromReg, sum, Ax, 0, 0);
        Load(Word, Ax, insn.Src, elsewhere.Offset);
        Emit(Alu64 | (int)AluOp.Sub | FromReg, sum, Ax, 0, 0);
        if (!same) return true;
        Emit(Alu64 | (int)AluOp.Mov | FromReg, Ax, insn.Src, 0, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, insn.Dst, sum, 0, 0);
        Load(Long, sum, Ax, kept.Offset);
        return true;
    }

    /// <summary>Whether the program asks what a packet's time means, and so wants to see it as it is.</summary>
    private bool StampTypeAsked => _stampTypeAsked ??= input.Attributes.Type is ProgramType.SchedCls or ProgramType.SchedAct
        && _kernel?.FindComposite("__sk_buff")?.FindMember("tstamp_type") is { } member
        && Enumerable.Range(0, aux.Length).Any(slot => aux[slot].Seen && aux[slot].PtrType.Base() == RegType.PtrToCtx && input.Insns[slot].Off == (int)member.ByteOffset);

    private bool? _stampTypeAsked;

    /// <summary>A time that is not that of the packet's arrival is not shown on the way in.</summary>
    private bool ReadTimestamp(in Insn insn, ContextField field)
    {
        if (Locate(field.Steps[0].Path) is not { } time || Locate(["sk_buff.__mono_tc_offset"]) is not { } bits) return false;
        Load(Byte, Ax, insn.Src, bits.Offset);
        Emit(Jmp32 | (int)JmpOp.Jset, Ax, 0, 1, AtIngress);
        Skip(4);
        Emit(Jmp32 | (int)JmpOp.Jset, Ax, 0, 1, TimestampType);
        Skip(2);
        Emit(Alu64 | (int)AluOp.Mov, insn.Dst, 0, 0, 0);
        Skip(1);
        Load(Long, insn.Dst, insn.Src, time.Offset);
        return true;
    }

    /// <summary>What is written on the way in is a time of arrival.</summary>
    private bool EnterStampWrite(int skb)
    {
        if (Locate(["sk_buff.__mono_tc_offset"]) is not { } bits) return false;
        Load(Byte, Ax, skb, bits.Offset);
        Emit(Jmp32 | (int)JmpOp.Jset, Ax, 0, 1, AtIngress);
        Skip(2);
        Emit(Alu | (int)AluOp.And, Ax, 0, 0, ~TimestampType);
        Emit(Stx | Mem | Byte, skb, Ax, bits.Offset, 0);
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
}
