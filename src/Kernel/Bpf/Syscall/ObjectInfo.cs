using System.Security.Cryptography;
using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>BPF_OBJ_GET_INFO_BY_FD: fills bpf_prog_info, bpf_map_info and bpf_btf_info; links are <see cref="LinkInfo"/>'s.</summary>
internal static class ObjectInfo
{
    private const int ProgramSize = 232, MapSize = 104, BtfSize = 32, LinkSize = 64;

    /// <summary>Size of the structure that describes an object; 0 if none does.</summary>
    public static int SizeOf(KernelObject value) => value switch
    {
        BpfProgram => ProgramSize,
        MapObject => MapSize,
        BtfObject => BtfSize,
        BpfLink => LinkSize,
        _ => 0,
    };

    /// <summary>Fills the structure, whose pointers and counts came from user space.</summary>
    /// <param name="value">The object.</param>
    /// <param name="info">The structure.</param>
    /// <param name="kernelBtfId">Id of the kernel's BTF.</param>
    public static void Fill(KernelObject value, InfoBuffer info, uint kernelBtfId)
    {
        switch (value)
        {
            case BpfProgram program: Program(program, info, kernelBtfId); break;
            case MapObject map: Map(map, info); break;
            case BtfObject btf: Btf(btf, info); break;
            case BpfLink link: LinkInfo.Fill(link, info, kernelBtfId); break;
        }
    }

    private static void Program(BpfProgram program, InfoBuffer info, uint kernelBtfId)
    {
        // Record sizes are the kernel's own, or 0 where nothing is asked for.
        if (WrongRecords(144, 132, 8) || WrongRecords(148, 172, 16) || WrongRecords(168, 176, 8))
        {
            info.Fail(Errno.EINVAL);
            return;
        }
        info.Put(0, (uint)program.Type);
        info.Put(4, program.Id);
        program.Tag.CopyTo(info.Bytes, 8);
        info.Put64(40, program.LoadTime);
        info.Put(48, program.CreatedByUid);
        info.Array<uint>(56, 52, [.. program.Maps.Select(m => m.Id)]);
        info.Name(64, program.Name);
        info.Put(80, 0);
        info.Put(84, program.Attributes.GplCompatible ? 1u : 0);
        info.Put64(88, 0);
        info.Put64(96, 0);
        Code(program, info);
        info.Put(128, program.Btf?.Id ?? 0);
        info.Put(132, 8);
        info.Put(172, 16);
        info.Put(176, 8);
        info.Array<FuncRecord>(136, 144, Functions(program));
        info.Array<Record>(152, 148, Lines(program));
        // Which machine code belongs to which line is not kept.
        info.Put(168, 0);
        info.Array<ulong>(184, 180, [.. Enumerable.Repeat(BitConverter.ToUInt64(program.Tag), program.Verdict.FunctionStarts.Length)]);
        info.Put64(192, program.RunTimeNs);
        info.Put64(200, program.RunCount);
        info.Put64(208, program.RecursionMisses);
        info.Put(216, (uint)program.Verdict.InsnsProcessed);
        info.Put(220, program.Attributes.AttachBtfId != 0 ? kernelBtfId : 0);
        info.Put(224, program.Attributes.AttachBtfId);

        bool WrongRecords(int count, int size, uint known) => (info.U32(count) != 0 || info.U32(size) != 0) && info.U32(size) != known;
    }

    private static void Code(BpfProgram program, InfoBuffer info)
    {
        ReadOnlySpan<byte> machine = program.Loaded is JitProgram jit ? jit.MachineCode : default;
        info.Array(24, 16, machine);
        info.Array<byte>(32, 20, Vm.Isa.Insn.ToBytes(program.Verdict.Shown));
        // Functions of a program lie in one piece of machine code; the first stands for all of it.
        int functions = machine.IsEmpty ? 0 : 1;
        info.Array<ulong>(112, 104, functions == 0 ? [] : [JitedAddress(program)]);
        info.Array<uint>(120, 108, functions == 0 ? [] : [(uint)machine.Length]);
    }

    /// <summary>Where a program's machine code would lie: one page range a program in the kernel's module space.</summary>
    private static ulong JitedAddress(BpfProgram program) => 0xffffffffc0000000 + program.Id * 0x100000ul;

    /// <summary>bpf_func_info records by rewritten instruction.</summary>
    private static FuncRecord[] Functions(BpfProgram program) => program.Btf == null ? []
        : [.. program.Verdict.FunctionStarts.Zip(program.FuncInfos,
            (start, func) => new FuncRecord((uint)Array.IndexOf(program.Verdict.ShownOriginalSlots, program.Verdict.OriginalSlots[start]), func.TypeId))];

    /// <summary>struct bpf_func_info.</summary>
    private readonly record struct FuncRecord(uint InsnOff, uint TypeId);

    /// <summary>bpf_line_info records by rewritten instruction; lines whose instructions are gone are left out.</summary>
    private static Record[] Lines(BpfProgram program)
    {
        if (program.Btf == null || program.LineInfos.Count == 0) return [];
        var first = new Dictionary<int, int>();
        int[] origins = program.Verdict.ShownOriginalSlots;
        for (int slot = 0; slot < origins.Length; slot++) first.TryAdd(origins[slot], slot);
        Dictionary<string, uint> strings = program.Btf.Strings;
        var records = new List<Record>();
        foreach (LineInfo line in program.LineInfos)
        {
            if (!first.TryGetValue(line.InsnOff, out int slot)) continue;
            records.Add(new Record((uint)slot, strings.GetValueOrDefault(line.File), strings.GetValueOrDefault(line.Line), (uint)line.LineNumber << 10 | (uint)line.Column));
        }
        return [.. records];
    }

    /// <summary>struct bpf_line_info.</summary>
    private readonly record struct Record(uint InsnOff, uint FileNameOff, uint LineOff, uint LineCol);

    private static void Map(MapObject map, InfoBuffer info)
    {
        MapSpec spec = map.Map.Spec;
        ulong hash = info.U64(88);
        uint hashSize = info.U32(96);
        info.Put(0, (uint)spec.Type);
        info.Put(4, map.Id);
        info.Put(8, spec.KeySize);
        info.Put(12, spec.ValueSize);
        info.Put(16, spec.MaxEntries);
        info.Put(20, spec.Flags);
        info.Name(24, map.Name);
        info.Put(64, map.Btf?.Id ?? 0);
        info.Put(68, map.Btf == null ? 0 : spec.BtfKeyTypeId);
        info.Put(72, map.Btf == null ? 0 : spec.BtfValueTypeId);
        info.Put64(80, spec.MapExtra);
        if (hash == 0 && hashSize == 0) return;
        if (hash == 0 || hashSize != SHA256.HashSizeInBytes || spec.Type != MapType.Array)
        {
            info.Fail(Errno.EINVAL);
            return;
        }
        info.CopyOut(hash, SHA256.HashData(Content(map)));
    }

    /// <summary>All elements of an array, each rounded up to 8 bytes, as they lie in memory.</summary>
    private static byte[] Content(MapObject map)
    {
        int stride = (int)(map.Map.Spec.ValueSize + 7 & ~7u);
        byte[] all = new byte[stride * map.Map.Spec.MaxEntries];
        for (uint i = 0; i < map.Map.Spec.MaxEntries; i++)
            map.Map.Lookup(BitConverter.GetBytes(i), all.AsSpan((int)i * stride, (int)map.Map.Spec.ValueSize));
        return all;
    }

    private static void Btf(BtfObject btf, InfoBuffer info)
    {
        info.Array<byte>(0, 8, btf.Raw);
        info.Put(12, btf.Id);
        info.Put(28, btf.IsKernel ? 1u : 0);
        info.Text(16, 24, btf.Name, countNul: false);
    }
}
