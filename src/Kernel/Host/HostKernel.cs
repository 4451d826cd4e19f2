using System.Runtime.InteropServices;
using System.Text;

namespace BpfSim.Kernel.Host;

/// <summary>
/// The bpf(2) of the machine that this process runs on: oracle of the tests and rival of the benchmarks,
/// never part of a simulation. Loads and test-runs only; nothing here can attach a program. Functions return
/// a file descriptor or 0, or the negated errno of the host (the numbers of <see cref="BpfSim.Maps.Errno"/>).
/// </summary>
public static unsafe partial class HostKernel
{
    private const long BpfSyscall = 321;

    private static readonly Lazy<string?> Reason = new(FindUnavailableReason);

    /// <summary>Whether this process may use bpf(2) as root does.</summary>
    public static bool IsAvailable => Reason.Value == null;

    /// <summary>Why bpf(2) cannot be used here, in one line; null if it can.</summary>
    public static string? UnavailableReason => Reason.Value;

    /// <summary>The file of the host kernel's BTF; may be absent.</summary>
    public static string VmlinuxBtfPath => "/sys/kernel/btf/vmlinux";

    /// <summary>Calls bpf(2) with a command and its attributes; the raw result, or the negated errno.</summary>
    public static int Bpf(BpfCommand command, Span<byte> attributes)
    {
        fixed (byte* p = attributes)
        {
            long result = Syscall(BpfSyscall, (long)command, (nint)p, attributes.Length, 0, 0, 0);
            return result >= 0 ? (int)result : -Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Closes a descriptor; negative ones are ignored.</summary>
    public static void Close(int fd)
    {
        if (fd >= 0) _ = CloseFd(fd);
    }

    /// <summary>The host's errno name for a negated or plain number, for instance EACCES.</summary>
    public static string ErrnoName(int errno) => ((Maps.Errno)Math.Abs(errno)).ToString();

    /// <summary>BTF_LOAD: descriptor of the loaded type information.</summary>
    public static int LoadBtf(ReadOnlySpan<byte> btf)
    {
        fixed (byte* p = btf)
        {
            AttributeWriter attr = new(40);
            attr.U64(0, (ulong)p);
            attr.U32(16, (uint)btf.Length);
            return Bpf(BpfCommand.BtfLoad, attr.Bytes);
        }
    }

    private static string? FindUnavailableReason()
    {
        if (!OperatingSystem.IsLinux()) return "bpf(2) exists on Linux only";
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64) return "bpf(2) is used on x86-64 only";
        ReadOnlySpan<byte> exit = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
        HostProgram program = LoadProgram(new HostProgramSpec { Type = 2, Insns = exit.ToArray() });
        if (program.Fd < 0) return $"bpf(2) refused to load a program: {ErrnoName(program.Fd)}";
        Close(program.Fd);
        return null;
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long Syscall(long number, long a, nint b, long c, long d, long e, long f);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseFd(int fd);

    /// <summary>A union bpf_attr that is being filled: fields by their byte offset.</summary>
    private readonly ref struct AttributeWriter(int size)
    {
        public Span<byte> Bytes { get; } = new byte[size];

        public void U32(int offset, uint value) => MemoryMarshal.Write(Bytes[offset..], value);

        public void U64(int offset, ulong value) => MemoryMarshal.Write(Bytes[offset..], value);

        public uint GetU32(int offset) => MemoryMarshal.Read<uint>(Bytes[offset..]);

        /// <summary>A NUL-terminated object name: at most 15 characters, others than letters, digits, _ and . replaced.</summary>
        public void Name(int offset, string name)
        {
            byte[] ascii = Encoding.ASCII.GetBytes(name.Length > 15 ? name[..15] : name);
            for (int i = 0; i < ascii.Length; i++)
                if (!char.IsAsciiLetterOrDigit((char)ascii[i]) && ascii[i] is not ((byte)'_' or (byte)'.'))
                    ascii[i] = (byte)'_';
            ascii.CopyTo(Bytes[offset..]);
        }
    }
}

/// <summary>Commands of bpf(2) that the oracle and the benchmarks need (enum bpf_cmd).</summary>
public enum BpfCommand
{
    MapCreate = 0, MapLookupElem = 1, MapUpdateElem = 2, MapDeleteElem = 3, MapGetNextKey = 4, ProgLoad = 5,
    ProgTestRun = 10, ObjGetInfoByFd = 15, BtfLoad = 18, MapLookupAndDeleteElem = 21, MapFreeze = 22,
    MapLookupBatch = 24, MapLookupAndDeleteBatch = 25, MapUpdateBatch = 26, MapDeleteBatch = 27,
}
