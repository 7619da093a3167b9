"""ICMP errors about connections: what they end, and what survives them."""

from __future__ import annotations

import contextlib

from ..expectations import ends, sends, undergoes
from ..lab import Lab
from ..recording import proof

_SYN_ACK = "tcp sport 8080 tcp flags & (syn | ack) == syn | ack"


def _attempts(lab: Lab) -> None:
    """Try to connect, one attempt after the other."""
    for _ in range(3):
        client = lab.client.new_socket()
        with contextlib.suppress(OSError):
            client.connect((lab.server.address, 8080))
        client.close()


def _go_on_trying(lab: Lab) -> None:
    """Try to connect for as long as it is recorded."""
    lab.server.listen(8080)
    client = lab.client.new_socket()
    client.setblocking(False)
    client.connect_ex((lab.server.address, 8080))
    lab.pause(2.5)


@proof(undergoes("client", "SYN_SENT", 3), vantage="client")
def unreachable(lab: Lab) -> None:
    """A firewall answers the SYN with an ICMP message."""
    lab.server.reject("tcp dport 8080")
    _attempts(lab)


@proof(undergoes("client", "SYN_SENT", 3), vantage="client")
def unreachable_prohibited(lab: Lab) -> None:
    """A firewall says that it is one: communication administratively prohibited."""
    lab.server.reject("tcp dport 8080", "admin-prohibited")
    _attempts(lab)


@proof(undergoes("client", "SYN_SENT", 3), vantage="client", ipv6=True)
def ipv6_unreachable(lab: Lab) -> None:
    """A firewall answers the SYN with an ICMPv6 message."""
    lab.server.reject("tcp dport 8080", "host-unreachable")
    _attempts(lab)


@proof(undergoes("client", "SYN_SENT"), sends("server", "SA", 3), rest=0)
def syn_ack_unreachable(lab: Lab) -> None:
    """The SYN-ACKs are answered with "host unreachable": each ends a SYN_RECV that a repeated SYN began."""
    lab.client.reject(_SYN_ACK, "host-unreachable")
    _go_on_trying(lab)


@proof(undergoes("client", "SYN_SENT"), undergoes("server", "SYN_RECV"), sends("server", "SA", 2), rest=0)
def syn_ack_prohibited(lab: Lab) -> None:
    """The SYN-ACKs are answered with "prohibited", which a server in SYN_RECV survives."""
    lab.client.reject(_SYN_ACK, "admin-prohibited")
    _go_on_trying(lab)


@proof(
    undergoes("client", "SYN_SENT"),
    undergoes("server", "SYN_RECV"),
    sends("server", "SA", 2),
    ipv6=True,
    rest=0,
)
def ipv6_syn_ack_unreachable(lab: Lab) -> None:
    """The SYN-ACKs are answered with "address unreachable", which in IPv6 a server in SYN_RECV survives."""
    lab.client.reject(_SYN_ACK, "host-unreachable")
    _go_on_trying(lab)


@proof(
    ends("TIME_WAIT", "CLOSE"),
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"),
)
def unreachable_for_a_while(lab: Lab) -> None:
    """The server is unreachable for a second while the client sends: an open connection survives that."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.server.reject("tcp dport 8080", "host-unreachable")
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    lab.pause(1)
    lab.server.let_pass()
    server.recv(4096)
    lab.exchange(client, server)
    client.close()
    lab.pause(0.3)
    server.close()
