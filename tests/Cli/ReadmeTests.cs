using BpfSim.Tests.Shared;

namespace BpfSim.Cli.Tests;

/// <summary>
/// What README.md shows is what the commands print: in each <c>console</c> block, the lines behind <c>$ command</c>
/// must be its output; a line <c>...</c> stands for any number of lines, and <c>...</c> at the end of a
/// line for its rest. With BPFSIM_UPDATE_README=1 the tests write the new output into README.md instead.
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
        if (Environment.GetEnvironmentVariable("BPFSIM_UPDATE_README") == "1") Update(command, expected, output.TrimEnd().Split('\n'));
        else Assert.True(Matches(output.TrimEnd().Split('\n'), expected.TrimEnd().Split('\n')), $"$ {command}\n{output}");
    }

    /// <summary>The test of a tool that README.md shows is one that tests/Kernel runs, to the last byte.</summary>
    [Fact]
    public void The_test_it_shows_is_one_that_runs()
    {
        string readme = File.ReadAllText(Repository.PathOf("README.md")), code = readme.Split("```csharp\n").Last();
        Assert.Equal(File.ReadAllText(Repository.PathOf("tests", "Kernel", "Example", "OpensnoopTests.cs")), code[..code.IndexOf("```", StringComparison.Ordinal)]);
        string lines = readme.Split("```xml\n").Last(), project = File.ReadAllText(Repository.PathOf("tests", "Kernel", "BpfSim.Kernel.Tests.csproj"));
        foreach (string line in lines[..lines.IndexOf("```", StringComparison.Ordinal)].Split('\n', StringSplitOptions.RemoveEmptyEntries))
            Assert.Contains(line, project, StringComparison.Ordinal);
    }

    [Fact]
    public void There_are_examples() => Assert.True(Examples.Count >= 3);

    /// <summary>
    /// Puts the output in the place of the old one: what stood between two <c>...</c> is found again by its first line
    /// that is not empty, and keeps its length; the last part goes to the end.
    /// </summary>
    private static void Update(string command, string old, string[] output)
    {
        List<string> lines = [];
        string[] parts = old.TrimEnd().Split("...\n");
        int at = 0;
        for (int i = 0; i < parts.Length; i++)
        {
            string[] part = parts[i].TrimEnd('\n').Split('\n');
            int blank = Array.FindIndex(part, l => l.Length > 0), heading = i == 0 ? 0 : Array.IndexOf(output, part[blank], at) - blank;
            Assert.True(heading >= 0, $"'{part[blank]}' is no longer in the output of {command}");
            int end = i == parts.Length - 1 && part[^1] != "..." ? output.Length : heading + part.Length;
            if (i > 0) lines.Add("...");
            lines.AddRange(part.Any(l => l.EndsWith(" ...", StringComparison.Ordinal)) ? part : output[heading..end]);
            at = end;
        }
        string path = Repository.PathOf("README.md"), text = File.ReadAllText(path);
        File.WriteAllText(path, text.Replace($"$ {command}\n{old}", $"$ {command}\n{string.Join('\n', lines)}\n", StringComparison.Ordinal));
    }

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
        bool same = lines.Length > 0 && (expected[0].EndsWith(" ...", StringComparison.Ordinal)
            ? lines[0].StartsWith(expected[0][..^3], StringComparison.Ordinal)
            : lines[0].TrimEnd() == expected[0].TrimEnd());
        return same && Matches(lines[1..], expected[1..]);
    }
}
