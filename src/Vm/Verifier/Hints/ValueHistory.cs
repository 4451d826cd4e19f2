using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Hints;

/// <summary>Where the content of a register comes from.</summary>
internal enum ValueOrigin
{
    /// <summary>Nothing on the path writes the register.</summary>
    Nowhere,
    /// <summary>It is the context, which programs get in r1.</summary>
    Context,
    /// <summary>A constant.</summary>
    Constant,
    /// <summary>The address of a map, or of global data.</summary>
    Address,
    /// <summary>A load from memory other than the own stack.</summary>
    Load,
    /// <summary>The result of a call.</summary>
    Call,
    /// <summary>r1 to r5 after a call: nothing.</summary>
    LostInCall,
}

/// <summary>What happened to one value on the path, found by following it back through copies, spills and arithmetic.</summary>
internal sealed class ValueHistory
{
    /// <summary>Where the value comes from.</summary>
    public ValueOrigin Origin { get; private set; }

    /// <summary>The step of the origin, -1 if there is none.</summary>
    public int OriginStep { get; private set; } = -1;

    /// <summary>The register that was read there, or written.</summary>
    public int OriginReg { get; private set; }

    /// <summary>The newest step that compared the value, -1 if none did.</summary>
    public int Check { get; private set; } = -1;

    /// <summary>Steps of arithmetic on the value, the newest first.</summary>
    public List<int> Changes { get; } = [];

    /// <summary>The newest step at which the kind of pointer changed although the register was not written, -1 if none.</summary>
    public int KindLost { get; private set; } = -1;

    /// <summary>The kind before <see cref="KindLost"/>.</summary>
    public RegType KindBefore { get; private set; }

    /// <summary>Arithmetic since the newest comparison, or since ever, with a register: the newest first; -1 if none.</summary>
    public int ChangeAfterCheck => Changes.Count > 0 && Changes[0] > Check ? Changes[0] : -1;

    /// <summary>Follows the content that a register has before a step.</summary>
    public static ValueHistory Of(IReadOnlyList<PathStep> steps, Insn[] insns, int reg, int step)
    {
        var history = new ValueHistory { OriginReg = reg };
        history.Follow(steps, insns, reg, step);
        return history;
    }

    private void Follow(IReadOnlyList<PathStep> steps, Insn[] insns, int reg, int step)
    {
        int frame = steps[step].Frame, slot = 0, after = step;
        for (int i = step - 1; i >= 0; i--)
        {
            PathStep at = steps[i];
            // What a called function does with its own registers does not matter here.
            if (at.Frame > frame) continue;
            ref readonly Insn insn = ref insns[at.Insn];
            if (at.Frame < frame)
            {
                // Back over the call that made the frame: arguments come from the caller.
                if (slot != 0 || reg is 0 or > 5 || !insn.IsLocalCall) return;
                frame = at.Frame;
                after = i;
                continue;
            }

            if (slot != 0)
            {
                if (!Stores(insn, slot)) continue;
                if (insn.Class == InsnClass.St)
                {
                    End(ValueOrigin.Constant, i, 10);
                    return;
                }

                (reg, slot, after) = (insn.Src, 0, i);
                continue;
            }

            if (!Writes(insn, reg))
            {
                NoteKind(at.Types[reg], steps[after].Types[reg], i);
                if (Check < 0 && Compares(insn, reg)) Check = i;
                after = i;
                continue;
            }

            after = i;
            if (insn.Class is InsnClass.Alu or InsnClass.Alu64)
            {
                if (insn.AluOp != AluOp.Mov)
                {
                    Changes.Add(i);
                    continue;
                }

                if (insn.Source == OperandSource.K)
                {
                    End(ValueOrigin.Constant, i, reg);
                    return;
                }

                if (insn.Class == InsnClass.Alu || insn.Off != 0) Changes.Add(i);
                reg = insn.Src;
                continue;
            }

            if (insn.Class == InsnClass.Ldx && insn.Src == 10)
            {
                slot = insn.Off;
                continue;
            }

            bool call = insn.Class == InsnClass.Jmp;
            End(call ? reg == 0 ? ValueOrigin.Call : ValueOrigin.LostInCall
                : insn.IsLdImm64 ? insn.Src == 0 ? ValueOrigin.Constant : ValueOrigin.Address
                : ValueOrigin.Load, i, insn.Class == InsnClass.Ldx ? insn.Src : reg);
            return;
        }

        if (reg == 1 && slot == 0 && frame == 0) End(ValueOrigin.Context, -1, 1);
    }

    private void End(ValueOrigin origin, int step, int reg) => (Origin, OriginStep, OriginReg) = (origin, step, reg);

    private void NoteKind(RegType before, RegType now, int step)
    {
        if (KindLost >= 0 || before == now || now.IsPointer() || !before.IsPointer()) return;
        KindLost = step;
        KindBefore = before;
    }

    private static bool Stores(in Insn insn, int slot) =>
        insn.Class is InsnClass.St or InsnClass.Stx && insn.Mode == MemMode.Mem && insn.Dst == 10 && insn.Off == slot;

    /// <summary>Whether an instruction compares a register with something.</summary>
    public static bool Compares(in Insn insn, int reg) =>
        insn.Class is InsnClass.Jmp or InsnClass.Jmp32 && insn.JmpOp is not (JmpOp.Ja or JmpOp.Call or JmpOp.Exit or JmpOp.Jcond)
        && (insn.Dst == reg || (insn.Source == OperandSource.X && insn.Src == reg));

    /// <summary>Whether an instruction writes a register, or destroys it.</summary>
    public static bool Writes(in Insn insn, int reg) => insn.Class switch
    {
        InsnClass.Alu or InsnClass.Alu64 or InsnClass.Ldx => insn.Dst == reg,
        InsnClass.Ld => insn.IsLdImm64 ? insn.Dst == reg : reg <= 5,
        InsnClass.Stx => insn.Mode == MemMode.Atomic && (insn.Imm & 1) != 0 && (insn.Imm == 0xf1 ? reg == 0 : insn.Src == reg),
        InsnClass.Jmp => insn.JmpOp == JmpOp.Call && reg <= 5,
        _ => false,
    };
}
