using System.Globalization;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Object;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>
/// Something of the kernel that the text names: a setting (<c>.kconfig CONFIG_HZ u32 weak</c>) or a function
/// (<c>.kfunc void bpf_rcu_read_lock()</c>), whose parameters are null for a setting.
/// </summary>
internal sealed record ExternDeclaration(string Name, ExternType Type, IReadOnlyList<ExternType>? Parameters, bool Weak)
{
    /// <summary>The section that it belongs to in an object.</summary>
    public string Section => Parameters is null ? ".kconfig" : ".ksyms";

    /// <summary>Reads what follows <c>.kconfig</c>.</summary>
    public static ExternDeclaration Setting(LineScanner line)
    {
        string name = line.Name() ?? throw line.Error("expected the name of a setting, such as CONFIG_HZ");
        return new ExternDeclaration(name, ExternType.Parse(line), null, line.Eat("weak"));
    }

    /// <summary>Reads what follows <c>.kfunc</c>.</summary>
    public static ExternDeclaration Function(LineScanner line)
    {
        ExternType result = ExternType.Parse(line);
        string name = line.Name() ?? throw line.Error("expected the name of a kernel function");
        var parameters = new List<ExternType>();
        line.Expect("(");
        while (!line.Eat(")"))
        {
            if (parameters.Count > 0) line.Expect(",");
            parameters.Add(ExternType.Parse(line));
        }

        if (parameters is [{ Name: "void", Pointers: 0 }]) parameters.Clear();
        return new ExternDeclaration(name, result, parameters, line.Eat("weak"));
    }

    /// <summary>Adds the declaration to type information; returns its id.</summary>
    public uint AddTo(BtfBuilder btf)
    {
        if (Parameters is null) return btf.AddVar(Name, Type.AddTo(btf), BtfLinkage.Extern);
        BtfParam[] parameters = [.. Parameters.Select(p => new BtfParam("", p.AddTo(btf)))];
        return btf.AddFunc(Name, btf.AddFuncProto(Type.AddTo(btf), parameters), BtfLinkage.Extern);
    }

    /// <summary>The directive for a setting of an object.</summary>
    public static string Text(KconfigExtern setting)
    {
        string type = setting.Type switch
        {
            KconfigType.Bool => "bool",
            KconfigType.Tristate => "tristate",
            KconfigType.CharArray => string.Create(CultureInfo.InvariantCulture, $"char[{setting.Size}]"),
            _ => string.Create(CultureInfo.InvariantCulture, $"{(setting.Signed ? 's' : 'u')}{8 * setting.Size}"),
        };
        return $".kconfig {setting.Name} {type}{(setting.Weak ? " weak" : "")}";
    }

    /// <summary>The directive for a kernel function with this prototype.</summary>
    public static string Text(string name, BtfType prototype, bool weak) =>
        $".kfunc {ExternType.Text(prototype.Target)} {name}({string.Join(", ", prototype.Params.Select(p => ExternType.Text(prototype.Btf[p.TypeId])))}){(weak ? " weak" : "")}";
}

/// <summary>A C type as far as declarations of externs need it: a name, pointers to it, an array of it.</summary>
internal sealed record ExternType(string Name, bool IsStruct, int Pointers, uint Elements)
{
    /// <summary>Reads <c>u32</c>, <c>struct task_struct *</c>, <c>char[8]</c> and the like; <c>const</c> means nothing.</summary>
    public static ExternType Parse(LineScanner line)
    {
        line.Eat("const");
        int at = line.Mark();
        bool isStruct = line.Eat("struct");
        string name = line.Name() ?? throw line.Error("expected a type");
        int pointers = 0;
        while (line.Eat("*")) pointers++;
        uint elements = line.Eat("[") ? (uint)line.Number(1, 4096, "a number of elements") : 0;
        if (elements > 0) line.Expect("]");
        if (!isStruct && name is not ("void" or "bool" or "char" or "tristate") && Integer(name) is null)
            throw line.Error($"unknown type '{name}': void, bool, char, tristate, u8 to u64, s8 to s64, or struct NAME", at);
        return new ExternType(name, isStruct, pointers, elements);
    }

    /// <summary>Adds the type; returns its id, 0 for void.</summary>
    public uint AddTo(BtfBuilder btf)
    {
        uint id = IsStruct ? btf.AddComposite(BtfKind.Struct, Name, 0, []) : Name switch
        {
            "void" => 0,
            "bool" => btf.AddInt("_Bool", 1, BtfIntEncoding.Bool),
            "char" => btf.AddInt("char", 1, BtfIntEncoding.Signed),
            "tristate" => btf.AddEnum("libbpf_tristate", 4, false, [new("TRI_NO", 0), new("TRI_YES", 1), new("TRI_MODULE", 2)]),
            _ => btf.AddInt(Name, Integer(Name)!.Value.Size, Integer(Name)!.Value.Signed ? BtfIntEncoding.Signed : BtfIntEncoding.None),
        };
        for (int n = 0; n < Pointers; n++) id = btf.AddReference(BtfKind.Ptr, "", id);
        return Elements == 0 ? id : btf.AddArray(id, btf.AddInt("int", 4, BtfIntEncoding.Signed), Elements);
    }

    /// <summary>The text of a type of an object.</summary>
    public static string Text(BtfType type)
    {
        if (type.IsVoid) return "void";
        switch (type.Kind)
        {
            case BtfKind.Ptr: return Text(type.Target) is var target && target.EndsWith('*') ? target + "*" : target + " *";
            case BtfKind.Int when (type.IntEncoding & BtfIntEncoding.Bool) != 0: return "bool";
            case BtfKind.Int: return string.Create(CultureInfo.InvariantCulture, $"{((type.IntEncoding & BtfIntEncoding.Signed) != 0 ? 's' : 'u')}{8 * type.Size}");
            case BtfKind.Enum or BtfKind.Enum64: return string.Create(CultureInfo.InvariantCulture, $"u{8 * type.Size}");
            case BtfKind.Struct or BtfKind.Union or BtfKind.Fwd: return $"struct {type.Name}";
            default: return type.Target.Id == type.Id ? "void" : Text(type.Target);
        }
    }

    private static (uint Size, bool Signed)? Integer(string name) => name switch
    {
        "u8" => (1, false),
        "u16" => (2, false),
        "u32" => (4, false),
        "u64" => (8, false),
        "s8" => (1, true),
        "s16" => (2, true),
        "s32" or "int" => (4, true),
        "s64" or "long" => (8, true),
        _ => null,
    };
}
