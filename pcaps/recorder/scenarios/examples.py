"""The scenarios: what two hosts do, so that a capture shows one phenomenon."""

from __future__ import annotations

import contextlib
import socket

from ..expectations import ends, holds, lasts, passes, sends
from ..lab import Lab, abort
from ..link import Link
from ..recording import scenario


@scenario(
    ends("TIME_WAIT", "CLOSE"),
    passes("client", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"),
    passes("server", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE"),
)
def close_by_client(lab: Lab) -> None:
    """A normal close by the client, which ends in TIME_WAIT."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    lab.pause(0.3)
    server.close()
    lab.settle()


@scenario(
    ends("CLOSE", "TIME_WAIT"),
    passes("server", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"),
    passes("client", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE"),
)
def close_by_server(lab: Lab) -> None:
    """A normal close by the server, which ends in TIME_WAIT."""
    client, server = lab.connect()
    lab.exchange(client, server)
    server.close()
    lab.pause(0.3)
    client.close()
    lab.settle()


@scenario(
    ends("TIME_WAIT", "TIME_WAIT"),
    passes("client", "FIN_WAIT1", "CLOSING"),
    passes("server", "FIN_WAIT1", "CLOSING"),
    link=Link(delay=0.05),
)
def simultaneous_close(lab: Lab) -> None:
    """Both sides close before the other's FIN arrives: the FINs cross, both pass through CLOSING."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    server.close()
    lab.settle()


@scenario(
    ends("ESTABLISHED", "ESTABLISHED"),
    passes("client", "SYN_SENT", "SYN_RECV", "ESTABLISHED"),
    passes("server", "SYN_SENT", "SYN_RECV", "ESTABLISHED"),
    vantage="client",
    link=Link(delay=0.1),
)
def simultaneous_open(lab: Lab) -> None:
    """Both sides send a SYN before the other's arrives: one connection, two openers, no listener."""
    first, second = lab.client.new_socket(port=7000), lab.server.new_socket(port=7001)
    for one, other in ((first, second), (second, first)):
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(other.getsockname())
    lab.settle()
    first.settimeout(30)
    second.settimeout(30)
    lab.exchange(first, second)


@scenario(
    ends("TIME_WAIT", "CLOSE"),
    passes("client", "FIN_WAIT1", "FIN_WAIT2"),
    sends("server", "PA", 5, payload=True),
)
def half_close(lab: Lab) -> None:
    """The client has sent all and says so with a FIN; the server goes on sending, then closes too."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.shutdown(socket.SHUT_WR)
    for line in range(4):
        lab.pause(0.2)
        server.sendall(b"line %d of the answer\n" % line)
        client.recv(4096)
    server.close()
    lab.settle()


_LEAKED, _SERVED = 6, 14


@scenario(
    ends("CLOSE", "CLOSE_WAIT", connections=_LEAKED),
    passes("server", "CLOSE_WAIT", "LAST_ACK", "CLOSE"),
    lasts(68),
    holds(_LEAKED + _SERVED),
    pace="long",
)
def close_wait_leak(lab: Lab) -> None:
    """A server forgets to close 6 of 20 connections: they stay in CLOSE_WAIT for more than a minute.

    The clients' orphaned FIN_WAIT2 ends after tcp_fin_timeout, 60 s; the server's sockets never do.
    """
    listener = lab.server.listen(8080)
    pauses = [0.3] * _LEAKED + [4.8] * _SERVED
    for number, pause in enumerate(pauses):
        client = lab.client.new_socket()
        client.connect((lab.server.address, 8080))
        server, _ = listener.accept()
        lab.server.sockets.append(server)
        lab.exchange(client, server)
        client.close()
        lab.settle()
        if number >= _LEAKED:
            server.close()
        lab.pause(pause)


@scenario(ends("CLOSE", "CLOSE"), passes("client", "SYN_SENT", "CLOSE"), sends("server", "RA"))
def refused(lab: Lab) -> None:
    """Nobody listens there: the SYN is answered by a RST."""
    client = lab.client.new_socket()
    with contextlib.suppress(ConnectionRefusedError):
        client.connect((lab.server.address, 8080))
    lab.settle()


@scenario(ends("CLOSE", "CLOSE"), passes("client", "ESTABLISHED", "CLOSE"), sends("server", "R"))
def reset_by_server(lab: Lab) -> None:
    """The server aborts an established connection (SO_LINGER of no time)."""
    client, server = lab.connect()
    lab.exchange(client, server)
    abort(server)
    lab.settle()


@scenario(ends("CLOSE", "CLOSE"), passes("server", "ESTABLISHED", "CLOSE"), sends("client", "R"))
def reset_by_client(lab: Lab) -> None:
    """The client aborts an established connection, as a killed program with SO_LINGER does."""
    client, server = lab.connect()
    lab.exchange(client, server)
    abort(client)
    lab.settle()


@scenario(ends("CLOSE", "CLOSE"), sends("server", "R"), passes("server", "ESTABLISHED", "CLOSE"))
def reset_unread_data(lab: Lab) -> None:
    """The server closes without having read the request: the kernel sends a RST instead of a FIN."""
    client, server = lab.connect()
    client.sendall(b"POST /upload HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + bytes(100))
    lab.settle()
    server.close()
    lab.settle()


@scenario(ends("SYN_SENT", "CLOSE"), sends("client", "S", 4), vantage="client")
def black_hole(lab: Lab) -> None:
    """A firewall drops the SYNs without a word: the client repeats them and is still trying."""
    lab.server.listen(8080)
    lab.server.drop("tcp dport 8080")
    client = lab.client.new_socket()
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        client.connect((lab.server.address, 8080))
    lab.pause(8)


_FLOOD = 50


@scenario(
    ends(None, "SYN_RECV", connections=_FLOOD),
    sends("client", "S", _FLOOD),
    sends("server", "SA", 2 * _FLOOD),
    socketless=("client",),
)
def half_open_flood(lab: Lab) -> None:
    """50 SYNs from an address that never answers: the server repeats its SYN-ACKs, all in SYN_RECV.

    The SYNs are raw packets, so no kernel has a client's socket.
    """
    spoofed = lab.numbered(66, network=9)
    lab.server.listen(8080)
    lab.pretend(spoofed)
    for number in range(_FLOOD):
        port = 40_000 + number
        lab.send_raw((spoofed, port), (lab.server.address, 8080), "S", port << 16)
        lab.pause(0.02)
    lab.pause(4.5)


@scenario(
    ends("TIME_WAIT", "CLOSE"),
    passes("client", "FIN_WAIT1", "FIN_WAIT2"),
    passes("server", "CLOSE_WAIT", "LAST_ACK", "CLOSE"),
    ipv6=True,
)
def ipv6_close(lab: Lab) -> None:
    """A normal close by the client, over IPv6."""
    client, server = lab.connect(443)
    lab.exchange(client, server)
    client.close()
    lab.pause(0.3)
    server.close()
    lab.settle()


@scenario(ends("ESTABLISHED", "ESTABLISHED"), sends("client", "A", 5, payload=False), lasts(4))
def keep_alive(lab: Lab) -> None:
    """An idle connection whose client sends keep-alive probes; each is answered, nothing changes."""
    client, server = lab.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        client.setsockopt(socket.IPPROTO_TCP, option, 1)
    lab.exchange(client, server)
    lab.pause(4.5)


@scenario(ends("FIN_WAIT2", "CLOSE_WAIT"), passes("server", "ESTABLISHED", "CLOSE_WAIT"))
def server_never_closes(lab: Lab) -> None:
    """The client has closed, the server has not yet: FIN_WAIT2 against CLOSE_WAIT."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    lab.pause(1)


@scenario(
    ends("FIN_WAIT1", "ESTABLISHED"), sends("client", "F", 3), passes("client", "ESTABLISHED", "FIN_WAIT1")
)
def fin_unacknowledged(lab: Lab) -> None:
    """Everything to the server is dropped from now on: the client repeats its FIN in FIN_WAIT1."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.server.drop("tcp dport 8080")
    client.close()
    lab.pause(3)


@scenario(ends("ESTABLISHED", "SYN_RECV"), sends("client", "A"), passes("server", "SYN_RECV"))
def deferred_accept(lab: Lab) -> None:
    """TCP_DEFER_ACCEPT: the handshake is complete on the wire, but the server waits for data in SYN_RECV."""
    listener = lab.server.listen(8080)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 10)
    client = lab.client.new_socket()
    client.connect((lab.server.address, 8080))
    lab.pause(1.5)


@scenario(ends("TIME_WAIT", "CLOSE"), sends("client", "S", 2), passes("server", "TIME_WAIT"))
def tuple_reuse(lab: Lab) -> None:
    """The 4-tuple of a connection in TIME_WAIT is used again for another: two connections, one 4-tuple."""
    listener = lab.server.listen(8080)
    for first_to_close in ("server", "client"):
        client = lab.client.new_socket(port=45_678)
        client.connect((lab.server.address, 8080))
        server, _ = listener.accept()
        lab.exchange(client, server)
        one, other = (client, server) if first_to_close == "client" else (server, client)
        one.close()
        lab.settle()
        other.close()
        lab.pause(1.2)


_LARGE = 60_000


@scenario(ends("TIME_WAIT", "CLOSE"), sends("server", "A", payload=True), link=None)
def offload(lab: Lab) -> None:
    """Checksums and segmentation are left to the card: large segments, sums that only look wrong."""
    client, server = lab.connect()
    server.sendall(bytes(_LARGE))
    received = 0
    while received < _LARGE:
        received += len(client.recv(65_536))
    client.close()
    lab.settle()
    server.close()
    lab.settle()
