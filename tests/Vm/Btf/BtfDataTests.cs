using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Tests.Btf;

public sealed class BtfDataTests
{
    private static BtfData Sample()
    {
        var b = new BtfBuilder();
        uint u32 = b.AddInt("unsigned int", 4);                                              // 1
        uint s8 = b.AddInt("char", 1, BtfIntEncoding.Signed);                                // 2
        uint array = b.AddArray(s8, u32, 16);                                                // 3
        uint inner = b.AddComposite(BtfKind.Union, "", 4, [new("tid", u32, 0, 0)]);          // 4
        uint task = b.AddComposite(BtfKind.Struct, "task", 24, [                              // 5
            new("comm", array, 0, 0), new("", inner, 128, 0), new("a", u32, 160, 3), new("b", u32, 163, 5)]);
        uint typedef = b.AddReference(BtfKind.Typedef, "task_t", task);                      // 6
        uint constant = b.AddReference(BtfKind.Const, "", typedef);                          // 7
        uint tag = b.AddReference(BtfKind.TypeTag, "rcu", constant);                         // 8
        uint pointer = b.AddReference(BtfKind.Ptr, "", tag);                                 // 9
        uint proto = b.AddFuncProto(u32, [new("t", pointer), new("n", u32)]);                // 10
        uint func = b.AddFunc("handle", proto, BtfLinkage.Global);                           // 11
        b.AddDeclTag("kfunc", func);                                                         // 12
        b.AddDeclTag("__arg", func, 1);                                                      // 13
        b.AddEnum("state", 4, true, [new("OFF", -1), new("ON", 1)]);                         // 14
        b.AddEnum64("wide", 8, false, [new("TOP", unchecked((long)0x8000000000000000))]);    // 15
        uint v = b.AddVar("counter", u32);                                                   // 16
        b.AddDatasec(".bss", 4, [new(v, 0, 4)]);                                             // 17
        b.AddComposite(BtfKind.Struct, "task___old", 4, []);                                 // 18
        return b.ToBtf();
    }

    [Fact]
    public void What_was_written_is_read_back()
    {
        BtfData btf = Sample();
        Assert.Equal(19u, btf.TypeCount);
        BtfType task = btf.Find("task", BtfKind.Struct)!.Value;
        Assert.Equal(24u, task.Size);
        Assert.Equal([new("comm", 3, 0, 0), new("", 4, 128, 0), new("a", 1, 160, 3), new("b", 1, 163, 5)], task.Members);
        Assert.Equal(128u, task.FindMember("tid")!.Value.BitOffset);
        Assert.Null(task.FindMember("pid"));
        Assert.Equal([new("t", 9), new("n", 1)], btf.FindFuncProto("handle")!.Value.Params);
        Assert.Equal([new("OFF", -1), new("ON", 1)], btf.Find("state", BtfKind.Enum)!.Value.Enumerators);
        Assert.Equal(long.MinValue, btf.Find("wide", BtfKind.Enum64)!.Value.Enumerators[0].Value);
        Assert.Equal([new(16, 0, 4)], btf.Find(".bss", BtfKind.Datasec)!.Value.Variables);
        Assert.Equal(BtfLinkage.Global, btf.Find("handle", BtfKind.Func)!.Value.Linkage);
    }

    [Fact]
    public void Modifiers_sizes_and_tags_resolve()
    {
        BtfData btf = Sample();
        Assert.Equal(5u, btf.Resolve(8).Id);
        Assert.Equal(6u, btf.Resolve(8, throughTypedefs: false).Id);
        Assert.Equal((24L, 16L, 8L, -1L), (btf.SizeOf(8), btf.SizeOf(3), btf.SizeOf(9), btf.SizeOf(10)));
        Assert.Equal(["rcu"], btf.TypeTags(9));
        Assert.True(btf.HasDeclTag(11, "kfunc"));
        Assert.True(btf.HasDeclTag(11, "__arg", 1));
        Assert.False(btf.HasDeclTag(11, "__arg"));
        Assert.Equal([5u, 18u], btf.FindCandidates("task___other").Select(t => t.Id));
    }

    [Theory]
    [InlineData("task___v1", "task")]
    [InlineData("task", "task")]
    [InlineData("___task", "___task")]
    [InlineData("task___", "task___")]
    [InlineData("a___b___c", "a___b")]
    [InlineData("task____x", "task____x")]
    public void Flavours_are_cut_as_libbpf_cuts_them(string name, string essential) =>
        Assert.Equal(essential, System.Text.Encoding.UTF8.GetString(BtfData.EssentialName(System.Text.Encoding.UTF8.GetBytes(name))));

    [Fact]
    public void Every_cut_and_every_changed_byte_is_read_or_refused()
    {
        byte[] good = Sample().Bytes.ToArray();
        for (int length = 0; length < good.Length; length++)
            Assert.Throws<BtfException>(() => BtfData.Parse(good.AsSpan(0, length)));
        for (int at = 0; at < good.Length; at++)
        {
            foreach (byte value in (byte[])[0, 1, 0x7f, 0x80, 0xff])
            {
                byte[] bad = [.. good];
                bad[at] = value;
                try
                {
                    BtfData btf = BtfData.Parse(bad);
                    foreach (BtfType type in btf.Types)
                    {
                        _ = type.ToString();
                        _ = (btf.SizeOf(type.Id), btf.AlignOf(type.Id), btf.Resolve(type.Id), type.FindMember("tid"));
                        _ = (type.Params.ToList(), type.Variables.ToList(), type.Enumerators.ToList(), btf.TypeTags(type.Id));
                    }
                    _ = btf.Find("task", BtfKind.Struct);
                }
                catch (BtfException e)
                {
                    Assert.StartsWith(".BTF: ", e.Message);
                }
            }
        }
    }
}
