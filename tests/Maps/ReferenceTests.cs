namespace BpfSim.Maps.Tests;

/// <summary>Kinds whose values refer to something: programs, inner maps; and storage that belongs to objects.</summary>
public unsafe class ReferenceTests
{
    private static readonly byte[] Zero = new byte[4];

    [Fact]
    public void AProgArrayShowsHandleAndEntryToEmittedCode()
    {
        using var map = MapFactory.Create(TestData.ParseSpec("3 4 4 4 0"), 1).Map!;
        var program = new FakeProgram(7, 0x1234, (void*)0x5678);
        byte[] key = [2, 0, 0, 0];
        Assert.Equal(-(int)Errno.ENOENT, map.Lookup(key, new byte[4]));
        Assert.Equal(-(int)Errno.EINVAL, map.UpdateReference(key, program, UpdateFlags.NoExist));
        Assert.Equal(-(int)Errno.E2BIG, map.UpdateReference([4, 0, 0, 0], program));
        Assert.Equal(-(int)Errno.EINVAL, map.UpdateReference(key, map));
        Assert.Equal(0, map.UpdateReference(key, program));
        var slot = (nint*)(map.Header->Data + (2 * map.Header->Stride));
        Assert.Equal((0x1234, 0x5678), (slot[0], slot[1]));
        var id = new byte[4];
        Assert.Equal(0, map.Lookup(key, id));
        Assert.Equal(7, id[0]);
        Assert.Equal(1, program.References);
        Assert.Equal(0, map.Delete(key));
        Assert.Equal(0, slot[0]);
        Assert.Equal(-(int)Errno.ENOENT, map.Delete(key));
        Assert.Equal(-(int)Errno.E2BIG, map.Delete([9, 0, 0, 0]));
        Assert.Equal(0, program.References);
        map.UpdateReference(key, program);
        map.Dispose();
        Assert.Equal(0, program.References);
    }

    [Theory]
    [InlineData(MapType.ArrayOfMaps)]
    [InlineData(MapType.HashOfMaps)]
    public void InnerMapsMustFitTheirModelAndLiveAsLongAsTheyAreHeld(MapType type)
    {
        var model = TestData.ParseSpec("1 4 8 16 0");
        using var outer = MapFactory.Create(new MapSpec { Type = type, KeySize = 4, ValueSize = 4, MaxEntries = 4, InnerMap = model }, 1).Map!;
        var inner = MapFactory.Create(model with { MaxEntries = 99 }, 1).Map!;
        inner.Id = 42;
        Assert.Equal(0, outer.UpdateReference(Zero, inner));
        foreach (var other in new[] { "1 4 16 16 0", "1 8 8 16 0", "1 4 8 16 1", "2 4 8 16 0" })
        {
            using var wrong = MapFactory.Create(TestData.ParseSpec(other), 1).Map!;
            Assert.Equal(-(int)Errno.EINVAL, outer.UpdateReference(Zero, wrong));
        }

        var id = new byte[4];
        Assert.Equal(0, outer.Lookup(Zero, id));
        Assert.Equal(42, id[0]);
        var key = 0;
        Assert.True(outer.ProgramLookup((byte*)&key, 0) == (byte*)inner.Header);
        inner.Dispose();
        Assert.Same(inner, BpfMap.FromHeader((MapHeader*)outer.ProgramLookup((byte*)&key, 0)));
        Assert.Equal(0, inner.Update(Zero, new byte[8]));
        if (type == MapType.HashOfMaps) Assert.Equal([42, 0, 0, 0], outer.Snapshot().Entries().Single().Value);
        Assert.Equal(0, outer.Delete(Zero));
        Assert.True(outer.ProgramLookup((byte*)&key, 0) == null);
        Assert.Equal(-(int)Errno.ENOENT, outer.Delete(Zero));
    }

    [Fact]
    public void AnArrayAsInnerMapMustHaveTheSameSizeUnlessInnerMapIsSet()
    {
        foreach (var (flags, expected) in new[] { (0u, -(int)Errno.EINVAL), ((uint)MapFlags.InnerMap, 0) })
        {
            var model = new MapSpec { Type = MapType.Array, KeySize = 4, ValueSize = 8, MaxEntries = 4, Flags = flags };
            using var outer = MapFactory.Create(new MapSpec { Type = MapType.ArrayOfMaps, KeySize = 4, ValueSize = 4, MaxEntries = 1, InnerMap = model }, 1).Map!;
            using var inner = MapFactory.Create(model with { MaxEntries = 9 }, 1).Map!;
            Assert.Equal(expected, outer.UpdateReference(Zero, inner));
        }
    }

    [Theory]
    [InlineData(MapType.ArrayOfMaps, Errno.EINVAL)]
    [InlineData(MapType.ProgArray, Errno.ENOTSUPP)]
    [InlineData(MapType.CgroupStorage, Errno.ENOTSUPP)]
    public void SomeKindsCannotBeInnerMaps(MapType inner, Errno errno) => Assert.Equal(errno, MapFactory.Check(
        new MapSpec { Type = MapType.HashOfMaps, KeySize = 4, ValueSize = 4, MaxEntries = 1, InnerMap = new MapSpec { Type = inner } }, 1));

    [Theory]
    [InlineData(MapType.TaskStorage)]
    [InlineData(MapType.SkStorage)]
    [InlineData(MapType.CgrpStorage)]
    [InlineData(MapType.InodeStorage)]
    public void StorageBelongsToItsOwner(MapType type)
    {
        var spec = new MapSpec { Type = type, KeySize = 4, ValueSize = 8, Flags = 1, BtfKeyTypeId = 1, BtfValueTypeId = 2 };
        Assert.Equal(Errno.EINVAL, MapFactory.Check(spec with { BtfKeyTypeId = 0 }, 1));
        Assert.Equal(Errno.EINVAL, MapFactory.Check(spec with { MaxEntries = 1 }, 1));
        Assert.Equal(Errno.E2BIG, MapFactory.Check(spec with { ValueSize = 65408 }, 1));
        using var map = (LocalStorageMap)MapFactory.Create(spec, 2).Map!;
        Assert.Equal(480ul, map.MemoryBytes);
        const ulong Owner = 0xffff888000001000;
        Assert.True(map.ProgramGet(Owner, null, 0) == null);
        Assert.True(map.ProgramGet(0, null, LocalStorageMap.Create) == null);
        long initial = 5;
        var value = (long*)map.ProgramGet(Owner, (byte*)&initial, LocalStorageMap.Create);
        Assert.Equal(5, (*value)++);
        Assert.True(value == map.ProgramGet(Owner, (byte*)&initial, LocalStorageMap.Create));
        Assert.Equal(6, *value);

        var user = new byte[8];
        Assert.Equal(-(int)Errno.EBADF, map.Lookup(Zero, user));
        map.ResolveOwner = fd => fd == 3 ? (Owner, 0) : (0, -(int)Errno.EBADF);
        byte[] descriptor = [3, 0, 0, 0];
        Assert.Equal(0, map.Lookup(descriptor, user));
        Assert.Equal(6, user[0]);
        Assert.Equal(-(int)Errno.EEXIST, map.Update(descriptor, user, UpdateFlags.NoExist));
        Assert.Equal(-(int)Errno.EINVAL, map.Update(descriptor, user, 3));
        Assert.Equal(-(int)Errno.ENOTSUPP, map.GetNextKey([], user));
        Assert.Equal(-(int)Errno.ENOTSUPP, map.LookupAndDelete(descriptor, user));
        map.OwnerDied(Owner);
        Assert.Equal(-(int)Errno.ENOENT, map.Lookup(descriptor, user));
        Assert.Equal(-(int)Errno.ENOENT, map.Update(descriptor, user, UpdateFlags.Exist));
        Assert.Equal(-(int)Errno.ENOENT, map.ProgramRemove(Owner));
    }

    [Fact]
    public void StacksCollideAndAreReusedAsAsked()
    {
        using var map = (StackTraceMap)MapFactory.Create(TestData.ParseSpec("7 4 32 1 0"), 1).Map!;
        ulong[] one = [1, 2, 3], two = [4, 5, 6, 7, 8];
        Assert.Equal(4u, map.MaxFrames);
        Assert.Equal(0, map.Store(one, 0));
        Assert.Equal(0, map.Store(one, 0));
        Assert.Equal(1u, map.Count);
        Assert.Equal(-(int)Errno.EEXIST, map.Store(two, 0));
        var value = new byte[32];
        Assert.Equal(0, map.Lookup(Zero, value));
        Assert.Equal([1ul, 2, 3, 0], System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(value).ToArray());
        Assert.Equal(0, map.Store(two, StackTraceMap.ReuseStackId));
        Assert.Equal(0, map.LookupAndDelete(Zero, value));
        Assert.Equal([4ul, 5, 6, 7], System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(value).ToArray());
        Assert.Equal(-(int)Errno.ENOENT, map.Lookup(Zero, value));
        Assert.Equal(0u, map.Count);
    }

    [Theory]
    [InlineData(MapType.Hash)]
    [InlineData(MapType.Array)]
    public void LocksAndTimersInValuesAreNobodysToOverwrite(MapType type)
    {
        var released = 0;
        var spec = new MapSpec
        {
            Type = type,
            KeySize = 4,
            ValueSize = 32,
            MaxEntries = 2,
            SpecialFields = [new(SpecialFieldKind.SpinLock, 8, 4), new(SpecialFieldKind.Timer, 16, 16)],
        };
        using (var map = MapFactory.Create(spec, 1).Map!)
        {
            map.ReleaseFields = (_, _) => released++;
            var value = Enumerable.Repeat((byte)0xff, 32).ToArray();
            Assert.Equal(0, map.Update(Zero, value));
            var key = 0;
            var live = map.ProgramLookup((byte*)&key, 0);
            Assert.Equal((0xff, 0, 0xff, 0), (live[0], live[8], live[12], live[16]));
            live[16] = 7;
            // Under F_LOCK the value is changed in place: the timer stays.
            Assert.Equal(0, map.Update(Zero, new byte[32], UpdateFlags.Lock));
            live = map.ProgramLookup((byte*)&key, 0);
            Assert.Equal((0, 7), (live[0], live[16]));
            var user = new byte[32];
            Assert.Equal(0, map.Lookup(Zero, user, UpdateFlags.Lock));
            Assert.Equal(0, user[16]);
            Assert.Equal(-(int)Errno.ENOTSUPP, map.Freeze());
            if (type == MapType.Hash)
            {
                Assert.Equal(0, map.Delete(Zero));
                Assert.Equal(1, released);
                Assert.Equal(-(int)Errno.ENOENT, map.Update(Zero, value, UpdateFlags.Lock | UpdateFlags.Exist));
                Assert.Equal(0, map.Update(Zero, value, UpdateFlags.Lock));
                Assert.Equal(-(int)Errno.EEXIST, map.Update(Zero, value, UpdateFlags.Lock | UpdateFlags.NoExist));
            }
        }

        Assert.Equal(2, released);
    }

    private sealed class FakeProgram(uint id, nint handle, void* entry) : IMapProgram
    {
        public int References;

        public uint Id => id;

        public nint Handle => handle;

        public void* Entry => entry;

        public void Retain() => References++;

        public void Release() => References--;
    }
}
