namespace BpfSim.Agent.Export;

/// <summary>Where OTLP goes and how it speaks.</summary>
/// <param name="Url">The collector's address as the user gave it.</param>
/// <param name="Http">http/protobuf instead of gRPC.</param>
public sealed record OtlpEndpoint(Uri Url, bool Http)
{
    /// <summary>How long one export may take before it counts as failed.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>Time between two exports.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Where metrics are posted over HTTP: <c>/v1/metrics</c> under a base address.</summary>
    public Uri MetricsUrl
    {
        get
        {
            if (!Http) return Url;
            string path = Url.AbsolutePath.TrimEnd('/');
            return path.EndsWith("/v1/metrics", StringComparison.Ordinal) ? Url : new UriBuilder(Url) { Path = path + "/v1/metrics" }.Uri;
        }
    }

    /// <summary>Reads an http or https URL; without a scheme it is taken for http.</summary>
    public static bool TryParse(string text, bool http, out OtlpEndpoint? endpoint)
    {
        string url = text.Contains("://", StringComparison.Ordinal) ? text : "http://" + text;
        bool ok = Uri.TryCreate(url, UriKind.Absolute, out Uri? uri) && uri.Scheme is "http" or "https" && uri!.Host.Length > 0;
        endpoint = ok ? new OtlpEndpoint(uri!, http) : null;
        return ok;
    }

    /// <summary>Extra headers, from OTEL_EXPORTER_OTLP_HEADERS (<c>key=value,key=value</c>).</summary>
    internal static IEnumerable<(string Key, string Value)> Headers()
    {
        string text = Environment.GetEnvironmentVariable("OTEL_EXPORTER_OTLP_HEADERS") ?? "";
        foreach (string pair in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            if (pair.IndexOf('=', StringComparison.Ordinal) is var at and > 0)
                yield return (pair[..at].Trim(), Uri.UnescapeDataString(pair[(at + 1)..].Trim()));
    }
}
