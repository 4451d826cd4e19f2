namespace BpfSim.Maps;

/// <summary>
/// Error numbers as Linux returns them on x86-64 (errno(3)); functions that mirror a system call or a
/// helper return 0 or the negated number. Members carry the kernel's spelling because users read them.
/// </summary>
public enum Errno
{
    None = 0,
    EPERM = 1,
    ENOENT = 2,
    ESRCH = 3,
    EINTR = 4,
    EIO = 5,
    ENXIO = 6,
    E2BIG = 7,
    EBADF = 9,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EBUSY = 16,
    EEXIST = 17,
    ENODEV = 19,
    EINVAL = 22,
    ENOSPC = 28,
    ERANGE = 34,
    EDEADLK = 35,
    ENAMETOOLONG = 36,
    ENOSYS = 38,
    ENODATA = 61,
    EOVERFLOW = 75,
    EBADFD = 77,
    ENOTSOCK = 88,
    EPROTONOSUPPORT = 93,
    EOPNOTSUPP = 95,
    ENOTSUPP = 524,
}
