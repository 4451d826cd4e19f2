using System.Buffers.Binary;
using System.Net;
using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Memory;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>A socket of the simulated machine.</summary>
internal sealed class SimSocket
{
    public required ulong Address { get; init; }

    public required bool Tcp { get; init; }

    /// <summary>IPv4 addresses as in struct sock: network byte order.</summary>
    public uint LocalAddress { get; set; }

    public uint RemoteAddress { get; set; }

    public ushort LocalPort { get; set; }

    public ushort RemotePort { get; set; }

    /// <summary>TCP state: 1 established, 2 SYN sent, 7 closed, …</summary>
    public int State { get; set; } = 7;

    public SimTask? Waiter { get; set; }
}

/// <summary>Sockets, TCP's states, packets out and in. The peers are modelled by their latency alone.</summary>
internal sealed class Network : Subsystem
{
    private const int TcpEstablished = 1, TcpSynSent = 2, TcpFinWait1 = 4, TcpClose = 7, TcpSynRecv = 3, TcpCloseWait = 8, TcpLastAck = 9;
    private const ulong RoundTripNs = 350_000;
    private const uint LocalHost = 0x0a00000f;
    private readonly Syscalls _syscalls;
    private readonly Simulation _simulation;
    private readonly Scheduler _scheduler;
    private readonly World _world;
    private readonly RandomStream _random;
    private readonly Tracepoint _setState, _queue, _xmit, _receive, _sendLength, _recvLength, _consume;
    private readonly KernelFunction _tcpConnect, _tcpSend, _tcpRecv, _tcpClose, _tcpSetState, _tcpRcv, _tcpEstablishedRcv, _cleanup, _accept, _udpSend, _udpRecv,
        _queueXmit, _rcvStateProcess, _securityConnect, _sockSend, _sockRecv;
    private readonly ulong _device;
    private ushort _nextPort = 32768;

    public Network(Syscalls syscalls, Scheduler scheduler)
    {
        _syscalls = syscalls;
        _simulation = syscalls.Simulation;
        _scheduler = scheduler;
        _world = syscalls.World;
        Simulation s = _simulation;
        _random = new RandomStream(s.Kernel.Seed, "network");
        _setState = s.Tracepoint("sock", "inet_sock_set_state");
        _queue = s.Tracepoint("net", "net_dev_queue");
        _xmit = s.Tracepoint("net", "net_dev_xmit");
        _receive = s.Tracepoint("net", "netif_receive_skb");
        _sendLength = s.Tracepoint("sock", "sock_send_length");
        _recvLength = s.Tracepoint("sock", "sock_recv_length");
        _consume = s.Tracepoint("skb", "consume_skb");
        _tcpConnect = s.Function("tcp_v4_connect");
        _tcpSend = s.Function("tcp_sendmsg");
        _tcpRecv = s.Function("tcp_recvmsg");
        _tcpClose = s.Function("tcp_close");
        _tcpSetState = s.Function("tcp_set_state");
        _tcpRcv = s.Function("tcp_v4_rcv");
        _tcpEstablishedRcv = s.Function("tcp_rcv_established");
        _rcvStateProcess = s.Function("tcp_rcv_state_process");
        _cleanup = s.Function("tcp_cleanup_rbuf");
        _accept = s.Function("inet_csk_accept");
        _udpSend = s.Function("udp_sendmsg");
        _udpRecv = s.Function("udp_recvmsg");
        _queueXmit = s.Function("__dev_queue_xmit");
        _securityConnect = s.Function("security_socket_connect");
        _sockSend = s.Function("sock_sendmsg");
        _sockRecv = s.Function("sock_recvmsg");
        _device = s.Arena.Allocate(s.Types.SizeOf("net_device", 2560));
        _world.Put("net_device", _device, "ifindex", 2);
        if (s.Types.Field("net_device", "name") is { Exists: true } name) _world.PutText(_device + name.Offset, "eth0", 16);
    }

    /// <inheritdoc/>
    public override SubsystemId Id => SubsystemId.Network;

    /// <inheritdoc/>
    public override void Handle(in SimEvent what) => ((Action)what.Subject!)();

    /// <summary>A TCP client: socket, connect, send, receive, close.</summary>
    public IEnumerator<Step> Client(SimTask task, ActivitySpec activity)
    {
        (uint address, ushort port) = Peer(task, activity.Peer);
        yield return Step.Call(_syscalls.Call(task, "socket", [2, 1, 6], () => NewSocket(task, tcp: true)));
        int fd = (int)task.Result;
        SimSocket socket = task.Files[fd].Socket!;
        bool refused = task.Random.Chance(activity.MissChance);
        yield return Step.Call(Connect(task, fd, socket, address, port, refused));
        if (task.Result == 0)
        {
            yield return Step.Call(Send(task, fd, socket, activity.Bytes));
            yield return Step.Call(Receive(task, fd, socket, activity.Bytes, RoundTripNs));
        }
        yield return Step.Call(_syscalls.Call(task, "close", [(ulong)fd], () => CloseSocket(task, fd, socket)));
    }

    /// <summary>A TCP server's turn: accept a connection that comes in, receive, send, close.</summary>
    public IEnumerator<Step> Server(SimTask task, ActivitySpec activity)
    {
        (uint address, ushort port) = Peer(task, activity.Peer);
        SimSocket? socket = null;
        int fd = 0;
        yield return Step.Call(_syscalls.Call(task, "accept4", [3, 0, 0, 0x80000], Accept));
        yield return Step.Call(Receive(task, fd, socket!, activity.Bytes, 60_000));
        yield return Step.Run(task.Random.Exponential(activity.ComputeNs));
        yield return Step.Call(Send(task, fd, socket!, activity.Bytes));
        yield return Step.Call(_syscalls.Call(task, "close", [(ulong)fd], () => CloseSocket(task, fd, socket!)));

        IEnumerator<Step> Accept()
        {
            ulong listener = SocketOf(task, port);
            _accept.Enter(task, listener, 0);
            // The client's SYN comes some time after the server began to wait.
            ulong delay = task.Random.Exponential(200_000);
            uint cpu = task.Cpu;
            ulong address1 = AllocateSock(true);
            socket = new SimSocket { Address = address1, Tcp = true, LocalAddress = Swap(LocalHost), LocalPort = port, RemoteAddress = address, RemotePort = (ushort)(32768 + task.Random.Below(28000)), Waiter = task };
            WriteSock(task, socket);
            _simulation.At(_simulation.NowNs + delay, SubsystemId.Network, SubsystemId.Interrupts, Interrupts.NetworkEvent, () =>
            {
                SimTask current = _scheduler.Current(cpu);
                Packet(current, 74);
                _tcpRcv.Enter(current, 0);
                SetState(current, socket, TcpSynRecv);
                SetState(current, socket, TcpEstablished);
                _tcpRcv.Leave(current, 0, 0);
                _scheduler.Wake(task, cpu);
            }, cpu);
            yield return Step.Block(TaskState.Interruptible);
            yield return Step.Run(1500);
            _accept.Leave(task, (long)socket.Address, listener, 0);
            fd = task.NextFd();
            task.Files[fd] = new SimFile { Path = "socket:", Socket = socket };
            _simulation.Ledger.Add("tcp_accept", task.Tgid, task.Comm, "", 1);
            task.Result = fd;
        }
    }

    /// <summary>A UDP sender: socket, sendto, close.</summary>
    public IEnumerator<Step> Datagram(SimTask task, ActivitySpec activity)
    {
        (uint address, ushort port) = Peer(task, activity.Peer);
        yield return Step.Call(_syscalls.Call(task, "socket", [2, 2, 17], () => NewSocket(task, tcp: false)));
        int fd = (int)task.Result;
        SimSocket socket = task.Files[fd].Socket!;
        socket.RemoteAddress = address;
        socket.RemotePort = port;
        socket.LocalAddress = Swap(LocalHost);
        socket.LocalPort = NextPort();
        WriteSock(task, socket);
        yield return Step.Call(_syscalls.Call(task, "sendto", [(ulong)fd, 0, activity.Bytes, 0, 0, 0], Body));
        yield return Step.Call(_syscalls.Call(task, "close", [(ulong)fd], () => CloseSocket(task, fd, socket)));

        IEnumerator<Step> Body()
        {
            ulong message = _simulation.Arena.AllocateTransient(128);
            _udpSend.Enter(task, socket.Address, message, activity.Bytes);
            yield return Step.Run(task.Random.LogNormal(1800, 0.3));
            Transmit(task, activity.Bytes + 42);
            _udpSend.Leave(task, activity.Bytes, socket.Address, message, activity.Bytes);
            _simulation.Ledger.Add("udp_send_bytes", task.Tgid, task.Comm, "", activity.Bytes);
            task.Result = activity.Bytes;
        }
    }

    private IEnumerator<Step> Connect(SimTask task, int fd, SimSocket socket, uint address, ushort port, bool refused)
    {
        ulong user = _simulation.Arena.AllocateUser(16);
        var name = new byte[16];
        BinaryPrimitives.WriteUInt16LittleEndian(name, 2);
        BinaryPrimitives.WriteUInt16BigEndian(name.AsSpan(2), port);
        BinaryPrimitives.WriteUInt32LittleEndian(name.AsSpan(4), address);
        _simulation.Store(task.Cpu, user, name);
        return _syscalls.Call(task, "connect", [(ulong)fd, user, 16], Body);

        IEnumerator<Step> Body()
        {
            ulong start = _simulation.NowNs;
            ulong kernelName = _simulation.Arena.AllocateTransient(16);
            _simulation.Store(task.Cpu, kernelName, name);
            _securityConnect.Pass(task, 0, 0, kernelName, 16);
            _tcpConnect.Enter(task, socket.Address, kernelName, 16);
            yield return Step.Run(task.Random.LogNormal(4000, 0.3));
            socket.RemoteAddress = address;
            socket.RemotePort = port;
            socket.LocalAddress = Swap(LocalHost);
            socket.LocalPort = NextPort();
            WriteSock(task, socket);
            SetState(task, socket, TcpSynSent);
            Transmit(task, 74);
            _tcpConnect.Leave(task, 0, socket.Address, kernelName, 16);
            ulong delay = task.Random.LogNormal(RoundTripNs, 0.4);
            uint cpu = task.Cpu;
            _simulation.At(_simulation.NowNs + delay, SubsystemId.Network, SubsystemId.Interrupts, Interrupts.NetworkEvent, () =>
            {
                SimTask current = _scheduler.Current(cpu);
                Packet(current, 74);
                _tcpRcv.Enter(current, 0);
                _rcvStateProcess.Enter(current, socket.Address, 0);
                SetState(current, socket, refused ? TcpClose : TcpEstablished);
                _rcvStateProcess.Leave(current, 0, socket.Address, 0);
                _tcpRcv.Leave(current, 0, 0);
                _scheduler.Wake(task, cpu);
            }, cpu);
            yield return Step.Block(TaskState.Interruptible);
            yield return Step.Run(800);
            long result = refused ? -111 : 0;
            _simulation.Ledger.Add("tcp_connect", task.Tgid, task.Comm, $"{Text(address)}:{port}", _simulation.NowNs - start, refused);
            task.Result = result;
        }
    }

    private IEnumerator<Step> Send(SimTask task, int fd, SimSocket socket, uint bytes)
    {
        return _syscalls.Call(task, "sendto", [(ulong)fd, 0, bytes, 0, 0, 0], Body);

        IEnumerator<Step> Body()
        {
            ulong message = _simulation.Arena.AllocateTransient(128);
            _sockSend.Enter(task, socket.Address, message);
            _tcpSend.Enter(task, socket.Address, message, bytes);
            yield return Step.Run(task.Random.LogNormal(3000, 0.3) + bytes / 8);
            for (uint sent = 0; sent < bytes; sent += 1448) Transmit(task, Math.Min(1448, bytes - sent) + 66);
            _tcpSend.Leave(task, bytes, socket.Address, message, bytes);
            _sockSend.Leave(task, bytes, socket.Address, message);
            _simulation.Ledger.Add("tcp_send_bytes", task.Tgid, task.Comm, "", bytes);
            task.Result = bytes;
        }
    }

    private IEnumerator<Step> Receive(SimTask task, int fd, SimSocket socket, uint bytes, ulong medianNs)
    {
        return _syscalls.Call(task, "recvfrom", [(ulong)fd, 0, bytes, 0, 0, 0], Body);

        IEnumerator<Step> Body()
        {
            ulong message = _simulation.Arena.AllocateTransient(128), start = _simulation.NowNs;
            _sockRecv.Enter(task, socket.Address, message, 0);
            _tcpRecv.Enter(task, socket.Address, message, bytes, 0);
            yield return Step.Run(500);
            uint cpu = task.Cpu;
            _simulation.At(_simulation.NowNs + task.Random.LogNormal(medianNs, 0.4), SubsystemId.Network, SubsystemId.Interrupts, Interrupts.NetworkEvent, () =>
            {
                SimTask current = _scheduler.Current(cpu);
                for (uint got = 0; got < bytes; got += 1448) Packet(current, Math.Min(1448, bytes - got) + 66);
                _tcpRcv.Enter(current, 0);
                _tcpEstablishedRcv.Pass(current, 0, socket.Address, 0);
                _tcpRcv.Leave(current, 0, 0);
                _scheduler.Wake(task, cpu);
            }, cpu);
            yield return Step.Block(TaskState.Interruptible);
            yield return Step.Run(600);
            _cleanup.Pass(task, 0, socket.Address, bytes);
            _tcpRecv.Leave(task, bytes, socket.Address, message, bytes, 0);
            _sockRecv.Leave(task, bytes, socket.Address, message, 0);
            _simulation.Ledger.Add("tcp_recv_bytes", task.Tgid, task.Comm, "", bytes);
            _simulation.Ledger.Add("tcp_recv", task.Tgid, task.Comm, "", _simulation.NowNs - start);
            task.Result = bytes;
        }
    }

    private IEnumerator<Step> NewSocket(SimTask task, bool tcp)
    {
        yield return Step.Run(task.Random.LogNormal(1500, 0.3));
        var socket = new SimSocket { Address = AllocateSock(tcp), Tcp = tcp };
        WriteSock(task, socket);
        int fd = task.NextFd();
        task.Files[fd] = new SimFile { Path = "socket:", Socket = socket };
        task.Result = fd;
    }

    private IEnumerator<Step> CloseSocket(SimTask task, int fd, SimSocket socket)
    {
        yield return Step.Run(task.Random.LogNormal(1500, 0.3));
        if (socket.Tcp)
        {
            _tcpClose.Enter(task, socket.Address, 0);
            if (socket.State == TcpEstablished)
            {
                SetState(task, socket, TcpFinWait1);
                Transmit(task, 66);
            }
            if (socket.State != TcpClose) SetState(task, socket, TcpClose);
            _tcpClose.Leave(task, 0, socket.Address, 0);
        }
        task.Files.Remove(fd);
        _simulation.Arena.Free(socket.Address, SockSize(socket.Tcp));
        task.Result = 0;
    }

    private void SetState(SimTask task, SimSocket socket, int state)
    {
        int old = socket.State;
        _tcpSetState.Enter(task, socket.Address, (ulong)state);
        if (_setState.Begin(task, out RecordWriter record))
        {
            Span<byte> local = stackalloc byte[4], remote = stackalloc byte[4], mapped = stackalloc byte[16];
            BinaryPrimitives.WriteUInt32LittleEndian(local, socket.LocalAddress);
            BinaryPrimitives.WriteUInt32LittleEndian(remote, socket.RemoteAddress);
            record.Set(_setState.Field("skaddr"), socket.Address).Set(_setState.Field("oldstate"), (ulong)old).Set(_setState.Field("newstate"), (ulong)state)
                .Set(_setState.Field("sport"), socket.LocalPort).Set(_setState.Field("dport"), socket.RemotePort).Set(_setState.Field("family"), 2)
                .Set(_setState.Field("protocol"), 6).Set(_setState.Field("saddr"), local).Set(_setState.Field("daddr"), remote);
            mapped.Clear();
            mapped[10] = mapped[11] = 0xff;
            local.CopyTo(mapped[12..]);
            record.Set(_setState.Field("saddr_v6"), mapped);
            remote.CopyTo(mapped[12..]);
            record.Set(_setState.Field("daddr_v6"), mapped);
            _setState.Emit(task, socket.Address, (ulong)old, (ulong)state);
        }
        socket.State = state;
        Store(task, socket, "__sk_common.skc_state", (ulong)state);
        _tcpSetState.Leave(task, 0, socket.Address, (ulong)state);
        _simulation.Ledger.Add("tcp_state", task.Tgid, task.Comm, $"{old}->{state}", 1);
    }

    private void Transmit(SimTask task, uint length)
    {
        ulong skb = _simulation.Arena.AllocateTransient(_simulation.Types.SizeOf("sk_buff", 240));
        StoreField(task, "sk_buff", skb, "len", length);
        StoreField(task, "sk_buff", skb, "dev", _device);
        _queueXmit.Enter(task, skb, 0);
        if (_queue.Begin(task, out RecordWriter record))
        {
            record.Set(_queue.Field("skbaddr"), skb).Set(_queue.Field("len"), length).Set(_queue.Field("name"), "eth0");
            _queue.Emit(task, skb);
        }
        if (_xmit.Begin(task, out record))
        {
            record.Set(_xmit.Field("skbaddr"), skb).Set(_xmit.Field("len"), length).Set(_xmit.Field("rc"), 0).Set(_xmit.Field("name"), "eth0");
            _xmit.Emit(task, skb, 0, _device, length);
        }
        _queueXmit.Leave(task, 0, skb, 0);
        _simulation.Ledger.Add("net_tx_bytes", 0, "eth0", "", length);
    }

    private void Packet(SimTask current, uint length)
    {
        ulong skb = _simulation.Arena.AllocateTransient(_simulation.Types.SizeOf("sk_buff", 240));
        StoreField(current, "sk_buff", skb, "len", length);
        StoreField(current, "sk_buff", skb, "dev", _device);
        if (_receive.Begin(current, out RecordWriter record))
        {
            record.Set(_receive.Field("skbaddr"), skb).Set(_receive.Field("len"), length).Set(_receive.Field("name"), "eth0");
            _receive.Emit(current, skb);
        }
        _simulation.Ledger.Add("net_rx_bytes", 0, "eth0", "", length);
    }

    private ulong SocketOf(SimTask task, ushort port)
    {
        var listener = new SimSocket { Address = AllocateSock(true), Tcp = true, LocalPort = port };
        WriteSock(task, listener);
        _simulation.Arena.Free(listener.Address, SockSize(true));
        return listener.Address;
    }

    private uint SockSize(bool tcp) => _simulation.Types.SizeOf(tcp ? "tcp_sock" : "udp_sock", 2560);

    private ulong AllocateSock(bool tcp) => _simulation.Arena.Allocate(SockSize(tcp));

    private void WriteSock(SimTask task, SimSocket socket)
    {
        Store(task, socket, "__sk_common.skc_family", 2);
        Store(task, socket, "__sk_common.skc_state", (ulong)socket.State);
        Store(task, socket, "__sk_common.skc_daddr", socket.RemoteAddress);
        Store(task, socket, "__sk_common.skc_rcv_saddr", socket.LocalAddress);
        Store(task, socket, "__sk_common.skc_dport", BinaryPrimitives.ReverseEndianness(socket.RemotePort));
        Store(task, socket, "__sk_common.skc_num", socket.LocalPort);
        Store(task, socket, "__sk_common.skc_net.net", _world.Namespace("net", 4026531840));
        Store(task, socket, "sk_protocol", socket.Tcp ? 6u : 17);
        Store(task, socket, "sk_type", socket.Tcp ? 1u : 2);
        StoreField(task, "inet_sock", socket.Address, "inet_sport", BinaryPrimitives.ReverseEndianness(socket.LocalPort));
        StoreField(task, "inet_sock", socket.Address, "inet_saddr", socket.LocalAddress);
    }

    private void Store(SimTask task, SimSocket socket, string field, ulong value) => StoreField(task, "sock", socket.Address, field, value);

    private void StoreField(SimTask task, string type, ulong address, string field, ulong value)
    {
        KernelField found = _simulation.Types.Field(type, field);
        if (found.Exists && found.BitCount == 0) _simulation.Store(task.Cpu, address + found.Offset, Math.Min(8, found.Size), value);
    }

    private ushort NextPort() => _nextPort = _nextPort >= 60990 ? (ushort)32768 : (ushort)(_nextPort + 1 + (int)_random.Below(7));

    private static (uint Address, ushort Port) Peer(SimTask task, string? peer)
    {
        if (peer != null && IPEndPoint.TryParse(peer, out IPEndPoint? end) && end.Address.GetAddressBytes() is { Length: 4 } bytes)
            return (BinaryPrimitives.ReadUInt32LittleEndian(bytes), (ushort)end.Port);
        ushort[] ports = [80, 443, 443, 5432, 6379, 8080];
        return (Swap(0x0a000100 + (uint)task.Random.Below(250)), ports[task.Random.Below((ulong)ports.Length)]);
    }

    private static uint Swap(uint value) => BinaryPrimitives.ReverseEndianness(value);

    private static string Text(uint address) => $"{address & 255}.{address >> 8 & 255}.{address >> 16 & 255}.{address >> 24}";
}
