namespace BpfSim.Cli.Tests;

/// <summary><c>asm</c>, <c>disasm</c> and <c>conformance</c> as their users run them.</summary>
public sealed class AssemblyCommandTests
{
    private const string ReturnsFortyTwo = "b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00";

    [Theory]
    [InlineData("checked")]
    [InlineData("interpreter")]
    [InlineData("jit")]
    public async Task Conformance_prints_r0_in_hexadecimal(string engine)
    {
        Assert.Equal((0, "2a\n", ""), await Bpfsim.RunAsync("conformance", "--program", ReturnsFortyTwo, "--engine", engine));
        // r0 = *(u16 *)(r1 +1), and r0 = r2
        Assert.Equal((0, "3322\n", ""), await Bpfsim.RunAsync("conformance", "11 22 33", "--program", "69 10 01 00 00 00 00 00 95 00 00 00 00 00 00 00", "--engine", engine));
        Assert.Equal((0, "3\n", ""), await Bpfsim.RunAsync("conformance", "112233", "--program", "bf200000000000009500000000000000", "--engine", engine));
    }

    /// <summary>As the suite's runner does it: the bytes on standard input, in pairs with spaces, the memory as one argument.</summary>
    [Theory]
    [InlineData("r1 = 3\ncall double\nr0 += 1\nexit\ndouble:\nr0 = r1\nr0 += r1\nexit", "", "7")]
    [InlineData("gotol over\nr0 = 1\nexit\nover:\nr0 = 2\nexit", "", "2")]
    [InlineData("r1 = 0x80\nr0 = (s8)r1\nw1 = (s8)w1\nr0 -= r1\nexit", "", "ffffffff00000000")]
    [InlineData("r0 = 0x1122334455667788\nexit", "", "1122334455667788")]
    [InlineData("r0 = 5\nlock *(u32 *)(r1 +0) += r0\nr2 = 1\nr2 = atomic64_fetch_add((u64 *)(r1 +0), r2)\nr0 = 8\nr3 = 9\nr0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r3)\nr0 <<= 8\nr2 = *(u64 *)(r1 +0)\nr0 |= r2\nexit", "02 00 00 00 00 00 00 00", "809")]
    [InlineData("r1 = -1\ncall bpf_ktime_get_ns\nr0 = 2\nexit", "", "2")]
    [InlineData("r0 = r1\nr0 += r2\nexit", "", "0")]
    [InlineData("r0 = *(s16 *)(r1 +1)\nr0 = bswap16 r0\nexit", "00 12 f4", "12f4")]
    [InlineData("w0 = -13\nw1 = 4\nw0 s%= w1\nexit", "", "ffffffff")]
    [InlineData("r2 = 5000000\nagain: r2 += -1\nif r2 != 0 goto again\nr0 = 3\nexit", "", "3")]
    public async Task Conformance_reads_the_program_from_standard_input(string text, string memory, string result)
    {
        string hex = Convert.ToHexStringLower(Vm.Isa.Insn.ToBytes(Vm.Isa.Assembler.BpfAssembler.Insns(text, Kernel.Bpf.HelperCatalog.Table)));
        string bytes = string.Join(' ', hex.Chunk(2).Select(pair => new string(pair))) + "\n";
        foreach (string engine in (string[])["checked", "interpreter", "jit"])
            Assert.Equal((0, result + "\n", ""), await Bpfsim.RunWithInputAsync(bytes, "conformance", memory, "--engine", engine));
    }

    [Theory]
    [InlineData("71 10 05 00 00 00 00 00 95 00 00 00 00 00 00 00", "outside memory (2 bytes), offset 5")]
    [InlineData("05 00 ff ff 00 00 00 00", "jumps")]
    [InlineData("d8 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00", "unknown opcode d8")]
    [InlineData("b7", "1 bytes are no whole number")]
    [InlineData("zz", "hexadecimal")]
    public async Task Conformance_reports_errors_on_standard_error(string program, string message)
    {
        (int exit, string output, string errors) = await Bpfsim.RunAsync("conformance", "aa bb", "--program", program, "--engine", "jit");
        Assert.Equal((1, ""), (exit, output));
        Assert.Contains(message, errors, StringComparison.Ordinal);
        Assert.Equal(1, errors.Count(c => c == '\n'));
    }

    [Fact]
    public async Task A_text_becomes_an_object_and_a_text_again()
    {
        string folder = Directory.CreateTempSubdirectory("bpfsim").FullName;
        try
        {
            const string Text = ".license \"GPL\"\n.map m array key=4 value=8 entries=1\n\n.section \"socket\"\n.func f\n    r1 = map[m]\n    if r1 != 0x0 goto l4\n    r0 = 1\nl4:\n    r0 = 2\n    exit\n";
            await File.WriteAllTextAsync(Path.Combine(folder, "f.s"), Text);
            Assert.Equal(0, (await Bpfsim.RunInAsync(folder, "asm", "f.s")).Exit);
            (int exit, string output, _) = await Bpfsim.RunInAsync(folder, "disasm", "f.o");
            Assert.Equal((0, Text), (exit, output));
            Assert.Equal((0, "b7000000010000009500000000000000\n", ""), await WithFile(folder, "r0 = 1\nexit\n", "asm", "--hex", "t.s"));
            (exit, _, string errors) = await WithFile(folder, "r0 = 1\n  r0 = r16\n", "asm", "t.s");
            Assert.Equal((1, "bpfsim: t.s:2:8: no register r16: the highest is r10\n"), (exit, errors));
            Assert.Equal(2, (await Bpfsim.RunInAsync(folder, "asm", "missing.s")).Exit);
            Assert.Equal((0, "    r0 = 1\n    exit\n", ""), await WithFile(folder, "b7000000010000009500000000000000", "disasm", "t.s"));
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    private static async Task<(int Exit, string Output, string Errors)> WithFile(string folder, string text, params string[] arguments)
    {
        await File.WriteAllTextAsync(Path.Combine(folder, "t.s"), text);
        return await Bpfsim.RunInAsync(folder, arguments);
    }
}
