using System.Collections;

namespace BpfSim.Vm.Btf;

/// <summary>The parts of one BTF type (members, enumerators, …), decoded one by one as they are visited.</summary>
public readonly struct BtfList<T> : IReadOnlyList<T>
{
    private readonly BtfType _type;
    private readonly Func<BtfType, int, T> _read;

    internal BtfList(BtfType type, int count, Func<BtfType, int, T> read)
    {
        _type = type;
        Count = count;
        _read = read;
    }

    /// <summary>Number of parts.</summary>
    public int Count { get; }

    /// <summary>The part with this index, from 0.</summary>
    public T this[int index] => (uint)index < (uint)Count ? _read(_type, index)
        : throw new ArgumentOutOfRangeException(nameof(index), $"{_type} has {Count} parts, there is no {index}");

    /// <summary>Visits all parts without allocating.</summary>
    public Enumerator GetEnumerator() => new(this);

    IEnumerator<T> IEnumerable<T>.GetEnumerator()
    {
        for (int i = 0; i < Count; i++) yield return this[i];
    }

    IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<T>)this).GetEnumerator();

    /// <summary>The position of a foreach.</summary>
    public struct Enumerator
    {
        private readonly BtfList<T> _list;
        private int _index;

        internal Enumerator(BtfList<T> list)
        {
            _list = list;
            _index = -1;
        }

        /// <summary>The part reached.</summary>
        public readonly T Current => _list._read(_list._type, _index);

        /// <summary>Goes to the next part; false at the end.</summary>
        public bool MoveNext() => ++_index < _list.Count;
    }
}
