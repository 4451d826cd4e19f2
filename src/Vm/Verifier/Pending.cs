using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

internal sealed partial class ProgramVerifier
{
    /// <summary>Checks that a register may be used so; reading an uninitialised one is rejected.</summary>
    private void CheckRegArg(int regno, RegUse use) => throw new NotImplementedException();

    /// <summary>
    /// Checks a load or store through a register and applies it. <paramref name="valueRegno"/> is the register that is
    /// loaded or stored, -1 if there is none (helper memory, store of an immediate).
    /// </summary>
    private void CheckMemAccess(int insnIdx, int regno, int off, int size, AccessType type, int valueRegno,
        bool strictAlignmentOnce, bool signExtend) => throw new NotImplementedException();

    /// <summary>Checks memory that a helper or kfunc reads or writes, of known size, behind any kind of pointer.</summary>
    private void CheckHelperMemAccess(int regno, int accessSize, AccessType type, bool zeroSizeAllowed, ref RawMemory raw) => throw new NotImplementedException();

    /// <summary>Checks a (memory, size) pair: the size register bounds the access to the register before it.</summary>
    private void CheckMemSizeReg(int memRegno, int sizeRegno, AccessType type, bool zeroSizeAllowed, ref RawMemory raw) => throw new NotImplementedException();

    /// <summary>Checks that stack bytes [off, off+size) behind a register are initialised (or may be written).</summary>
    private void CheckStackRange(int regno, int off, int accessSize, bool zeroSizeAllowed, AccessType type, ref RawMemory raw) => throw new NotImplementedException();

    /// <summary>Checks an access to a map value of the register's map, special fields included.</summary>
    private void CheckMapAccess(int regno, int off, int size, bool zeroSizeAllowed, AccessType type, bool fromHelper) => throw new NotImplementedException();

    /// <summary>Checks an access to a region of known size with fixed and variable offset.</summary>
    private void CheckMemRegionAccess(int regno, int off, int size, uint memSize, bool zeroSizeAllowed) => throw new NotImplementedException();

    /// <summary>Checks that a pointer has neither fixed nor variable offset, in the kernel's words.</summary>
    private void CheckPtrOffReg(ref RegisterState reg, int regno, bool fixedOffOk) => throw new NotImplementedException();

    /// <summary>The exact value of a register of the running frame matters: marks it back through the path.</summary>
    private void MarkChainPrecision(int regno) => throw new NotImplementedException();

    /// <summary>All registers with this id are known to be NULL, or not.</summary>
    private void MarkPtrOrNullRegs(VerifierState state, int regno, bool isNull) => throw new NotImplementedException();

    /// <summary>Remembers a second way to go; returns its state, a copy of the present one.</summary>
    private VerifierState PushState(int insnIdx, int prevInsnIdx, bool speculative) => throw new NotImplementedException();

    /// <summary>Remembers that an asynchronous callback must be walked; returns its state with one fresh frame whose registers the caller sets.</summary>
    private VerifierState PushAsyncCallback(int insnIdx, int prevInsnIdx, int subprogNo, bool sleepable) => throw new NotImplementedException();

    /// <summary>A slot was read as such (liveness of stack slots).</summary>
    private void MarkStackRead(int frameNo, int spi) => throw new NotImplementedException();

    /// <summary>A slot was overwritten wholly.</summary>
    private void MarkStackWrite(int frameNo, int spi) => throw new NotImplementedException();

    /// <summary>A stack slot of the running frame changed and is printed with the next state.</summary>
    private void MarkStackSlotScratched(int spi) => throw new NotImplementedException();

    /// <summary>A register changed and is printed with the next state.</summary>
    private void MarkRegScratched(int regno) => throw new NotImplementedException();

    /// <summary>The name of a kind of register as messages print it: <c>map_value_or_null</c>.</summary>
    private static string RegTypeName(RegType type) => throw new NotImplementedException();
}
