using System.Buffers.Binary;
using System.Text;
using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Object;

/// <summary>Changes fields of BTF in a copy of its bytes and adds types and strings at the end; what is there keeps its ids and offsets.</summary>
internal sealed class BtfPatch(BtfData btf)
{
    private readonly List<uint> _newTypes = [];
    private readonly StringBuilder _newStrings = new();
    private byte[]? _bytes;
    private uint _newCount;

    public bool Changed => _bytes != null || _newCount != 0;

    private byte[] Bytes => _bytes ??= btf.Bytes.ToArray();

    /// <summary>Sets the linkage of a function.</summary>
    public void SetFuncLinkage(BtfType func, BtfLinkage linkage) =>
        BinaryPrimitives.WriteUInt16LittleEndian(Bytes.AsSpan(btf.OffsetOf(func.Id) + 4), (ushort)linkage);

    /// <summary>Sets type and linkage of a variable.</summary>
    public void SetVariable(BtfType variable, uint typeId, BtfLinkage linkage)
    {
        Write(btf.OffsetOf(variable.Id) + 8, typeId);
        Write(btf.OffsetOf(variable.Id) + 12, (uint)linkage);
    }

    /// <summary>Gives parameters that have a type but no name this one.</summary>
    public void NameParameters(BtfType proto, uint name)
    {
        int at = btf.OffsetOf(proto.Id) + 12;
        foreach (BtfParam parameter in proto.Params)
        {
            if (parameter.TypeId != 0 && parameter.Name.Length == 0) Write(at, name);
            at += 8;
        }
    }

    /// <summary>Sets the size of a section.</summary>
    public void SetDatasecSize(BtfType datasec, uint size) => Write(btf.OffsetOf(datasec.Id) + 8, size);

    /// <summary>Sets the variables of a section, as many as it has.</summary>
    public void SetVariables(BtfType datasec, BtfVarSecInfo[] variables)
    {
        int at = btf.OffsetOf(datasec.Id) + 12;
        foreach (BtfVarSecInfo variable in variables)
        {
            Write(at, variable.TypeId);
            Write(at + 4, variable.Offset);
            Write(at + 8, variable.Size);
            at += 12;
        }
    }

    /// <summary>Adds a string; its offset.</summary>
    public uint AddString(string text)
    {
        uint offset = btf.StringsLength + (uint)_newStrings.Length;
        _newStrings.Append(text).Append('\0');
        return offset;
    }

    /// <summary>Adds a type of these words; its id.</summary>
    public uint AddType(params ReadOnlySpan<uint> words)
    {
        _newTypes.AddRange(words);
        return btf.TypeCount + _newCount++;
    }

    /// <summary>The changed type information.</summary>
    public BtfData Apply()
    {
        if (!Changed) return btf;
        if (_newCount == 0 && _newStrings.Length == 0) return BtfData.Parse(_bytes!);
        byte[] old = Bytes;
        uint U32(int at) => BinaryPrimitives.ReadUInt32LittleEndian(old.AsSpan(at));
        int header = (int)U32(4), types = header + (int)U32(8), typesEnd = types + (int)U32(12), strings = header + (int)U32(16), stringsEnd = strings + (int)U32(20);
        byte[] more = new byte[4 * _newTypes.Count];
        for (int i = 0; i < _newTypes.Count; i++) BinaryPrimitives.WriteUInt32LittleEndian(more.AsSpan(4 * i), _newTypes[i]);
        byte[] text = Encoding.UTF8.GetBytes(_newStrings.ToString());
        byte[] all = [.. old.AsSpan(0, header), .. old.AsSpan(types, typesEnd - types), .. more, .. old.AsSpan(strings, stringsEnd - strings), .. text];
        uint typesLength = (uint)(typesEnd - types + more.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(all.AsSpan(8), 0);
        BinaryPrimitives.WriteUInt32LittleEndian(all.AsSpan(12), typesLength);
        BinaryPrimitives.WriteUInt32LittleEndian(all.AsSpan(16), typesLength);
        BinaryPrimitives.WriteUInt32LittleEndian(all.AsSpan(20), (uint)(stringsEnd - strings + text.Length));
        return BtfData.Parse(all);
    }

    private void Write(int at, uint value)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian((_bytes ?? btf.Bytes.Span)[at..]) != value)
            BinaryPrimitives.WriteUInt32LittleEndian(Bytes.AsSpan(at), value);
    }
}
