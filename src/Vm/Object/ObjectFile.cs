using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Object;

/// <summary>Reads BPF object files as clang writes them, by the conventions of libbpf.</summary>
public static class ObjectFile
{
    /// <summary>Reads an object file; see <see cref="Parse"/>.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="ObjectException">The file is not a BPF object.</exception>
    public static ObjectSpec Open(string path, IEnumerable<SectionDefinition> sections) =>
        Parse(File.ReadAllBytes(path), NameOf(path), sections);

    /// <summary>Turns the bytes of an object file into a specification. Deterministic; touches nothing else.</summary>
    /// <param name="bytes">The ELF file.</param>
    /// <param name="name">The object's name, which begins the names of its global-data maps.</param>
    /// <param name="sections">The SEC() names to recognise, from the table of program types.</param>
    /// <exception cref="ObjectException">The bytes are not a BPF object; the message says where.</exception>
    public static ObjectSpec Parse(ReadOnlyMemory<byte> bytes, string name, IEnumerable<SectionDefinition> sections)
    {
        try
        {
            return new ObjectReader(ElfFile.Parse(bytes), name, new SectionMatcher(sections)).Read();
        }
        catch (Btf.BtfException e)
        {
            throw new ObjectException(e.Message);
        }
    }

    /// <summary>The type information of an ELF file, which need not be a BPF object otherwise.</summary>
    /// <exception cref="ObjectException">The file is no BPF object or has no .BTF section.</exception>
    /// <exception cref="Btf.BtfException">The section is invalid.</exception>
    public static Btf.BtfData ReadBtf(ReadOnlyMemory<byte> bytes) =>
        Btf.BtfData.Parse((ElfFile.Parse(bytes).Find(".BTF") ?? throw new ObjectException("no .BTF section")).Data.Span);

    /// <summary>An object's name as libbpf derives it from a path: the file name up to its first dot, at most 15 characters.</summary>
    public static string NameOf(string path)
    {
        string name = Path.GetFileName(path);
        int dot = name.IndexOf('.');
        if (dot >= 0) name = name[..dot];
        return name.Length > 15 ? name[..15] : name;
    }
}
