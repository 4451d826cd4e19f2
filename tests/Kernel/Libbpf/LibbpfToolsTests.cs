using System.Buffers.Binary;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Profile;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Libbpf;

/// <summary>The BPF objects inside Debian's libbpf-tools binaries, where the package is installed.</summary>
public sealed class LibbpfToolsTests
{
    private static readonly byte[] s_elfMagic = [0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1];

    internal static IEnumerable<(string Name, byte[] Elf)> Objects()
    {
        const string list = "/var/lib/dpkg/info/libbpf-tools.list";
        if (!File.Exists(list)) yield break;
        foreach (string path in File.ReadLines(list).Where(p => p.StartsWith("/usr/sbin/", StringComparison.Ordinal)))
        {
            if (!File.Exists(path) || new FileInfo(path).LinkTarget != null) continue;
            if (Embedded(File.ReadAllBytes(path)) is { } elf) yield return (Path.GetFileName(path), elf);
        }
    }

    /// <summary>The first BPF object inside a binary: an ELF header of machine 247 past the start, as far as its last section reaches.</summary>
    private static byte[]? Embedded(byte[] binary)
    {
        for (int at = 1; (at = IndexOf(binary, at)) >= 0; at++)
        {
            ReadOnlySpan<byte> rest = binary.AsSpan(at);
            if (rest.Length < 64 || BinaryPrimitives.ReadUInt16LittleEndian(rest[18..]) != 247) continue;
            int table = (int)BinaryPrimitives.ReadUInt64LittleEndian(rest[40..]), count = BinaryPrimitives.ReadUInt16LittleEndian(rest[60..]);
            int end = table + 64 * count;
            for (int i = 0; i < count; i++)
            {
                ReadOnlySpan<byte> section = rest[(table + 64 * i)..];
                if (BinaryPrimitives.ReadUInt32LittleEndian(section[4..]) == 8) continue;
                end = Math.Max(end, (int)(BinaryPrimitives.ReadUInt64LittleEndian(section[24..]) + BinaryPrimitives.ReadUInt64LittleEndian(section[32..])));
            }
            return rest[..end].ToArray();
        }
        return null;
    }

    private static int IndexOf(byte[] binary, int from)
    {
        int found = binary.AsSpan(from).IndexOf(s_elfMagic);
        return found < 0 ? -1 : from + found;
    }

    [LibbpfFact]
    public void Relocated_instructions_are_those_that_libbpf_sends()
    {
        KernelProfile profile = KernelProfile.FromBtf("/sys/kernel/btf/vmlinux");
        var differences = new List<string>();
        int objects = 0, programs = 0;
        foreach ((string name, byte[] elf) in Objects())
        {
            objects++;
            ObjectSpec spec = ObjectFile.Parse(elf, name.Length > 15 ? name[..15] : name, SectionTable.All);
            var linker = new ObjectLinker(profile.Btf, profile.SymbolAddress);
            foreach (HostLibbpf.Loaded expected in HostLibbpf.LoadAll(elf, name))
            {
                programs++;
                ProgramSpec? program = spec.FindProgram(expected.Name);
                if (program == null) differences.Add($"{name}: {expected.Name} is missing");
                else Compare($"{name}: {expected.Name}", linker.Link(program), expected, differences);
            }
        }
        Assert.Empty(differences);
        Assert.True(objects >= 50, $"{objects} objects");
        Assert.True(programs >= 200, $"{programs} programs");
    }

    [LibbpfFact]
    public void Own_objects_too()
    {
        KernelProfile profile = KernelProfile.FromBtf("/sys/kernel/btf/vmlinux");
        var differences = new List<string>();
        foreach (string path in Directory.GetFiles(Path.Combine(TestObjects.Root, "programs"), "*.bpf.o").Append(TestObjects.Features))
        {
            ObjectSpec spec = TestObjects.Open(path);
            var linker = new ObjectLinker(profile.Btf, profile.SymbolAddress);
            foreach (HostLibbpf.Loaded expected in HostLibbpf.LoadAll(File.ReadAllBytes(path), spec.Name))
            {
                // The addresses of kernel symbols are the host's own.
                if (expected.Name != "symbols") Compare($"{path}: {expected.Name}", linker.Link(spec.FindProgram(expected.Name)!), expected, differences);
            }
        }
        Assert.Empty(differences);
    }

    private static void Compare(string what, ProgramSpec ours, HostLibbpf.Loaded theirs, List<string> differences)
    {
        if (ours.LoadError != null)
        {
            if (theirs.Result == 0) differences.Add($"{what}: {ours.LoadError}, but libbpf loads it");
            return;
        }
        if (ours.Insns.Length != theirs.Insns.Length)
        {
            differences.Add($"{what}: {ours.Insns.Length} instructions instead of {theirs.Insns.Length}");
            return;
        }
        for (int i = 0; i < ours.Insns.Length; i++)
        {
            Insn a = ours.Insns[i], b = theirs.Insns[i];
            // Descriptors are libbpf's own.
            if (a.IsLdImm64 && a.Src is (int)PseudoSource.MapFd or (int)PseudoSource.MapValue) b = b with { Imm = a.Imm };
            if (a == b) continue;
            differences.Add($"{what}: insn {i} is {a} instead of {b}");
            return;
        }
    }
}

/// <summary>A test that compares with the host's libbpf; skipped, with the reason, where that cannot be.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class LibbpfFactAttribute : FactAttribute
{
    public LibbpfFactAttribute()
    {
        Skip = HostLibbpf.UnavailableReason ?? (File.Exists("/var/lib/dpkg/info/libbpf-tools.list") ? null : "libbpf-tools is not installed");
    }
}
