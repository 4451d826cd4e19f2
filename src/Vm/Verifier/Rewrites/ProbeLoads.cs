using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>
/// Loads through pointers to kernel objects become loads that may fault and then read 0: the pointer can be
/// stale, and here it is always a simulated address that has to be translated.
/// </summary>
internal static class ProbeLoads
{
    /// <summary>The instructions with those loads changed; the same array if there are none.</summary>
    public static Insn[] Apply(Insn[] insns, InsnAux[] aux)
    {
        Insn[] result = insns;
        for (int i = 0; i < insns.Length; i++)
        {
            Insn insn = insns[i];
            if (insn.Class != InsnClass.Ldx || insn.Mode is not (MemMode.Mem or MemMode.MemSx) || !IsKernelObject(aux[i].PtrType)) continue;
            if (result == insns) result = (Insn[])insns.Clone();
            MemMode mode = insn.Mode == MemMode.Mem ? MemMode.ProbeMem : MemMode.ProbeMemSx;
            result[i] = insn with { Code = (byte)((byte)InsnClass.Ldx | (byte)insn.Size | (byte)mode) };
        }
        return result;
    }

    /// <summary>Objects that programs allocate themselves are native memory; all other typed objects are the kernel's.</summary>
    private static bool IsKernelObject(RegType type) => (type & RegType.BaseMask) switch
    {
        RegType.PtrToBtfId => (type & RegType.MemAlloc) == 0,
        RegType.PtrToSocket or RegType.PtrToSockCommon or RegType.PtrToTcpSock or RegType.PtrToXdpSock => true,
        RegType.PtrToMem => (type & RegType.PtrUntrusted) != 0,
        _ => false,
    };
}
