using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.State;
using static BpfSim.Vm.Verifier.State.RegType;

namespace BpfSim.Vm.Verifier;

// Which registers may stand for which kind of argument.
internal sealed partial class ProgramVerifier
{
    private static readonly RegType[] s_memTypes =
    [
        PtrToStack, PtrToPacket, PtrToPacketMeta, PtrToMapKey, PtrToMapValue, PtrToMem, PtrToMem | MemRingbuf, PtrToBuf,
        PtrToBtfId | PtrTrusted,
    ];

    private static readonly RegType[] s_sockTypes = [PtrToSockCommon, PtrToSocket, PtrToTcpSock, PtrToXdpSock];
    private static readonly RegType[] s_btfSockTypes = [.. s_sockTypes, PtrToBtfId, PtrToBtfId | PtrTrusted];
    private static readonly RegType[] s_btfTypes = [PtrToBtfId, PtrToBtfId | PtrTrusted, PtrToBtfId | MemRcu];
    private static readonly RegType[] s_percpuTypes =
        [PtrToBtfId | MemPercpu, PtrToBtfId | MemPercpu | MemRcu, PtrToBtfId | MemPercpu | PtrTrusted];

    private static RegType[] CompatibleTypes(ArgType kind) => kind switch
    {
        ArgType.PtrToMapKey or ArgType.PtrToMapValue or ArgType.PtrToMem => s_memTypes,
        ArgType.ConstSize or ArgType.ConstSizeOrZero or ArgType.ConstAllocSizeOrZero => [Scalar],
        ArgType.ConstMapPtr => [ConstPtrToMap],
        ArgType.PtrToCtx => [PtrToCtx],
        ArgType.PtrToSockCommon => s_sockTypes,
        ArgType.PtrToBtfIdSockCommon => s_btfSockTypes,
        ArgType.PtrToSocket => [PtrToSocket],
        ArgType.PtrToBtfId => s_btfTypes,
        ArgType.PtrToSpinLock => [PtrToMapValue, PtrToBtfId | MemAlloc],
        ArgType.PtrToRingbufMem => [PtrToMem | MemRingbuf],
        ArgType.PtrToPercpuBtfId => s_percpuTypes,
        ArgType.PtrToFunc => [PtrToFunc],
        ArgType.PtrToStack => [PtrToStack],
        ArgType.PtrToConstStr or ArgType.PtrToTimer => [PtrToMapValue],
        ArgType.KptrXchgDest => [PtrToMapValue, PtrToBtfId | MemAlloc],
        ArgType.PtrToDynptr => [PtrToStack, ConstPtrToDynptr],
        _ => [],
    };

    /// <summary>Rejects a register whose kind the argument does not take.</summary>
    private void CheckArgumentType(int regno, ArgType argType, string? argBtf, CallMeta meta)
    {
        ref RegisterState reg = ref Regs[regno];
        ArgType kind = argType & ArgType.BaseMask;
        RegType[] compatible = CompatibleTypes(kind);
        if (compatible.Length == 0) RejectBug($"unsupported arg type {(uint)argType}");
        RegType type = reg.Type;
        if ((argType & ArgType.Rdonly) != 0) type &= ~MemRdonly;
        if ((argType & ArgType.MaybeNull) != 0) type &= ~PtrMaybeNull;
        if (kind == ArgType.PtrToMem) type &= ~DynptrTypeMask;
        if (meta.Helper.Id == HelperId.KptrXchg && regno == 2 && type.Base() == PtrToBtfId && type.HasAny(MemAlloc))
            type &= ~(MemAlloc | MemPercpu);
        if (Array.IndexOf(compatible, type) < 0)
        {
            Reject(Errno.EACCES,
                $"R{regno} type={RegTypeName(reg.Type)} expected={string.Join(", ", compatible.Select(RegTypeName))}");
        }

        if (reg.Type.Base() != PtrToBtfId) return;
        if (ReferenceEquals(compatible, s_memTypes))
        {
            if ((argType & ArgType.Rdonly) == 0)
                Reject(Errno.EACCES, $"{meta.Helper.Name}() may write into memory pointed by R{regno} type={RegTypeName(reg.Type)}");
            return;
        }

        CheckBtfArgument(regno, argType, kind == ArgType.PtrToBtfIdSockCommon ? "sock_common" : argBtf, meta);
    }

    private void CheckBtfArgument(int regno, ArgType argType, string? argBtf, CallMeta meta)
    {
        ref RegisterState reg = ref Regs[regno];
        RegType flags = reg.Type.Flags();
        bool release = (argType & ArgType.ObjRelease) != 0;
        if (flags.HasAny(MemPercpu) && !flags.HasAny(MemAlloc)) return;
        if (flags.HasAny(MemAlloc))
        {
            if (meta.Helper.Id == HelperId.KptrXchg && regno == 2 && !KptrMatches(meta.KptrField, ref reg, regno)) Reject(Errno.EACCES);
            return;
        }

        if (reg.Type.MayBeNull() && ((argType & ArgType.MaybeNull) == 0 || release))
            Reject(Errno.EACCES, $"Possibly NULL pointer passed to helper arg{regno}");
        if (meta.Helper.Id == HelperId.KptrXchg)
        {
            if (!KptrMatches(meta.KptrField, ref reg, regno)) Reject(Errno.EACCES);
            return;
        }

        uint wanted = KernelTypeId(argBtf ?? "");
        bool strict = release && meta.Helper.Id != HelperId.SkRelease;
        if (!BtfTypesMatch(reg.Btf, reg.BtfId, reg.Off, BtfSource.Kernel, wanted, strict))
        {
            Reject(Errno.EACCES,
                $"R{regno} is of type {BtfTypeName(reg.Btf, reg.BtfId)} but {BtfTypeName(BtfSource.Kernel, wanted)} is expected");
        }
    }

    /// <summary>Rejects offsets that the kind of register or argument does not allow.</summary>
    private void CheckArgumentOffset(int regno, bool release, bool dynptr)
    {
        ref RegisterState reg = ref Regs[regno];
        if (release)
        {
            if (dynptr && reg.Type == PtrToStack) return;
            if (reg.Off != 0)
                Reject(Errno.EINVAL, $"R{regno} must have zero offset when passed to release func or trusted arg to kfunc");
            CheckPtrOffReg(ref reg, regno, false);
            return;
        }

        switch (reg.Type)
        {
            case PtrToStack or PtrToPacket or PtrToPacketMeta or PtrToMapKey or PtrToMapValue or PtrToMem or PtrToMem | MemRdonly
                or PtrToMem | MemRingbuf or PtrToBuf or PtrToBuf | MemRdonly or PtrToArena or Scalar:
                return;
            case PtrToBtfId or PtrToBtfId | MemAlloc or PtrToBtfId | PtrTrusted or PtrToBtfId | MemRcu or PtrToBtfId | MemAlloc | NonOwnRef
                or PtrToBtfId | MemAlloc | NonOwnRef | MemRcu:
                CheckPtrOffReg(ref reg, regno, true);
                return;
            default:
                CheckPtrOffReg(ref reg, regno, false);
                return;
        }
    }

    private BtfData BtfOf(BtfSource source) => source == BtfSource.Kernel ? KernelBtf : Input.Btf ?? EmptyBtf.Value;

    /// <summary>The kernel's types; without a profile, no types at all.</summary>
    private BtfData KernelBtf => Input.Attributes.KernelBtf ?? EmptyBtf.Value;

    private static readonly Lazy<BtfData> EmptyBtf = new(() => new BtfBuilder().ToBtf());

    private uint KernelTypeId(string name) => KernelBtf.FindId(name, BtfKind.Struct);

    private string BtfTypeName(BtfSource source, uint id) => BtfOf(source).Find(id)?.Name ?? "";
}
