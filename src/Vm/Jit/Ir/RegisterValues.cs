namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// What is known of the registers at one point of a straight stretch of code: constants, upper bounds, and
/// sums of other registers. A register has a version that grows with every write, so that knowledge about
/// other registers expires by itself.
/// </summary>
internal sealed class RegisterValues
{
    /// <summary>What one register holds. Fields that a flag does not vouch for are left over from earlier.</summary>
    public struct Value
    {
        /// <summary>The value is the constant <see cref="Constant"/>.</summary>
        public bool IsConstant;

        /// <summary>The value is Base + Index * Scale + Constant, all 64 bits, where the versions still hold.</summary>
        public bool IsSum;

        /// <summary>Only the low 32 bits are those of the sum.</summary>
        public bool LowHalfOnly;
        public byte Base;
        public byte Index;
        public byte Scale;
        public int BaseVersion;
        public int IndexVersion;
        public long Constant;

        /// <summary>The value is at most this, unsigned.</summary>
        public ulong Max;
    }

    private const int Count = 13;
    private readonly Value[] _values = new Value[Count];
    private readonly int[] _versions = new int[Count];

    public ref Value this[int register] => ref _values[register];

    public int VersionOf(int register) => _versions[register];

    /// <summary>Forgets everything except which upper halves are clear.</summary>
    public void Forget(int upperClear)
    {
        for (int r = 0; r < Count; r++, upperClear >>= 1) Write(r, (upperClear & 1) != 0 ? uint.MaxValue : ulong.MaxValue);
        // The frame pointer is never written.
        _versions[10]--;
    }

    /// <summary>A register gets a new value of which only an upper bound is known.</summary>
    public void Write(int register, ulong max = ulong.MaxValue)
    {
        _versions[register]++;
        ref Value v = ref _values[register];
        (v.IsConstant, v.IsSum, v.Max) = (false, false, max);
    }

    public void WriteConstant(int register, long value)
    {
        _versions[register]++;
        ref Value v = ref _values[register];
        (v.IsConstant, v.IsSum, v.Constant, v.Max) = (true, false, value, (ulong)value);
    }

    /// <summary>A register becomes base + index * scale + offset; index may be None, base may not.</summary>
    public void WriteSum(int register, byte baseRegister, byte index, byte scale, long offset, ulong max, bool lowHalfOnly = false)
    {
        _versions[register]++;
        ref Value v = ref _values[register];
        (v.IsConstant, v.IsSum, v.LowHalfOnly, v.Max) = (false, baseRegister != register && index != register, lowHalfOnly, max);
        (v.Base, v.Index, v.Scale, v.Constant) = (baseRegister, index, scale, offset);
        if (baseRegister != IrInsn.None) v.BaseVersion = _versions[baseRegister];
        if (index != IrInsn.None) v.IndexVersion = _versions[index];
    }

    /// <summary>The sum that a register holds, if its parts are still what they were.</summary>
    public bool TrySum(int register, out Value sum)
    {
        sum = _values[register];
        return sum.IsSum && !sum.LowHalfOnly && Holds(sum);
    }

    /// <summary>Another register with the same value (of the low half, if that is enough).</summary>
    public bool TryCopy(int register, bool lowHalf, out byte source)
    {
        ref readonly Value v = ref _values[register];
        source = v.Base;
        return v.IsSum && v.Index == IrInsn.None && v.Constant == 0 && (lowHalf || !v.LowHalfOnly) && v.Base != IrInsn.None && Holds(v);
    }

    private bool Holds(in Value v) =>
        (v.Base == IrInsn.None || _versions[v.Base] == v.BaseVersion) && (v.Index == IrInsn.None || _versions[v.Index] == v.IndexVersion);
}
