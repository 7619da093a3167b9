"""Ways in which a connection begins, or does not."""

from __future__ import annotations

import contextlib
import socket

from ..expectations import lasts, loses, sends, undergoes
from ..lab import Lab
from ..link import sent_by
from ..recording import proof

_CLOSED_BY_CLIENT = "FIN_WAIT1 FIN_WAIT2 TIME_WAIT"
_WHOLE_CLIENT = f"SYN_SENT ESTABLISHED {_CLOSED_BY_CLIENT}"
_WHOLE_SERVER = "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"


def _talk_and_close(lab: Lab, client: socket.socket, server: socket.socket) -> None:
    lab.exchange(client, server)
    client.close()
    lab.pause(0.3)
    server.close()


@proof(undergoes("client", _WHOLE_CLIENT), undergoes("server", _WHOLE_SERVER), loses("client", "S"))
def lost_syn(lab: Lab) -> None:
    """The first SYN is lost: the client repeats it after a second."""
    lab.lose(sent_by("client", "S"), 1)
    _talk_and_close(lab, *lab.connect())


@proof(undergoes("client", _WHOLE_CLIENT), undergoes("server", _WHOLE_SERVER), loses("server", "SA"))
def lost_syn_ack(lab: Lab) -> None:
    """The first SYN-ACK is lost: both sides repeat."""
    lab.lose(sent_by("server", "SA"), 1)
    _talk_and_close(lab, *lab.connect())


@proof(
    undergoes("client", _WHOLE_CLIENT),
    undergoes("server", _WHOLE_SERVER),
    loses("client", "A"),
    sends("server", "SA", 2),
)
def lost_third_ack(lab: Lab) -> None:
    """The third ACK is lost and the client says nothing: the server stays in SYN_RECV and repeats."""
    lab.lose(sent_by("client", "A"), 1)
    _talk_and_close(lab, *lab.connect())


@proof(undergoes("client", _WHOLE_CLIENT), undergoes("server", _WHOLE_SERVER), loses("client", "A"))
def lost_third_ack_then_data(lab: Lab) -> None:
    """The third ACK is lost, but the client's request serves as well."""
    lab.lose(sent_by("client", "A"), 1)
    listener = lab.server.listen(8080)
    client = lab.client.new_socket()
    client.connect(listener.getsockname())
    client.sendall(b"hello")
    server = lab.accept(listener)
    server.recv(100)
    _talk_and_close(lab, client, server)


@proof(
    undergoes("client", "SYN_SENT"),
    sends("client", "S", 8),
    lasts(68),
    pace="long",
    vantage="client",
    rest=0.5,
)
def black_hole_given_up(lab: Lab) -> None:
    """A firewall swallows the SYNs: the client gives up after more than a minute."""
    lab.server.drop("tcp dport 8080")
    client = lab.client.new_socket()
    client.settimeout(80)
    with contextlib.suppress(TimeoutError):
        client.connect((lab.server.address, 8080))


@proof(undergoes("client", "SYN_SENT"), sends("client", "S", 3), vantage="client")
def black_hole_abandoned(lab: Lab) -> None:
    """The program loses patience before its kernel does: SYN_SENT ends without a packet."""
    lab.server.drop("tcp dport 8080")
    client = lab.client.new_socket()
    client.settimeout(2.5)
    with contextlib.suppress(TimeoutError):
        client.connect((lab.server.address, 8080))
    client.close()
    lab.pause(2)


@proof(undergoes("client", "SYN_SENT", 3), sends("server", "RA", 3), ipv6=True)
def ipv6_refused(lab: Lab) -> None:
    """Nobody listens there, over IPv6; the client tries three times."""
    for _ in range(3):
        client = lab.client.new_socket()
        with contextlib.suppress(ConnectionRefusedError):
            client.connect((lab.server.address, 8080))
        lab.pause(0.3)


@proof(
    undergoes("server", "SYN_RECV", 5),
    sends("server", "SA", 30),
    lasts(66),
    pace="long",
    socketless=("client",),
    rest=1,
)
def half_open_given_up(lab: Lab) -> None:
    """Five SYNs whose sender never answers: the server repeats its SYN-ACKs for a minute, then gives up."""
    spoofed = lab.numbered(66, network=9)
    lab.server.listen(8080)
    lab.pretend(spoofed)
    for port in range(41_000, 41_005):
        lab.send_raw((spoofed, port), (lab.server.address, 8080), "S", port << 16)
        lab.pause(0.3)
    lab.pause(66)


@proof(undergoes("client", _WHOLE_CLIENT, 4), undergoes("server", _WHOLE_SERVER, 4))
def syn_cookies(lab: Lab) -> None:
    """With SYN cookies the server keeps nothing until the third ACK."""
    lab.server.namespace.sysctl("ipv4/tcp_syncookies", 2)
    listener = lab.server.listen(8080)
    for _ in range(4):
        client, server = lab.connect_to(listener)
        _talk_and_close(lab, client, server)
        lab.settle()


def _queue(lab: Lab, backlog: int) -> tuple[socket.socket, list[socket.socket]]:
    """A listener, and clients that connect: one, then at once two more."""
    listener = lab.server.listen(8080, backlog=backlog)
    clients = [lab.client.new_socket() for _ in range(3)]
    for client in clients:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(listener.getsockname())
        if client is clients[0]:
            lab.settle()
    return listener, clients


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED", 3),
    undergoes("client", "SYN_SENT"),
    undergoes("server", "SYN_RECV ESTABLISHED", 2),
    undergoes("server", "SYN_RECV"),
    sends("server", "SA", 5),
    sends("client", "S", 6),
)
def backlog_overflow(lab: Lab) -> None:
    """Nobody accepts: two connections fit the queue, a third stays in SYN_RECV, a fourth gets no answer."""
    listener, _ = _queue(lab, backlog=1)
    lab.pause(0.5)
    latest = lab.client.new_socket()
    latest.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        latest.connect(listener.getsockname())
    lab.pause(4)


@proof(undergoes("client", _WHOLE_CLIENT, 3), undergoes("server", _WHOLE_SERVER, 3), sends("server", "SA", 5))
def backlog_overflow_cleared(lab: Lab) -> None:
    """The queue is full for two seconds; then the server accepts, and all three connections come about."""
    listener, clients = _queue(lab, backlog=1)
    lab.pause(2.2)
    servers = [lab.accept(listener) for _ in clients]
    lab.settle()
    for client in clients:
        client.close()
    lab.pause(0.3)
    for server in servers:
        server.close()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED", 2),
    undergoes("server", "SYN_RECV ESTABLISHED"),
    sends("server", "SA", 2),
)
def backlog_overflow_cookies(lab: Lab) -> None:
    """A queue for one: the next SYN is answered with a cookie, and its ACK dropped.

    So the client has an established connection, and the server no socket.
    """
    listener = lab.server.listen(8080, backlog=0)
    for _ in range(2):
        client = lab.client.new_socket()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(listener.getsockname())
    lab.pause(2)


@proof(undergoes("client", _WHOLE_CLIENT), undergoes("server", _WHOLE_SERVER))
def deferred_accept_data(lab: Lab) -> None:
    """TCP_DEFER_ACCEPT: the server leaves SYN_RECV only when the client's request arrives."""
    listener = lab.server.listen(8080)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 10)
    client = lab.client.new_socket()
    client.connect(listener.getsockname())
    lab.pause(0.6)
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    server = lab.accept(listener)
    server.recv(100)
    server.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")
    lab.settle()
    client.recv(100)
    client.close()
    lab.pause(0.3)
    server.close()


@proof(
    undergoes("client", _WHOLE_CLIENT, 3),
    undergoes("server", _WHOLE_SERVER, 3),
    sends("client", "S", 2, payload=True),
)
def fast_open(lab: Lab) -> None:
    """Fast Open: the first connection fetches a cookie, the next two carry their request in the SYN."""
    for host in (lab.client, lab.server):
        host.namespace.sysctl("ipv4/tcp_fastopen", 3)
    listener = lab.server.listen(8080)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    for _ in range(3):
        client = lab.client.new_socket()
        client.setblocking(True)
        client.sendto(b"GET / HTTP/1.0\r\n\r\n", socket.MSG_FASTOPEN, listener.getsockname())
        server = lab.accept(listener)
        server.recv(100)
        server.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        client.recv(100)
        lab.pause(0.2)
        client.close()
        lab.pause(0.2)
        server.close()
