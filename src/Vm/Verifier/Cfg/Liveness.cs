using System.Text;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Cfg;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// What is known of the program's shape alone: postorder, loops, and which registers matter where.
internal sealed partial class ProgramVerifier
{
    private const int CallerSaved = 0b111111;

    /// <summary>Whether some edge inside a function leads back, or to itself; without, nothing is a loop but callbacks.</summary>
    private bool _hasBackEdge;

    private void ComputePostorder()
    {
        const byte Pushed = 1, Done = 2;
        Span<int> next = stackalloc int[2];
        var state = new byte[Insns.Length];
        // Each instruction is pushed at most once by each of the two that lead to it first.
        var stack = new int[(2 * Insns.Length) + 1];
        int depth = 0;
        foreach (Subprogram subprog in Subprogs)
        {
            var order = new int[subprog.End - subprog.Start];
            int ordered = 0;
            stack[depth++] = subprog.Start;
            while (depth > 0)
            {
                int top = stack[depth - 1];
                if (state[top] != 0)
                {
                    if (state[top] == Pushed) order[ordered++] = top;
                    state[top] = Done;
                    depth--;
                    continue;
                }

                state[top] = Pushed;
                int count = Successors.Of(Insns, top, next);
                for (int i = 0; i < count; i++)
                {
                    _hasBackEdge |= next[i] <= top;
                    if (state[next[i]] == 0) stack[depth++] = next[i];
                }
            }

            subprog.Postorder = ordered == order.Length ? order : order[..ordered];
        }
    }

    /// <summary>Numbers the loops: strongly connected components of more than one instruction, or with an edge to itself.</summary>
    private void ComputeLoops()
    {
        if (!_hasBackEdge && !Array.Exists(Aux, aux => aux.CallsCallback)) return;
        int length = Insns.Length, index = 1, loop = 1;
        var order = new int[length];
        var low = new int[length];
        var path = new List<int>();
        var work = new List<(int Insn, int Edge)>();
        Span<int> next = stackalloc int[2];
        const int Done = int.MaxValue / 2;
        for (int start = 0; start < length; start++)
        {
            if (order[start] != 0 || !IsReachable(start)) continue;
            work.Add((start, 0));
            while (work.Count > 0)
            {
                (int v, int edge) = work[^1];
                if (edge == 0 && order[v] == 0)
                {
                    order[v] = low[v] = index++;
                    path.Add(v);
                }

                int count = Successors.Of(Insns, v, next);
                bool descended = false;
                for (; edge < count; edge++)
                {
                    int w = next[edge];
                    if (order[w] != 0)
                    {
                        low[v] = Math.Min(low[v], low[w]);
                        continue;
                    }

                    work[^1] = (v, edge);
                    work.Add((w, 0));
                    descended = true;
                    break;
                }

                if (descended) continue;
                work.RemoveAt(work.Count - 1);
                if (work.Count > 0) low[work[^1].Insn] = Math.Min(low[work[^1].Insn], low[v]);
                if (low[v] < order[v]) continue;
                bool isLoop = path[^1] != v;
                for (int i = 0; i < count; i++) isLoop |= next[i] == v;
                int top;
                do
                {
                    top = path[^1];
                    path.RemoveAt(path.Count - 1);
                    low[top] = Done;
                    if (isLoop) Aux[top].Scc = loop;
                }
                while (top != v);
                if (isLoop) loop++;
            }
        }
    }

    private bool IsReachable(int i) => !(i > 0 && Insns[i - 1].IsLdImm64 && Insns[i].Code == 0);

    /// <summary>Registers an instruction overwrites and reads, as bit masks.</summary>
    private (int Def, int Use) DefUse(in Insn insn)
    {
        int dst = 1 << insn.Dst, src = 1 << insn.Src;
        switch (insn.Class)
        {
            case InsnClass.Ld:
                return insn.Mode == MemMode.Imm ? (insn.Size == MemSize.Dw ? dst : 0, insn.Size == MemSize.Dw ? 0 : 0xffff) : (0, 0xffff);
            case InsnClass.Ldx:
                return insn.Mode is MemMode.Mem or MemMode.MemSx ? (dst, src) : (0, 0xffff);
            case InsnClass.St:
                return insn.Mode == MemMode.Mem ? (0, dst) : (0, 0xffff);
            case InsnClass.Stx:
                if (insn.Mode == MemMode.Mem) return (0, dst | src);
                if (insn.Mode != MemMode.Atomic) return (0, 0xffff);
                return insn.Imm switch
                {
                    0xf1 => (1, 1 | dst | src),
                    0x100 => (dst, src),
                    0x110 => (0, dst | src),
                    _ => ((insn.Imm & 1) != 0 ? src : 0, dst | src),
                };
            case InsnClass.Alu or InsnClass.Alu64:
                return insn.AluOp switch
                {
                    AluOp.End => (dst, dst),
                    AluOp.Mov => (dst, insn.Source == OperandSource.K ? 0 : src),
                    _ => (dst, insn.Source == OperandSource.K ? dst : dst | src),
                };
            default:
                switch (insn.JmpOp)
                {
                    case JmpOp.Ja or JmpOp.Jcond: return (0, 0);
                    case JmpOp.Exit: return (0, 1);
                    case JmpOp.Call: return (CallerSaved, CallUse(insn));
                    default: return (0, insn.Source == OperandSource.K ? dst : dst | src);
                }
        }
    }

    private int CallUse(in Insn insn) => insn.IsLocalCall ? 0b111110 : CallRegisters(insn).Args;

    private void ComputeLiveRegisters()
    {
        var def = new ushort[Insns.Length];
        var use = new ushort[Insns.Length];
        for (int i = 0; i < Insns.Length; i++)
        {
            (int d, int u) = DefUse(Insns[i]);
            def[i] = (ushort)d;
            use[i] = (ushort)u;
        }

        Span<int> next = stackalloc int[2];
        bool changed = true;
        while (changed)
        {
            changed = false;
            foreach (Subprogram subprog in Subprogs)
            {
                // Without loops all successors of an instruction come before it.
                foreach (int i in subprog.Postorder)
                {
                    int after = 0, count = Successors.Of(Insns, i, next);
                    for (int s = 0; s < count; s++) after |= Aux[next[s]].LiveRegsBefore;
                    ushort before = (ushort)((after & ~def[i]) | use[i]);
                    if (before == Aux[i].LiveRegsBefore) continue;
                    Aux[i].LiveRegsBefore = before;
                    changed = _hasBackEdge;
                }
            }
        }

        if (Log.Detailed) LogLiveRegisters();
    }

    private void LogLiveRegisters()
    {
        Verbose("Live regs before insn:\n");
        var line = new StringBuilder();
        for (int i = 0; i < Insns.Length; i++)
        {
            line.Clear();
            line.Append(Aux[i].Scc != 0 ? $"{Aux[i].Scc,3} " : "    ").Append($"{i,3}: ");
            for (int r = 0; r < 10; r++) line.Append((Aux[i].LiveRegsBefore & (1 << r)) != 0 ? (char)('0' + r) : '.');
            line.Append(' ').Append(InsnText(i)).Append('\n');
            Verbose(line.ToString());
            if (Insns[i].IsLdImm64) i++;
        }
    }
}
