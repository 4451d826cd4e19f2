using BpfSim.Maps;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

/// <summary>How an instruction uses a register.</summary>
internal enum RegUse
{
    /// <summary>Reads it.</summary>
    Source,
    /// <summary>Overwrites it; it becomes an unknown scalar.</summary>
    Destination,
    /// <summary>Overwrites it; the caller sets the new content.</summary>
    DestinationNoMark,
}

/// <summary>A memory argument that the helper fills: when on the stack it need not be initialised, and is written after the call.</summary>
internal struct RawMemory
{
    /// <summary>In: the argument is of the kind that may be uninitialised.</summary>
    public bool Allowed;

    /// <summary>Out: the register, when the memory is on the stack and must be written; 0 if not.</summary>
    public int Regno;

    /// <summary>Out: bytes to write.</summary>
    public int Size;
}

/// <summary>Works on one register of some frame, or one spilled one.</summary>
internal delegate void RegisterVisitor(ref RegisterState reg);

internal sealed partial class ProgramVerifier
{
    /// <summary>Calls <paramref name="visit"/> on every register and every spilled register of all frames.</summary>
    private void ForEachReg(RegisterVisitor visit)
    {
        for (int f = 0; f <= State.CurFrame; f++)
        {
            FuncFrame frame = State.Frames[f]!;
            for (int i = 0; i < 10; i++) visit(ref frame.Regs[i]);
            for (int i = 0; i < frame.StackSlots; i++)
            {
                if (frame.Stack[i].IsSpilled) visit(ref frame.Stack[i].Spilled);
            }
        }
    }

    /// <summary>Makes a register of the running frame an unknown scalar (precise for programs without precision tracking).</summary>
    private void MarkRegUnknown(int regno) => Regs[regno].MarkUnknown(!BpfCapable);

    /// <summary>Makes a register of the running frame the pointer kind's zero: type stays, offset 0.</summary>
    private void MarkRegKnownZero(int regno) => Regs[regno].MarkKnown(0);

    /// <summary>Nothing in the register.</summary>
    private void MarkRegNotInit(int regno) => Regs[regno].MarkNotInit();

    /// <summary>r0 to r5 lose their content in a call.</summary>
    private void ClearCallerSavedRegs()
    {
        for (int i = 0; i <= 5; i++)
        {
            Regs[i].MarkNotInit();
            CheckRegArg(i, RegUse.DestinationNoMark);
        }
    }

    /// <summary>The subprogram that starts at an instruction; -1 if none does.</summary>
    private int FindSubprog(int start)
    {
        int lo = 0, hi = Subprogs.Count - 1;
        while (lo <= hi)
        {
            int mid = (lo + hi) / 2;
            if (Subprogs[mid].Start == start) return mid;
            if (Subprogs[mid].Start < start) lo = mid + 1;
            else hi = mid - 1;
        }

        return -1;
    }

    /// <summary>The subprogram that contains an instruction.</summary>
    private int ContainingSubprog(int insnIdx)
    {
        int lo = 0, hi = Subprogs.Count - 1;
        while (lo < hi)
        {
            int mid = (lo + hi + 1) / 2;
            if (Subprogs[mid].Start <= insnIdx) lo = mid;
            else hi = mid - 1;
        }

        return lo;
    }
}
