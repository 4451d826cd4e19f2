using System.Buffers.Binary;
using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Object;

/// <summary>Changes fields of BTF in place, in a copy of its bytes; types keep their ids.</summary>
internal sealed class BtfPatch(BtfData btf)
{
    private byte[]? _bytes;

    public bool Changed => _bytes != null;

    private byte[] Bytes => _bytes ??= btf.Bytes.ToArray();

    public void MakeFuncStatic(BtfType func) =>
        BinaryPrimitives.WriteUInt16LittleEndian(Bytes.AsSpan(btf.OffsetOf(func.Id) + 4), (ushort)BtfLinkage.Static);

    public void SetDatasecSize(BtfType datasec, uint size) => Write(btf.OffsetOf(datasec.Id) + 8, size);

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

    public BtfData Apply() => _bytes == null ? btf : BtfData.Parse(_bytes);

    private void Write(int at, uint value)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian((_bytes ?? btf.Bytes.Span)[at..]) != value)
            BinaryPrimitives.WriteUInt32LittleEndian(Bytes.AsSpan(at), value);
    }
}
