using System.Text;
using BpfSim.Kernel.Bpf;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Libbpf;

/// <summary>Opens files of programs: objects as clang writes them, and text for the assembler (<c>*.s</c>).</summary>
public static class ObjectSource
{
    /// <summary>Reads an object file, or assembles a text.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="ObjectException">It is neither; the message says where, without the file's name.</exception>
    public static ObjectSpec Open(string path)
    {
        if (!File.Exists(path)) throw new FileNotFoundException(Directory.Exists(path) ? "a directory, not a file" : "no such file", path);
        byte[] content = File.ReadAllBytes(path);
        string name = ObjectFile.NameOf(path);
        if (!path.EndsWith(".s", StringComparison.Ordinal)) return ObjectFile.Parse(content, name, SectionTable.All);
        try
        {
            return ObjectFile.Parse(BpfAssembler.ToElf(Encoding.UTF8.GetString(content), HelperCatalog.Table, path), name, SectionTable.All);
        }
        catch (AssemblerException e)
        {
            throw new ObjectException($"line {e.Line}, column {e.Column}: {e.Problem}");
        }
    }
}
