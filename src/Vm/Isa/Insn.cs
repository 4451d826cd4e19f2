using System.Runtime.InteropServices;

namespace BpfSim.Vm.Isa;

/// <summary>
/// One 8-byte instruction slot, laid out as in a program's bytes (RFC 9669, section 3.1), little-endian:
/// <code>
/// offset 0: code (8)   1: dst (4, low) src (4, high)   2: off (16, signed)   4: imm (32, signed)
/// </code>
/// A 64-bit immediate load takes two slots; the second has code 0 and carries the high half in imm.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = 8)]
public readonly record struct Insn
{
    /// <summary>The opcode byte.</summary>
    public byte Code { get; init; }

    /// <summary>Both register fields: destination low, source high.</summary>
    public byte Registers { get; init; }

    /// <summary>The signed offset: of a jump in slots, of an access in bytes.</summary>
    public short Off { get; init; }

    /// <summary>The signed immediate.</summary>
    public int Imm { get; init; }

    /// <summary>Composes an instruction of its fields; registers are 0 to 15.</summary>
    public Insn(int code, int dst, int src, int off, int imm)
    {
        Code = (byte)code;
        Registers = (byte)((dst & 15) | (src << 4));
        Off = (short)off;
        Imm = imm;
    }

    /// <summary>The destination register field, 0 to 15.</summary>
    public int Dst => Registers & 15;

    /// <summary>The source register field, 0 to 15.</summary>
    public int Src => Registers >> 4;

    /// <summary>The instruction class.</summary>
    public InsnClass Class => (InsnClass)(Code & 0x07);

    /// <summary>Immediate or register operand; meaningful for arithmetic and jumps.</summary>
    public OperandSource Source => (OperandSource)(Code & 0x08);

    /// <summary>The arithmetic operation; meaningful for Alu and Alu64.</summary>
    public AluOp AluOp => (AluOp)(Code & 0xf0);

    /// <summary>The jump operation; meaningful for Jmp and Jmp32.</summary>
    public JmpOp JmpOp => (JmpOp)(Code & 0xf0);

    /// <summary>The access width; meaningful for loads and stores.</summary>
    public MemSize Size => (MemSize)(Code & 0x18);

    /// <summary>The access width in bytes: 1, 2, 4 or 8.</summary>
    public int SizeBytes => Size switch { MemSize.B => 1, MemSize.H => 2, MemSize.W => 4, _ => 8 };

    /// <summary>The access mode; meaningful for loads and stores.</summary>
    public MemMode Mode => (MemMode)(Code & 0xe0);

    /// <summary>Whether this is the first slot of a 64-bit immediate load.</summary>
    public bool IsLdImm64 => Code == ((byte)InsnClass.Ld | (byte)MemSize.Dw | (byte)MemMode.Imm);

    /// <summary>Whether this calls a function of the same program.</summary>
    public bool IsLocalCall => Code == ((byte)InsnClass.Jmp | (byte)JmpOp.Call) && Src == (int)CallKind.Local;

    /// <summary>Whether this calls a helper.</summary>
    public bool IsHelperCall => Code == ((byte)InsnClass.Jmp | (byte)JmpOp.Call) && Src == (int)CallKind.Helper;

    /// <summary>Whether this calls a kfunc.</summary>
    public bool IsKfuncCall => Code == ((byte)InsnClass.Jmp | (byte)JmpOp.Call) && Src == (int)CallKind.Kfunc;

    /// <summary>Whether this leaves the current function.</summary>
    public bool IsExit => Code == ((byte)InsnClass.Jmp | (byte)JmpOp.Exit);

    /// <summary>Reads instructions from their bytes; the length must be a multiple of 8.</summary>
    public static Insn[] FromBytes(ReadOnlySpan<byte> bytes) => MemoryMarshal.Cast<byte, Insn>(bytes).ToArray();

    /// <summary>The bytes of the instructions.</summary>
    public static byte[] ToBytes(ReadOnlySpan<Insn> insns) => MemoryMarshal.AsBytes(insns).ToArray();
}
