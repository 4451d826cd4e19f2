namespace BpfSim.Vm.Programs;

/// <summary>An instruction that refers to something of the kernel by name, resolved when the program is loaded.</summary>
/// <param name="InsnOff">Slot of the 64-bit load or call.</param>
/// <param name="Name">The kernel's name, without a CO-RE flavour.</param>
/// <param name="Kind">What is referred to.</param>
/// <param name="TypeId">Type of the declaration in the object's BTF: of a variable its type, of a function its FUNC_PROTO; 0 for an untyped symbol.</param>
/// <param name="Weak">Whether it may be missing: then a variable's address reads as 0, and a call poisons the instruction.</param>
public readonly record struct ExternReference(int InsnOff, string Name, ExternKind Kind, uint TypeId, bool Weak);

/// <summary>What an <see cref="ExternReference"/> refers to.</summary>
public enum ExternKind
{
    /// <summary>The address of a kernel symbol, from kallsyms.</summary>
    Symbol,

    /// <summary>A kernel variable known to its BTF.</summary>
    Variable,

    /// <summary>A kfunc, called or its address taken.</summary>
    Kfunc,
}
