using BpfSim.Agent.Metrics;

namespace BpfSim.Agent;

/// <summary>To the agent: read the maps now.</summary>
public sealed record Poll;

/// <summary>To the agent: read the maps and answer with the <see cref="MetricSnapshot"/>.</summary>
public sealed record ReadMetrics;

/// <summary>To the agent: read the maps, export all, and answer with <see cref="Flushed"/>.</summary>
public sealed record Flush;

/// <summary>Answer to <see cref="Flush"/>.</summary>
/// <param name="Metrics">What was exported.</param>
/// <param name="Problems">Why an exporter could not deliver, a line each; empty if all is well.</param>
public sealed record Flushed(MetricSnapshot Metrics, IReadOnlyList<string> Problems);

/// <summary>To an exporter: the newest metrics.</summary>
public sealed record MetricsRead(MetricSnapshot Metrics);

/// <summary>To an exporter: deliver these now and answer with <see cref="ExporterFlushed"/>.</summary>
public sealed record FlushExporter(MetricSnapshot Metrics);

/// <summary>Answer of an exporter to <see cref="FlushExporter"/>.</summary>
/// <param name="Problem">Why it could not deliver, in one line; null if it could.</param>
public sealed record ExporterFlushed(string? Problem);

/// <summary>To the agent, from tests: fail with this reason.</summary>
internal sealed record Crash(string Reason);
