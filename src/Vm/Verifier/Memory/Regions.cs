using BpfSim.Maps;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Memory of known size: map values, packets, regions, sockets; and helpers' access to all kinds of memory.
internal sealed partial class ProgramVerifier
{
    private const int FlowKeysSize = 56;
    private const uint MapReadOnlyProg = 1 << 7, MapWriteOnlyProg = 1 << 8;

    /// <summary>BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG.</summary>
    private void CheckMapAccessType(int regno, int off, int size, AccessType type)
    {
        MapSpec map = Maps[Regs[regno].MapIndex];
        if (type == AccessType.Write && (map.Flags & MapReadOnlyProg) != 0)
            Reject(Errno.EACCES, $"write into map forbidden, value_size={map.ValueSize} off={off} size={size}");
        if (type == AccessType.Read && (map.Flags & MapWriteOnlyProg) != 0)
            Reject(Errno.EACCES, $"read from map forbidden, value_size={map.ValueSize} off={off} size={size}");
    }

    /// <summary>Checks an access to a map value of the register's map, special fields included.</summary>
    private void CheckMapAccess(int regno, int off, int size, bool zeroSizeAllowed, AccessType type, bool fromHelper)
    {
        MapSpec map = Maps[Regs[regno].MapIndex];
        CheckMemRegionAccess(regno, off, size, map.ValueSize, zeroSizeAllowed);
        foreach (SpecialField field in map.SpecialFields)
        {
            ref RegisterState reg = ref Regs[regno];
            long start = field.Offset, end = start + field.Size;
            if (!(reg.SMin + off < end && (ulong)start < reg.UMax + (ulong)off + (ulong)size)) continue;
            string name = SpecialFieldName(field.Kind);
            if (!IsPointerField(field.Kind)) Reject(Errno.EACCES, $"{name} cannot be accessed directly by load/store");
            if (fromHelper) Reject(Errno.EACCES, $"{name} cannot be accessed indirectly by helper");
            if (!reg.IsConst) Reject(Errno.EACCES, $"{name} access cannot have variable offset");
            if (start != off + (long)reg.VarOff.Value)
                Reject(Errno.EACCES, $"{name} access misaligned expected={start} off={off + (long)reg.VarOff.Value}");
            if (size != 8) Reject(Errno.EACCES, $"{name} access size must be BPF_DW");
        }
    }

    /// <summary>A field that holds a pointer, which loads and stores may touch as a whole.</summary>
    private static bool IsPointerField(SpecialFieldKind kind) =>
        kind is SpecialFieldKind.KptrUnref or SpecialFieldKind.KptrRef or SpecialFieldKind.KptrPercpu or SpecialFieldKind.Uptr;

    /// <summary>Checks an access to a region of known size with fixed and variable offset.</summary>
    private void CheckMemRegionAccess(int regno, int off, int size, uint memSize, bool zeroSizeAllowed)
    {
        long smin = Regs[regno].SMin;
        ulong umax = Regs[regno].UMax;
        if (smin < 0 && (smin == long.MinValue || off + smin != (int)(off + smin) || smin + off < 0))
            RejectNegativeMin(regno);
        CheckMemBounds(regno, (int)(smin + off), size, memSize, zeroSizeAllowed, "min value is outside of the allowed memory range");
        if (umax >= MaxVarOff)
            Reject(Errno.EACCES, $"R{regno} unbounded memory access, make sure to bounds check any such access");
        CheckMemBounds(regno, (int)umax + off, size, memSize, zeroSizeAllowed, "max value is outside of the allowed memory range");
    }

    private void RejectNegativeMin(int regno) => Reject(Errno.EACCES,
        $"R{regno} min value is negative, either use unsigned index or do a if (index >=0) check.");

    private void CheckMemBounds(int regno, int off, int size, uint memSize, bool zeroSizeAllowed, string consequence)
    {
        bool sizeOk = size > 0 || (size == 0 && zeroSizeAllowed);
        if (off >= 0 && sizeOk && (ulong)off + (ulong)size <= memSize) return;
        ref RegisterState reg = ref Regs[regno];
        Verbose(reg.Type switch
        {
            RegType.PtrToMapKey => $"invalid access to map key, key_size={memSize} off={off} size={size}\n",
            RegType.PtrToMapValue => $"invalid access to map value, value_size={memSize} off={off} size={size}\n",
            RegType.PtrToPacket or RegType.PtrToPacketMeta or RegType.PtrToPacketEnd =>
                $"invalid access to packet, off={off} size={size}, R{regno}(id={reg.Id},off={off},r={memSize})\n",
            _ => $"invalid access to memory, mem_size={memSize} off={off} size={size}\n",
        });
        Reject(Errno.EACCES, $"R{regno} {consequence}");
    }

    private void CheckPacketAccess(int regno, int off, int size, bool zeroSizeAllowed)
    {
        // The range was learnt behind any variable offset, so only the fixed one is compared.
        if (Regs[regno].SMin < 0) RejectNegativeMin(regno);
        int range = Regs[regno].Range;
        if (range < 0) Reject(Errno.EINVAL, $"R{regno} offset is outside of the packet");
        CheckMemBounds(regno, off, size, (uint)range, zeroSizeAllowed, "offset is outside of the packet");
    }

    private void CheckSockAccess(int insnIdx, int regno, int off, int size)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.SMin < 0) RejectNegativeMin(regno);
        if (!SocketFields.Allows(reg.Type, off, size, out int fieldSize))
            Reject(Errno.EACCES, $"R{regno} invalid {RegTypeName(reg.Type)} access off={off} size={size}");
        if (fieldSize != 0) Aux[insnIdx].CtxFieldSize = fieldSize;
    }

    /// <summary>Checks memory that a helper or kfunc reads or writes, of known size, behind any kind of pointer.</summary>
    private void CheckHelperMemAccess(int regno, int accessSize, AccessType type, bool zeroSizeAllowed, ref RawMemory raw)
    {
        ref RegisterState reg = ref Regs[regno];
        switch (reg.Type.Base())
        {
            case RegType.PtrToPacket or RegType.PtrToPacketMeta:
                CheckPacketAccess(regno, reg.Off, accessSize, zeroSizeAllowed);
                return;
            case RegType.PtrToMapKey:
                RejectWrite(regno, type);
                CheckMemRegionAccess(regno, reg.Off, accessSize, Maps[reg.MapIndex].KeySize, false);
                return;
            case RegType.PtrToMapValue:
                CheckMapAccessType(regno, reg.Off, accessSize, type);
                CheckMapAccess(regno, reg.Off, accessSize, zeroSizeAllowed, type, fromHelper: true);
                return;
            case RegType.PtrToMem:
                if (reg.Type.Has(RegType.MemRdonly)) RejectWrite(regno, type);
                CheckMemRegionAccess(regno, reg.Off, accessSize, reg.MemSize, zeroSizeAllowed);
                return;
            case RegType.PtrToBuf:
                bool readOnly = reg.Type.Has(RegType.MemRdonly);
                if (readOnly) RejectWrite(regno, type);
                CheckBuffer(readOnly ? "rdonly" : "rdwr", reg, regno, reg.Off, accessSize);
                return;
            case RegType.PtrToStack:
                CheckStackRange(regno, reg.Off, accessSize, zeroSizeAllowed, type, ref raw);
                return;
            case RegType.PtrToBtfId:
                CheckBtfAccess(regno, reg.Off, accessSize, AccessType.Read, -1);
                return;
            case RegType.PtrToCtx when !HasConvertedContext:
                // The context has no layout: every byte up to the last must be allowed, which its check tells.
                if (accessSize == 0)
                {
                    if (!zeroSizeAllowed) Reject(Errno.EACCES);
                    return;
                }

                CheckMemAccess(InsnIdx, regno, accessSize - 1, 1, type, -1, false, false);
                return;
        }

        if (zeroSizeAllowed && accessSize == 0 && reg.IsNull) return;
        Reject(Errno.EACCES, $"R{regno} type={RegTypeName(reg.Type)} expected={RegTypeName(RegType.PtrToStack)}");
    }

    /// <summary>Whether programs see the context in another form than the kernel; what they see elsewhere is the memory itself.</summary>
    private bool HasConvertedContext => Input.Attributes.Type is not (ProgramType.Kprobe or ProgramType.Tracepoint
        or ProgramType.RawTracepoint or ProgramType.RawTracepointWritable or ProgramType.Tracing or ProgramType.Lsm or ProgramType.Syscall
        or ProgramType.StructOps or ProgramType.Netfilter or ProgramType.Ext);

    private void RejectWrite(int regno, AccessType type)
    {
        if (type == AccessType.Write)
            Reject(Errno.EACCES, $"R{regno} cannot write into {RegTypeName(Regs[regno].Type)}");
    }

    /// <summary>Checks a (memory, size) pair: the size register bounds the access to the register before it.</summary>
    private void CheckMemSizeReg(int memRegno, int sizeRegno, AccessType type, bool zeroSizeAllowed, ref RawMemory raw)
    {
        ref RegisterState size = ref Regs[sizeRegno];
        RawMemory none = default;
        bool known = size.IsConst;
        if (size.SMin < 0)
            Reject(Errno.EACCES, $"R{sizeRegno} min value is negative, either use unsigned or 'var &= const'");
        if (size.UMin == 0 && !zeroSizeAllowed)
            Reject(Errno.EACCES, $"R{sizeRegno} invalid zero-sized read: u64=[{(long)size.UMin},{(long)size.UMax}]");
        if (size.UMax >= MaxVarOff)
            Reject(Errno.EACCES, $"R{sizeRegno} unbounded memory access, use 'var &= const' or 'if (var < const)'");
        if (known) CheckHelperMemAccess(memRegno, (int)size.UMax, type, zeroSizeAllowed, ref raw);
        else CheckHelperMemAccess(memRegno, (int)size.UMax, type, zeroSizeAllowed, ref none);
        MarkChainPrecision(sizeRegno);
    }

    /// <summary>Program types that may store into the packet.</summary>
    private bool MayWritePacket() => Input.Attributes.Type is ProgramType.SchedCls or ProgramType.SchedAct or ProgramType.Xdp
        or ProgramType.LwtXmit or ProgramType.SkSkb or ProgramType.SkMsg or ProgramType.CgroupSockopt;
}
