using System.Text;
using BpfSim.Agent.Config;

namespace BpfSim.Agent.Decoders;

/// <summary>Turns the bytes of a map's key, or of a ring buffer's record, into label values.</summary>
internal sealed class KeyDecoder
{
    private readonly IReadOnlyList<LabelConfig> _labels;
    private readonly LabelDecoder[][] _chains;

    /// <summary>Prepares the decoders of <paramref name="labels"/>.</summary>
    public KeyDecoder(IReadOnlyList<LabelConfig> labels, KernelNames names)
    {
        _labels = labels;
        _chains = [.. labels.Select(l => l.Decoders.Select(d => DecoderTable.Create(d, names)).ToArray())];
        Size = labels.Sum(l => l.Size + l.Padding);
    }

    /// <summary>Bytes that the labels take together.</summary>
    public int Size { get; }

    /// <summary>The label values in order, or null if a decoder leaves the series out.</summary>
    /// <exception cref="DecodeException">The key is of another size, or a decoder failed.</exception>
    public string[]? Decode(ReadOnlySpan<byte> key)
    {
        if (_labels.Count > 0 && key.Length != Size)
            throw new DecodeException($"the key has {key.Length} bytes, its labels take {Size}");
        string[] values = new string[_labels.Count];
        int at = 0;
        for (int i = 0; i < values.Length; i++)
        {
            Decoded value = new(key.Slice(at, _labels[i].Size).ToArray(), false);
            foreach (LabelDecoder decoder in _chains[i])
            {
                if (decoder(value) is not { } next) return null;
                value = next;
            }
            values[i] = Encoding.UTF8.GetString(value.Bytes);
            at += _labels[i].Size + _labels[i].Padding;
        }
        return values;
    }
}
