using BpfSim.Kernel.Host;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;

namespace BpfSim.Vm.Tests.Interpreter;

/// <summary>The cases of tests/data/insns on the host's kernel, which also fills in results that are not known yet.</summary>
public sealed class HostCaseTests
{
    [HostKernelFact]
    public void All_cases_on_the_host()
    {
        bool update = Environment.GetEnvironmentVariable("BPFSIM_UPDATE") == "1";
        var failures = new List<string>();
        var found = new Dictionary<(string, int), string>();
        foreach (InsnCase test in InsnCase.All.Where(c => c.Host))
        {
            string result = HostRun.Run(BpfAssembler.Insns(test.Text, file: test.ToString()), test.Memory);
            found[(test.File, test.Line)] = result;
            if (result != $"0x{test.Result:x}") failures.Add($"{test}: the kernel says {result}, the file 0x{test.Result:x}");
        }

        if (update) foreach (IGrouping<string, KeyValuePair<(string File, int Line), string>> file in found.GroupBy(f => f.Key.Item1)) Fill(file.Key, file.ToDictionary(f => f.Key.Line, f => f.Value));
        Assert.True(failures.Count == 0, string.Join('\n', failures.Take(60)));
    }

    private static void Fill(string file, Dictionary<int, string> results)
    {
        string[] lines = File.ReadAllLines(file);
        string? result = null;
        for (int i = 0; i < lines.Length; i++)
        {
            if (lines[i].StartsWith("== ", StringComparison.Ordinal)) result = results.GetValueOrDefault(i + 1);
            if (lines[i] == "=> ?" && result is not null) lines[i] = $"=> {result}";
        }

        File.WriteAllLines(file, lines);
    }
}

/// <summary>Runs a program on the host's kernel: as a function of an XDP program, with its memory as the packet.</summary>
internal static class HostRun
{
    private const uint Xdp = 6;

    /// <summary>All 64 bits of r0, which come back in the packet behind the memory; or <c>rejected</c> with the last line of the log.</summary>
    public static string Run(Insn[] body, byte[] memory)
    {
        Insn[] insns = [.. Prologue(memory.Length), .. body];
        HostProgram program = HostKernel.LoadProgram(new HostProgramSpec { Type = Xdp, Insns = Insn.ToBytes(insns), LogLevel = 1 });
        if (program.Fd < 0)
        {
            string[] log = program.Log.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            return $"rejected {program.Fd}: {log.LastOrDefault(l => !l.StartsWith("processed", StringComparison.Ordinal))}";
        }

        var packet = new byte[memory.Length + 64];
        memory.CopyTo(packet, 0);
        HostTestRun run = HostKernel.TestRun(program.Fd, packet);
        HostKernel.Close(program.Fd);
        return run.Errno != 0 || run.ReturnValue != 1 ? $"test run failed: {run.Errno}" : $"0x{BitConverter.ToUInt64(run.DataOut, memory.Length):x}";
    }

    private static Insn[] Prologue(int length) => BpfAssembler.Insns($"""
        r2 = *(u32 *)(r1 +4)
        r1 = *(u32 *)(r1 +0)
        r3 = r1
        r3 += {length + 8}
        if r3 > r2 goto fail
        r2 = {length}
        r6 = r1
        call pc+5
        *(u64 *)(r6 +{length}) = r0
        r0 = 1
        exit
        fail: r0 = 0
        exit
        """);
}
