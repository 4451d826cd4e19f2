using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Profile;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Tests.Libbpf;

/// <summary>Where the tests' objects are, and what most of them do with one.</summary>
internal static class TestObjects
{
    /// <summary>The root of the repository.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The object with a bit of everything.</summary>
    public static string Features { get; } = Path.Combine(Root, "tests/data/objects/features.bpf.o");

    public static ObjectSpec Open(string path) => ObjectFile.Open(path, SectionTable.All);

    public static ObjectSpec Parse(byte[] bytes) => ObjectFile.Parse(bytes, "test", SectionTable.All);

    /// <summary>Verdicts of all programs against the embedded profile, by name.</summary>
    public static Dictionary<string, ProgramVerdict> Verify(ObjectSpec spec) =>
        new ObjectVerifier(KernelProfile.Embedded).Verify(spec).ToDictionary(v => v.Program.Name);

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder != null && !File.Exists(Path.Combine(folder, "BpfSim.sln"))) folder = Path.GetDirectoryName(folder);
        return folder ?? throw new InvalidOperationException("the tests do not run inside the repository");
    }
}
