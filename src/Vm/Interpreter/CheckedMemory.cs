using System.Globalization;

namespace BpfSim.Vm.Interpreter;

/// <summary>A piece of memory that a program may touch.</summary>
/// <param name="Name">What it is, such as <c>stack of frame 1</c> or <c>map value counts</c>.</param>
/// <param name="Start">Address of its first byte.</param>
/// <param name="Size">Length in bytes.</param>
/// <param name="Writable">Whether the program may write there.</param>
public sealed record MemoryRegion(string Name, ulong Start, ulong Size, bool Writable = true)
{
    /// <summary>Whether an access lies wholly inside.</summary>
    public bool Contains(ulong address, ulong size)
    {
        ulong offset = address - Start;
        return offset <= Size && size <= Size - offset;
    }

    /// <summary>The name and the place of an address in it, as in <c>stack of frame 0 (512 bytes), offset -8</c>.</summary>
    public string Describe(ulong address) =>
        $"{Name} ({Size} bytes), offset {((long)(address - Start)).ToString(CultureInfo.InvariantCulture)}";
}

/// <summary>
/// Where the pointers of one run come from: the regions known so far, and which 8-byte words in memory hold
/// pointers into which region. Numbers that are no pointers have no region.
/// </summary>
internal sealed class CheckedMemory
{
    private readonly List<MemoryRegion> _regions = [];
    private readonly Dictionary<ulong, MemoryRegion> _stored = [];

    public MemoryRegion Add(string name, ulong start, ulong size, bool writable = true)
    {
        // A value that is looked up again is the same region, so that a long run does not collect regions.
        foreach (MemoryRegion known in _regions)
            if (known.Start == start && known.Size == size && known.Writable == writable && known.Name == name) return known;
        var region = new MemoryRegion(name, start, size, writable);
        _regions.Add(region);
        return region;
    }

    public void Remove(MemoryRegion region) => _regions.Remove(region);

    /// <summary>
    /// The region in which an address lies, for pointers that reach the program through memory. Regions of unknown size are generous
    /// and overlap others: the smallest counts, the later one of several, and of the generous the one in whose midst the address lies most.
    /// </summary>
    public MemoryRegion? Find(ulong address)
    {
        MemoryRegion? best = null;
        foreach (MemoryRegion region in _regions)
        {
            if (!region.Contains(address, 1)) continue;
            if (best is null || region.Size < best.Size || (region.Size == best.Size && Depth(region) >= Depth(best))) best = region;
        }

        return best;

        ulong Depth(MemoryRegion region) => Math.Min(address - region.Start, region.Start + region.Size - address);
    }

    /// <summary>The region of a word that the program loads: of the pointer it stored there, else by address.</summary>
    public MemoryRegion? Load(ulong address, ulong value) =>
        _stored.TryGetValue(address, out MemoryRegion? region) ? region : value < 4096 ? null : Find(value);

    /// <summary>Notes a store: of a pointer into a region, or of anything else (null), which destroys what stood there.</summary>
    public void Store(ulong address, int size, MemoryRegion? region)
    {
        if (_stored.Count > 0)
            for (ulong at = address - 7; at != address + (ulong)size; at++) _stored.Remove(at);
        if (region is not null && size == 8) _stored[address] = region;
    }
}
