using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Hints;

// Registers without content, NULL, numbers that are no pointers, offsets and sizes.
internal sealed partial class HintWriter
{
    private string? Unreadable()
    {
        int regno = MessageReg;
        ValueHistory? history = History(regno);
        if (history is { Origin: ValueOrigin.LostInCall })
        {
            return $"r{regno} holds nothing at {Here}: every call destroys r1 to r5, here {CallName(InsnAt(history.OriginStep))} at "
                + $"{PlaceOf(history.OriginStep)}; keep the value in r6 to r9 or on the stack, or set r{regno} again after the call";
        }

        string branch = LastBranch(-1) is { } last ? $" on the path {last}" : "";
        return regno == 0 && _verifier.Insns[_insn].IsExit
            ? $"r0 is the result of the program, and nothing sets it before the exit at {Here}{branch}: return a value on every path"
            : $"nothing writes r{regno} before {Here} reads it{branch}: give the variable a value on every path";
    }

    private string? MaybeNull()
    {
        int regno = MessageReg;
        if (regno is < 0 or > 10) return null;
        ValueHistory? history = History(regno);
        if (history is not { Origin: ValueOrigin.Call or ValueOrigin.Load })
            return $"the pointer r{regno} may be NULL at {Here}: test it first, and use it only where it is not (if (!p) return 0;)";
        string what = history.Origin == ValueOrigin.Call
            ? $"{CallName(InsnAt(history.OriginStep))} at {PlaceOf(history.OriginStep)} may return NULL"
            : $"what {PlaceOf(history.OriginStep)} loads may be NULL";
        string test = history.Check >= 0 ? $"the test at {PlaceOf(history.Check)} is not one with NULL" : "nothing on this path tests the result";
        return $"{what}, and {test} before {Here} uses it in r{regno}: write if (!p) return 0; in between, for this very pointer";
    }

    private string? NotAPointer()
    {
        int regno = MessageReg;
        ValueHistory? history = History(regno);
        if (history == null) return null;
        if (history.KindLost >= 0) return LostPointer(regno, history);
        if (history.Changes.FirstOrDefault(s => IsNarrowing(InsnAt(s)), -1) is var narrow and >= 0 && _steps[narrow].Types[_verifier.Insns[InsnAt(narrow)].Dst].IsPointer())
            return $"r{regno} was a pointer until {PlaceOf(narrow)}, which keeps 32 bits of it: keep pointers in 64-bit variables";
        switch (history.Origin)
        {
            case ValueOrigin.Constant:
                return $"r{regno} is {OriginText(history)}, not a pointer: {Here} cannot access memory through it";
            case ValueOrigin.Load:
                return $"r{regno} is {OriginText(history)}: to the verifier a number, even if it is an address; read what lies there with "
                    + "bpf_probe_read_kernel() or bpf_probe_read_user() (BPF_CORE_READ for kernel structures)";
            case ValueOrigin.Call:
                return $"r{regno} is {OriginText(history)}: a number; read what lies at such an address with bpf_probe_read_kernel() or bpf_probe_read_user()";
            default:
                return $"r{regno} is a number at {Here}, not a pointer that the verifier knows: read foreign memory with bpf_probe_read_kernel() or bpf_probe_read_user()";
        }
    }

    private bool IsNarrowing(int insn) => _verifier.Insns[insn].Class == InsnClass.Alu;

    private string LostPointer(int regno, ValueHistory history)
    {
        int lost = history.KindLost, insn = InsnAt(lost);
        string kind = RegTypeText(history.KindBefore);
        if (history.KindBefore.MayBeNull() && ValueHistory.Compares(_verifier.Insns[insn], _verifier.Insns[insn].Dst))
            return $"r{regno} is NULL here: {Here} lies on the side of the test at {Place(insn)} where the pointer is NULL; use it on the other side";
        if (history.KindBefore.IsPacketAny())
        {
            return $"{CallName(insn)} at {Place(insn)} may move the packet, so that pointers into it are void: load data and data_end "
                + "from the context again behind it, and check again";
        }

        return $"r{regno} was {kind} until {CallName(insn)} at {Place(insn)}, which gave the object back or ended its validity: use it before, not after";
    }

    private static string RegTypeText(RegType type) => Logging.RegisterText.TypeName(type);

    private string? OutsidePacket()
    {
        int regno = MessageReg;
        if (regno < 0 || !Reg(regno).Type.IsPacketAny()) return null;
        ValueHistory? history = History(regno);
        int range = Reg(regno).Range;
        if (range < 0)
            return $"on this path the pointer lies at or behind the packet's end{(history is { Check: >= 0 } ? $" (the test at {PlaceOf(history.Check)})" : "")}: access the packet on the other side of the test";
        const string cure = "compare the end of the access with data_end, on the pointer that is used: if (p + size > data_end) return";
        if (VariableMove(history) is var move and >= 0)
        {
            return $"the pointer r{regno} was moved by a variable amount at {PlaceOf(move)}, which takes a comparison with data_end of its own"
                + $"{(range > 0 ? $"; the one on this path covers {range} bytes" : ", and none follows")}: {cure}";
        }

        return range > 0
            ? $"only {range} bytes of the packet are known to be there at {Here}, the access goes further: {cure}"
            : $"nothing on this path compares the packet pointer with data_end before {Here}: {cure}";
    }

    private string? Unbounded()
    {
        int regno = MessageReg;
        if (regno < 0) return null;
        if (_message.Contains("var &=", StringComparison.Ordinal) || _message.Contains("zero-sized", StringComparison.Ordinal)) return Size(regno);
        ValueHistory? pointer = History(regno);
        int move = VariableMove(pointer);
        if (move < 0) return null;
        (int added, ValueHistory? number) = Added(move);
        string wanted = _message.Contains("negative", StringComparison.Ordinal) ? "may be negative" : "has no upper bound";
        string cure = _message.Contains("negative", StringComparison.Ordinal)
            ? "make it unsigned, or test that it is at least 0 as well"
            : "compare it with a constant, or mask it (i &= 0xff), right before it is used";
        return $"the offset r{added} that {PlaceOf(move)} adds to the pointer {wanted}: {(number == null ? "nothing bounds it" : BoundsText(number))}; {cure}";
    }

    private string? UnboundedMath()
    {
        int at = LastStep;
        if (at < 0 || _verifier.Insns[_insn] is not { Source: OperandSource.X }) return null;
        (int added, ValueHistory? number) = Added(at);
        return number == null ? null
            : $"the number r{added} that {Here} adds to the pointer may be anything: {BoundsText(number)}; "
                + "compare it with a constant, or mask it, in an unsigned variable, right before it is used";
    }

    private string? Size(int regno)
    {
        ValueHistory? history = History(regno);
        string story = history == null ? "" : $": {BoundsText(history)}";
        if (_message.Contains("zero-sized", StringComparison.Ordinal))
            return $"the size in r{regno} may be 0 at {Here}, which {CallName(_insn)} does not take{story}; leave early if it is 0";
        return _message.Contains("negative", StringComparison.Ordinal)
            ? $"the size in r{regno} may be negative at {Here}{story}; use an unsigned variable, and bound it (if (n > sizeof(buf)) n = sizeof(buf))"
            : $"the size in r{regno} has no upper bound at {Here}{story}; bound it by the size of the buffer (if (n > sizeof(buf)) n = sizeof(buf))";
    }

    private string? OutsideMemory()
    {
        int regno = MessageReg;
        if (regno is < 0 or > 9 || LastStep < 0) return null;
        ref RegisterState reg = ref Reg(regno);
        uint size = reg.Type.Base() switch
        {
            RegType.PtrToMapValue => _verifier.Maps[reg.MapIndex].ValueSize,
            RegType.PtrToMapKey => _verifier.Maps[reg.MapIndex].KeySize,
            RegType.PtrToMem => reg.MemSize,
            _ => 0,
        };
        if (size == 0) return null;
        string what = reg.Type.Base() == RegType.PtrToMapValue ? "map value" : reg.Type.Base() == RegType.PtrToMapKey ? "map key" : "memory";
        if (_message.Contains("min value", StringComparison.Ordinal) || reg.IsConst)
        {
            long at = reg.Off + reg.SMin + AccessOff;
            return at < 0 ? $"{Here} reaches {-at} bytes before the start of the {what}"
                : $"{Here} reaches past the end of the {what}: it starts at byte {at}, and the {what} has {size} bytes; compare type and size of the map with what is accessed";
        }

        int move = VariableMove(History(regno));
        string adds = move < 0 ? "" : $" ({PlaceOf(move)} adds r{Added(move).Regno})";
        return $"the offset may be as large as {(ulong)reg.Off + reg.UMax + (ulong)AccessOff}{adds}, and the {what} has {size} bytes: "
            + "the bound must be its size minus the size of the access";
    }

    private int AccessOff => _verifier.Insns[_insn].Class is InsnClass.Ldx or InsnClass.St or InsnClass.Stx ? _verifier.Insns[_insn].Off : 0;

    private string? ReturnValue()
    {
        ValueHistory? history = History(0);
        string story = history == null || history.Origin == ValueOrigin.Nowhere ? "" : $"; here r0 is {OriginText(history)}"
            + (history.Changes.Count > 0 ? $", changed at {PlaceOf(history.Changes[0])}" : "");
        string kind = _message.Contains("callback", StringComparison.Ordinal) ? "from such a callback" : "from this kind of program";
        return $"{Here} returns a value that is not allowed {kind} (the range stands in the message){story}; return one of the allowed values on every path";
    }

    private string? ModifiedPointer()
    {
        int regno = MessageReg;
        ValueHistory? history = History(regno);
        string where = history is { Changes.Count: > 0 } ? $"moved at {PlaceOf(history.Changes[0])}" : "moved before";
        return $"the pointer r{regno} was {where}, but {Here} needs it as it was given: access fields by a constant offset from the unmoved pointer "
            + "(if the compiler does the addition, keep it from it with barrier_var() or volatile)";
    }

    private string? WrongArgument()
    {
        int regno = MessageReg;
        ValueHistory? history = History(regno);
        if (history is { KindLost: >= 0 } && _message.Contains("type=scalar", StringComparison.Ordinal)) return LostPointer(regno, history);
        string story = history == null || history.Origin == ValueOrigin.Nowhere ? "" : $"; it is {OriginText(history)}";
        string call = _verifier.Insns[_insn] is { Class: InsnClass.Jmp, JmpOp: JmpOp.Call } ? CallName(_insn) : "the instruction";
        return $"argument {regno} of {call} at {Here} has another kind than it takes (both stand in the message){story}";
    }

    private string? PointerArithmetic()
    {
        int regno = MessageReg;
        if (_message.Contains("null-check", StringComparison.Ordinal)) return MaybeNull();
        return $"{Here} does arithmetic on r{regno} that is not allowed with a pointer: only a number may be added to, or subtracted from, pointers into memory; do everything else on numbers first";
    }

    private string? Leak()
    {
        int regno = MessageReg;
        ValueHistory? history = History(regno);
        string story = history == null ? "" : $" (it is {OriginText(history)})";
        return $"r{regno} is a pointer{story}, and {Here} would show its address to user space, which takes CAP_PERFMON: store a number, or an index, instead";
    }
}
