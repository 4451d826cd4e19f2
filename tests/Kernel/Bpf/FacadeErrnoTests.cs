using System.Runtime.InteropServices;
using BpfSim.Kernel.Bpf;
using BpfSim.Tests.Shared;

namespace BpfSim.Kernel.Tests.Bpf;

/// <summary>Thousands of wrong uses of bpf(2), and right ones: the facade answers as Linux 6.18 does, which the host is asked to confirm.</summary>
public sealed unsafe partial class FacadeErrnoTests
{
    private static readonly IReadOnlyList<SyscallCase> s_cases = SyscallCase.Read(Path.Combine(Repository.Root, "tests/data/bpf/errno.txt"));

    public static TheoryData<BpfCommand> Commands => [.. s_cases.Select(c => c.Command).Distinct().Order()];

    [Theory]
    [MemberData(nameof(Commands))]
    public void The_facade_answers_as_Linux_does(BpfCommand command)
    {
        using var machine = new Machine(new MachineSpec { ArenaBytes = 1 << 20 });
        Check(command, (number, attr) => machine.Bpf.Bpf((int)number, attr), fd => machine.Bpf.Fds.Close(fd));
    }

    [HostKernelFact]
    public void The_host_agrees()
    {
        foreach (BpfCommand command in s_cases.Select(c => c.Command).Distinct()) Check(command, Host, fd => CloseFd(fd));
    }

    private static void Check(BpfCommand command, SyscallCase.Call call, Action<int> close)
    {
        var wrong = new List<string>();
        foreach (SyscallCase wanted in s_cases.Where(c => c.Command == command))
        {
            using var objects = new SyscallObjects(call, close);
            string answer = wanted.Run(objects);
            if (answer != wanted.Expected) wrong.Add($"line {wanted.Line}: {wanted.Text} -> {wanted.Expected}, answered {answer}");
        }
        Assert.Empty(wrong);
    }

    private static int Host(BpfCommand command, Span<byte> attr)
    {
        fixed (byte* pointer = attr)
        {
            long result = Syscall(321, (long)command, (long)pointer, attr.Length);
            return result < 0 ? -Marshal.GetLastPInvokeError() : (int)result;
        }
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long Syscall(long number, long a, long b, long c);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseFd(int fd);
}
