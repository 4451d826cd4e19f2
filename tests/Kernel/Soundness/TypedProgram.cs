using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Soundness;

/// <summary>
/// A random xdp program that mostly keeps the rules, so that many are accepted, and is full of what verifiers
/// get wrong: bounds of both widths and signs, variable offsets, spills of all sizes, linked numbers, constants
/// chosen by branches, packets, map values, calls, callbacks and loops.
/// </summary>
internal sealed class TypedProgram
{
    /// <summary>Map 0 and map 1.</summary>
    public static readonly MapSpec[] Maps =
    [
        new() { Name = "h", Type = MapType.Hash, KeySize = 4, ValueSize = 24, MaxEntries = 16 },
        new() { Name = "a", Type = MapType.Array, KeySize = 4, ValueSize = 48, MaxEntries = 4 },
    ];

    private static readonly (BtfData Btf, uint Main, uint[] Functions) s_btf = MakeBtf();

    /// <summary>Types for the main function and up to eight others, all <c>static int f(unsigned int, void *)</c>.</summary>
    public static BtfData Btf => s_btf.Btf;

    /// <summary>The instructions.</summary>
    public required Insn[] Insns { get; init; }

    /// <summary>Functions and their types.</summary>
    public required FuncInfo[] Functions { get; init; }

    /// <summary>Whether what it computes is the same in every engine: nothing uninitialised or address-like goes into results.</summary>
    public required bool Deterministic { get; init; }

    /// <summary>The program of a seed.</summary>
    public static TypedProgram Make(int seed)
    {
        var random = new Random(seed);
        bool wild = random.Next(5) == 0;
        int helpers = random.Next(3), callbacks = random.Next(3);
        var main = new FunctionWriter(random, helpers, callbacks, wild);
        main.WriteMain();
        List<FunctionWriter> others = [];
        for (int i = 0; i < helpers + callbacks; i++)
        {
            var other = new FunctionWriter(random, 0, 0, wild);
            other.WriteOther(isCallback: i >= helpers);
            others.Add(other);
        }

        // Functions that nobody calls would be unreachable.
        int[] used = [.. Enumerable.Range(0, others.Count).Where(main.Used.Contains)];
        List<Insn> all = [.. main.Code];
        var starts = new int[others.Count];
        foreach (int i in used)
        {
            starts[i] = all.Count;
            all.AddRange(others[i].Code);
        }

        for (int i = 0; i < all.Count; i++)
        {
            if (all[i].IsLocalCall || (all[i].IsLdImm64 && all[i].Src == (int)PseudoSource.Func)) all[i] = all[i] with { Imm = starts[all[i].Imm] - i - 1 };
        }

        FuncInfo[] functions = [new(0, s_btf.Main), .. used.Select(i => new FuncInfo(starts[i], s_btf.Functions[i]))];
        return new TypedProgram { Insns = [.. all], Functions = functions, Deterministic = !wild && main.Certain && used.All(i => others[i].Certain) };
    }

    private static (BtfData Btf, uint Main, uint[] Functions) MakeBtf()
    {
        var builder = new BtfBuilder();
        uint number = builder.AddInt("unsigned int", 4), pointer = builder.AddReference(BtfKind.Ptr, "", 0);
        uint proto = builder.AddFuncProto(number, [new BtfParam("n", number), new BtfParam("p", pointer)]);
        uint mainProto = builder.AddFuncProto(number, [new BtfParam("ctx", pointer)]);
        uint main = builder.AddFunc("main", mainProto, BtfLinkage.Global);
        uint[] functions = [.. Enumerable.Range(0, 8).Select(i => builder.AddFunc($"f{i}", proto))];
        return (builder.ToBtf(), main, functions);
    }
}
