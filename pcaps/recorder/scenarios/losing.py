"""Single segments lost on the way, of an otherwise orderly connection."""

from __future__ import annotations

import socket

from ..expectations import loses, sends, undergoes
from ..lab import Lab, abort
from ..link import sent_by
from ..recording import proof

_ACTIVE = "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"
_PASSIVE = "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"


@proof(undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), loses("client", "FA"))
def lost_fin(lab: Lab) -> None:
    """The first FIN is lost; its sender repeats it."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.lose(sent_by("client", "FA"), 1)
    client.close()
    lab.pause(1)
    server.close()


@proof(undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), loses("client", "FA", 3))
def lost_fin_thrice(lab: Lab) -> None:
    """Three copies of the FIN are lost: FIN_WAIT1 lasts while the server knows nothing of it."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.lose(sent_by("client", "FA"), 3)
    client.close()
    lab.pause(3)
    server.close()


@proof(undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), loses("server", "A"))
def lost_ack_of_fin(lab: Lab) -> None:
    """The FIN arrives, its acknowledgement does not: a repeated FIN meets CLOSE_WAIT."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.lose(sent_by("server", "A"), 1)
    client.close()
    lab.pause(2)
    server.close()


@proof(
    undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), loses("client", "A"), sends("server", "F", 2)
)
def lost_last_ack(lab: Lab) -> None:
    """The last ACK is lost: LAST_ACK lasts until the FIN is repeated into TIME_WAIT."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    lab.pause(0.5)
    lab.lose(sent_by("client", "A"), 1)
    server.close()
    lab.pause(1)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 CLOSING TIME_WAIT"),
    undergoes("server", "SYN_RECV ESTABLISHED FIN_WAIT1 CLOSING TIME_WAIT"),
    loses("server", "A"),
    sends("client", "F", 2),
)
def lost_ack_in_closing(lab: Lab) -> None:
    """A simultaneous close of which one side's acknowledgement is lost: it stays in CLOSING for longer."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.lose(sent_by("server", "A"), 2)
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    lab.pause(1.5)
    client.close()
    server.close()


@proof(
    undergoes("client", _ACTIVE),
    undergoes("server", "SYN_RECV ESTABLISHED FIN_WAIT1 CLOSING TIME_WAIT"),
    loses("server", "FA"),
)
def lost_crossing_fin(lab: Lab) -> None:
    """Both close at once, but one FIN is lost: it arrives as a repeat that acknowledges the other."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.lose(sent_by("server", "FA"), 1)
    lab.lose(sent_by("server", "A"), 1)
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    lab.pause(1.5)
    client.close()
    server.close()


@proof(
    undergoes("client", _ACTIVE), undergoes("server", _PASSIVE), loses("client", "A"), loses("server", "A")
)
def lost_data(lab: Lab) -> None:
    """A request and an answer are lost once each, and repeated."""
    client, server = lab.connect()
    for sender, side in ((client, "client"), (server, "server")):
        lab.lose(sent_by(side, "A", payload=True), 1)
        sender.sendall(bytes(2000))
        (server if sender is client else client).recv(4096)
        lab.pause(0.7)
    lab.lose(sent_by("client", "A", payload=True), 2)
    client.sendall(bytes(3000))
    client.close()
    while server.recv(65_536):
        pass
    lab.pause(0.5)
    server.close()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED"),
    undergoes("server", "SYN_RECV ESTABLISHED"),
    loses("client", "RA"),
    sends("server", "RA", 0),
)
def lost_reset(lab: Lab) -> None:
    """The client's RST is lost: the server learns only when it speaks and is reset again."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.lose(sent_by("client", "RA"), 1)
    abort(client)
    lab.pause(2)
    server.sendall(b"are you there?")
    lab.settle()
