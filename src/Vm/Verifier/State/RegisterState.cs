using System.Runtime.InteropServices;
using BpfSim.Vm.Verifier.Domains;

namespace BpfSim.Vm.Verifier.State;

/// <summary>
/// What is known of one register or of one spilled register. A plain value without references, so that
/// whole frames are copied as memory. Maps and BTF are named by index, see <see cref="ProgramVerifier"/>.
/// <para>A pointer's address is its base plus <see cref="Off"/> plus what <see cref="Bounds"/> describes;
/// for a scalar Off is 0 except with <see cref="AddConst"/>, where it is the distance to its siblings.</para>
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct RegisterState
{
    /// <summary>Set in <see cref="Id"/> of a scalar that equals its siblings plus <see cref="Off"/>, added with 64 bits.</summary>
    public const uint AddConst64 = 1u << 31;

    /// <summary>The same, added with 32 bits.</summary>
    public const uint AddConst32 = 1u << 30;

    /// <summary>Either.</summary>
    public const uint AddConst = AddConst64 | AddConst32;

    /// <summary>Kind and properties.</summary>
    public RegType Type;

    /// <summary>Fixed part of the offset.</summary>
    public int Off;

    /// <summary>The number, or the variable part of a pointer's offset.</summary>
    public ScalarRange Bounds;

    /// <summary>
    /// Registers with equal ids (not 0) hold the same value: NULL tests, packet ranges, socket casts and
    /// linked scalars are found by it. For map_value and spin locks it tells lookups apart.
    /// </summary>
    public uint Id;

    /// <summary>The acquired reference that this pointer is, or points into; 0 if none.</summary>
    public uint RefObjId;

    /// <summary>Whether the exact value matters to what was proved (precision tracking).</summary>
    public bool Precise;

    private byte _small;
    private byte _small2;
    private byte _frameNo;
    private int _main;
    private uint _extra;

    /// <summary>For stack pointers: number of the frame pointed into.</summary>
    public int FrameNo { readonly get => _frameNo; set => _frameNo = (byte)value; }

    /// <summary>Packets: bytes from the pointer's base that are known to exist, or a negative marker.</summary>
    public int Range { readonly get => _main; set => _main = value; }

    /// <summary>Map pointers, values and keys: index into <see cref="ProgramVerifier.Maps"/>.</summary>
    public int MapIndex { readonly get => _main; set => _main = value; }

    /// <summary>Map pointers and values: tells inner maps of different lookups apart.</summary>
    public uint MapUid { readonly get => _extra; set => _extra = value; }

    /// <summary>Memory regions: their size in bytes.</summary>
    public uint MemSize { readonly get => (uint)_main; set => _main = (int)value; }

    /// <summary>Memory regions that are slices of a dynptr: the dynptr's id.</summary>
    public uint DynptrId { readonly get => _extra; set => _extra = value; }

    /// <summary>Function pointers: the subprogram.</summary>
    public int SubprogNo { readonly get => _main; set => _main = value; }

    /// <summary>BTF pointers: the type's id. Iterator slots: id of the iterator's struct.</summary>
    public uint BtfId { readonly get => (uint)_main; set => _main = (int)value; }

    /// <summary>BTF pointers and iterator slots: whose id it is.</summary>
    public BtfSource Btf { readonly get => (BtfSource)_small; set => _small = (byte)value; }

    /// <summary>Dynptr slots and registers: kind of the dynptr.</summary>
    public DynptrKind Dynptr { readonly get => (DynptrKind)_small; set => _small = (byte)value; }

    /// <summary>Dynptr slots: whether this is the lower of the two slots (the one at the dynptr's address).</summary>
    public bool DynptrFirstSlot { readonly get => _small2 != 0; set => _small2 = value ? (byte)1 : (byte)0; }

    /// <summary>Iterator slots: state of the iterator.</summary>
    public IterState Iter { readonly get => (IterState)_small2; set => _small2 = (byte)value; }

    /// <summary>Iterator slots: how many times next was called on this path.</summary>
    public uint IterDepth { readonly get => _extra; set => _extra = value; }

    /// <summary>IRQ flag slots: 0 native, 1 lock (enum bpf_irq kfunc class).</summary>
    public byte IrqClass { readonly get => _small; set => _small = value; }

    /// <summary>Smallest value, signed.</summary>
    public readonly long SMin => Bounds.SMin;
    /// <summary>Largest value, signed.</summary>
    public readonly long SMax => Bounds.SMax;
    /// <summary>Smallest value, unsigned.</summary>
    public readonly ulong UMin => Bounds.UMin;
    /// <summary>Largest value, unsigned.</summary>
    public readonly ulong UMax => Bounds.UMax;
    /// <summary>The value's known bits.</summary>
    public readonly Tnum VarOff => Bounds.VarOff;

    /// <summary>Whether this is a number.</summary>
    public readonly bool IsScalar => Type == RegType.Scalar;

    /// <summary>Whether all bits of the number, or of the variable offset, are known.</summary>
    public readonly bool IsConst => Bounds.VarOff.IsConst;

    /// <summary>Whether this is the number 0.</summary>
    public readonly bool IsNull => Type == RegType.Scalar && Bounds.VarOff.Mask == 0 && Bounds.VarOff.Value == 0;

    /// <summary>What belongs to the kind of pointer, as raw bits: for comparing two registers of one type.</summary>
    public readonly (int, uint, byte, byte) Details => (_main, _extra, _small, _small2);

    /// <summary>Nothing known and nothing readable.</summary>
    public void MarkNotInit()
    {
        this = default;
        Bounds = ScalarRange.Unknown;
    }

    /// <summary>A number of which nothing is known.</summary>
    /// <param name="precise">Programs without precision tracking (unprivileged) keep every scalar precise.</param>
    public void MarkUnknown(bool precise)
    {
        this = default;
        Type = RegType.Scalar;
        Bounds = ScalarRange.Unknown;
        Precise = precise;
    }

    /// <summary>The known number <paramref name="value"/>; the type stays, ids and offset go.</summary>
    public void MarkKnown(ulong value)
    {
        Off = 0;
        Id = 0;
        RefObjId = 0;
        _main = 0;
        _extra = 0;
        _small = _small2 = 0;
        Bounds = ScalarRange.Const(value);
    }

    /// <summary>The number 0.</summary>
    public void MarkZeroScalar()
    {
        this = default;
        Type = RegType.Scalar;
        Bounds = ScalarRange.Const(0);
    }

    /// <summary>Sets the kind of a pointer without variable offset and forgets everything else.</summary>
    public void MarkPointer(RegType type)
    {
        this = default;
        Type = type;
        Bounds = ScalarRange.Const(0);
    }
}
