using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;

namespace BpfSim.Tests.Shared;

/// <summary>Debian's prometheus with a configuration of its own on the loopback, scraping one port.</summary>
internal sealed class PrometheusProcess : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("bpfsim-prometheus").FullName;
    private readonly Process _process;
    private readonly HttpClient _client = new() { Timeout = TimeSpan.FromSeconds(5) };
    private readonly int _port;

    public PrometheusProcess(int target)
    {
        using (TcpListener listener = new(IPAddress.Loopback, 0))
        {
            listener.Start();
            _port = ((IPEndPoint)listener.LocalEndpoint).Port;
        }
        string configuration = Path.Combine(_folder, "prometheus.yml");
        File.WriteAllText(configuration, $$"""
            global: {scrape_interval: 500ms, scrape_timeout: 500ms}
            scrape_configs:
              - job_name: bpfsim
                static_configs: [{targets: ['127.0.0.1:{{target}}']}]
            """);
        _process = Process.Start(new ProcessStartInfo("prometheus",
            $"--config.file={configuration} --storage.tsdb.path={_folder}/data --web.listen-address=127.0.0.1:{_port} --log.level=error")
        { RedirectStandardError = true, RedirectStandardOutput = true })!;
    }

    /// <summary>The value of an instant query with one result; waits until there is one.</summary>
    public async Task<double> QueryAsync(string query)
    {
        for (int i = 0; ; i++)
        {
            try
            {
                string url = $"http://127.0.0.1:{_port}/api/v1/query?query={Uri.EscapeDataString(query)}";
                using JsonDocument answer = JsonDocument.Parse(await _client.GetStringAsync(url));
                JsonElement result = answer.RootElement.GetProperty("data").GetProperty("result");
                if (result.GetArrayLength() == 1)
                    return double.Parse(result[0].GetProperty("value")[1].GetString()!, CultureInfo.InvariantCulture);
            }
            catch (HttpRequestException) when (i < 200)
            {
                // It has not opened its port yet.
            }
            Assert.True(i < 200, $"prometheus has no answer to {query}");
            await Task.Delay(100);
        }
    }

    public void Dispose()
    {
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
        _client.Dispose();
        Directory.Delete(_folder, true);
    }
}
