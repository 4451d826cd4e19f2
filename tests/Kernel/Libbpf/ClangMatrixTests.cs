using System.Diagnostics;
using BpfSim.Kernel.Libbpf;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Tests.Libbpf;

/// <summary>What every compiler at hand makes of one source, by instruction set version, loads.</summary>
public sealed class ClangMatrixTests
{
    public static TheoryData<string, string> Combinations()
    {
        var data = new TheoryData<string, string>();
        foreach (string compiler in (string[])["clang-14", "clang-19"])
            foreach (string cpu in (string[])["v2", "v3", "v4"])
                if (compiler != "clang-14" || cpu != "v4") data.Add(compiler, cpu);
        return data;
    }

    [ClangTheory]
    [MemberData(nameof(Combinations))]
    public void Every_compiler_and_version(string compiler, string cpu)
    {
        if (!ClangTheoryAttribute.IsInstalled(compiler)) return;
        ObjectSpec spec = Compile(compiler, cpu, "features.bpf.c", "-g");
        Dictionary<string, ProgramVerdict> verdicts = TestObjects.Verify(spec);
        Assert.Equal(10, verdicts.Count);
        Assert.All(verdicts.Where(v => v.Key != "unguarded"), v => Assert.Null(v.Value.Message));
        Assert.StartsWith("failed to resolve CO-RE relocation", verdicts["unguarded"].Message);
    }

    [ClangTheory]
    [MemberData(nameof(Combinations))]
    public void Without_type_information(string compiler, string cpu)
    {
        if (!ClangTheoryAttribute.IsInstalled(compiler)) return;
        ObjectSpec spec = Compile(compiler, cpu, "plain.bpf.c", "-O2");
        Assert.Null(spec.Btf);
        Assert.Equal(["counts", "test.data", "test.rodata"], spec.Maps.Select(m => m.Name).Order());
        Assert.All(TestObjects.Verify(spec), v => Assert.Null(v.Value.Message));
    }

    private static ObjectSpec Compile(string compiler, string cpu, string source, string flag)
    {
        string output = Path.Combine(Path.GetTempPath(), $"bpfsim-{Guid.NewGuid():N}.o");
        string folder = Path.Combine(TestObjects.Root, "tests/data/objects");
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(compiler,
                ["-target", "bpf", $"-mcpu={cpu}", "-O2", flag, "-w", "-I", folder, "-I", "/usr/include/x86_64-linux-gnu", "-c", Path.Combine(folder, source), "-o", output])
            { RedirectStandardError = true })!;
            string errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, errors);
            return TestObjects.Parse(File.ReadAllBytes(output));
        }
        finally
        {
            File.Delete(output);
        }
    }
}

/// <summary>A test that compiles BPF C; skipped where no clang or no libbpf headers are installed.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ClangTheoryAttribute : TheoryAttribute
{
    public ClangTheoryAttribute()
    {
        if (!IsInstalled("clang-14") && !IsInstalled("clang-19")) Skip = "neither clang-14 nor clang-19 is installed";
        else if (!File.Exists("/usr/include/bpf/bpf_helpers.h")) Skip = "libbpf's headers are not installed";
    }

    public static bool IsInstalled(string compiler) => File.Exists("/usr/bin/" + compiler);
}
