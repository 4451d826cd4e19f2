using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Tests.Btf;

/// <summary>CO-RE relocations between two small BTFs; each case is one instruction before and after.</summary>
public sealed class CoreRelocatorTests
{
    private const int Poison = CoreRelocator.PoisonHelperId;

    /// <summary>The object: struct s { int a; unsigned b; bit c:3; struct t *p; char name[4]; }, enum e { X = 1, Y = 2 }.</summary>
    private static BtfData Local()
    {
        var b = new BtfBuilder();
        uint i32 = b.AddInt("int", 4, BtfIntEncoding.Signed), u32 = b.AddInt("unsigned int", 4), c8 = b.AddInt("char", 1, BtfIntEncoding.Signed); // 1 2 3
        uint array = b.AddArray(c8, u32, 4), pointer = b.NextId; // 4, 5
        b.AddReference(BtfKind.Ptr, "", b.NextId + 1);
        uint t = b.AddComposite(BtfKind.Struct, "t", 4, [new("x", i32, 0, 0)]); // 6
        b.AddComposite(BtfKind.Struct, "s", 32, [new("a", i32, 0, 0), new("b", u32, 32, 0), new("c", u32, 64, 3), new("p", pointer, 128, 0), new("name", array, 192, 0), new("gone", i32, 224, 0)]); // 7
        b.AddEnum("e", 4, false, [new("X", 1), new("Y", 2)]); // 8
        b.AddComposite(BtfKind.Struct, "s___v2", 4, [new("b", u32, 0, 0)]); // 9
        b.AddComposite(BtfKind.Struct, "twice", 4, [new("x", i32, 0, 0)]); // 10
        _ = t;
        return b.ToBtf();
    }

    /// <summary>The kernel: the fields lie elsewhere, b is wider, c within an anonymous union, gone is gone, Y is another number.</summary>
    private static BtfData Kernel()
    {
        var b = new BtfBuilder();
        uint i32 = b.AddInt("int", 4, BtfIntEncoding.Signed), u64 = b.AddInt("unsigned long", 8), u32 = b.AddInt("unsigned int", 4), c8 = b.AddInt("char", 1, BtfIntEncoding.Signed);
        uint array = b.AddArray(c8, u32, 16), pointer = b.AddReference(BtfKind.Ptr, "", 0);
        uint inner = b.AddComposite(BtfKind.Struct, "", 4, [new("c", u32, 5, 3)]);
        uint union = b.AddComposite(BtfKind.Union, "", 4, [new("", inner, 0, 0)]);
        b.AddComposite(BtfKind.Struct, "s", 64, [new("b", u64, 64, 0), new("", union, 128, 0), new("a", i32, 160, 0), new("p", pointer, 192, 0), new("name", array, 256, 0)]); // 9
        b.AddEnum("e", 4, false, [new("Y", 7)]);
        b.AddComposite(BtfKind.Struct, "twice", 8, [new("x", i32, 0, 0)]);
        b.AddComposite(BtfKind.Struct, "twice", 8, [new("x", i32, 32, 0)]);
        return b.ToBtf();
    }

    private static Insn Load(int off, MemSize size) => new((int)InsnClass.Ldx | (int)MemMode.Mem | (int)size, 1, 2, off, 0);

    private static Insn Move(int imm) => new((int)InsnClass.Alu64 | (int)AluOp.Mov, 1, 0, 0, imm);

    private static (Insn[] Insns, string? Error) Apply(uint type, string access, CoreRelocationKind kind, params Insn[] insns)
    {
        string? error = new CoreRelocator(Local(), Kernel()).Apply(insns, new CoreRelocation(0, type, access, kind), "test", 0);
        return (insns, error);
    }

    [Theory]
    [InlineData("0:0", 0, 20)]
    [InlineData("0:3", 16, 24)]
    [InlineData("0:4", 24, 32)]
    [InlineData("0:4:2", 26, 34)]
    [InlineData("1:0", 32, 84)]
    public void Offsets_move(string access, int before, int after)
    {
        (Insn[] insns, string? error) = Apply(7, access, CoreRelocationKind.FieldByteOffset, Move(before));
        Assert.Null(error);
        Assert.Equal(Move(after), insns[0]);
    }

    [Fact]
    public void A_load_follows_an_unsigned_fields_width_but_not_a_signed_ones()
    {
        Assert.Equal(Load(8, MemSize.Dw), Apply(7, "0:1", CoreRelocationKind.FieldByteOffset, Load(4, MemSize.W)).Insns[0]);
        Assert.Equal(Load(20, MemSize.W), Apply(7, "0:0", CoreRelocationKind.FieldByteOffset, Load(0, MemSize.W)).Insns[0]);
    }

    [Theory]
    [InlineData(7, "0:1", CoreRelocationKind.FieldByteSize, 4, 8)]
    [InlineData(7, "0:1", CoreRelocationKind.FieldExists, 1, 1)]
    [InlineData(7, "0:5", CoreRelocationKind.FieldExists, 1, 0)]
    [InlineData(7, "0:0", CoreRelocationKind.FieldSigned, 1, 1)]
    [InlineData(7, "0:2", CoreRelocationKind.FieldLshiftU64, 61, 56)]
    [InlineData(7, "0:2", CoreRelocationKind.FieldRshiftU64, 61, 61)]
    [InlineData(7, "0", CoreRelocationKind.TypeIdLocal, 7, 7)]
    [InlineData(7, "0", CoreRelocationKind.TypeIdTarget, 0, 9)]
    [InlineData(7, "0", CoreRelocationKind.TypeExists, 1, 1)]
    [InlineData(6, "0", CoreRelocationKind.TypeExists, 1, 0)]
    [InlineData(7, "0", CoreRelocationKind.TypeSize, 32, 64)]
    [InlineData(7, "0", CoreRelocationKind.TypeMatches, 1, 0)]
    [InlineData(8, "1", CoreRelocationKind.EnumvalValue, 2, 7)]
    [InlineData(8, "1", CoreRelocationKind.EnumvalExists, 1, 1)]
    [InlineData(8, "0", CoreRelocationKind.EnumvalExists, 1, 0)]
    [InlineData(9, "0:0", CoreRelocationKind.FieldByteOffset, 0, 8)]
    public void Each_kind_answers(uint type, string access, CoreRelocationKind kind, int before, int after)
    {
        (Insn[] insns, string? error) = Apply(type, access, kind, Move(before));
        Assert.Null(error);
        Assert.Equal(Move(after), insns[0]);
    }

    [Theory]
    [InlineData(7, "0:5", CoreRelocationKind.FieldByteOffset)]
    [InlineData(8, "0", CoreRelocationKind.EnumvalValue)]
    [InlineData(6, "0:0", CoreRelocationKind.FieldByteOffset)]
    public void What_is_missing_poisons(uint type, string access, CoreRelocationKind kind)
    {
        (Insn[] insns, string? error) = Apply(type, access, kind, Move(0));
        Assert.Null(error);
        Assert.True(insns[0].IsHelperCall);
        Assert.Equal(Poison, insns[0].Imm);
    }

    [Fact]
    public void A_64_bit_load_is_poisoned_in_both_halves_and_takes_64_bit_values()
    {
        var load = new Insn((int)InsnClass.Ld | (int)MemSize.Dw, 1, 0, 0, 2);
        Insn[] moved = Apply(8, "1", CoreRelocationKind.EnumvalValue, load, default).Insns;
        Assert.Equal((7, 0), (moved[0].Imm, moved[1].Imm));
        Insn[] poisoned = Apply(8, "0", CoreRelocationKind.EnumvalValue, load with { Imm = 1 }, default).Insns;
        Assert.All(poisoned, i => Assert.Equal(Poison, i.Imm));
    }

    [Theory]
    [InlineData(10, "0:0", 0, "prog 'test': relo #0: field offset ambiguity: 32 != 0")]
    [InlineData(7, "0:0", 3, "prog 'test': relo #0: unexpected insn #0 (ALU/ALU64) value: got 3, exp 0 -> 20")]
    [InlineData(7, "0:99", 0, "prog 'test': relo #0: parsing [7] Struct s + 0:99 failed: -22")]
    [InlineData(7, "", 0, "prog 'test': relo #0: parsing [7] Struct s +  failed: -22")]
    public void What_is_wrong_in_itself_fails(uint type, string access, int before, string message) =>
        Assert.Equal(message, Apply(type, access, CoreRelocationKind.FieldByteOffset, Move(before)).Error);

    [Fact]
    public void Descriptions_are_libbpfs()
    {
        BtfData local = Local();
        Assert.Equal("<byte_off> [7] struct s.name[2] (0:4:2 @ offset 26)", CoreRelocator.Describe(local, new(0, 7, "0:4:2", CoreRelocationKind.FieldByteOffset)));
        Assert.Equal("<enumval_value> [8] enum e::Y = 2", CoreRelocator.Describe(local, new(0, 8, "1", CoreRelocationKind.EnumvalValue)));
        Assert.Equal("<type_exists> [6] struct t", CoreRelocator.Describe(local, new(0, 6, "0", CoreRelocationKind.TypeExists)));
    }
}
