using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Logging;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// States, instructions and source lines in the log.
internal sealed partial class ProgramVerifier
{
    private const int LogColumn = 40, LogStep = 8;
    private readonly StringBuilder _line = new();
    private uint _scratchedRegs;
    private ulong _scratchedSlots;
    private int _insnTextLength;
    private long _insnTextEnd = -1, _functionLogStart;
    private LineInfo? _previousSource;
    private string? _decisive;
    private LogNames? _names;

    /// <summary>A stack slot of the running frame changed and is printed with the next state.</summary>
    private void MarkStackSlotScratched(int spi) => _scratchedSlots |= 1ul << spi;

    /// <summary>A register changed and is printed with the next state.</summary>
    private void MarkRegScratched(int regno) => _scratchedRegs |= 1u << regno;

    /// <summary>Everything is printed with the next state.</summary>
    private void MarkAllScratched()
    {
        _scratchedRegs = ~0u;
        _scratchedSlots = ~0ul;
    }

    /// <summary>The name of a kind of register as messages print it: <c>map_value_or_null</c>.</summary>
    private static string RegTypeName(RegType type) => RegisterText.TypeName(type);

    /// <summary>Prints a whole frame of the present state.</summary>
    private void PrintFrame(FuncFrame frame, bool all) => PrintState(State, frame.FrameNo, all);

    /// <summary>Prints what changed behind the instruction just printed, or on a line of its own.</summary>
    private void PrintInsnState(VerifierState st, int frameNo)
    {
        if (_insnTextEnd > 0 && _insnTextEnd == Log.Position)
        {
            Log.Reset(_insnTextEnd - 1);
            int column = Math.Max(_insnTextLength + LogStep / 2, LogColumn);
            column = (column + LogStep - 1) / LogStep * LogStep;
            Verbose(new string(' ', column - _insnTextLength - 1) + ";");
        }
        else
        {
            Verbose($"{InsnIdx}:");
        }

        PrintState(st, frameNo, all: false);
    }

    /// <summary>Prints registers and stack of a frame; without <paramref name="all"/> only what changed.</summary>
    private void PrintState(VerifierState st, int frameNo, bool all)
    {
        if (!Log.Enabled) return;
        FuncFrame frame = st.Peek(frameNo);
        _line.Clear();
        if (frame.FrameNo != 0) _line.Append($" frame{frame.FrameNo}:");
        for (int i = 0; i < 11; i++)
        {
            if (frame.Regs[i].Type == RegType.NotInit || (!all && (_scratchedRegs & (1u << i)) == 0)) continue;
            _line.Append($" R{i}=");
            AppendReg(_line, frame, frame.Regs[i]);
        }

        for (int i = 0; i < frame.StackSlots; i++)
        {
            if (all || (_scratchedSlots & (1ul << i)) != 0) i = AppendSlot(frame, i);
        }

        if (st.RefCount > 0 && st.Refs[0].Id != 0)
        {
            _line.Append($" refs={st.Refs[0].Id}");
            for (int i = 1; i < st.RefCount; i++)
            {
                if (st.Refs[i].Id != 0) _line.Append($",{st.Refs[i].Id}");
            }
        }

        if (frame.InCallback) _line.Append(" cb");
        if (frame.InAsyncCallback) _line.Append(" async_cb");
        Verbose(_line.Append('\n').ToString());
        if (all) return;
        _scratchedRegs = 0;
        _scratchedSlots = 0;
    }

    // Returns the last slot that was printed: a dynptr takes two.
    private int AppendSlot(FuncFrame frame, int i)
    {
        ref StackSlot slot = ref frame.Stack[i];
        if (slot.Types.Word == 0) return i;
        int address = (-i - 1) * 8;
        switch (slot.Types[7])
        {
            case SlotType.Spill:
                _line.Append($" fp{address}=");
                for (int j = 0; j < 8 && slot.Types[j] != SlotType.Spill; j++) _line.Append(RegisterText.SlotChar(slot.Types[j]));
                AppendReg(_line, frame, slot.Spilled);
                return i;
            case SlotType.Dynptr:
                i++;
                if (i >= frame.StackSlots) return i;
                ref RegisterState dynptr = ref frame.Stack[i].Spilled;
                _line.Append($" fp{(-i - 1) * 8}=dynptr_{RegisterText.DynptrName(dynptr.Dynptr)}(");
                string separator = "";
                if (dynptr.Id != 0)
                {
                    _line.Append($"id={dynptr.Id}");
                    separator = ",";
                }

                if (dynptr.RefObjId != 0)
                {
                    _line.Append($"{separator}ref_id={dynptr.RefObjId}");
                    separator = ",";
                }

                // The kernel's field for a slice's dynptr shares its place with "is the first slot".
                _line.Append($"{separator}dynptr_id=1)");
                return i;
            case SlotType.Iter:
                ref RegisterState iter = ref slot.Spilled;
                if (iter.RefObjId == 0) return i;
                _line.Append($" fp{address}=iter_{IteratorName(iter)}(ref_id={iter.RefObjId},state={RegisterText.IterName(iter.Iter)},depth={iter.IterDepth})");
                return i;
            default:
                _line.Append($" fp{address}=");
                for (int j = 0; j < 8; j++) _line.Append(RegisterText.SlotChar(slot.Types[j]));
                return i;
        }
    }

    private string IteratorName(in RegisterState iter)
    {
        string name = BtfName(iter);
        return name.StartsWith("bpf_iter_", StringComparison.Ordinal) ? name["bpf_iter_".Length..] : name;
    }

    private string BtfName(in RegisterState reg)
    {
        Btf.BtfData? btf = reg.Btf == BtfSource.Program ? Input.Btf : Input.Attributes.KernelBtf;
        return btf?.Find(reg.BtfId)?.Name ?? "";
    }

    private void AppendReg(StringBuilder text, FuncFrame frame, in RegisterState reg)
    {
        RegType type = reg.Type;
        if (type == RegType.Scalar && reg.Precise) text.Append('P');
        if (type == RegType.Scalar && reg.IsConst)
        {
            text.Append(RegisterText.Signed((long)reg.VarOff.Value));
            return;
        }

        text.Append(RegTypeName(type));
        if (type == RegType.PtrToArena) return;
        if (type == RegType.PtrToStack)
        {
            if (frame.FrameNo != reg.FrameNo) text.Append($"[{reg.FrameNo}]");
            if (reg.IsConst)
            {
                text.Append(RegisterText.Signed((long)reg.VarOff.Value + reg.Off));
                return;
            }
        }

        if (type.Base() == RegType.PtrToBtfId) text.Append(BtfName(reg));
        text.Append('(');
        string separator = "";
        void Separate(StringBuilder to)
        {
            to.Append(separator);
            separator = ",";
        }

        if (reg.Id != 0)
        {
            Separate(text);
            text.Append($"id={reg.Id & ~RegisterState.AddConst}");
        }

        if ((reg.Id & RegisterState.AddConst) != 0) text.Append(reg.Off >= 0 ? $"+{reg.Off}" : $"{reg.Off}");
        if (reg.RefObjId != 0)
        {
            Separate(text);
            text.Append($"ref_obj_id={reg.RefObjId}");
        }

        if (type.Has(RegType.NonOwnRef))
        {
            Separate(text);
            text.Append("non_own_ref");
        }

        if (type.Base() is RegType.ConstPtrToMap or RegType.PtrToMapKey or RegType.PtrToMapValue)
        {
            MapSpec map = Maps[reg.MapIndex];
            Separate(text);
            if (MapName(reg.MapIndex) is { Length: > 0 } name) text.Append($"map={name},");
            text.Append($"ks={map.KeySize},vs={map.ValueSize}");
        }

        if (type != RegType.Scalar && reg.Off != 0)
        {
            Separate(text);
            text.Append("off=").Append(RegisterText.Signed(reg.Off));
        }

        if (type.IsPacket())
        {
            Separate(text);
            text.Append("r=").Append(RegisterText.Unsigned((ulong)reg.Range));
        }

        if (type.Base() == RegType.PtrToMem)
        {
            Separate(text);
            text.Append("sz=").Append(RegisterText.Unsigned(reg.MemSize));
        }

        if (type == RegType.ConstPtrToDynptr)
        {
            Separate(text);
            text.Append("type=").Append(RegisterText.DynptrName(reg.Dynptr));
        }

        if (reg.IsConst)
        {
            if (reg.VarOff.Value != 0)
            {
                Separate(text);
                text.Append("imm=").Append(RegisterText.Signed((long)reg.VarOff.Value));
            }
        }
        else
        {
            RegisterText.AppendRanges(text, reg, ref separator);
            if (!reg.VarOff.IsUnknown)
            {
                Separate(text);
                text.Append("var_off=").Append(reg.VarOff);
            }
        }

        text.Append(')');
    }

    /// <summary>A map's name as the kernel keeps it; inner maps have none.</summary>
    private string MapName(int index)
    {
        if (index >= Input.Maps.Count) return "";
        string name = Maps[index].Name;
        return name.Length > 15 ? name[..15] : name;
    }

    /// <summary>Most characters that the kernel prints of a text at once (BPF_VERIFIER_TMP_LOG_SIZE).</summary>
    private const int LongestText = 1023;

    /// <summary>The source line of an instruction, when it is another one than the last printed.</summary>
    private void LogSourceLine(int insnIdx, string prefix)
    {
        if (!Log.Enabled || FindSource(insnIdx) is not { } source || source == _previousSource) return;
        if (_previousSource is { } before && before.File == source.File && before.LineNumber == source.LineNumber) return;
        string file = source.File[(source.File.LastIndexOf('/') + 1)..];
        string line = source.Line.TrimStart();
        if (line.Length > LongestText) line = line[..LongestText];
        Verbose($"{prefix}{line} @ {file}:{source.LineNumber}\n");
        _previousSource = source;
    }

    /// <summary>File, line and text of the source that an instruction comes from; null without line records.</summary>
    internal string? SourceOf(int insnIdx) =>
        FindSource(insnIdx) is { } at ? $"{at.File[(at.File.LastIndexOf('/') + 1)..]}:{at.LineNumber}: {at.Line.Trim()}" : null;

    /// <summary>An instruction as text.</summary>
    internal string TextOf(int insnIdx)
    {
        string line = InsnText(insnIdx);
        return line[(line.IndexOf(')', StringComparison.Ordinal) + 1)..].Trim();
    }

    /// <summary>The name of what an instruction calls.</summary>
    internal string CallNameOf(int insnIdx)
    {
        ref readonly Insn insn = ref Insns[insnIdx];
        LogNames names = _names ??= new LogNames(this);
        if (insn.IsHelperCall) return names.Helper(insn.Imm) ?? $"helper {insn.Imm}";
        if (insn.IsKfuncCall) return names.Kfunc(insn.Imm, insn.Off) ?? $"kernel function {insn.Imm}";
        if (insn.IsLocalCall && FindSubprog(insnIdx + insn.Imm + 1) is var subprog and >= 0)
            return Subprogs[subprog].Name is { Length: > 0 } name ? name : $"func#{subprog}";
        return "the instruction";
    }

    /// <summary>The source line that an instruction belongs to.</summary>
    private LineInfo? FindSource(int insnIdx)
    {
        IReadOnlyList<LineInfo> lines = Input.LineInfos;
        int lo = 0, hi = lines.Count - 1, found = -1;
        while (lo <= hi)
        {
            int mid = (lo + hi) / 2;
            if (lines[mid].InsnOff <= insnIdx)
            {
                found = mid;
                lo = mid + 1;
            }
            else
            {
                hi = mid - 1;
            }
        }

        return found < 0 ? null : lines[found];
    }

    /// <summary>An instruction as the log prints it: opcode and text.</summary>
    private string InsnText(int i)
    {
        if (i < Insns.Length - 1 && Insns[i].IsLdImm64 || !Insns[i].IsLdImm64) return Disassembler.Line(Insns, i, _names ??= new LogNames(this));
        return $"({Insns[i].Code:x2})";
    }

    /// <summary>Names behind numbers in instructions.</summary>
    private sealed class LogNames(ProgramVerifier owner) : InsnNames
    {
        public override string? Helper(int id) => id == 0 ? s_noHelper.Name : owner.Input.Helpers.Find(id)?.Name;

        public override string? Kfunc(int id, int btfIndex) =>
            btfIndex == 0 ? owner.Input.Attributes.KernelBtf?.Find((uint)id)?.Name : null;

        public override string? Load64(int slot, Insn first, Insn second) => (PseudoSource)first.Src switch
        {
            PseudoSource.MapFd or PseudoSource.MapValue when !owner.AllowPtrLeaks => "0x0",
            PseudoSource.MapFd or PseudoSource.MapIdx => $"0x{0xffff888000000000ul + (ulong)first.Imm * 0x1000:x}",
            PseudoSource.MapValue or PseudoSource.MapIdxValue =>
                $"0x{0xffffc90000000000ul + (ulong)first.Imm * 0x100000 + (uint)second.Imm:x}",
            PseudoSource.Func => $"0x{((ulong)(uint)second.Imm << 32) | (uint)first.Imm:x}",
            _ => null,
        };
    }
}
