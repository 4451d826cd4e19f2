using System.Buffers.Binary;
using System.Text;

namespace BpfSim.Kernel.Bpf;

/// <summary>Writes struct bpf_prog_info, bpf_map_info, bpf_btf_info and bpf_link_info (uapi/linux/bpf.h of 6.18); arrays behind pointers are left out.</summary>
internal static class ObjectInfo
{
    /// <summary>The structure that describes an object.</summary>
    public static byte[] Write(KernelObject value) => value switch
    {
        BpfProgram program => Program(program),
        MapObject map => Map(map),
        BtfObject btf => Btf(btf),
        BpfLink link => Link(link),
        _ => [],
    };

    private static byte[] Program(BpfProgram program)
    {
        var info = new byte[232];
        Put(info, 0, (uint)program.Type);
        Put(info, 4, program.Id);
        program.Tag.CopyTo(info, 8);
        Put(info, 16, program.Loaded is Vm.Jit.JitProgram jit ? (uint)jit.JitedBytes : 0);
        Put(info, 20, program.XlatedBytes);
        Put64(info, 40, program.LoadTime);
        Put(info, 48, program.CreatedByUid);
        Put(info, 52, (uint)program.Maps.Count);
        Name(info, 64, program.Name);
        Put(info, 84, program.Attributes.GplCompatible ? 1u : 0);
        Put(info, 104, (uint)program.Verdict.FunctionStarts.Length);
        Put(info, 108, (uint)program.Verdict.FunctionStarts.Length);
        Put(info, 128, program.Btf?.Id ?? 0);
        Put(info, 132, program.FuncInfos.Count == 0 ? 0u : 8);
        Put(info, 144, (uint)program.FuncInfos.Count);
        Put(info, 148, (uint)program.LineInfos.Count);
        Put(info, 172, program.LineInfos.Count == 0 ? 0u : 16);
        Put64(info, 192, program.RunTimeNs);
        Put64(info, 200, program.RunCount);
        Put64(info, 208, program.RecursionMisses);
        Put(info, 216, (uint)program.Verdict.InsnsProcessed);
        Put(info, 224, program.Attributes.AttachBtfId);
        return info;
    }

    private static byte[] Map(MapObject map)
    {
        var info = new byte[104];
        Maps.MapSpec spec = map.Map.Spec;
        Put(info, 0, (uint)spec.Type);
        Put(info, 4, map.Id);
        Put(info, 8, spec.KeySize);
        Put(info, 12, spec.ValueSize);
        Put(info, 16, spec.MaxEntries);
        Put(info, 20, spec.Flags);
        Name(info, 24, map.Name);
        Put(info, 64, map.Btf?.Id ?? 0);
        Put(info, 68, spec.BtfKeyTypeId);
        Put(info, 72, spec.BtfValueTypeId);
        Put64(info, 80, spec.MapExtra);
        return info;
    }

    private static byte[] Btf(BtfObject btf)
    {
        var info = new byte[40];
        Put(info, 8, (uint)btf.Raw.Length);
        Put(info, 12, btf.Id);
        Put(info, 28, btf.IsKernel ? 1u : 0);
        return info[..32];
    }

    private static byte[] Link(BpfLink link)
    {
        var info = new byte[64];
        Put(info, 0, (uint)link.Type);
        Put(info, 4, link.Id);
        Put(info, 8, link.Program.Id);
        if (link.Type is not BpfLinkType.Tracing) return info;
        Put(info, 16, (uint)link.AttachType);
        Put(info, 24, link.TargetBtfId);
        return info;
    }

    private static void Put(byte[] info, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(info.AsSpan(offset), value);

    private static void Put64(byte[] info, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(info.AsSpan(offset), value);

    private static void Name(byte[] info, int offset, string name) => Encoding.UTF8.GetBytes(name.AsSpan(0, Math.Min(15, name.Length)), info.AsSpan(offset, 15));
}
