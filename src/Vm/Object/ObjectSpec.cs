using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Object;

/// <summary>
/// The blueprint of a whole object file: what <see cref="ObjectFile.Parse"/> found. Nothing in it depends on a
/// kernel; CO-RE, externs and run-time map sizes are resolved by <see cref="ObjectLinker"/>.
/// </summary>
public sealed record ObjectSpec
{
    /// <summary>The object's name as libbpf derives it from the file: up to the first dot, at most 15 characters.</summary>
    public required string Name { get; init; }

    /// <summary>The programs, in the order of their sections and symbols; subprograms are not listed.</summary>
    public IReadOnlyList<ProgramSpec> Programs { get; init; } = [];

    /// <summary>The maps: those of .maps, then those of global data.</summary>
    public IReadOnlyList<MapSpec> Maps { get; init; } = [];

    /// <summary>Type information, with libbpf's fix-ups; null if there is none.</summary>
    public BtfData? Btf { get; init; }

    /// <summary>Why the kernel does not take <see cref="Btf"/>; null if it does. The programs are then loaded without.</summary>
    public BtfRefusal? BtfRefusal { get; init; }

    /// <summary>The licence; empty if there is none.</summary>
    public string License { get; init; } = "";

    /// <summary>The content of the <c>version</c> section, else 0.</summary>
    public uint KernelVersion { get; init; }

    /// <summary>The variables of .kconfig, whose values the loader fills in.</summary>
    public IReadOnlyList<KconfigExtern> Kconfig { get; init; } = [];

    /// <summary>The function pointers of struct_ops maps.</summary>
    public IReadOnlyList<StructOpsMember> StructOps { get; init; } = [];

    /// <summary>Sections that were not understood and were passed over.</summary>
    public IReadOnlyList<string> Skipped { get; init; } = [];

    /// <summary>The program with this name, or null.</summary>
    public ProgramSpec? FindProgram(string name) => Programs.FirstOrDefault(p => p.Name == name);

    /// <summary>The map with this name, or null. Global data is also found by its section's name.</summary>
    public MapSpec? FindMap(string name) => Maps.FirstOrDefault(m => m.Name == name) ?? Maps.FirstOrDefault(m => m.Section == name);
}

/// <summary>A variable declared <c>extern … __kconfig</c>.</summary>
/// <param name="Name">LINUX_KERNEL_VERSION, LINUX_HAS_…, or CONFIG_….</param>
/// <param name="Offset">Offset in the value of the .kconfig map.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="Type">What sort of value it takes.</param>
/// <param name="Signed">Whether an integer is signed.</param>
/// <param name="Weak">Whether a missing option reads as zero instead of failing the load.</param>
public readonly record struct KconfigExtern(string Name, int Offset, int Size, KconfigType Type, bool Signed, bool Weak);

/// <summary>What a .kconfig variable holds.</summary>
public enum KconfigType { Unknown, Char, Bool, Int, Tristate, CharArray }

/// <summary>A function pointer of a struct_ops variable that a program of the object fills.</summary>
/// <param name="Map">Name of the struct_ops map.</param>
/// <param name="StructName">The kernel's struct.</param>
/// <param name="Member">The member's name.</param>
/// <param name="Program">Name of the program.</param>
public readonly record struct StructOpsMember(string Map, string StructName, string Member, string Program);
