using BpfSim.Tests.Shared;

namespace BpfSim.Cli.Tests;

/// <summary>
/// What README.md shows is what the commands print: in each <c>console</c> block, the lines behind <c>$ command</c>
/// must be its output; a line <c>...</c> stands for any number of lines..
/// </summary>
public sealed class ReadmeTests
{
    public static TheoryData<string, string> Examples
    {
        get
        {
            TheoryData<string, string> examples = [];
            string[] blocks = File.ReadAllText(Repository.PathOf("README.md")).Split("```console\n")[1..];
            foreach (string block in blocks)
            {
                string[] commands = block[..block.IndexOf("```", StringComparison.Ordinal)].Split("$ ", StringSplitOptions.RemoveEmptyEntries);
                foreach (string command in commands)
                {
                    int end = command.IndexOf('\n', StringComparison.Ordinal);
                    examples.Add(command[..end], command[(end + 1)..]);
                }
            }
            return examples;
        }
    }

    [Theory]
    [MemberData(nameof(Examples))]
    public async Task An_example_prints_what_stands_under_it(string command, string expected)
    {
        string arguments = command.Replace("dotnet run -c Release --project src/Cli --", "bpfsim", StringComparison.Ordinal)
            .Replace("dotnet run -c Release --project src/Cli", "bpfsim", StringComparison.Ordinal);
        if (!arguments.StartsWith("bpfsim", StringComparison.Ordinal)) return;
        (_, string output, _) = await Bpfsim.RunAsync([.. arguments["bpfsim".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)]);
        Assert.True(Matches(output.TrimEnd().Split('\n'), expected.TrimEnd().Split('\n')), $"$ {command}\n{output}");
    }

    [Fact]
    public void There_are_examples() => Assert.True(Examples.Count >= 3);

    /// <summary>Whether the lines are the expected ones, with <c>...</c> for any.</summary>
    private static bool Matches(ReadOnlySpan<string> lines, ReadOnlySpan<string> expected)
    {
        if (expected.Length == 0) return lines.Length == 0;
        if (expected[0] == "...")
        {
            for (int skip = 0; skip <= lines.Length; skip++)
                if (Matches(lines[skip..], expected[1..])) return true;
            return false;
        }
        return lines.Length > 0 && lines[0].TrimEnd() == expected[0].TrimEnd() && Matches(lines[1..], expected[1..]);
    }
}
