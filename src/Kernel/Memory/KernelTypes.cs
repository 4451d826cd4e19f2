using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Memory;

/// <summary>
/// Sizes and offsets of kernel structures, from the BTF of the kernel profile and from nowhere else. A type
/// or field that the profile lacks has size or offset 0 and is not written.
/// </summary>
internal sealed class KernelTypes
{
    private readonly BtfData? _btf;
    private readonly Dictionary<(string, string), KernelField> _fields = [];
    private readonly Dictionary<string, uint> _sizes = [];

    public KernelTypes(BtfData? btf) => _btf = btf;

    /// <summary>Size of a structure in bytes; the fallback if the profile lacks it.</summary>
    public uint SizeOf(string type, uint fallback = 256)
    {
        if (_sizes.TryGetValue(type, out uint size)) return size;
        size = _btf?.FindComposite(type) is { } found && found.Size != 0 ? found.Size : fallback;
        _sizes.Add(type, size);
        return size;
    }

    /// <summary>A field by its path, such as <c>__sk_common.skc_daddr</c>; looks into anonymous members.</summary>
    public KernelField Field(string type, string path)
    {
        if (_fields.TryGetValue((type, path), out KernelField field)) return field;
        field = Find(type, path);
        _fields.Add((type, path), field);
        return field;
    }

    private KernelField Find(string type, string path)
    {
        if (_btf?.FindComposite(type) is not { } current) return default;
        uint bits = 0;
        BtfMember member = default;
        foreach (string name in path.Split('.'))
        {
            if (current.FindMember(name) is not { } found) return default;
            member = found;
            bits += found.BitOffset;
            current = _btf.Resolve(found.TypeId);
        }
        long size = _btf.SizeOf(member.TypeId);
        return new KernelField(true, bits / 8, (int)Math.Clamp(size, 0, int.MaxValue), (int)(bits % 8), (int)member.BitfieldSize);
    }
}

/// <summary>Where a field of a kernel structure is.</summary>
/// <param name="Exists">False if the profile lacks it.</param>
/// <param name="Offset">Bytes from the start of the structure.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="BitOffset">Bitfields: first bit within the byte at <paramref name="Offset"/>.</param>
/// <param name="BitCount">Bitfields: number of bits; 0 for a plain field.</param>
internal readonly record struct KernelField(bool Exists, uint Offset, int Size, int BitOffset, int BitCount);
