using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Btf;

/// <summary>Writes the result of a CO-RE relocation into its instruction.</summary>
internal static class CorePatcher
{
    private static readonly Insn s_poison = new((int)InsnClass.Jmp | (int)JmpOp.Call, 0, 0, 0, CoreRelocator.PoisonHelperId);

    /// <summary>Changes the instruction at a slot.</summary>
    /// <returns>Null, or why the instruction cannot take the value.</returns>
    public static string? Patch(Span<Insn> insns, int slot, in CoreResult result)
    {
        Insn insn = insns[slot];
        if (result.Poison) return Poison(insns, slot);
        switch (insn.Class)
        {
            case InsnClass.Alu or InsnClass.Alu64:
                if (insn.Source != OperandSource.K) return $"insn #{slot} (ALU/ALU64) has no immediate";
                if (result.Validate && (ulong)insn.Imm != result.OldValue && (uint)insn.Imm != result.OldValue)
                    return $"unexpected insn #{slot} (ALU/ALU64) value: got {(uint)insn.Imm}, exp {result.OldValue} -> {result.NewValue}";
                insns[slot] = insn with { Imm = (int)result.NewValue };
                return null;
            case InsnClass.Ldx or InsnClass.St or InsnClass.Stx:
                return PatchAccess(insns, slot, result);
            case InsnClass.Ld:
                return PatchLoad64(insns, slot, result);
            default:
                return $"trying to relocate unrecognized insn #{slot}, code:0x{insn.Code:x}, src:0x{insn.Src:x}, dst:0x{insn.Dst:x}, off:0x{(ushort)insn.Off:x}, imm:0x{insn.Imm:x}";
        }
    }

    private static string? Poison(Span<Insn> insns, int slot)
    {
        if (insns[slot].IsLdImm64 && slot + 1 < insns.Length) insns[slot + 1] = s_poison;
        insns[slot] = s_poison;
        return null;
    }

    private static string? PatchAccess(Span<Insn> insns, int slot, in CoreResult result)
    {
        Insn insn = insns[slot];
        if (result.Validate && (ulong)insn.Off != result.OldValue)
            return $"unexpected insn #{slot} (LDX/ST/STX) value: got {(ushort)insn.Off}, exp {result.OldValue} -> {result.NewValue}";
        if (result.NewValue > (ulong)short.MaxValue) return $"insn #{slot} (LDX/ST/STX) value too big: {result.NewValue}";
        // Reading a signed or odd field with another width would yield another number.
        if (result.CannotResize) return Poison(insns, slot);
        int code = insn.Code;
        if (result.NewSize != result.OldSize)
        {
            if (insn.SizeBytes != result.OldSize) return $"insn #{slot} (LDX/ST/STX) unexpected mem size: got {insn.SizeBytes}, exp {result.OldSize}";
            MemSize? size = result.NewSize switch { 8 => MemSize.Dw, 4 => MemSize.W, 2 => MemSize.H, 1 => MemSize.B, _ => null };
            if (size == null) return $"insn #{slot} (LDX/ST/STX) invalid new mem size: {result.NewSize}";
            code = (int)insn.Mode | (int)size | (int)insn.Class;
        }
        insns[slot] = new Insn(code, insn.Dst, insn.Src, (short)result.NewValue, insn.Imm);
        return null;
    }

    private static string? PatchLoad64(Span<Insn> insns, int slot, in CoreResult result)
    {
        Insn insn = insns[slot];
        if (!insn.IsLdImm64 || insn.Src != 0 || insn.Off != 0 || slot + 1 >= insns.Length || insns[slot + 1] is not { Code: 0, Registers: 0, Off: 0 })
            return $"insn #{slot} (LDIMM64) has unexpected form";
        ulong imm = (uint)insn.Imm | (ulong)insns[slot + 1].Imm << 32;
        if (result.Validate && imm != result.OldValue)
            return $"unexpected insn #{slot} (LDIMM64) value: got {imm}, exp {result.OldValue} -> {result.NewValue}";
        insns[slot] = insn with { Imm = (int)result.NewValue };
        insns[slot + 1] = insns[slot + 1] with { Imm = (int)(result.NewValue >> 32) };
        return null;
    }
}
