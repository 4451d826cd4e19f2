using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Memory;

namespace BpfSim.Kernel.Subsystems;

/// <summary>Files: what openat, read, write, fsync and their like do below the system call.</summary>
internal sealed class Vfs
{
    private const long Enoent = -2;
    private const ulong AtFdCwd = 0xffffff9c;
    private readonly Syscalls _syscalls;
    private readonly Simulation _simulation;
    private readonly World _world;
    private readonly Block _block;
    private readonly KernelFunction _doSysOpen, _doSysOpenat2, _doFilpOpen, _pathOpenat, _vfsOpen, _vfsRead, _vfsWrite, _vfsFsync, _vfsFsyncRange,
        _vfsUnlink, _vfsStatx, _ksysRead, _ksysWrite, _doUnlinkat, _ioSchedule, _filpClose, _fput, _ext4Create, _ext4SyncFile, _ext4ReadIter,
        _ext4WriteIter, _markDirty, _addToPageCache;

    public Vfs(Syscalls syscalls, Block block)
    {
        _syscalls = syscalls;
        _simulation = syscalls.Simulation;
        _world = syscalls.World;
        _block = block;
        Simulation s = _simulation;
        _doSysOpen = s.Function("do_sys_open");
        _doSysOpenat2 = s.Function("do_sys_openat2");
        _doFilpOpen = s.Function("do_filp_open");
        _pathOpenat = s.Function("path_openat");
        _vfsOpen = s.Function("vfs_open");
        _vfsRead = s.Function("vfs_read");
        _vfsWrite = s.Function("vfs_write");
        _vfsFsync = s.Function("vfs_fsync");
        _vfsFsyncRange = s.Function("vfs_fsync_range");
        _vfsUnlink = s.Function("vfs_unlink");
        _vfsStatx = s.Function("vfs_statx");
        _ksysRead = s.Function("ksys_read");
        _ksysWrite = s.Function("ksys_write");
        _doUnlinkat = s.Function("do_unlinkat");
        _ioSchedule = s.Function("io_schedule");
        _filpClose = s.Function("filp_close");
        _fput = s.Function("fput");
        _ext4Create = s.Function("ext4_create");
        _ext4SyncFile = s.Function("ext4_sync_file");
        _ext4ReadIter = s.Function("ext4_file_read_iter");
        _ext4WriteIter = s.Function("ext4_file_write_iter");
        _markDirty = s.Function("mark_buffer_dirty");
        _addToPageCache = s.Function("filemap_add_folio");
    }

    /// <summary>openat(2); the result is a descriptor or -ENOENT.</summary>
    public IEnumerator<Step> Openat(SimTask task, string path, bool exists, ulong flags = 0)
    {
        ulong name = _syscalls.UserText(task, path);
        ulong mode = (flags & 0x40) != 0 ? 0x1a4u : 0;
        return _syscalls.Call(task, "openat", [AtFdCwd, name, flags, mode], Body);

        IEnumerator<Step> Body()
        {
            ulong how = _simulation.Arena.AllocateTransient(24);
            _simulation.Store(task.Cpu, how, 8, flags | 0x8000);
            _simulation.Store(task.Cpu, how + 8, 8, mode);
            _simulation.Store(task.Cpu, how + 16, 8, 0);
            _doSysOpen.Enter(task, AtFdCwd, name, flags, mode);
            ulong start = _simulation.NowNs;
            _doSysOpenat2.Enter(task, AtFdCwd, name, how);
            yield return Step.Run(task.Random.LogNormal(350, 0.3));
            ulong filename = _simulation.Arena.AllocateTransient(_simulation.Types.SizeOf("filename", 64));
            Set(task, "filename", filename, "name", name);
            Set(task, "filename", filename, "uptr", name);
            _doFilpOpen.Enter(task, AtFdCwd, filename, how);
            _pathOpenat.Enter(task, how, how, 0x41);
            yield return Step.Run(task.Random.LogNormal(900, 0.5));
            long result = Enoent;
            ulong file = 0;
            if (exists)
            {
                SimInode inode = _world.Inode(path);
                if ((flags & 0x40) != 0) _ext4Create.Pass(task, 0, 0, inode.Address, inode.DentryAddress, mode, 1);
                file = _world.NewFile(inode, flags | 0x8000);
                ulong pathAddress = PathOf(file);
                _vfsOpen.Enter(task, pathAddress, file);
                yield return Step.Run(task.Random.LogNormal(250, 0.3));
                _vfsOpen.Leave(task, 0, pathAddress, file);
                int fd = task.NextFd();
                task.Files[fd] = new SimFile { Path = path, Address = file, Inode = inode };
                result = fd;
            }
            ulong pointer = exists ? file : unchecked((ulong)Enoent);
            _pathOpenat.Leave(task, (long)pointer, how, how, 0x41);
            _doFilpOpen.Leave(task, (long)pointer, AtFdCwd, filename, how);
            yield return Step.Run(120);
            _doSysOpenat2.Leave(task, result, AtFdCwd, name, how);
            _simulation.Ledger.Add("do_sys_openat2", task.Tgid, task.Comm, "", _simulation.NowNs - start, result < 0);
            _doSysOpen.Leave(task, result, AtFdCwd, name, flags, mode);
            task.Result = result;
        }
    }

    /// <summary>close(2).</summary>
    public IEnumerator<Step> Close(SimTask task, int fd) => _syscalls.Call(task, "close", [(ulong)fd], () => CloseBody(task, fd));

    private IEnumerator<Step> CloseBody(SimTask task, int fd)
    {
        if (!task.Files.Remove(fd, out SimFile? file))
        {
            task.Result = -9;
            yield break;
        }
        _filpClose.Enter(task, file.Address, 0);
        yield return Step.Run(task.Random.LogNormal(150, 0.3));
        _fput.Pass(task, 0, file.Address);
        _filpClose.Leave(task, 0, file.Address, 0);
        _world.FreeFile(file.Address);
        task.Result = 0;
    }

    /// <summary>read(2): from the page cache, or after waiting for the disk.</summary>
    public IEnumerator<Step> Read(SimTask task, int fd, uint bytes, double missChance)
    {
        ulong buffer = _simulation.Arena.AllocateUser(64);
        return _syscalls.Call(task, "read", [(ulong)fd, buffer, bytes], Body);

        IEnumerator<Step> Body()
        {
            SimFile file = task.Files[fd];
            ulong position = _simulation.Arena.AllocateTransient(8);
            _ksysRead.Enter(task, (ulong)fd, buffer, bytes);
            ulong start = _simulation.NowNs;
            _vfsRead.Enter(task, file.Address, buffer, bytes, position);
            _ext4ReadIter.Enter(task, file.Address);
            yield return Step.Run(task.Random.LogNormal(300, 0.3) + bytes / 16);
            if (task.Random.Chance(missChance))
            {
                _addToPageCache.Pass(task, 0, 0, 0, file.Position >> 12);
                _block.Submit(task, write: false, sync: false, SectorOf(file), Math.Max(4096, bytes + 4095 & ~4095u));
                _ioSchedule.Enter(task);
                yield return Step.Block(TaskState.Uninterruptible);
                _ioSchedule.Leave(task, 0);
                yield return Step.Run(200);
            }
            long result = (long)Math.Min(bytes, file.Inode!.Size > file.Position ? file.Inode.Size - file.Position : 0);
            file.Position += (ulong)result;
            _ext4ReadIter.Leave(task, result, file.Address);
            _vfsRead.Leave(task, result, file.Address, buffer, bytes, position);
            _simulation.Ledger.Add("vfs_read", task.Tgid, task.Comm, "", _simulation.NowNs - start, result < 0);
            _simulation.Ledger.Add("read_bytes", task.Tgid, task.Comm, file.Path, (ulong)result);
            _ksysRead.Leave(task, result, (ulong)fd, buffer, bytes);
            task.Result = result;
        }
    }

    /// <summary>write(2): into the page cache.</summary>
    public IEnumerator<Step> Write(SimTask task, int fd, uint bytes)
    {
        ulong buffer = _simulation.Arena.AllocateUser(64);
        return _syscalls.Call(task, "write", [(ulong)fd, buffer, bytes], Body);

        IEnumerator<Step> Body()
        {
            SimFile file = task.Files[fd];
            ulong position = _simulation.Arena.AllocateTransient(8);
            _ksysWrite.Enter(task, (ulong)fd, buffer, bytes);
            ulong start = _simulation.NowNs;
            _vfsWrite.Enter(task, file.Address, buffer, bytes, position);
            _ext4WriteIter.Enter(task, file.Address);
            yield return Step.Run(task.Random.LogNormal(500, 0.3) + bytes / 8);
            int pages = (int)(bytes + 4095) / 4096;
            file.Inode!.DirtyPages += pages;
            for (int i = 0; i < Math.Min(pages, 4); i++) _markDirty.Pass(task, 0, file.Inode.Address);
            file.Position += bytes;
            file.Inode.Size = Math.Max(file.Inode.Size, file.Position);
            _ext4WriteIter.Leave(task, bytes, file.Address);
            _vfsWrite.Leave(task, bytes, file.Address, buffer, bytes, position);
            _simulation.Ledger.Add("vfs_write", task.Tgid, task.Comm, "", _simulation.NowNs - start);
            _simulation.Ledger.Add("write_bytes", task.Tgid, task.Comm, file.Path, bytes);
            _ksysWrite.Leave(task, bytes, (ulong)fd, buffer, bytes);
            task.Result = bytes;
        }
    }

    /// <summary>fsync(2): writes what is dirty and waits for the disk.</summary>
    public IEnumerator<Step> Fsync(SimTask task, int fd)
    {
        return _syscalls.Call(task, "fsync", [(ulong)fd], Body);

        IEnumerator<Step> Body()
        {
            SimFile file = task.Files[fd];
            ulong start = _simulation.NowNs;
            _vfsFsync.Enter(task, file.Address, 0);
            _vfsFsyncRange.Enter(task, file.Address, 0, long.MaxValue, 0);
            _ext4SyncFile.Enter(task, file.Address, 0, long.MaxValue, 0);
            yield return Step.Run(400);
            uint pages = (uint)Math.Clamp(file.Inode!.DirtyPages, 1, 64);
            file.Inode.DirtyPages = 0;
            _block.Submit(task, write: true, sync: true, SectorOf(file), pages * 4096);
            yield return Step.Block(TaskState.Uninterruptible);
            yield return Step.Run(300);
            _ext4SyncFile.Leave(task, 0, file.Address, 0, long.MaxValue, 0);
            _vfsFsyncRange.Leave(task, 0, file.Address, 0, long.MaxValue, 0);
            _vfsFsync.Leave(task, 0, file.Address, 0);
            _simulation.Ledger.Add("vfs_fsync", task.Tgid, task.Comm, "", _simulation.NowNs - start);
            task.Result = 0;
        }
    }

    /// <summary>newfstatat(2).</summary>
    public IEnumerator<Step> Stat(SimTask task, string path, bool exists)
    {
        ulong name = _syscalls.UserText(task, path), buffer = _simulation.Arena.AllocateUser(144);
        return _syscalls.Call(task, "newfstatat", [AtFdCwd, name, buffer, 0], Body);

        IEnumerator<Step> Body()
        {
            _vfsStatx.Enter(task, AtFdCwd, name, 0, buffer, 0x7ff);
            yield return Step.Run(task.Random.LogNormal(600, 0.4));
            long result = exists ? 0 : Enoent;
            _vfsStatx.Leave(task, result, AtFdCwd, name, 0, buffer, 0x7ff);
            task.Result = result;
        }
    }

    /// <summary>unlinkat(2).</summary>
    public IEnumerator<Step> Unlink(SimTask task, string path)
    {
        ulong name = _syscalls.UserText(task, path);
        return _syscalls.Call(task, "unlinkat", [AtFdCwd, name, 0], Body);

        IEnumerator<Step> Body()
        {
            _doUnlinkat.Enter(task, AtFdCwd, name);
            yield return Step.Run(task.Random.LogNormal(900, 0.4));
            SimInode inode = _world.Inode(path);
            _vfsUnlink.Pass(task, 0, 0, inode.Address, inode.DentryAddress, 0);
            _doUnlinkat.Leave(task, 0, AtFdCwd, name);
            task.Result = 0;
        }
    }

    private ulong PathOf(ulong file)
    {
        KernelField path = _simulation.Types.Field("file", "f_path");
        return path.Exists ? file + path.Offset : file;
    }

    private void Set(SimTask task, string type, ulong address, string field, ulong value)
    {
        KernelField found = _simulation.Types.Field(type, field);
        if (found.Exists) _simulation.Store(task.Cpu, address + found.Offset, Math.Min(8, found.Size), value);
    }

    private static ulong SectorOf(SimFile file) => (file.Inode!.Number * 2048 + file.Position / 512) & 0x3fffffff;
}
