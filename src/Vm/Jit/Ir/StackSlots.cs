namespace BpfSim.Vm.Jit.Ir;

/// <summary>What was stored at fixed places of the own stack in a stretch of code, and where else the value still is.</summary>
internal sealed class StackSlots
{
    private struct Slot
    {
        public int Offset;
        public int Size;
        public byte Register;
        public int Version;
        public long Constant;
    }

    private readonly List<Slot> _slots = [];

    public void Clear() => _slots.Clear();

    /// <summary>A store of a register (or of a constant, without one).</summary>
    public void Store(int offset, int size, byte register, int version, long constant)
    {
        for (int i = _slots.Count - 1; i >= 0; i--)
            if (_slots[i].Offset < offset + size && offset < _slots[i].Offset + _slots[i].Size) _slots.RemoveAt(i);
        if (_slots.Count < 32) _slots.Add(new Slot { Offset = offset, Size = size, Register = register, Version = version, Constant = constant });
    }

    /// <summary>The register or constant whose low bytes are those at this place.</summary>
    public bool TryFind(int offset, int size, RegisterValues values, out byte register, out long constant)
    {
        foreach (Slot slot in _slots)
        {
            if (slot.Offset != offset || slot.Size != size) continue;
            (register, constant) = (slot.Register, slot.Constant);
            return register == IrInsn.None || values.VersionOf(register) == slot.Version;
        }
        (register, constant) = (IrInsn.None, 0);
        return false;
    }
}
