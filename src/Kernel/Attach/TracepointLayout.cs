using System.Buffers.Binary;
using System.Text;

namespace BpfSim.Kernel.Attach;

/// <summary>
/// The record of a tracepoint: its fields as the kernel's <c>format</c> file lists them. Programs get the
/// record from its first byte on and may not read the first eight.
/// </summary>
public sealed class TracepointLayout
{
    private readonly Dictionary<string, TracepointField> _byName;

    /// <summary>Builds a layout of fields in the order of the file.</summary>
    public TracepointLayout(string name, ushort id, IReadOnlyList<TracepointField> fields)
    {
        Name = name;
        Id = id;
        Fields = fields;
        _byName = fields.ToDictionary(f => f.Name);
        Size = fields.Count == 0 ? 8 : fields.Max(f => f.Offset + f.Size);
    }

    /// <summary>The tracepoint's bare name.</summary>
    public string Name { get; }

    /// <summary>The number in common_type.</summary>
    public ushort Id { get; }

    /// <summary>All fields, the common ones first.</summary>
    public IReadOnlyList<TracepointField> Fields { get; }

    /// <summary>Bytes of the fixed part; data of <c>__data_loc</c> fields follows it.</summary>
    public int Size { get; }

    /// <summary>The field with this name; one with offset -1 if this kernel's record lacks it.</summary>
    public TracepointField Field(string name) => _byName.GetValueOrDefault(name, TracepointField.None);
}

/// <summary>A field of a tracepoint's record.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Offset">Bytes from the start of the record; -1 for a field that does not exist.</param>
/// <param name="Size">Size in bytes (4 for a <c>__data_loc</c>).</param>
/// <param name="Signed">Whether it is signed.</param>
/// <param name="IsDataLoc">Whether it says where the data is: offset in the low half, length in the high half.</param>
public readonly record struct TracepointField(string Name, int Offset, int Size, bool Signed, bool IsDataLoc)
{
    /// <summary>Stands for a field that the record lacks.</summary>
    public static readonly TracepointField None = new("", -1, 0, false, false);
}

/// <summary>Fills one record of a layout; reused from event to event.</summary>
internal sealed class RecordWriter
{
    private readonly byte[] _data;
    private int _end;

    public RecordWriter(TracepointLayout layout)
    {
        Layout = layout;
        _data = new byte[layout.Size + 1024];
    }

    public TracepointLayout Layout { get; }

    /// <summary>The record so far.</summary>
    public ReadOnlySpan<byte> Data => _data.AsSpan(0, _end);

    /// <summary>Begins a record: zeroes, then the common fields.</summary>
    public RecordWriter Begin(uint pid)
    {
        _end = Layout.Size;
        Array.Clear(_data, 0, _end);
        BinaryPrimitives.WriteUInt16LittleEndian(_data, Layout.Id);
        BinaryPrimitives.WriteUInt32LittleEndian(_data.AsSpan(4), pid);
        return this;
    }

    /// <summary>Sets a number; wider values are cut.</summary>
    public RecordWriter Set(in TracepointField field, ulong value)
    {
        if (field.Offset < 0) return this;
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        bytes[..Math.Min(8, field.Size)].CopyTo(_data.AsSpan(field.Offset));
        return this;
    }

    /// <summary>Sets a fixed-size text, NUL-padded, or the data of a <c>__data_loc</c> field.</summary>
    public RecordWriter Set(in TracepointField field, string text)
    {
        if (field.Offset < 0) return this;
        Span<byte> bytes = stackalloc byte[256];
        int length = Encoding.UTF8.GetBytes(text.AsSpan(0, Math.Min(text.Length, 80)), bytes);
        if (!field.IsDataLoc)
        {
            bytes[..Math.Min(length, field.Size - 1)].CopyTo(_data.AsSpan(field.Offset));
            return this;
        }
        bytes[length++] = 0;
        bytes[..length].CopyTo(_data.AsSpan(_end));
        BinaryPrimitives.WriteUInt32LittleEndian(_data.AsSpan(field.Offset), (uint)(_end | length << 16));
        _end += length;
        return this;
    }

    /// <summary>Sets raw bytes of a fixed-size field.</summary>
    public RecordWriter Set(in TracepointField field, ReadOnlySpan<byte> bytes)
    {
        if (field.Offset >= 0) bytes[..Math.Min(bytes.Length, field.Size)].CopyTo(_data.AsSpan(field.Offset));
        return this;
    }
}
