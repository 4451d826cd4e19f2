using System.Text.RegularExpressions;
using BpfSim.Kernel.Bpf;
using BpfSim.Tests.Shared;

namespace BpfSim.Kernel.Tests.Bpf;

/// <summary>What the facade's calls look like in strace's words, against lines that the real strace printed of the same calls.</summary>
public sealed partial class StraceTests
{
    [Fact]
    public void Calls_read_as_strace_prints_them()
    {
        string path = Path.Combine(Repository.Root, "tests/data/bpf/strace.txt");
        string[] lines = File.ReadAllLines(path);
        var wrong = new List<string>();
        IReadOnlyList<SyscallCase> cases = SyscallCase.Read(path);
        Assert.True(cases.Count > 50);
        foreach (SyscallCase wanted in cases)
        {
            using var machine = new Machine(new MachineSpec { ArenaBytes = 1 << 20 });
            string last = "";
            machine.Bpf.Called += call => last = BpfStrace.Format(call);
            using (var objects = new SyscallObjects((number, attr) => machine.Bpf.Bpf((int)number, attr), fd => machine.Bpf.Fds.Close(fd)))
                wanted.Run(objects);
            string expected = Normalize(lines[wanted.Line].Trim()), printed = Normalize(last);
            if (printed != expected) wrong.Add($"line {wanted.Line + 1}:\n{expected}\nprinted\n{printed}");
        }
        Assert.True(wrong.Count == 0, string.Join("\n", wrong));
    }

    /// <summary>Addresses, descriptors and durations are not the same anywhere.</summary>
    private static string Normalize(string line)
    {
        line = Padding().Replace(Addresses().Replace(line, "PTR"), ") = ");
        line = Descriptors().Replace(line, m => m.Groups[2].Value is "0" or "999" ? m.Value : m.Groups[1].Value + "FD");
        line = Durations().Replace(line, "duration=NS");
        return Results().Replace(line, m => m.Value == " = 0" ? m.Value : " = FD");
    }

    // Short calls' results stand in a column of their own.
    [GeneratedRegex(@"\) += ")]
    private static partial Regex Padding();

    [GeneratedRegex("0x[0-9a-f]{9,}")]
    private static partial Regex Addresses();

    [GeneratedRegex(@"(\w*fd=)(\d+)")]
    private static partial Regex Descriptors();

    [GeneratedRegex(@"duration=\d+")]
    private static partial Regex Durations();

    [GeneratedRegex(@" = \d+$")]
    private static partial Regex Results();
}
