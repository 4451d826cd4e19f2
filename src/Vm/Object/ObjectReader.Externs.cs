using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Object;

internal sealed partial class ObjectReader
{
    private readonly List<KconfigExtern> _kconfig = [];

    private static bool IsExtern(ElfSymbol symbol) =>
        symbol.Index != 0 && symbol.IsUndefined && symbol.Type == ElfSymbolType.NoType && symbol.Binding is ElfBinding.Global or ElfBinding.Weak && symbol.Name.Length != 0;

    private bool HasExterns() => Array.Exists(_elf.Symbols, IsExtern);

    private void ReadExterns()
    {
        if (_btf == null) return;
        var sectionOf = new Dictionary<uint, string>();
        foreach (BtfType type in _btf.Types)
        {
            if (type.Kind != BtfKind.Datasec || type.Name is not (".ksyms" or ".kconfig")) continue;
            foreach (BtfVarSecInfo variable in type.Variables) sectionOf[variable.TypeId] = type.Name;
        }
        var kconfig = new List<(ExternEntry Entry, KconfigExtern Info, int Align)>();
        foreach (ElfSymbol symbol in _elf.Symbols)
        {
            if (!IsExtern(symbol)) continue;
            BtfType declaration = FindExternDeclaration(symbol.Name)
                ?? throw new ObjectException($"failed to find BTF for extern '{symbol.Name}'");
            if (!sectionOf.TryGetValue(declaration.Id, out string? section))
                throw new ObjectException($"failed to find BTF for extern '{symbol.Name}' section: it is neither in .ksyms nor in .kconfig");
            bool weak = symbol.Binding == ElfBinding.Weak;
            if (section == ".kconfig")
            {
                var entry = new ExternEntry(symbol.Name, weak, true, ExternKind.Variable, 0);
                KconfigExtern info = DescribeKconfig(declaration, weak);
                kconfig.Add((entry, info, Math.Max(1, _btf.AlignOf(declaration.TypeId))));
                _externs[symbol.Index] = entry;
                continue;
            }
            BtfType resolved = _btf.Resolve(declaration.TypeId);
            ExternKind kind = declaration.Kind == BtfKind.Func ? ExternKind.Kfunc : resolved.IsVoid ? ExternKind.Symbol : ExternKind.Variable;
            string essential = System.Text.Encoding.UTF8.GetString(BtfData.EssentialName(declaration.NameBytes));
            _externs[symbol.Index] = new ExternEntry(essential, weak, false, kind, resolved.Id);
        }
        // libbpf lays the values out by alignment, then size, then name.
        kconfig.Sort((a, b) => a.Align != b.Align ? b.Align.CompareTo(a.Align)
            : a.Info.Size != b.Info.Size ? a.Info.Size.CompareTo(b.Info.Size) : string.CompareOrdinal(a.Info.Name, b.Info.Name));
        int offset = 0;
        foreach ((ExternEntry entry, KconfigExtern info, int align) in kconfig)
        {
            offset = (offset + align - 1) / align * align;
            entry.KconfigOffset = offset;
            _kconfig.Add(info with { Offset = offset });
            offset += info.Size;
        }
    }

    /// <summary>
    /// The kernel takes no externs. As libbpf does, those of .ksyms become ordinary integers, their functions one
    /// dummy variable, and those of .kconfig get their places in the map.
    /// </summary>
    private void ReplaceExterns(BtfPatch patch)
    {
        if (_btf!.Find(".ksyms", BtfKind.Datasec) is { } symbols && symbols.Variables.Count > 0)
        {
            uint integer = FindInt() ?? patch.AddType(patch.AddString("int"), 1u << 24, 4, 1u << 24 | 32);
            uint name = 0, dummy = 0;
            BtfVarSecInfo[] variables = [.. symbols.Variables];
            for (int i = 0; i < variables.Length; i++)
            {
                BtfType type = _btf[variables[i].TypeId];
                if (type.Kind == BtfKind.Func)
                {
                    if (name == 0)
                    {
                        name = patch.AddString("dummy_ksym");
                        dummy = patch.AddType(name, 14u << 24, integer, (uint)BtfLinkage.Global);
                    }
                    if (type.Target.Kind == BtfKind.FuncProto) patch.NameParameters(type.Target, name);
                    patch.SetFuncLinkage(type, BtfLinkage.Global);
                    variables[i] = variables[i] with { TypeId = dummy };
                }
                else if (type.Kind == BtfKind.Var)
                {
                    patch.SetVariable(type, integer, BtfLinkage.Global);
                }
                variables[i] = variables[i] with { Offset = 4 * (uint)i, Size = 4 };
            }
            patch.SetVariables(symbols, variables);
            patch.SetDatasecSize(symbols, 4 * (uint)variables.Length);
        }
        if (_kconfig.Count == 0 || _btf.Find(".kconfig", BtfKind.Datasec) is not { } options) return;
        BtfVarSecInfo[] settings = [.. options.Variables];
        for (int i = 0; i < settings.Length; i++)
        {
            BtfType variable = _btf[settings[i].TypeId];
            int known = _kconfig.FindIndex(k => k.Name == variable.Name);
            if (known < 0) continue;
            patch.SetVariable(variable, variable.TypeId, BtfLinkage.Global);
            settings[i] = settings[i] with { Offset = (uint)_kconfig[known].Offset };
        }
        Array.Sort(settings, (a, b) => a.Offset.CompareTo(b.Offset));
        patch.SetVariables(options, settings);
        patch.SetDatasecSize(options, (uint)(_kconfig[^1].Offset + _kconfig[^1].Size));
    }

    private uint? FindInt()
    {
        foreach (BtfType type in _btf!.Types)
            if (type is { Kind: BtfKind.Int, Size: 4, IntBits: 32, IntBitOffset: 0 } && type.IntEncoding is BtfIntEncoding.None or BtfIntEncoding.Signed) return type.Id;
        return null;
    }

    private BtfType? FindExternDeclaration(string name)
    {
        foreach (BtfType type in _btf!.FindAll(name))
            if (type.Kind is BtfKind.Var or BtfKind.Func && type.Linkage == BtfLinkage.Extern) return type;
        return null;
    }

    private KconfigExtern DescribeKconfig(BtfType variable, bool weak)
    {
        long size = _btf!.SizeOf(variable.TypeId);
        if (size <= 0 || size > 1 << 20) throw new ObjectException($"failed to resolve size of extern (kcfg) '{variable.Name}': {size}");
        BtfType type = _btf.Resolve(variable.TypeId);
        (KconfigType kind, bool signed) = type.Kind switch
        {
            BtfKind.Int when (type.IntEncoding & BtfIntEncoding.Bool) != 0 => (type.Size == 1 ? KconfigType.Bool : KconfigType.Unknown, false),
            BtfKind.Int => (type.Size == 1 ? KconfigType.Char : type.Size is 2 or 4 or 8 ? KconfigType.Int : KconfigType.Unknown,
                (type.IntEncoding & BtfIntEncoding.Signed) != 0),
            BtfKind.Enum when type.Size == 4 && type.Name == "libbpf_tristate" => (KconfigType.Tristate, false),
            BtfKind.Array when _btf.Resolve(type.ArrayElementTypeId) is { Kind: BtfKind.Int, Size: 1 } => (KconfigType.CharArray, false),
            _ => (KconfigType.Unknown, false),
        };
        if (kind == KconfigType.Unknown) throw new ObjectException($"extern (kcfg) '{variable.Name}': type is unsupported");
        return new KconfigExtern(variable.Name, 0, (int)size, kind, signed, weak);
    }
}
