namespace BpfSim.Kernel.Subsystems;

/// <summary>Numbers of the x86-64 system calls that the simulation makes (unistd_64.h).</summary>
internal static class SyscallTable
{
    private static readonly Dictionary<string, int> s_numbers = new()
    {
        ["read"] = 0,
        ["write"] = 1,
        ["open"] = 2,
        ["close"] = 3,
        ["fstat"] = 5,
        ["poll"] = 7,
        ["lseek"] = 8,
        ["mmap"] = 9,
        ["munmap"] = 11,
        ["brk"] = 12,
        ["ioctl"] = 16,
        ["pread64"] = 17,
        ["pwrite64"] = 18,
        ["access"] = 21,
        ["getpid"] = 39,
        ["socket"] = 41,
        ["connect"] = 42,
        ["accept"] = 43,
        ["sendto"] = 44,
        ["recvfrom"] = 45,
        ["bind"] = 49,
        ["listen"] = 50,
        ["clone"] = 56,
        ["fork"] = 57,
        ["vfork"] = 58,
        ["execve"] = 59,
        ["exit"] = 60,
        ["wait4"] = 61,
        ["kill"] = 62,
        ["fsync"] = 74,
        ["fdatasync"] = 75,
        ["rename"] = 82,
        ["mkdir"] = 83,
        ["unlink"] = 87,
        ["futex"] = 202,
        ["clock_nanosleep"] = 230,
        ["exit_group"] = 231,
        ["epoll_wait"] = 232,
        ["openat"] = 257,
        ["newfstatat"] = 262,
        ["unlinkat"] = 263,
        ["accept4"] = 288,
    };

    /// <summary>The number of a system call.</summary>
    public static int NumberOf(string name) => s_numbers[name];
}
