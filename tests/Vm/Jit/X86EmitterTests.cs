using BpfSim.Vm.Jit.Emit;
using Iced.Intel;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Every form that the emitter knows, with all registers and many addresses, read back by Iced.</summary>
public sealed class X86EmitterTests
{
    private static readonly X86Register[] All = [.. Enumerable.Range(0, 16).Select(i => (X86Register)i)];
    private static readonly string[] Names64 = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

    [Fact]
    public void Two_registers()
    {
        foreach (X86Register a in All)
        {
            foreach (X86Register b in All)
            {
                (string x, string y) = (Names64[(int)a], Names64[(int)b]);
                if (a != b) Check($"mov {x}, {y}", e => e.MovRR(a, b, true));
                Check($"add {x}, {y}", e => e.AluRR(X86Alu.Add, a, b, true));
                Check($"cmp {x}, {y}", e => e.AluRR(X86Alu.Cmp, a, b, true));
                Check($"imul {x}, {y}", e => e.Imul(a, b, true));
                Check($"cmovbe {x}, {y}", e => e.Cmov(X86Condition.BelowEqual, a, b, true));
                Check($"movsxd {x}, {Low(y, 4)}", e => e.MovSx(a, b, 4, true));
                Check($"movzx {Low(x, 4)}, {Low(y, 1)}", e => e.MovZx(a, b, 1));
                Check($"movsx {x}, {Low(y, 2)}", e => e.MovSx(a, b, 2, true));
                Check(a == b ? $"imul {x}, 0x12345" : $"imul {x}, {y}, 0x12345", e => e.ImulRRI(a, b, 0x12345, true));
                Check($"shlx {x}, {y}, {x}", e => e.ShiftX(X86Shift.Shl, a, b, a, true));
                Check($"sarx {Low(x, 4)}, {Low(y, 4)}, {Low(y, 4)}", e => e.ShiftX(X86Shift.Sar, a, b, b, false));
                Check($"mulx {x}, {y}, {x}", e => e.Mulx(a, b, a, true));
                Check($"rorx {x}, {y}, 7", e => e.Rorx(a, b, 7, true));
            }
        }
    }

    [Fact]
    public void One_register_and_constants()
    {
        foreach (X86Register a in All)
        {
            string x = Names64[(int)a];
            Check($"mov {Low(x, 4)}, 0x80000000", e => e.MovRI(a, 0x80000000));
            Check($"mov {x}, 0xFFFFFFFF80000000", e => e.MovRI(a, int.MinValue));
            Check($"mov {x}, 0x123456789ABCDEF0", e => e.MovRI(a, 0x123456789ABCDEF0));
            Check($"and {x}, 0xFFFFFFFFFFFFFF80", e => e.AluRI(X86Alu.And, a, -128, true));
            Check($"sub {Low(x, 4)}, 0x12345678", e => e.AluRI(X86Alu.Sub, a, 0x12345678, false));
            Check($"test {Low(x, 1)}, 0x7F", e => e.TestRI(a, 0x7f, true));
            Check($"test {Low(x, 4)}, 0x12345678", e => e.TestRI(a, 0x12345678, true));
            Check($"sar {x}, 0x3F", e => e.ShiftRI(X86Shift.Sar, a, 63, true));
            Check($"neg {x}", e => e.Neg(a, true));
            Check($"bswap {Low(x, 4)}", e => e.Bswap(a, false));
            Check($"setg {Low(x, 1)}", e => e.Setcc(X86Condition.Greater, a));
            Check($"push {x}", e => e.Push(a));
            Check($"pop {x}", e => e.Pop(a));
            Check($"call {x}", e => e.CallR(a));
            Check($"jmp {x}", e => e.JmpR(a));
        }
    }

    [Fact]
    public void Memory_operands()
    {
        foreach (X86Register b in All)
        {
            foreach (X86Register i in All.Where(r => r != X86Register.Rsp))
            {
                foreach (int disp in new[] { 0, 8, -128, 128, -0x12345 })
                {
                    string address = $"{Names64[(int)b]}+{Names64[(int)i]}*4{Displacement(disp)}";
                    Check($"mov r9, [{address}]", e => e.Load(X86Register.R9, new X86Memory(b, disp, i, 4), 8));
                    Check($"lea rdx, [{address}]", e => e.Lea(X86Register.Rdx, new X86Memory(b, disp, i, 4), true));
                }
            }
            foreach (int disp in new[] { 0, 16, -128, 127, 0x1234 })
            {
                string address = $"{Names64[(int)b]}{Displacement(disp)}";
                Check($"movzx edi, byte [{address}]", e => e.Load(X86Register.Rdi, new X86Memory(b, disp), 1));
                Check($"mov [{address}], sil", e => e.Store(new X86Memory(b, disp), X86Register.Rsi, 1));
                Check($"mov [{address}], r14w", e => e.Store(new X86Memory(b, disp), X86Register.R14, 2));
                Check($"mov word [{address}], 0x1234", e => e.StoreImm(new X86Memory(b, disp), 0x1234, 2));
                Check($"lock add [{address}], rcx", e => e.LockAlu(X86Alu.Add, new X86Memory(b, disp), X86Register.Rcx, true));
                Check($"lock cmpxchg [{address}], r11d", e => e.LockCmpxchg(new X86Memory(b, disp), X86Register.R11, false));
                Check($"sub qword [{address}], 1", e => e.AluMI(X86Alu.Sub, new X86Memory(b, disp), 1, 8));
            }
        }
    }

    [Fact]
    public void Jumps_take_the_short_form_when_they_reach()
    {
        foreach (int distance in new[] { 0, 100, 126, 127, 128, 129, 1000 })
        {
            X86Emitter e = new();
            int label = e.NewLabel();
            e.Jcc(X86Condition.Equal, label);
            for (int i = 0; i < distance; i++) e.Ret();
            e.Bind(label);
            e.Ret();
            byte[] code = Finish(e);
            Assert.Equal(distance <= 127 ? 2 : 6, code.Length - distance - 1);
            Instruction jump = Decoder.Create(64, code).Decode();
            Assert.Equal((ulong)(code.Length - 1), jump.NearBranchTarget);
        }
    }

    private static string Displacement(int disp) => disp == 0 ? "" : disp < 0 ? $"-{Hex(-disp)}" : $"+{Hex(disp)}";

    private static string Hex(int value) => value < 10 ? $"{value}" : $"0x{value:X}";

    /// <summary>The name of the low bytes of a register.</summary>
    private static string Low(string name, int size)
    {
        if (char.IsAsciiDigit(name[1])) return name + size switch { 1 => "b", 2 => "w", _ => "d" };
        string letters = name[1..];
        return size switch { 4 => "e" + letters, 2 => letters, _ => letters[^1] == 'x' ? letters[..^1] + "l" : letters + "l" };
    }

    private static byte[] Finish(X86Emitter e)
    {
        e.Layout.Arrange(e.Position);
        byte[] code = new byte[e.Layout.Length];
        e.Layout.Write(e.Bytes, code);
        return code;
    }

    private static void Check(string expected, Action<X86Emitter> emit)
    {
        Emitter.Reset();
        emit(Emitter);
        byte[] code = Finish(Emitter);
        Instruction instruction = Decoder.Create(64, code).Decode();
        StringOutput output = new();
        Formatter.Format(instruction, output);
        string actual = output.ToStringAndReset();
        Assert.True(actual == expected && instruction.Length == code.Length && Emitter.Count == 1, $"{Convert.ToHexString(code)} is '{actual}', not '{expected}'");
    }

    private static readonly X86Emitter Emitter = new();
    private static readonly NasmFormatter Formatter = MakeFormatter();

    private static NasmFormatter MakeFormatter()
    {
        NasmFormatter formatter = new();
        formatter.Options.HexPrefix = "0x";
        formatter.Options.HexSuffix = null;
        formatter.Options.SpaceAfterOperandSeparator = true;
        formatter.Options.ScaleBeforeIndex = false;
        return formatter;
    }
}
