using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace BpfSim.Tests.Shared;

/// <summary>The independent OTLP receiver of tests/otlp, running under node.</summary>
internal sealed class OtlpReceiver : IDisposable
{
    private readonly Process _process;
    private readonly List<JsonElement> _requests = [];
    private readonly TaskCompletionSource<(int, int)> _ports = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private OtlpReceiver(string arguments)
    {
        _process = Process.Start(new ProcessStartInfo("node", $"receiver.js {arguments}")
        {
            WorkingDirectory = Repository.PathOf("tests", "otlp"),
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            RedirectStandardError = true,
        })!;
        _process.OutputDataReceived += (_, e) => OnLine(e.Data);
        _process.ErrorDataReceived += (_, e) =>
        {
            if (e.Data != null) _ports.TrySetException(new InvalidOperationException(e.Data));
        };
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public int GrpcPort { get; private set; }

    public int HttpPort { get; private set; }

    public static async Task<OtlpReceiver> StartAsync(string arguments = "")
    {
        OtlpReceiver receiver = new(arguments);
        (receiver.GrpcPort, receiver.HttpPort) = await receiver._ports.Task.WaitAsync(TimeSpan.FromSeconds(30));
        return receiver;
    }

    /// <summary>All requests so far.</summary>
    public IReadOnlyList<JsonElement> Requests
    {
        get { lock (_requests) return [.. _requests]; }
    }

    /// <summary>The newest points of a metric: its kind (sum, gauge, histogram) and data points.</summary>
    public (string Kind, JsonElement[] Points)? Newest(string metric)
    {
        foreach (JsonElement request in Requests.Reverse())
            foreach (JsonElement scope in Scopes(request))
                foreach (JsonElement m in scope.GetProperty("metrics").EnumerateArray())
                    if (m.GetProperty("name").GetString() == metric && m.GetProperty("data").GetString() is { } kind)
                        return (kind, [.. m.GetProperty(kind).GetProperty("data_points").EnumerateArray()]);
        return null;
    }

    /// <summary>Attributes of a point or resource as text.</summary>
    public static Dictionary<string, string> Attributes(JsonElement owner) => owner.TryGetProperty("attributes", out JsonElement list)
        ? list.EnumerateArray().ToDictionary(a => a.GetProperty("key").GetString()!, a => a.GetProperty("value").GetProperty(a.GetProperty("value").GetProperty("value").GetString()!).ToString())
        : [];

    /// <summary>A 64-bit number, which the receiver prints as text, and not at all if it is 0.</summary>
    public static ulong Number(JsonElement point, string name) =>
        point.TryGetProperty(name, out JsonElement value) ? ulong.Parse(value.GetString()!, CultureInfo.InvariantCulture) : 0;

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(2000)) _process.Kill();
        _process.Dispose();
    }

    private static IEnumerable<JsonElement> Scopes(JsonElement request)
    {
        foreach (JsonElement resource in request.GetProperty("request").GetProperty("resource_metrics").EnumerateArray())
            if (resource.TryGetProperty("scope_metrics", out JsonElement scopes))
                foreach (JsonElement scope in scopes.EnumerateArray())
                    if (scope.TryGetProperty("metrics", out _)) yield return scope;
    }

    private void OnLine(string? line)
    {
        if (line == null) return;
        JsonElement json = JsonDocument.Parse(line).RootElement;
        if (json.TryGetProperty("request", out _))
        {
            lock (_requests) _requests.Add(json);
        }
        else
        {
            _ports.TrySetResult((json.GetProperty("grpc").GetInt32(), json.GetProperty("http").GetInt32()));
        }
    }
}
