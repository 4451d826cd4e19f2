using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// The simulated bpffs, mounted at <c>/sys/fs/bpf</c>: directories and pinned objects. Names in it may not
/// contain a dot, as in the kernel. Of what lies elsewhere only the usual directories exist, and nothing can be pinned there.
/// </summary>
public sealed class BpfFileSystem
{
    /// <summary>Where it is mounted.</summary>
    public const string Mount = "/sys/fs/bpf";

    private static readonly HashSet<string> s_foreign =
        ["", "/", "/bin", "/dev", "/etc", "/home", "/lib", "/proc", "/root", "/run", "/sys", "/sys/fs", "/tmp", "/usr", "/var", "/var/tmp"];
    private readonly HashSet<string> _directories = [Mount];
    private readonly SortedDictionary<string, KernelObject> _pins = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();

    /// <summary>Paths of all pinned objects, in order.</summary>
    public IReadOnlyList<string> Paths
    {
        get { lock (_lock) return [.. _pins.Keys]; }
    }

    /// <summary>mkdir(2): 0, -EEXIST, -ENOENT without a parent, -EPERM for a bad name or a path outside.</summary>
    public int MakeDirectory(string path)
    {
        lock (_lock)
        {
            int error = CheckNew(path, out path);
            if (error == 0) _directories.Add(path);
            return error;
        }
    }

    /// <summary>unlink(2) of a pin: 0, -ENOENT, or -EISDIR.</summary>
    public int Unlink(string path)
    {
        KernelObject? value;
        lock (_lock)
        {
            path = Normalize(path);
            if (_directories.Contains(path)) return -(int)Errno.EISDIR;
            if (!_pins.Remove(path, out value)) return -(int)Errno.ENOENT;
        }
        value.Put();
        return 0;
    }

    /// <summary>Drops all pins.</summary>
    internal void Clear()
    {
        foreach (string path in Paths) Unlink(path);
    }

    /// <summary>Gives an object a path and takes a reference.</summary>
    internal int Pin(string path, KernelObject value)
    {
        lock (_lock)
        {
            int error = CheckNew(path, out path);
            if (error != 0) return error;
            value.Get();
            _pins.Add(path, value);
            return 0;
        }
    }

    /// <summary>The pinned object; no reference is taken.</summary>
    internal int Find(string path, out KernelObject? value)
    {
        lock (_lock)
        {
            value = null;
            if (path.Length == 0) return -(int)Errno.ENOENT;
            path = Normalize(path);
            if (_pins.TryGetValue(path, out value)) return 0;
            return _directories.Contains(path) || s_foreign.Contains(path) ? -(int)Errno.EACCES : -(int)Errno.ENOENT;
        }
    }

    private int CheckNew(string path, out string normal)
    {
        normal = Normalize(path);
        if (path.Length == 0) return -(int)Errno.ENOENT;
        if (_pins.ContainsKey(normal) || _directories.Contains(normal)) return -(int)Errno.EEXIST;
        int slash = normal.LastIndexOf('/');
        string parent = slash < 0 ? "" : normal[..slash];
        if (!normal.StartsWith(Mount + "/", StringComparison.Ordinal)) return -(int)(s_foreign.Contains(parent) ? Errno.EPERM : Errno.ENOENT);
        if (!_directories.Contains(parent)) return -(int)(_pins.ContainsKey(parent) ? Errno.ENOTDIR : Errno.ENOENT);
        return normal[(slash + 1)..].Contains('.') ? -(int)Errno.EPERM : 0;
    }

    private static string Normalize(string path)
    {
        var parts = new List<string>();
        foreach (string part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (part == ".") continue;
            parts.Add(part);
        }
        return "/" + string.Join('/', parts);
    }
}
