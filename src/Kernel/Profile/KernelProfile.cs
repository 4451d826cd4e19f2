using BpfSim.Kernel.Attach;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Profile;

/// <summary>
/// What a program can know of the kernel that it is loaded into: its types, its version, its configuration and
/// the addresses of its symbols. Everything is read when first asked for.
/// </summary>
public sealed class KernelProfile
{
    private readonly Lazy<BtfData?> _btf;
    private IReadOnlyDictionary<string, string>? _options;

    private KernelProfile(Func<BtfData?> btf) => _btf = new Lazy<BtfData?>(btf);

    /// <summary>The embedded profile of Linux 6.18.</summary>
    public static KernelProfile Embedded { get; } = new(EmbeddedBtf.Read);

    /// <summary>A profile with the types of another kernel: a vmlinux BTF such as /sys/kernel/btf/vmlinux.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="BtfException">It is not BTF.</exception>
    public static KernelProfile FromBtf(string path)
    {
        BtfData btf = BtfData.Parse(File.ReadAllBytes(path));
        return new KernelProfile(() => btf);
    }

    /// <summary>The kernel's types; null if the profile has none.</summary>
    public BtfData? Btf => _btf.Value;

    /// <summary>Begins to read the types on another thread, for a caller that will ask for them and has other things to do first.</summary>
    public void Warm()
    {
        if (!_btf.IsValueCreated) Task.Run(() => _btf.Value?.FindId("task_struct", BtfKind.Struct));
    }

    /// <summary>LINUX_VERSION_CODE: major, minor and patch in a byte each.</summary>
    public uint VersionCode { get; init; } = 6u << 16 | 18u << 8;

    /// <summary>The options that the kernel was built with: <c>CONFIG_HZ</c> → <c>1000</c>, <c>CONFIG_BPF</c> → <c>y</c>.</summary>
    public IReadOnlyDictionary<string, string> Options
    {
        get => _options ??= EmbeddedConfig.Options;
        init => _options = value;
    }

    /// <summary>
    /// LINUX_HAS_SYSCALL_WRAPPER, which libbpf finds out by placing a kprobe on <c>__x64_sys_bpf</c>: a kernel that was
    /// built without kprobes says no, whatever its system calls look like.
    /// </summary>
    internal bool HasSyscallWrapper => this == Embedded || Btf == null
        || Btf.FindId("__x64_sys_bpf", BtfKind.Func) == 0 || Btf.FindId("register_kprobe", BtfKind.Func) != 0;

    /// <summary>
    /// Address of a function or variable by name (<see cref="KernelSymbols.AddressOf"/>), 0 if the kernel has none such.
    /// </summary>
    public ulong SymbolAddress(string name)
    {
        if (Btf == null) return 0;
        uint id = Btf.FindId(name, BtfKind.Func);
        // A kernel without CONFIG_KALLSYMS_ALL knows the addresses of functions only.
        if (id == 0 && Options.GetValueOrDefault("CONFIG_KALLSYMS_ALL") == "y") id = Btf.FindId(name, BtfKind.Var);
        return id == 0 ? 0 : KernelSymbols.AddressOf(name);
    }
}
