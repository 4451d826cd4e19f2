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

    private const int MaxLoops = 1 << 23, TooBig = -7;

    private bool Call(in Insn insn, in InsnAux facts, int original)
    {
        switch (insn.Imm)
        {
            case HelperId.MapLookupElem when facts.MapIndex > 0: return Lookup(insn, maps[facts.MapIndex - 1]);
            case HelperId.GetSmpProcessorId:
                Emit(Alu64 | (int)AluOp.Mov, 0, 0, 0, (int)(input.SymbolAddress?.Invoke("cpu_number") ?? 0));
                ToThisCpu();
                Load(Word, 0, 0, 0);
                return true;
            case HelperId.Jiffies64:
                ulong jiffies = input.SymbolAddress?.Invoke("jiffies") ?? 0;
                Emit((int)InsnClass.Ld | Long, 0, 0, 0, (int)jiffies);
                Emit(0, 0, 0, 0, (int)(jiffies >> 32));
                Load(Long, 0, 0, 0);
                return true;
            case HelperId.Loop when facts.LoopCallback > 0: return Loop(functions[facts.LoopCallback - 1].Start, original);
            case HelperId.KptrXchg:
                Emit(Alu64 | (int)AluOp.Mov | FromReg, 0, 2, 0, 0);
                Emit(Stx | (int)MemMode.Atomic | Long, 1, 0, 0, 0xe1);
                return true;
            case HelperId.TimerSetCallback:
                // The program itself is an argument that only the kernel knows.
                Emit((int)InsnClass.Ld | Long, 3, 0, 0, 0);
                Emit(0, 0, 0, 0, 0);
                Emit(insn);
                return true;
            case int id when HelperId.IsStorageGet(id):
                Emit(Alu64 | (int)AluOp.Mov, 5, 0, 0, facts.StorageGetFuncAtomic || !input.Attributes.Sleepable ? 0x820 : 0xcc0);
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
            default: return false;
        }
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
            Emit((int)InsnClass.St | Mem | Byte, 0, 0, used.Offset, 1);
        }

        Emit(Alu64 | (int)AluOp.Add, 0, 0, 0, toValue);
        if (map.Type is MapType.PercpuHash or MapType.HashOfMaps) Load(Long, 0, 0, 0);
        if (map.Type == MapType.PercpuHash) ToThisCpu();
        return true;
    }

    /// <summary>bpf_loop with a known callback becomes a loop, which keeps count, limit and context in r6 to r8.</summary>
    private bool Loop(int callback, int original)
    {
        int target = Array.BinarySearch(program.OriginalSlots, callback);
        Subprogram? inside = functions.FirstOrDefault(f => f.Start <= original && original < f.End);
        if (target < 0 || inside == null) return false;
        int stack = -((inside.StackDepth + 7) / 8 * 8 + 24);
        Emit(Jmp | (int)JmpOp.Jle, 1, 0, 2, MaxLoops);
        Emit(Alu | (int)AluOp.Mov, 0, 0, 0, TooBig);
        Skip(16);
        for (int kept = 0; kept < 3; kept++) Emit(Stx | Mem | Long, 10, 6 + kept, stack + 8 * kept, 0);
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
        for (int kept = 0; kept < 3; kept++) Load(Long, 6 + kept, 10, stack + 8 * kept);
        return true;
    }
}
