using System.Runtime.InteropServices;
using System.Text;

namespace BpfSim.Kernel.Cpus;

/// <summary>
/// What programs see of the task that an event happened in; an execve gives the task a new one. It begins with
/// what a <see cref="Vm.Programs.RunRequest"/> carries of the task, in the same order.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TaskIdentity
{
    /// <summary>Thread group id (high half) and thread id (low half).</summary>
    public ulong PidTgid;

    /// <summary>Group id (high half) and user id (low half).</summary>
    public ulong UidGid;

    /// <summary>Address of the task_struct.</summary>
    public ulong TaskAddress;

    /// <summary>The name, NUL-padded.</summary>
    public fixed byte Comm[16];

    /// <summary>The cgroup's id.</summary>
    public ulong CgroupId;

    /// <summary>Address of the user's registers on the kernel stack (struct pt_regs), 0 for kernel threads.</summary>
    public ulong UserRegs;

    /// <summary>Thread group id of the parent.</summary>
    public ulong ParentTgid;

    /// <summary>The thread id.</summary>
    public readonly uint Pid => (uint)PidTgid;

    /// <summary>The thread group id.</summary>
    public readonly uint Tgid => (uint)(PidTgid >> 32);

    /// <summary>The name as text.</summary>
    public readonly string CommText
    {
        get
        {
            fixed (byte* comm = Comm)
            {
                var span = new ReadOnlySpan<byte>(comm, 16);
                int end = span.IndexOf((byte)0);
                return Encoding.UTF8.GetString(end < 0 ? span : span[..end]);
            }
        }
    }
}

/// <summary>All identities of a run by index; addresses never change, so that CPUs may read while new ones are added.</summary>
internal sealed unsafe class TaskIdentities : IDisposable
{
    private const int ChunkSize = 4096;
    private readonly nint[] _chunks = new nint[4096];
    private readonly Lock _lock = new();
    private int _count;

    /// <summary>Identities given out.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Adds an identity and returns its index.</summary>
    public int Add(in TaskIdentity identity)
    {
        lock (_lock)
        {
            int index = _count;
            if (index / ChunkSize >= _chunks.Length) throw new InvalidOperationException($"more than {_chunks.Length * ChunkSize} task identities in one run");
            if (_chunks[index / ChunkSize] == 0)
                Volatile.Write(ref _chunks[index / ChunkSize], (nint)NativeMemory.AllocZeroed(ChunkSize, (nuint)sizeof(TaskIdentity)));
            *At(index) = identity;
            Volatile.Write(ref _count, index + 1);
            return index;
        }
    }

    /// <summary>The identity with this index.</summary>
    public TaskIdentity* At(int index) => (TaskIdentity*)_chunks[(uint)index / ChunkSize] + (uint)index % ChunkSize;

    /// <summary>The task_struct of the latest task with a thread id, 0 if there was none.</summary>
    public ulong FindTask(uint pid)
    {
        for (int i = Count - 1; i >= 0; i--)
            if (At(i)->Pid == pid && At(i)->TaskAddress != 0) return At(i)->TaskAddress;
        return 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (nint chunk in _chunks) NativeMemory.Free((void*)chunk);
        Array.Clear(_chunks);
    }
}
