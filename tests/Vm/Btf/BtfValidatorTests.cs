using System.Buffers.Binary;
using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Tests.Btf;

public sealed class BtfValidatorTests
{
    private static BtfBuilder Start()
    {
        var b = new BtfBuilder();
        b.AddInt("int", 4, BtfIntEncoding.Signed); // 1
        return b;
    }

    private static string? Check(Action<BtfBuilder> add)
    {
        BtfBuilder b = Start();
        add(b);
        return BtfValidator.Check(b.ToBtf())?.Message;
    }

    [Fact]
    public void Sound_types_pass()
    {
        Assert.Null(Check(b =>
        {
            uint node = b.AddComposite(BtfKind.Struct, "node", 16, [new("next", 3, 0, 0), new("low", 1, 64, 3), new("rest", 1, 67, 29)]);
            b.AddReference(BtfKind.Ptr, "", node);
            uint proto = b.AddFuncProto(0, [new("n", 3)]);
            b.AddDeclTag("tag", b.AddFunc("handle", proto, BtfLinkage.Global), 0);
            b.AddDatasec(".bss", 4, [new(b.AddVar("counter", 1), 0, 4)]);
        }));
    }

    [Fact]
    public void A_type_by_itself_is_checked()
    {
        Assert.Equal("[2] INT long nr_bits exceeds type_size", Patched(b => b.AddInt("long", 8), 12 + 4 + 8, 4));
        Assert.Equal("[2] TYPEDEF (anon) Invalid name", Check(b => b.AddReference(BtfKind.Typedef, "", 1)));
        Assert.Equal("[2] TYPEDEF a b Invalid name", Check(b => b.AddReference(BtfKind.Typedef, "a b", 1)));
        Assert.Equal("[2] ENUM e Unexpected size", Check(b => b.AddEnum("e", 3, false, [new("A", 0)])));
        Assert.Equal("[2] UNION u Invalid member bits_offset", Check(b => b.AddComposite(BtfKind.Union, "u", 8, [new("a", 1, 32, 0)])));
        Assert.Equal("[2] FLOAT f Invalid type_size", Check(b => b.AddFloat("f", 3)));
        Assert.Equal("[3] DATASEC .bss Invalid offset", Check(b => b.AddDatasec(".bss", 4, [new(b.AddVar("v", 1), 4, 4)])));
        Assert.Equal("[3] FUNC f Invalid func linkage", Check(b => b.AddFunc("f", b.AddFuncProto(1, []), BtfLinkage.Extern)));
    }

    [Fact]
    public void What_types_refer_to_is_checked()
    {
        Assert.Equal("[2] STRUCT s Member exceeds struct_size", Check(b => b.AddComposite(BtfKind.Struct, "s", 4, [new("a", 1, 8, 0)])));
        Assert.Equal("[2] ARRAY (anon) Array size overflows U32_MAX", Check(b => b.AddArray(1, 1, 1u << 30)));
        Assert.Equal("[3] FUNC f Invalid arg#1", Check(b => b.AddFunc("f", b.AddFuncProto(1, [new("", 1)]))));
        Assert.Equal("[2] FUNC f Invalid type_id", Check(b => b.AddFunc("f", 1)));
        Assert.Equal("[3] DECL_TAG t Invalid component_idx", Check(b => b.AddDeclTag("t", b.AddReference(BtfKind.Typedef, "T", 1), 0)));
        Assert.Equal("[2] STRUCT s Loop detected", Check(b => b.AddComposite(BtfKind.Struct, "s", 4, [new("a", 2, 0, 0)])));
    }

    [Fact]
    public void Loops_and_depth_have_errors_of_their_own()
    {
        BtfBuilder loop = Start();
        loop.AddReference(BtfKind.Const, "", 3);
        loop.AddReference(BtfKind.Volatile, "", 2);
        Assert.Equal(Errno.EEXIST, BtfValidator.Check(loop.ToBtf())?.Errno);
        BtfBuilder deep = Start();
        for (uint i = 0; i < 33; i++) deep.AddReference(BtfKind.Const, "", i == 32 ? 1 : i + 3);
        Assert.Equal(Errno.E2BIG, BtfValidator.Check(deep.ToBtf())?.Errno);
    }

    [Fact]
    public void The_log_names_every_type_up_to_the_wrong_one()
    {
        BtfBuilder b = Start();
        b.AddFunc("bpf_kfunc", b.AddFuncProto(1, [new("n", 1)]), BtfLinkage.Extern);
        BtfData btf = b.ToBtf();
        string[] lines = BtfLoadLog.Format(btf, BtfValidator.Check(btf)).Split('\n');
        Assert.Equal(["magic: 0xeb9f", "version: 1", "flags: 0x0", "hdr_len: 24", "type_off: 0"], lines[..5]);
        Assert.Equal(["[1] INT int size=4 bits_offset=0 nr_bits=32 encoding=SIGNED", "[2] FUNC_PROTO (anon) return=1 args=(1 n)",
            "[3] FUNC bpf_kfunc type_id=2 Invalid func linkage", ""], lines[9..]);
    }

    /// <summary>The same with one word of the type section overwritten.</summary>
    private static string? Patched(Action<BtfBuilder> add, int at, uint value)
    {
        BtfBuilder b = Start();
        add(b);
        byte[] bytes = b.ToBytes();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(24 + at), value);
        return BtfValidator.Check(BtfData.Parse(bytes))?.Message;
    }
}
