using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace BpfSim.Agent.Export;

/// <summary>
/// Answers GET /metrics on a port of its own: HTTP/1.1, one request a connection. A slow, silent or broken
/// client costs a task for at most <see cref="ClientTimeout"/> and nothing else.
/// </summary>
public sealed class PrometheusServer : IDisposable
{
    private static readonly TimeSpan ClientTimeout = TimeSpan.FromSeconds(5);
    private readonly List<TcpListener> _listeners = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Func<string> _metrics;

    /// <summary>Opens the port and starts to answer.</summary>
    /// <param name="host">Address or name to listen on; empty or <c>localhost</c> for the loopback, <c>*</c> for all.</param>
    /// <param name="port">The port, 0 for a free one.</param>
    /// <param name="metrics">The text to answer with, asked for at every request.</param>
    /// <exception cref="SocketException">The port is in use, or the address is not this machine's.</exception>
    public PrometheusServer(string host, int port, Func<string> metrics)
    {
        _metrics = metrics;
        IPAddress[] addresses = host switch
        {
            "" or "localhost" => Socket.OSSupportsIPv6 ? [IPAddress.Loopback, IPAddress.IPv6Loopback] : [IPAddress.Loopback],
            "*" or "+" => Socket.OSSupportsIPv6 ? [IPAddress.Any, IPAddress.IPv6Any] : [IPAddress.Any],
            _ => IPAddress.TryParse(host, out IPAddress? address) ? [address] : Dns.GetHostAddresses(host)[..1],
        };
        try
        {
            foreach (IPAddress address in addresses) Listen(address, Port == 0 ? port : Port);
        }
        catch (SocketException)
        {
            Dispose();
            throw;
        }
        foreach (TcpListener listener in _listeners) _ = AcceptAsync(listener);
    }

    /// <summary>The port that is listened on.</summary>
    public int Port { get; private set; }

    /// <summary>Reads <c>[HOST:]PORT</c>, an IPv6 host in brackets.</summary>
    public static bool TryParseEndpoint(string text, out string host, out int port)
    {
        int colon = text.LastIndexOf(':');
        host = colon < 0 ? "" : text[..colon].Trim('[', ']');
        return int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) && port <= 65535
            && (colon < 0 || colon > 0);
    }

    /// <summary>Closes the port and all connections.</summary>
    public void Dispose()
    {
        _stop.Cancel();
        foreach (TcpListener listener in _listeners) listener.Stop();
        _stop.Dispose();
    }

    private void Listen(IPAddress address, int port)
    {
        TcpListener listener = new(address, port);
        if (address.AddressFamily == AddressFamily.InterNetworkV6) listener.Server.DualMode = false;
        try
        {
            listener.Start();
        }
        catch (SocketException e) when (_listeners.Count > 0 && e.SocketErrorCode is SocketError.AddressNotAvailable or SocketError.AddressFamilyNotSupported)
        {
            return;
        }
        _listeners.Add(listener);
        Port = ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task AcceptAsync(TcpListener listener)
    {
        CancellationToken stop = _stop.Token;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                TcpClient client = await listener.AcceptTcpClientAsync(stop).ConfigureAwait(false);
                _ = AnswerAsync(client, stop);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                // A client that left before it was accepted.
            }
        }
    }

    private async Task AnswerAsync(TcpClient client, CancellationToken stop)
    {
        using TcpClient connection = client;
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(ClientTimeout);
        try
        {
            NetworkStream stream = connection.GetStream();
            string? request = await ReadHeadAsync(stream, limit.Token).ConfigureAwait(false);
            if (request == null) return;
            string[] words = request.Split('\r', 2)[0].Split(' ');
            string path = words.Length > 1 ? words[1].Split('?')[0] : "";
            (string status, string type, string body) = words[0] is not ("GET" or "HEAD") ? ("405 Method Not Allowed", "text/plain", "only GET\n")
                : path == "/metrics" ? ("200 OK", PrometheusText.ContentType, _metrics())
                : path == "/" ? ("200 OK", "text/html; charset=utf-8", "<html><body><a href=\"/metrics\">Metrics</a></body></html>\n")
                : ("404 Not Found", "text/plain", "not found\n");
            byte[] bytes = Encoding.UTF8.GetBytes(body);
            string head = $"HTTP/1.1 {status}\r\nContent-Type: {type}\r\nContent-Length: {bytes.Length}\r\nConnection: close\r\n\r\n";
            await stream.WriteAsync(Encoding.ASCII.GetBytes(head), limit.Token).ConfigureAwait(false);
            if (words[0] != "HEAD") await stream.WriteAsync(bytes, limit.Token).ConfigureAwait(false);
            connection.Client.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The client went away or took too long: its own loss.
        }
    }

    /// <summary>The request up to its empty line; null if the client closed or sent more than 16 KiB.</summary>
    private static async Task<string?> ReadHeadAsync(NetworkStream stream, CancellationToken cancel)
    {
        byte[] buffer = new byte[16384];
        int length = 0;
        while (length < buffer.Length)
        {
            int read = await stream.ReadAsync(buffer.AsMemory(length), cancel).ConfigureAwait(false);
            if (read == 0) return null;
            length += read;
            string text = Encoding.ASCII.GetString(buffer, 0, length);
            if (text.Contains("\r\n\r\n", StringComparison.Ordinal)) return text;
        }
        return null;
    }
}
