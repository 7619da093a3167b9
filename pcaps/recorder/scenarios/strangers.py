"""Segments from those who have no connection: forgers and scanners."""

from __future__ import annotations

from ..expectations import makes_no_socket, sends, undergoes
from ..lab import Lab
from ..recording import proof

_ACTIVE = "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"
_PASSIVE = "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED"),
    undergoes("server", "SYN_RECV ESTABLISHED"),
    sends("client", "R"),
)
def forged_reset_exact(lab: Lab) -> None:
    """Somebody resets the server's side with the very number that it expects.

    The client learns of it when it speaks.
    """
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.forge("client", "R")
    lab.pause(1)
    client.sendall(b"anyone?")
    lab.settle()


@proof(undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), sends("client", "R", 2))
def forged_reset_in_window(lab: Lab) -> None:
    """Forged RSTs inside the window, but not exact: each draws a challenge ACK, nothing else."""
    _survive(lab, 100, 2000)


@proof(undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), sends("client", "R", 3))
def forged_reset_out_of_window(lab: Lab) -> None:
    """Forged RSTs outside the window: ignored."""
    _survive(lab, -1000, -1, 10_000_000)


def _survive(lab: Lab, *offsets: int) -> None:
    client, server = lab.connect()
    lab.exchange(client, server)
    for offset in offsets:
        lab.forge("client", "R", offset)
        lab.pause(0.6)
    lab.exchange(client, server)
    client.close()
    lab.pause(0.4)
    server.close()


@proof(undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), sends("server", "R"), vantage="client")
def time_wait_assassination(lab: Lab) -> None:
    """A RST with the right number ends TIME_WAIT (rfc1337 is off)."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    lab.pause(0.5)
    server.close()
    lab.pause(1)
    lab.forge("server", "R")
    lab.pause(1)


@proof(undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), sends("client", "S", 3))
def forged_syn(lab: Lab) -> None:
    """SYNs on a live connection draw challenge ACKs, nothing else."""
    client, server = lab.connect()
    lab.exchange(client, server)
    for offset in (0, 500_000):
        lab.forge("client", "S", offset)
        lab.pause(0.6)
    lab.exchange(client, server)
    client.close()
    lab.pause(0.4)
    server.close()


_PORTS = (21, 22, 23, 80, 443, 8080)


def _scan(lab: Lab, flags: str) -> None:
    for port in (22, 80):
        lab.server.listen(port)
    for number, port in enumerate(_PORTS):
        source = (lab.client.address, 50_000 + number)
        lab.send_raw(source, (lab.server.address, port), flags, 1_000_000 + number)
        lab.pause(0.15)


@proof(
    undergoes("server", "SYN_RECV", 2),
    makes_no_socket("client"),
    sends("server", "SA", 2),
    sends("server", "R", 4),
)
def scan_syn(lab: Lab) -> None:
    """A SYN scan: closed ports refuse; what open ones answer, the scanner's kernel resets."""
    _scan(lab, "S")


@proof(makes_no_socket("server"), makes_no_socket("client"), sends("client", "F", 6), sends("server", "R", 4))
def scan_fin(lab: Lab) -> None:
    """A FIN scan: closed ports answer with a RST, open ones do not."""
    _scan(lab, "F")


@proof(makes_no_socket("server"), makes_no_socket("client"), sends("server", "R", 4))
def scan_null(lab: Lab) -> None:
    """A NULL scan: segments without any flag."""
    _scan(lab, "")


@proof(
    makes_no_socket("server"), makes_no_socket("client"), sends("client", "FPU", 6), sends("server", "R", 4)
)
def scan_xmas(lab: Lab) -> None:
    """An XMAS scan: FIN, PSH and URG."""
    _scan(lab, "FPU")


@proof(makes_no_socket("server"), makes_no_socket("client"), sends("client", "A", 6), sends("server", "R", 6))
def scan_ack(lab: Lab) -> None:
    """An ACK scan: every port answers with a RST."""
    _scan(lab, "A")
