using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>Calls of kfuncs: some take arguments that only the kernel knows, some are no calls at all.</summary>
internal sealed partial class KernelFormBuilder
{
    private string KfuncName(in Insn insn) => insn.Off == 0 ? _kernel?.Find((uint)insn.Imm)?.Name ?? "" : "";

    private bool Kfunc(in Insn insn, in InsnAux facts)
    {
        string name = KfuncName(insn);
        switch (name)
        {
            case "bpf_cast_to_kern_ctx" or "bpf_rdonly_cast":
                Emit(Alu64 | (int)AluOp.Mov | FromReg, 0, 1, 0, 0);
                return true;
            case "bpf_obj_new_impl" or "bpf_percpu_obj_new_impl":
                Emit(Alu64 | (int)AluOp.Mov, 1, 0, 0, facts.KfuncArg);
                EmitAddress(2, Unknown);
                break;
            case "bpf_obj_drop_impl" or "bpf_percpu_obj_drop_impl" or "bpf_refcount_acquire_impl":
                EmitAddress(2, Unknown);
                break;
            case "bpf_list_push_front_impl" or "bpf_list_push_back_impl":
                EmitAddress(3, Unknown);
                Emit(Alu64 | (int)AluOp.Mov, 4, 0, 0, facts.KfuncArg);
                break;
            case "bpf_rbtree_add_impl":
                EmitAddress(4, Unknown);
                Emit(Alu64 | (int)AluOp.Mov, 5, 0, 0, facts.KfuncArg);
                break;
            default:
                if (ProgramArgument(insn) is not ({ } regno and > 0)) return false;
                EmitAddress(regno, Unknown);
                break;
        }

        Emit(insn);
        return true;
    }

    /// <summary>The register in which a kfunc gets the program that calls it (suffix __prog); 0 if it does not.</summary>
    private int ProgramArgument(in Insn insn)
    {
        if (insn.Off != 0 || _kernel?.Find((uint)insn.Imm) is not { Kind: Btf.BtfKind.Func } func) return 0;
        int regno = 0;
        foreach (Btf.BtfParam param in func.Target.Params)
        {
            regno++;
            if (param.Name.EndsWith("__prog", StringComparison.Ordinal)) return regno;
        }

        return 0;
    }
}
