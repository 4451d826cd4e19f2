using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// array and percpu_array: all values exist from the start, zeroed, in native memory.
/// <para>For emitted code: the value of index <c>i &lt; MaxEntries</c> (a u32) on CPU <c>c</c> is at
/// <c>Data + c * CpuStride + i * Stride</c>; of a plain array CpuStride is 0, so that the same code fits.
/// Stride is the value size rounded up to 8; CpuStride is a multiple of 128, so that CPUs share no cache line.</para>
/// </summary>
internal sealed unsafe class ArrayMap : BpfMap
{
    private readonly byte* _data;
    private readonly ulong _stride;
    private readonly ulong _cpuStride;
    private readonly uint _max;

    public ArrayMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        _max = spec.MaxEntries;
        _stride = RoundUp8(spec.ValueSize);
        var bytes = _stride * _max;
        if (Info.IsPerCpu)
        {
            _cpuStride = (bytes + 127) & ~127ul;
            bytes = _cpuStride * cpus;
        }

        _data = Memory.Allocate((nuint)bytes);
        Header->Data = _data;
        Header->Stride = _stride;
        Header->CpuStride = _cpuStride;
        Header->Mask = System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)_max) - 1;
        Header->Cpus = cpus;
    }

    public override ulong MemoryBytes => KernelMemory.Array(Spec, Cpus);

    /// <summary>First byte of the values of CPU 0: what a memory-mapped array (global data) is accessed through.</summary>
    public byte* Data => _data;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* At(uint index, uint cpu) => _data + (cpu * _cpuStride) + (index * _stride);

    public override byte* ProgramLookup(byte* key, uint cpu)
    {
        var index = *(uint*)key;
        var counters = Statistics.Of(cpu);
        counters->Lookups++;
        if (index >= _max) return null;
        counters->Hits++;
        return At(index, cpu);
    }

    public override int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu)
    {
        if ((flags & ~UpdateFlags.Lock) > UpdateFlags.Exist) return -(int)Errno.EINVAL;
        var index = *(uint*)key;
        if (index >= _max) return Failed(cpu, Errno.E2BIG);
        if ((flags & UpdateFlags.NoExist) != 0) return Failed(cpu, Errno.EEXIST);
        if (LockMissing(flags)) return -(int)Errno.EINVAL;
        Store(At(index, cpu), value, flags);
        Statistics.Of(cpu)->Updates++;
        return 0;
    }

    public override int ProgramDelete(byte* key, uint cpu) => -(int)Errno.EINVAL;

    public override bool ProgramNext(ref MapCursor cursor, uint cpu, out byte* key, out byte* value)
    {
        key = value = null;
        if (cursor.Slot >= _max) return false;
        cursor.Key = cursor.Slot++;
        key = (byte*)Unsafe.AsPointer(ref cursor.Key);
        value = At(cursor.Key, cpu);
        return true;
    }

    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        var counters = Statistics.Of(UserCpu);
        counters->Lookups++;
        var index = MemoryMarshal.Read<uint>(key);
        if (index >= _max) return -(int)Errno.ENOENT;
        counters->Hits++;
        fixed (byte* to = value)
        {
            if (!Info.IsPerCpu) Load(to, At(index, 0), flags);
            else
                for (var cpu = 0u; cpu < Cpus; cpu++) CopyPadded(to + (cpu * _stride), At(index, cpu));
        }

        return 0;
    }

    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        fixed (byte* k = key, from = value)
        {
            if (!Info.IsPerCpu) return ProgramUpdate(k, from, flags, 0);
            if (flags > UpdateFlags.Exist) return -(int)Errno.EINVAL;
            var index = *(uint*)k;
            if (index >= _max) return Failed(UserCpu, Errno.E2BIG);
            if (flags == UpdateFlags.NoExist) return Failed(UserCpu, Errno.EEXIST);
            for (var cpu = 0u; cpu < Cpus; cpu++) Layout.Overwrite(At(index, cpu), from + (cpu * _stride));
            Statistics.Of(UserCpu)->Updates++;
            return 0;
        }
    }

    protected override int OnDelete(ReadOnlySpan<byte> key) => -(int)Errno.EINVAL;

    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey)
    {
        var index = key.IsEmpty ? uint.MaxValue : MemoryMarshal.Read<uint>(key);
        if (index == _max - 1) return -(int)Errno.ENOENT;
        MemoryMarshal.Write(nextKey, index >= _max ? 0 : index + 1);
        return 0;
    }

    protected override void OnDispose()
    {
        if (!Layout.NeedsRelease) return;
        for (var cpu = 0u; cpu < (Info.IsPerCpu ? Cpus : 1); cpu++)
            for (var i = 0u; i < _max; i++) ReleaseValue(At(i, cpu));
    }

    private int Failed(uint cpu, Errno errno)
    {
        Statistics.Of(cpu)->FailedUpdates++;
        return -(int)errno;
    }

    private void CopyPadded(byte* to, byte* from)
    {
        if (_stride != Spec.ValueSize) *(ulong*)(to + _stride - 8) = 0;
        Layout.CopyOut(to, from);
    }

    private void Store(byte* to, byte* from, ulong flags)
    {
        if ((flags & UpdateFlags.Lock) == 0)
        {
            Layout.Overwrite(to, from);
            return;
        }

        var word = (int*)(to + Layout.SpinLockOffset);
        MapSpinLock.Acquire(word);
        Layout.Overwrite(to, from);
        MapSpinLock.Release(word);
    }

    private void Load(byte* to, byte* from, ulong flags)
    {
        if ((flags & UpdateFlags.Lock) == 0)
        {
            Layout.CopyOut(to, from);
            return;
        }

        var word = (int*)(from + Layout.SpinLockOffset);
        MapSpinLock.Acquire(word);
        Layout.CopyOut(to, from);
        MapSpinLock.Release(word);
    }

    private protected override void OnSnapshot(MapSnapshot snapshot)
    {
        var flags = Layout.SpinLockOffset >= 0 ? UpdateFlags.Lock : 0;
        for (var i = 0u; i < _max; i++)
        {
            var (key, value) = snapshot.Add();
            MemoryMarshal.Write(key, i);
            fixed (byte* to = value)
            {
                if (!Info.IsPerCpu) Load(to, At(i, 0), flags);
                else
                    for (var cpu = 0u; cpu < Cpus; cpu++) CopyPadded(to + (cpu * _stride), At(i, cpu));
            }
        }
    }
}
