using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// The simulated kernel's bpf(2): the one door through which programs and maps are loaded. Every command
/// is a method with typed attributes that returns what the system call would (0, a descriptor, or a
/// negated <see cref="Errno"/>); <see cref="Bpf"/> takes the bytes of <c>union bpf_attr</c> instead.
/// May be called from any thread.
/// </summary>
public sealed unsafe partial class BpfSyscall : IDisposable
{
    private readonly BpfEnvironment _environment;
    private readonly IdTable<BpfProgram> _programs = new();
    private readonly IdTable<MapObject> _maps = new();
    private readonly IdTable<BtfObject> _btfs = new();

    internal BpfSyscall(BpfEnvironment environment)
    {
        _environment = environment;
        // The kernel's types are the first BTF there is.
        if (environment.KernelBtf is not { } kernel) return;
        var vmlinux = new BtfObject(System.Runtime.InteropServices.MemoryMarshal.TryGetArray(kernel.Bytes, out ArraySegment<byte> bytes)
            && bytes.Offset == 0 && bytes.Count == bytes.Array!.Length ? bytes.Array : kernel.Bytes.ToArray(), kernel, "vmlinux")
        { IsKernel = true };
        _btfs.Add(vmlinux);
        KernelBtfId = vmlinux.Id;
    }

    /// <summary>The descriptors of the simulated loader process.</summary>
    public FdTable Fds { get; } = new();

    /// <summary>Every call as it returns, for strace.</summary>
    public event Action<BpfCall>? Called;

    /// <summary>All loaded programs, ascending by id.</summary>
    public IReadOnlyList<BpfProgram> Programs => _programs.All;

    /// <summary>All live maps, ascending by id.</summary>
    public IReadOnlyList<MapObject> Maps => _maps.All;

    /// <summary>All loaded BTFs, ascending by id.</summary>
    public IReadOnlyList<BtfObject> Btfs => _btfs.All;

    /// <summary>The program behind a descriptor, or null. No reference is taken.</summary>
    public BpfProgram? FindProgram(int fd) => Fds.Find(fd) as BpfProgram;

    /// <summary>The map behind a descriptor, or null. No reference is taken.</summary>
    public MapObject? FindMap(int fd) => Fds.Find(fd) as MapObject;

    /// <summary>Closes all descriptors and drops all pins.</summary>
    public void Dispose()
    {
        FileSystem.Clear();
        // Programs and the prog_arrays that hold them keep each other alive.
        foreach (MapObject map in _maps.All)
            if (map.Map is ReferenceArray { Spec.Type: MapType.ProgArray } array) array.Clear();
        Fds.CloseAll();
        _bench?.Dispose();
    }

    private int Traced(BpfCommand command, object attr, int result)
    {
        Called?.Invoke(new BpfCall(command, attr, result));
        return result;
    }

    /// <summary>The object of the wanted kind behind a descriptor; else -EBADF, or -EINVAL for another kind.</summary>
    private int Resolve<T>(int fd, out T value) where T : KernelObject
    {
        KernelObject? found = Fds.Find(fd);
        value = (found as T)!;
        return found == null ? -(int)Errno.EBADF : value == null ? -(int)Errno.EINVAL : 0;
    }

    /// <summary>bpf_obj_name_cpy: at most 15 characters of letters, digits, <c>_</c> and <c>.</c>.</summary>
    private static bool IsValidName(string name) =>
        name.Length <= 15 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.');
}

/// <summary>One call that went through the facade.</summary>
/// <param name="Command">The command.</param>
/// <param name="Attr">The typed attributes after the call (one of the …Attr records).</param>
/// <param name="Result">What it returned.</param>
public sealed record BpfCall(BpfCommand Command, object Attr, int Result);
