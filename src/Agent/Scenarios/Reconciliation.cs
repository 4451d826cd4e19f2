using System.Globalization;
using BpfSim.Agent.Config;
using BpfSim.Agent.Metrics;
using BpfSim.Kernel;
using BpfSim.Kernel.Attach;

namespace BpfSim.Agent.Scenarios;

/// <summary>Events, runs and misses of one program on one hook.</summary>
/// <param name="Hook">Kind and name of the hook.</param>
/// <param name="Program">The program's name.</param>
/// <param name="Events">Events that passed the hook while the program was attached.</param>
/// <param name="Runs">Completed runs.</param>
/// <param name="Misses">Events that the program missed, for a reason that was counted.</param>
public sealed record HookAccount(string Hook, string Program, ulong Events, ulong Runs, ulong Misses)
{
    /// <summary>Whether every event is accounted for.</summary>
    public bool Holds => Events == Runs + Misses;
}

/// <summary>One number that a metric and the ledger must have in common.</summary>
/// <param name="What">What is compared, in words.</param>
/// <param name="Metric">The metric's number.</param>
/// <param name="Ledger">The ledger's number.</param>
public sealed record LedgerComparison(string What, ulong Metric, ulong Ledger)
{
    /// <summary>Whether they agree.</summary>
    public bool Holds => Metric == Ledger;
}

/// <summary>The final account: what the programs saw against what the simulation knows that happened.</summary>
/// <param name="Hooks">Per program and hook.</param>
/// <param name="Comparisons">Per expectation, one line for each number.</param>
/// <param name="Crashes">Actors that crashed and were restarted.</param>
public sealed record Reconciliation(
    IReadOnlyList<HookAccount> Hooks, IReadOnlyList<LedgerComparison> Comparisons, IReadOnlyList<string> Crashes)
{
    /// <summary>Whether everything agrees.</summary>
    public bool Holds => Hooks.All(h => h.Holds) && Comparisons.All(c => c.Holds);

    /// <summary>Draws up the account.</summary>
    public static Reconciliation Of(
        Scenario scenario, IReadOnlyList<Attachment> attachments, Ledger ledger, MetricSnapshot metrics, IReadOnlyList<string> crashes)
    {
        List<HookAccount> hooks = [.. attachments.Select(a => new HookAccount(
            $"{a.Kind.ToString().ToLowerInvariant()}:{a.Site.Name}", a.Program.Name, a.Emitted, a.Runs, a.Misses))];
        List<LedgerComparison> comparisons = [];
        foreach (Expectation expectation in scenario.Expectations)
        {
            MetricFamily? family = metrics.Families.FirstOrDefault(f => f.Name == MetricBuilder.Prefix + expectation.Metric);
            if (family == null) comparisons.Add(new($"{expectation.Metric} is not exported", 0, 1));
            else if (family.Kind == MetricKind.Histogram)
                CompareHistogram(expectation, family, scenario.Agent.Histograms.First(h => h.Name == expectation.Metric), ledger, comparisons);
            else CompareCounter(expectation, family, ledger, comparisons);
        }
        return new Reconciliation(hooks, comparisons, crashes);
    }

    private static void CompareCounter(Expectation expectation, MetricFamily family, Ledger ledger, List<LedgerComparison> comparisons)
    {
        string value = expectation.Value.ToString().ToLowerInvariant();
        Dictionary<string, (ulong Metric, ulong Ledger)> groups = [];
        foreach (Sample sample in family.Samples)
        {
            string group = Group(family.LabelNames, sample.Labels);
            groups[group] = (groups.GetValueOrDefault(group).Metric + sample.Value, 0);
        }
        foreach ((LedgerKey key, LedgerEntry entry) in ledger.Of(expectation.Measure))
        {
            ulong amount = expectation.Value switch
            {
                ExpectedValue.Sum => entry.Values.Aggregate(0UL, (sum, v) => sum + v / expectation.Unit),
                ExpectedValue.Errors => entry.Errors,
                _ => entry.Count,
            };
            if (amount == 0) continue;
            string group = Group(family.LabelNames, key);
            (ulong metric, ulong known) = groups.GetValueOrDefault(group);
            groups[group] = (metric, known + amount);
        }
        comparisons.Add(new($"{expectation.Metric} = {expectation.Measure} {value}", Sum(groups.Values.Select(g => g.Metric)), Sum(groups.Values.Select(g => g.Ledger))));
        foreach ((string group, (ulong metric, ulong known)) in groups.OrderBy(g => g.Key, StringComparer.Ordinal))
            if (group.Length > 0) comparisons.Add(new($"{expectation.Metric}{{{group}}} = {expectation.Measure} {value}", metric, known));
    }

    private static void CompareHistogram(
        Expectation expectation, MetricFamily family, HistogramConfig config, Ledger ledger, List<LedgerComparison> comparisons)
    {
        comparisons.Add(new($"{expectation.Metric} count = {expectation.Measure} count", Sum(family.Histograms.Select(h => h.Count)), ledger.Count(expectation.Measure)));
        ulong sum = (ulong)Math.Round(family.Histograms.Sum(h => h.Sum) / config.BucketMultiplier);
        ulong[] values = [.. ledger.Of(expectation.Measure).SelectMany(e => e.Value.Values).Select(v => v / expectation.Unit)];
        if (values.Length == 0)
        {
            // In flood mode the ledger keeps no single values: the sum is all there is beside the count.
            if (expectation.Unit == 1) comparisons.Add(new($"{expectation.Metric} sum = {expectation.Measure} sum", sum, ledger.Sum(expectation.Measure)));
            return;
        }
        ulong[] buckets = new ulong[config.Buckets.Count()];
        double[] bounds = [.. config.Buckets.Select(b => config.UpperBound(b) / config.BucketMultiplier)];
        foreach (ulong value in values)
        {
            int slot = Array.FindIndex(bounds, b => value <= b);
            buckets[slot < 0 ? buckets.Length - 1 : slot]++;
        }
        comparisons.Add(new($"{expectation.Metric} sum = {expectation.Measure} sum", sum, Sum(values)));
        for (int i = 0; i < buckets.Length; i++)
        {
            ulong counted = Sum(family.Histograms.Select(h => h.Counts[i]));
            if (counted != 0 || buckets[i] != 0)
                comparisons.Add(new(string.Create(CultureInfo.InvariantCulture, $"{expectation.Metric} bucket {Export.PrometheusText.Number(bounds[i])}"), counted, buckets[i]));
        }
    }

    private static string Group(IReadOnlyList<string> names, string[]? labels) => labels == null ? "overflow"
        : string.Join(',', names.Select((n, i) => (n, labels[i])).Where(l => l.n is "pid" or "comm").Select(l => $"{l.n}=\"{l.Item2}\""));

    private static string Group(IReadOnlyList<string> names, LedgerKey key) =>
        string.Join(',', names.Where(n => n is "pid" or "comm").Select(n => n == "pid" ? $"pid=\"{key.Pid}\"" : $"comm=\"{key.Comm}\""));

    private static ulong Sum(IEnumerable<ulong> values) => values.Aggregate(0UL, (sum, v) => sum + v);
}
