namespace BpfSim.Tests.Shared;

/// <summary>
/// When a test may skip itself: where something is missing that not every machine has. With
/// BPFSIM_REQUIRE_ALL=1, as .ci/run sets it, nothing may be missing, and the test runs and fails instead.
/// </summary>
internal static class Requirement
{
    /// <summary>Whether a missing tool is a failure.</summary>
    public static bool All => Environment.GetEnvironmentVariable("BPFSIM_REQUIRE_ALL") == "1";

    /// <summary>The reason to skip, or null if the test is to run.</summary>
    public static string? Skip(bool available, string reason) => available || All ? null : reason;

    /// <summary>Which of these is missing, as a reason to skip; null if none is. node counts with the packages of tests/otlp.</summary>
    public static string? Missing(string[] commands)
    {
        string? missing = commands.FirstOrDefault(c => !HasCommand(c));
        if (missing != null) return $"{missing} is not installed";
        return commands.Contains("node") && !Directory.Exists(Repository.PathOf("tests", "otlp", "node_modules")) ? "no packages in tests/otlp (npm ci)" : null;
    }

    /// <summary>Whether a command is on the PATH.</summary>
    public static bool HasCommand(string name) => (Environment.GetEnvironmentVariable("PATH") ?? "")
        .Split(Path.PathSeparator).Any(folder => folder.Length > 0 && File.Exists(Path.Combine(folder, name)));
}

/// <summary>A test that runs other programs; skipped, with the reason, where one is not installed.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ToolFactAttribute : FactAttribute
{
    /// <summary>Names what must be on the PATH.</summary>
    public ToolFactAttribute(params string[] commands)
    {
        string? missing = Requirement.Missing(commands);
        Skip = Requirement.Skip(missing == null, missing ?? "");
    }
}

/// <summary>A parametrised test that runs other programs; skipped, with the reason, where one is not installed.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ToolTheoryAttribute : TheoryAttribute
{
    /// <summary>Names what must be on the PATH.</summary>
    public ToolTheoryAttribute(params string[] commands)
    {
        string? missing = Requirement.Missing(commands);
        Skip = Requirement.Skip(missing == null, missing ?? "");
    }
}
