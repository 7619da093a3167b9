"""Connections of which nothing is heard any more: cut links, probes, stalled readers."""

from __future__ import annotations

import contextlib
import socket

from ..expectations import ends, lasts, loses, sends, undergoes
from ..lab import Lab
from ..recording import proof

_REQUEST = b"POST /log HTTP/1.1\r\nHost: example.org\r\n\r\n"


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED"),
    undergoes("server", "SYN_RECV ESTABLISHED"),
    ends("CLOSE", "ESTABLISHED"),
    loses("client", "A", 3),
    vantage="client",
)
def cut_established(lab: Lab) -> None:
    """The link is cut with data in flight; the client gives up after tcp_retries2, which is 3 here."""
    lab.client.namespace.sysctl("ipv4/tcp_retries2", 3)
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.cut()
    client.sendall(_REQUEST)
    lab.pause(8)


@proof(
    ends("CLOSE", "ESTABLISHED"),
    undergoes("client", "SYN_SENT ESTABLISHED"),
    loses("client", "A", 2),
    vantage="client",
)
def cut_with_user_timeout(lab: Lab) -> None:
    """The same with TCP_USER_TIMEOUT of two seconds."""
    client, server = lab.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000)
    lab.exchange(client, server)
    lab.cut()
    client.sendall(_REQUEST)
    lab.pause(5)


@proof(ends("ESTABLISHED", "ESTABLISHED"), loses("client", "A", 4), vantage="client")
def cut_still_trying(lab: Lab) -> None:
    """The same with the kernel's defaults: it goes on trying."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.cut()
    client.sendall(_REQUEST)
    lab.pause(8)


@proof(ends("CLOSE", "CLOSE"), loses("client", "A", 3), loses("server", "A", 3))
def cut_both_send(lab: Lab) -> None:
    """The link is cut while both send; both give up."""
    for host in (lab.client, lab.server):
        host.namespace.sysctl("ipv4/tcp_retries2", 3)
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.cut()
    client.sendall(_REQUEST)
    lab.pause(0.4)
    server.sendall(bytes(200))
    lab.pause(8)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1"),
    undergoes("server", "SYN_RECV ESTABLISHED"),
    ends("CLOSE", "ESTABLISHED"),
    loses("client", "FA", 3),
    vantage="client",
)
def cut_in_fin_wait1(lab: Lab) -> None:
    """The link is cut before the FIN: the orphan gives up after tcp_orphan_retries, which is 3 here."""
    lab.client.namespace.sysctl("ipv4/tcp_orphan_retries", 3)
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.cut()
    client.close()
    lab.pause(8)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"),
    ends("FIN_WAIT2", "CLOSE"),
    loses("server", "FA", 3),
)
def cut_in_last_ack(lab: Lab) -> None:
    """The link is cut before the server's FIN: LAST_ACK ends after tcp_orphan_retries, FIN_WAIT2 stays."""
    lab.server.namespace.sysctl("ipv4/tcp_orphan_retries", 3)
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    lab.pause(0.5)
    lab.cut()
    server.close()
    lab.pause(8)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"),
    loses("client", "A", 3),
)
def cut_and_back(lab: Lab) -> None:
    """The link is cut with data in flight and comes back after four seconds; all goes on."""
    client, server = lab.connect()
    lab.exchange(client, server)
    cut = lab.cut()
    client.sendall(_REQUEST)
    lab.pause(4)
    cut.mend()
    server.recv(4096)
    lab.exchange(client, server)
    client.close()
    lab.pause(0.3)
    server.close()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"),
    loses("client", "FA", 2),
    loses("server", "FA", 2),
)
def cut_while_closing(lab: Lab) -> None:
    """The link is down twice while the connection closes: in FIN_WAIT1, and in LAST_ACK."""
    client, server = lab.connect()
    lab.exchange(client, server)
    for one in (client, server):
        cut = lab.cut()
        one.close()
        lab.pause(1.5)
        cut.mend()
        lab.pause(2)


def _keep_alive(one: socket.socket, probes: int) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, probes)):
        one.setsockopt(socket.IPPROTO_TCP, option, value)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED"),
    ends("CLOSE", "ESTABLISHED"),
    sends("client", "R"),
    loses("client", "A", 3),
    vantage="client",
)
def keep_alive_unanswered(lab: Lab) -> None:
    """Keep-alive probes into a cut link: after three the client gives up, and says so with a RST."""
    client, server = lab.connect()
    _keep_alive(client, 3)
    lab.exchange(client, server)
    lab.pause(2.5)
    lab.cut()
    lab.pause(5)


@proof(ends("ESTABLISHED", "ESTABLISHED"), sends("server", "A", 6, payload=False), lasts(6))
def keep_alive_by_server(lab: Lab) -> None:
    """The server's keep-alive probes are answered; the client speaks again after a while."""
    client, server = lab.connect()
    _keep_alive(server, 3)
    lab.exchange(client, server)
    lab.pause(4.5)
    lab.exchange(client, server)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"),
    lasts(6),
)
def zero_window(lab: Lab) -> None:
    """The server stops reading until its window is closed; the client probes; then all is read."""
    client, server = _stalled(lab)
    lab.pause(4)
    client.settimeout(30)
    _read_all_but_end(server)
    lab.exchange(client, server)
    client.close()
    lab.pause(0.3)
    server.close()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"),
    lasts(4),
)
def zero_window_close(lab: Lab) -> None:
    """The client closes while the window is closed: its FIN leaves only seconds later."""
    client, server = _stalled(lab)
    lab.pause(0.5)
    client.close()
    lab.pause(3)
    server.settimeout(30)
    while server.recv(65_536):
        pass
    lab.pause(0.3)
    server.close()


def _stalled(lab: Lab) -> tuple[socket.socket, socket.socket]:
    """A connection whose window is closed, with data waiting behind it."""
    listener = lab.server.listen(8080)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = lab.client.new_socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.connect(listener.getsockname())
    server = lab.accept(listener)
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(bytes(1000))
            lab.settle()
    return client, server


def _read_all_but_end(server: socket.socket) -> None:
    server.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while server.recv(65_536):
            pass
    server.settimeout(30)
