using System.Numerics;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>Calls: inlined lookups and helpers, and those that get an argument more.</summary>
internal sealed partial class KernelFormBuilder
{
    /// <summary>Moves a per-CPU address to this CPU's copy.</summary>
    private const int PercpuMove = -1;

    private const int MaxLoops = 1 << 23;

    /// <summary>GFP_ATOMIC and GFP_KERNEL: whether an allocation may not, or may, wait.</summary>
    private const int Atomic = 0x820, MayWait = 0xcc0;

    /// <summary>Stands for addresses of the kernel's own variables and objects: they differ from boot to boot, and a made-up one would mislead.</summary>
    private const ulong Unknown = 0;

    private static readonly int s_exchange = InsnTable.Find(InsnOp.AtomicXchg, MemSize.Dw)!.Imm.Values[0];

    private bool Call(in Insn insn, in InsnAux facts, int original)
    {
        switch (insn.Imm)
        {
            case HelperId.MapLookupElem when facts.MapIndex > 0: return Lookup(insn, maps[facts.MapIndex - 1]);
            case HelperId.GetSmpProcessorId:
                Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, (int)Unknown);
                ToThisCpu();
                Load(Word, 0, 0, 0);
                return true;
            case HelperId.Jiffies64:
                EmitAddress(0, Unknown);
                Load(Long, 0, 0, 0);
                return true;
            case HelperId.Loop when facts.LoopCallback > 0: return Loop(functions[facts.LoopCallback - 1].Start, original);
            case HelperId.KptrXchg:
                Emit(Alu64 | (int)AluOp.Mov | FromReg, 0, 2, 0, 0);
                Emit(Stx | (int)MemMode.Atomic | Long, 1, 0, 0, s_exchange);
                return true;
            case HelperId.PerCpuPtr or HelperId.ThisCpuPtr when facts.PercpuObject:
                Load(Long, 1, 1, 0);
                Emit(insn);
                return true;
            case HelperId.TimerSetCallback:
                // The program itself is an argument that only the kernel knows.
                EmitAddress(3, Unknown);
                Emit(insn);
                return true;
            case int id when HelperId.IsStorageGet(id):
                Emit(Alu64 | (int)AluOp.Mov, 5, 0, 0, facts.StorageGetFuncAtomic || !input.Attributes.Sleepable ? Atomic : MayWait);
                Emit(insn);
                return true;
            case HelperId.GetFuncIp when IsTracing:
                Load(Long, 0, 1, -16);
                return true;
            case HelperId.GetFuncArgCnt when IsTracing:
                Load(Long, 0, 1, -8);
                return true;
            case HelperId.GetFuncArg when IsTracing:
                Load(Long, 0, 1, -8);
                Emit(Jmp | (int)JmpOp.Jge | FromReg, 2, 0, 6, 0);
                Emit(Alu64 | (int)AluOp.Lsh, 2, 0, 0, 3);
                Emit(Alu64 | (int)AluOp.Add | FromReg, 2, 1, 0, 0);
                Load(Long, 0, 2, 0);
                Emit(Stx | Mem | Long, 3, 0, 0, 0);
                Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, 0);
                Skip(1);
                Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, -(int)Errno.EINVAL);
                return true;
            case HelperId.GetFuncRet when IsTracing: return ReturnValue();
            case HelperId.GetBranchSnapshot: return BranchSnapshot();
            default: return false;
        }
    }

    /// <summary>The traced function's result stands behind its arguments; a program that runs before it has none.</summary>
    private bool ReturnValue()
    {
        const uint traceFexit = 25, modifyReturn = 26;
        if (input.Attributes.ExpectedAttachType is not (traceFexit or modifyReturn))
        {
            Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, -(int)Errno.EOPNOTSUPP);
            return true;
        }

        Load(Long, 0, 1, -8);
        Emit(Alu64 | (int)AluOp.Lsh, 0, 0, 0, 3);
        Emit(Alu64 | (int)AluOp.Add | FromReg, 0, 1, 0, 0);
        Load(Long, 3, 0, 0);
        Emit(Stx | Mem | Long, 2, 3, 0, 0);
        Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, 0);
        return true;
    }

    /// <summary>The size becomes a number of entries: a third, and an eighth of that, by multiplication.</summary>
    private bool BranchSnapshot()
    {
        if (input.Attributes.KernelBtf?.FindComposite("perf_branch_entry") is not { } entry) return false;
        Emit(Jmp | (int)JmpOp.Jne, 3, 0, 7, 0);
        Emit(Alu | (int)AluOp.Mov, 0, 0, 0, unchecked((int)0xaaaaaaab));
        Emit(Alu64 | (int)AluOp.Mul | FromReg, 2, 0, 0, 0);
        Emit(Alu64 | (int)AluOp.Rsh, 2, 0, 0, 36);
        CallTo("perf_snapshot_branch_stack", new Insn(Jmp | (int)JmpOp.Call, 0, 0, 0, 0));
        Emit(Jmp | (int)JmpOp.Jeq, 0, 0, 4, 0);
        Emit(Alu | (int)AluOp.Mul, 0, 0, 0, (int)entry.Size);
        Skip(3);
        Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, -(int)Errno.EINVAL);
        Skip(1);
        Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, -(int)Errno.ENOENT);
        return true;
    }

    private bool IsTracing => input.Attributes.Type == ProgramType.Tracing;

    private void ToThisCpu() => Emit(Alu64 | (int)AluOp.Mov | FromReg, 0, 0, PercpuMove, 0);

    private void CallTo(string function, in Insn call)
    {
        _callNames[_out.Count] = function;
        Emit(call);
    }

    private bool Lookup(in Insn call, MapSpec map) => map.Type switch
    {
        MapType.Array or MapType.PercpuArray or MapType.ArrayOfMaps => LookupArray(map),
        MapType.Xskmap => LookupSocket(map),
        MapType.Hash or MapType.LruHash or MapType.PercpuHash or MapType.HashOfMaps => LookupHash(call, map),
        _ => false,
    };

    private bool LookupArray(MapSpec map)
    {
        bool pointers = map.Type != MapType.Array;
        if (MemberPath.Find(input.Attributes.KernelBtf, "bpf_array", pointers ? "pptrs" : "value") is not { } value) return false;
        uint size = pointers ? 8 : (map.ValueSize + 7) / 8 * 8;
        if (map.Type == MapType.Array && (map.Flags & (uint)MapFlags.InnerMap) != 0) return false;
        Emit(Alu64 | (int)AluOp.Add, 1, 0, 0, value.Offset);
        Load(Word, 0, 2, 0);
        // Behind the multiplication: the address, what follows it, and the jump over the null.
        Emit(Jmp | (int)JmpOp.Jge, 0, 0, map.Type == MapType.Array ? 3 : 5, (int)map.MaxEntries);
        if (BitOperations.IsPow2(size)) Emit(Alu64 | (int)AluOp.Lsh, 0, 0, 0, BitOperations.Log2(size));
        else Emit(Alu64 | (int)AluOp.Mul, 0, 0, 0, (int)size);
        Emit(Alu64 | (int)AluOp.Add | FromReg, 0, 1, 0, 0);
        if (pointers) Load(Long, 0, 0, 0);
        if (map.Type == MapType.PercpuArray) ToThisCpu();
        if (map.Type == MapType.ArrayOfMaps) Emit(Jmp | (int)JmpOp.Jeq, 0, 0, 1, 0);
        Skip(1);
        Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, 0);
        return true;
    }

    private bool LookupSocket(MapSpec map)
    {
        if (MemberPath.Find(input.Attributes.KernelBtf, "xsk_map", "xsk_map") is not { } sockets) return false;
        Load(Word, 0, 2, 0);
        Emit(Jmp | (int)JmpOp.Jge, 0, 0, 5, (int)map.MaxEntries);
        Emit(Alu64 | (int)AluOp.Lsh, 0, 0, 0, 3);
        Emit(Alu64 | (int)AluOp.Add, 1, 0, 0, sockets.Offset);
        Emit(Alu64 | (int)AluOp.Add | FromReg, 0, 1, 0, 0);
        Load(Long, 0, 0, 0);
        Skip(1);
        Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, 0);
        return true;
    }

    private bool LookupHash(in Insn call, MapSpec map)
    {
        if (MemberPath.Find(input.Attributes.KernelBtf, "htab_elem", "key") is not { } key) return false;
        int toValue = key.Offset + (int)((map.KeySize + 7) / 8 * 8), skipped = map.Type switch { MapType.Hash => 1, MapType.HashOfMaps => 2, MapType.PercpuHash => 3, _ => 4 };
        CallTo("__htab_map_lookup_elem", call);
        Emit(Jmp | (int)JmpOp.Jeq, 0, 0, skipped, 0);
        if (map.Type == MapType.LruHash)
        {
            if (MemberPath.Find(input.Attributes.KernelBtf, "htab_elem", "lru_node.ref") is not { } used) return false;
            Load(Byte, 1, 0, used.Offset);
            Emit(Jmp | (int)JmpOp.Jne, 1, 0, 1, 0);
            Emit(St | Mem | Byte, 0, 0, used.Offset, 1);
        }

        Emit(Alu64 | (int)AluOp.Add, 0, 0, 0, toValue);
        if (map.Type is MapType.PercpuHash or MapType.HashOfMaps) Load(Long, 0, 0, 0);
        if (map.Type == MapType.PercpuHash) ToThisCpu();
        return true;
    }

    /// <summary>bpf_loop with a known callback becomes a loop, which keeps count, limit and context in r6 to r8.</summary>
    private bool Loop(int callback, int original)
    {
        // A callback that no path enters is gone; the call then leads to where it was.
        int target = Array.BinarySearch(program.OriginalSlots, callback);
        if (target < 0) target = ~target;
        if (FunctionOf(original) is not { } inside) return false;
        int stack = -StackUnderCounters(inside);
        Emit(Jmp | (int)JmpOp.Jle, 1, 0, 2, MaxLoops);
        Emit(Alu | (int)AluOp.Mov, 0, 0, 0, -(int)Errno.E2BIG);
        Skip(16);
        for (int kept = 0; kept < 3; kept++) Emit(Stx | Mem | Long, Frame, 6 + kept, stack + 8 * kept, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 6, 1, 0, 0);
        Emit(Alu | (int)AluOp.Mov, 7, 0, 0, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 8, 3, 0, 0);
        Emit(Jmp | (int)JmpOp.Jge | FromReg, 7, 6, 5, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 1, 7, 0, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 2, 8, 0, 0);
        _calls.Add((_out.Count, target));
        Emit(Jmp | (int)JmpOp.Call, 0, (int)CallKind.Local, 0, 0);
        Emit(Alu64 | (int)AluOp.Add, 7, 0, 0, 1);
        Emit(Jmp | (int)JmpOp.Jeq, 0, 0, -6, 0);
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 0, 7, 0, 0);
        for (int kept = 0; kept < 3; kept++) Load(Long, 6 + kept, Frame, stack + 8 * kept);
        return true;
    }
}
