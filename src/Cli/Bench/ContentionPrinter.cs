using BpfSim.Kernel.Laboratory;
using Spectre.Console;

namespace BpfSim.Cli.Bench;

/// <summary>Runs experiments of the contention laboratory for the terminal: progress, tables, verdicts.</summary>
internal static class ContentionPrinter
{
    /// <summary>Runs all experiments and, if asked, prints each when it is done.</summary>
    public static IReadOnlyList<ContentionResult> Run(IEnumerable<ContentionSpec> specs, bool print, CancellationToken cancellation)
    {
        var progress = new ProgressLine();
        var results = new List<ContentionResult>();
        foreach (var spec in specs)
        {
            var result = new ContentionLaboratory(progress).Run(spec, cancellation);
            ProgressLine.Clear();
            results.Add(result);
            if (print) Print(result);
        }

        return results;
    }

    private static void Print(ContentionResult result)
    {
        AnsiConsole.WriteLine();
        AnsiConsole.MarkupLineInterpolated($"[bold]{result.Spec.Name}[/]: {ContentionReport.Describe(result.Spec)}");
        var table = new Table().Border(TableBorder.Simple);
        foreach (var (name, _) in ContentionReport.Columns) table.AddColumn(new TableColumn(Markup.Escape(name)) { Alignment = name.Contains(',') ? Justify.Left : Justify.Right, NoWrap = true });
        foreach (var (name, run) in ContentionReport.Rows(result))
            table.AddRow([.. ContentionReport.Columns.Select((c, i) => Markup.Escape(i == 0 ? name : c.Value(run)))]);
        PrintTable(table);
        foreach (var line in result.Verdict) Console.Out.WriteLine($"  {line}");
    }

    /// <summary>Tables are wider than a pipe's 80 columns.</summary>
    public static void PrintTable(Table table)
    {
        AnsiConsole.Profile.Width = Math.Max(AnsiConsole.Profile.Width, 200);
        AnsiConsole.Write(table);
    }

    /// <summary>One line on standard error that says how far the experiment is; only on a terminal.</summary>
    private sealed class ProgressLine : IProgress<ContentionProgress>
    {
        public void Report(ContentionProgress value)
        {
            if (!Console.IsErrorRedirected) Console.Error.Write($"\r\u001b[K[{value.Done}/{value.All}] {value.What}");
        }

        public static void Clear()
        {
            if (!Console.IsErrorRedirected) Console.Error.Write("\r\u001b[K");
        }
    }
}
