"""Ways to close a connection when nothing is lost."""

from __future__ import annotations

import contextlib
import socket

from ..expectations import lasts, sends, undergoes
from ..lab import Lab
from ..recording import proof

_OPENED = "SYN_SENT ESTABLISHED"
_ACCEPTED = "SYN_RECV ESTABLISHED"
_ACTIVE = "FIN_WAIT1 FIN_WAIT2 TIME_WAIT"
_PASSIVE = "CLOSE_WAIT LAST_ACK"


@proof(undergoes("client", f"{_OPENED} {_ACTIVE}"), undergoes("server", f"{_ACCEPTED} {_PASSIVE}"))
def close_at_once(lab: Lab) -> None:
    """The server closes as soon as it reads the client's FIN: CLOSE_WAIT lasts microseconds."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    server.recv(1)
    server.close()


@proof(undergoes("client", f"{_OPENED} {_ACTIVE}"), undergoes("server", f"{_ACCEPTED} {_PASSIVE}"))
def close_with_data(lab: Lab) -> None:
    """The client sends and closes in one go, without waiting for the answer's end."""
    client, server = lab.connect()
    client.sendall(bytes(5000))
    client.close()
    while server.recv(65_536):
        pass
    lab.pause(0.5)
    server.close()


@proof(undergoes("server", f"{_ACCEPTED} {_ACTIVE}"), undergoes("client", f"{_OPENED} {_PASSIVE}"))
def half_close_by_server(lab: Lab) -> None:
    """The server is the first to have said all; the client goes on sending, and both have sent before."""
    client, server = lab.connect()
    lab.exchange(client, server)
    server.shutdown(socket.SHUT_WR)
    client.recv(1)
    for number in range(5):
        lab.pause(0.4)
        client.sendall(bytes(100 * number + 1))
        server.recv(4096)
    client.close()


@proof(undergoes("client", f"{_OPENED} {_ACTIVE}"), undergoes("server", f"{_ACCEPTED} {_PASSIVE}"))
def half_close_both_ways(lab: Lab) -> None:
    """Data under way in both directions when the client says it has sent all; the answer takes its time."""
    client, server = lab.connect()
    for number in range(4):
        client.sendall(bytes(700))
        server.sendall(bytes(300 * number + 1))
    client.shutdown(socket.SHUT_WR)
    while server.recv(65_536):
        pass
    for _ in range(4):
        lab.pause(0.3)
        server.sendall(bytes(900))
    server.close()
    while client.recv(65_536):
        pass
    client.close()


@proof(
    undergoes("client", f"{_OPENED} FIN_WAIT1 CLOSING TIME_WAIT"),
    undergoes("server", f"{_ACCEPTED} FIN_WAIT1 CLOSING TIME_WAIT"),
)
def simultaneous_close_with_data(lab: Lab) -> None:
    """Both send and close at once: data and FINs cross."""
    client, server = lab.connect()
    lab.exchange(client, server)
    for one in (client, server):
        one.sendall(bytes(1200))
    client.recv(4096)
    server.recv(4096)
    for one in (client, server):
        one.shutdown(socket.SHUT_WR)
    lab.settle()
    client.close()
    server.close()


@proof(
    undergoes("client", "SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"),
    undergoes("server", "SYN_SENT SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"),
)
def simultaneous_open_and_close(lab: Lab) -> None:
    """Both sides open at once; after some talk one closes."""
    first, second = lab.client.new_socket(port=7000), lab.server.new_socket(port=7001)
    for one, other in ((first, second), (second, first)):
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(other.getsockname())
    lab.settle()
    first.settimeout(30)
    second.settimeout(30)
    lab.exchange(first, second)
    first.close()
    lab.pause(0.5)
    second.close()


@proof(undergoes("client", f"{_OPENED} {_ACTIVE}"), undergoes("server", f"{_ACCEPTED} {_PASSIVE}"))
def orphan_taken_leave_of(lab: Lab) -> None:
    """An orphaned FIN_WAIT2, which the server's FIN turns into TIME_WAIT after some seconds."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    lab.pause(3)
    server.close()


@proof(
    undergoes("client", f"{_OPENED} FIN_WAIT1 FIN_WAIT2"),
    undergoes("server", f"{_ACCEPTED} CLOSE_WAIT"),
    lasts(66),
    pace="long",
    rest=1,
)
def orphaned_fin_wait2(lab: Lab) -> None:
    """The server does not close: the client's orphaned FIN_WAIT2 ends after a minute, CLOSE_WAIT never."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    lab.pause(65)


@proof(
    undergoes("server", f"{_ACCEPTED} {_ACTIVE}"),
    undergoes("client", f"{_OPENED} {_PASSIVE}"),
    lasts(66),
    pace="long",
    rest=1,
)
def time_wait_expires(lab: Lab) -> None:
    """A close by the server, and the minute in which its TIME_WAIT ends."""
    client, server = lab.connect()
    lab.exchange(client, server)
    server.close()
    lab.pause(0.5)
    client.close()
    lab.pause(65)


@proof(
    undergoes("client", f"{_OPENED} FIN_WAIT1 FIN_WAIT2", 5),
    undergoes("server", f"{_ACCEPTED} CLOSE_WAIT", 5),
)
def close_wait_pool(lab: Lab) -> None:
    """A server that forgets its connections: five in CLOSE_WAIT, the clients' FIN_WAIT2 not orphaned."""
    listener = lab.server.listen(8080)
    for _ in range(5):
        client, server = lab.connect_to(listener)
        lab.exchange(client, server)
        client.shutdown(socket.SHUT_WR)
        lab.pause(0.4)
    lab.pause(1)


@proof(
    undergoes("client", f"{_OPENED} {_ACTIVE} SYN_SENT ESTABLISHED {_ACTIVE}"),
    undergoes("server", f"{_ACCEPTED} {_PASSIVE} {_ACCEPTED} {_PASSIVE}"),
    sends("client", "S", 2),
)
def reuse_by_client(lab: Lab) -> None:
    """With tcp_tw_reuse a client connects again from the port of its own TIME_WAIT."""
    lab.client.namespace.sysctl("ipv4/tcp_tw_reuse", 1)
    listener = lab.server.listen(8080)
    for _ in range(2):
        client, server = lab.connect_to(listener, port=45_679)
        lab.exchange(client, server)
        client.close()
        lab.settle()
        server.close()
        lab.pause(1.5)


@proof(
    undergoes("client", f"{_OPENED} {_ACTIVE}"),
    undergoes("server", f"{_ACCEPTED} {_PASSIVE}"),
    ipv6=True,
)
def ipv6_half_close(lab: Lab) -> None:
    """A half-close over IPv6, the answer in pieces."""
    client, server = lab.connect(443)
    lab.exchange(client, server)
    client.shutdown(socket.SHUT_WR)
    for _ in range(3):
        lab.pause(0.3)
        server.sendall(bytes(400))
    server.close()
    lab.settle()
    client.close()
