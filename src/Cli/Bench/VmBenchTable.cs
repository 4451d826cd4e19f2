using System.Globalization;

namespace BpfSim.Cli.Bench;

/// <summary>The benchmark's table as text.</summary>
internal static class VmBenchTable
{
    private static readonly CultureInfo Culture = CultureInfo.InvariantCulture;

    /// <summary>Head, rows and geometric means.</summary>
    public static void Write(TextWriter output, IReadOnlyList<VmBenchRow> rows)
    {
        output.WriteLine("                            |---------- ns a run ----------|  |--- ns an insn ---|  |-- JIT / --|   compile");
        output.WriteLine("program              insns     interp      jit   kernel      gcc   interp    jit  kernel  kernel    gcc   ns/x86");
        foreach (VmBenchRow row in rows) WriteRow(output, row);
        output.WriteLine();
        foreach ((string name, double? value) in Means(rows))
            if (value != null) output.WriteLine(string.Create(Culture, $"{name,-40}{value,8:0.000}"));
    }

    private static void WriteRow(TextWriter output, VmBenchRow r)
    {
        double? per(double? ns) => r.Insns == 0 ? null : ns / r.Insns;
        output.WriteLine(string.Create(Culture,
            $"{r.Name,-18}{r.Insns,8}{Ns(r.Interpreter),11}{Ns(r.Jit),9}{Ns(r.Kernel),9}{Ns(r.Gcc),9}"
            + $"{per(r.Interpreter),9:0.00}{per(r.Jit),7:0.00}{per(r.Kernel),8:0.00}{r.Jit / r.Kernel,8:0.00}{r.Jit / r.Gcc,7:0.00}{r.CompileNs / r.JitedInsns,9:0}"));
        if (r.Note != null) output.WriteLine($"  {r.Name}: {r.Note}");
    }

    /// <summary>Geometric means of the ratios; of the compute programs unless the name says otherwise.</summary>
    public static IEnumerable<(string Name, double? Value)> Means(IReadOnlyList<VmBenchRow> rows)
    {
        VmBenchRow[] compute = [.. rows.Where(r => r.IsCompute)], maps = [.. rows.Where(r => !r.IsCompute)];
        yield return ("compute: jit/kernel", GeometricMean(compute.Select(r => r.Jit / r.Kernel)));
        yield return ("compute: jit/gcc", GeometricMean(compute.Select(r => r.Jit / r.Gcc)));
        yield return ("compute: kernel/gcc", GeometricMean(compute.Select(r => r.Kernel / r.Gcc)));
        yield return ("maps: jit/kernel", GeometricMean(maps.Select(r => r.Jit / r.Kernel)));
        yield return ("compute: interpreter, ns/insn", GeometricMean(compute.Where(r => r.Insns > 0).Select(r => r.Interpreter / r.Insns)));
        yield return ("maps: interpreter, ns/insn", GeometricMean(maps.Where(r => r.Insns > 0).Select(r => r.Interpreter / r.Insns)));
        yield return ("compile: ns per emitted instruction", GeometricMean(rows.Select(r => (double?)(r.CompileNs / r.JitedInsns))));
    }

    private static double? GeometricMean(IEnumerable<double?> ratios)
    {
        double[] known = [.. ratios.Where(r => r is > 0).Select(r => r!.Value)];
        return known.Length == 0 ? null : Math.Exp(known.Average(Math.Log));
    }

    private static string Ns(double? ns) => ns == null ? "-" : ns.Value.ToString(ns < 100 ? "0.0" : "0", Culture);
}
