using System.Text.Json;

namespace BpfSim.Cli.Tests;

/// <summary>The commands on object files, as scripts use them.</summary>
public sealed class ObjectCommandTests
{
    private const string Features = "tests/data/objects/features.bpf.o";

    [Fact]
    public async Task Verify_prints_the_document_of_the_contract()
    {
        Output run = await Run($"verify --json programs/vfsstat.bpf.o {Features} README.md");
        Assert.Equal(2, run.Exit);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement root = document.RootElement;
        Assert.Equal(3, root.GetProperty("files").GetArrayLength());
        JsonElement[] programs = [.. root.GetProperty("programs").EnumerateArray()];
        JsonElement read = programs.Single(p => p.GetProperty("name").GetString() == "count_read");
        Assert.Equal(("accept", "kprobe", "kprobe/vfs_read"),
            (read.GetProperty("verdict").GetString(), read.GetProperty("type").GetString(), read.GetProperty("section").GetString()));
        Assert.Equal(JsonValueKind.Null, read.GetProperty("errno").ValueKind);
        JsonElement unguarded = programs.Single(p => p.GetProperty("name").GetString() == "unguarded");
        Assert.Equal(("reject", "EINVAL"), (unguarded.GetProperty("verdict").GetString(), unguarded.GetProperty("errno").GetString()));
        Assert.StartsWith("failed to resolve CO-RE relocation <byte_off>", unguarded.GetProperty("message").GetString());
        Assert.Equal("not an ELF file: no ELF header at offset 0", programs[^1].GetProperty("message").GetString());
        foreach (string number in (string[])["insns_processed", "total_states", "peak_states", "stack_depth", "verification_time_us"])
            Assert.Equal(JsonValueKind.Number, read.GetProperty(number).ValueKind);
    }

    [Theory]
    [InlineData("interpreter")]
    [InlineData("jit")]
    [InlineData("checked")]
    public async Task Prog_run_prints_the_return_value(string engine)
    {
        Output run = await Run($"prog run {Features} --program callback --data-in 000000000000000000000000080045 --repeat 10 --json --engine {engine}");
        Assert.Equal(0, run.Exit);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        Assert.Equal(26, document.RootElement.GetProperty("retval").GetInt32());
        Assert.Equal(10, document.RootElement.GetProperty("repeat").GetInt32());
        Assert.Equal(engine, document.RootElement.GetProperty("engine").GetString());
        Assert.Equal("000000000000000000000000000045", document.RootElement.GetProperty("data_out").GetString());
    }

    [Fact]
    public async Task Prog_dump_and_show_print_as_bpftool()
    {
        Output dump = await Run($"prog dump xlated {Features} opcodes --program tail");
        Assert.Contains("int tail(struct __sk_buff * skb):\n", dump.Out);
        Assert.Contains("   0: (b4) w0 = 17\n       b4 00 00 00 11 00 00 00\n", dump.Out);
        Assert.Contains("   1: (95) exit\n", dump.Out);
        Output show = await Run("prog show programs/vfsstat.bpf.o");
        Assert.Equal(0, show.Exit);
        Assert.Matches(@"(?m)^1: kprobe  name count_read  tag [0-9a-f]{16}  gpl$", show.Out);
        Assert.Matches(@"(?m)^\txlated \d+B  (jited \d+B|not jited)  memlock 4096B  map_ids \d+$", show.Out);
    }

    [Fact]
    public async Task Assembler_text_stands_for_an_object()
    {
        Output show = await Run("prog show programs/hello_world.bpf.s");
        Assert.StartsWith("1: kprobe  name hello_world  tag c21893ee8040b45c  gpl\n", show.Out);
        Assert.Contains("\txlated 104B  ", show.Out);
        Assert.Equal(0, (await Run("verify programs/hello_world.bpf.s programs/openat.bpf.s")).Exit);
        Assert.Contains("prog_name=\"hello_world\"", (await Run("strace programs/hello_world.bpf.s")).Out);
    }

    [Fact]
    public async Task Btf_dump_prints_types_and_headers()
    {
        Output raw = await Run("btf dump file programs/vfsstat.bpf.o");
        Assert.Matches(@"(?m)^\[\d+\] FUNC 'count_read' type_id=\d+ linkage=global$", raw.Out);
        Output header = await Run("btf dump programs/vfsstat.bpf.o format c");
        Assert.Contains("struct pt_regs {\n\tlong unsigned int r15;\n", header.Out.Replace("unsigned long r15", "long unsigned int r15"));
        Assert.Equal(2, (await Run("btf dump README.md")).Exit);
    }

    [Theory]
    [InlineData("verify nowhere.o", 2)]
    [InlineData("verify", 2)]
    [InlineData($"verify {Features} --program nobody", 2)]
    [InlineData($"prog run {Features}", 2)]
    [InlineData($"prog run {Features} --program tail --data-in 00", 2)]
    [InlineData($"prog run {Features} --program tail --data-in xyz", 2)]
    [InlineData($"prog run {Features} --program symbols", 1)]
    [InlineData("prog dump jited README.md", 2)]
    public async Task Wrong_usage_is_one_line_and_its_exit_code(string line, int exit)
    {
        Output run = await Run(line);
        Assert.Equal(exit, run.Exit);
        Assert.DoesNotContain("   at ", run.Error);
    }

    private static async Task<Output> Run(string line)
    {
        (int exit, string output, string errors) = await Bpfsim.RunAsync(line.Split(' '));
        return new Output(exit, output, errors);
    }

    private sealed record Output(int Exit, string Out, string Error);
}
