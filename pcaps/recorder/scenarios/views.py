"""Captures that saw only a part of what happened."""

from __future__ import annotations

from ..expectations import lasts, sends, undergoes
from ..lab import Lab
from ..recording import proof

_ACTIVE = "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"
_PASSIVE = "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"


@proof(undergoes("client", _ACTIVE, 3), undergoes("server", _PASSIVE, 3), sends("client", "F"))
def capture_begun_midway(lab: Lab) -> None:
    """The capture begins when one connection is in use, one is closing, and one is over."""
    listener = lab.server.listen(8080)
    pairs = [lab.connect_to(listener) for _ in range(3)]
    for pair in pairs:
        lab.exchange(*pair)
    for client, _ in pairs[:2]:
        client.close()
    lab.settle()
    pairs[0][1].close()
    lab.settle()
    lab.capture_from_now()
    lab.exchange(*pairs[2])
    lab.pause(0.5)
    pairs[1][1].close()
    lab.pause(0.5)
    pairs[2][0].close()
    lab.pause(0.5)
    pairs[2][1].close()


@proof(undergoes("client", _ACTIVE, 3), undergoes("server", _PASSIVE, 3), sends("client", "F"), lasts(1))
def capture_ended_midway(lab: Lab) -> None:
    """The capture ends when one connection is in use, one is closing, and one is over."""
    listener = lab.server.listen(8080)
    pairs = [lab.connect_to(listener) for _ in range(3)]
    for pair in pairs:
        lab.exchange(*pair)
    for client, _ in pairs[:2]:
        client.close()
    lab.pause(0.5)
    pairs[0][1].close()
    lab.pause(0.5)
    lab.exchange(*pairs[2])
    lab.capture_until_now()
    pairs[1][1].close()
    pairs[2][0].close()
    lab.pause(0.5)
    pairs[2][1].close()
