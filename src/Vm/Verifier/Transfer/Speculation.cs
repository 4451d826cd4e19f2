using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// What an unprivileged program may not do because a misspeculating CPU would do it too.
internal sealed partial class ProgramVerifier
{
    /// <summary>The side of a decided branch that only a misspeculating CPU takes is walked as well.</summary>
    private void PushSpeculative(int insnIdx) => PushState(insnIdx, InsnIdx, true);

    private void SanitizePointerAlu(in Insn insn, in RegisterState pointer, in ScalarRange offset, bool offsetIsDestination)
    {
        if (BypassSpec || insn.AluOp is not (AluOp.Add or AluOp.Sub)) return;
        string action = insn.AluOp == AluOp.Add ? "add" : "sub";
        if (offset.SMin < 0 != offset.SMax < 0)
        {
            Reject(Errno.EACCES,
                $"R{(offsetIsDestination ? insn.Dst : insn.Src)} has unknown scalar with mixed signed bounds, pointer arithmetic with it prohibited for !root");
        }

        _ = (pointer, action);
    }

    private void SanitizeCheckBounds(in Insn insn)
    {
        if (BypassSpec) return;
        ref RegisterState dst = ref Regs[insn.Dst];
        switch (dst.Type)
        {
            case RegType.PtrToStack:
                if (!dst.IsConst)
                {
                    Reject(Errno.EACCES,
                        $"R{insn.Dst} variable stack access prohibited for !root, var_off={dst.VarOff} off={dst.Off}");
                }

                long off = dst.Off + (long)dst.VarOff.Value;
                if (off is >= 0 or < -MaxStack)
                    Reject(Errno.EACCES, $"R{insn.Dst} stack pointer arithmetic goes out of range, prohibited for !root");
                break;
            case RegType.PtrToMapValue:
                if (!FitsMapValue(dst))
                {
                    Reject(Errno.EACCES,
                        $"R{insn.Dst} pointer arithmetic of map value goes out of range, prohibited for !root");
                }

                break;
        }
    }

    private bool FitsMapValue(in RegisterState reg)
    {
        uint size = Maps[reg.MapIndex].ValueSize;
        return reg.SMin + reg.Off >= 0 && reg.UMax < MaxVarOff && reg.UMax + (ulong)reg.Off < size;
    }
}
