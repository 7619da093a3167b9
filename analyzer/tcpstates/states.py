"""The TCP state machine as one table: role-blind, exhaustive, each entry with its source.

Everything that says how a socket's state changes is in this file, and nothing else is. A captured
segment is one event for the side that sent it (``SENT_FIN``) and, if it arrived, one for the side
that received it (``RECEIVED_FIN``); timers and gaps in the capture are events too. The table does
not know which side is the client. The diagram in the README is generated from it.

Sections are those of RFC 9293 unless they begin with ``Linux`` (net/ipv4/) or ``capture`` (what a
capture lets us say, where the RFC speaks of sockets that are seen from within).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class State(IntEnum):
    """The state of one side of one connection, spelled as netstat spells it."""

    UNKNOWN = 0
    CLOSE = 1
    LISTEN = 2
    SYN_SENT = 3
    SYN_RECV = 4
    ESTABLISHED = 5
    FIN_WAIT1 = 6
    FIN_WAIT2 = 7
    CLOSE_WAIT = 8
    CLOSING = 9
    LAST_ACK = 10
    TIME_WAIT = 11


class Event(IntEnum):
    """What can happen to one side; also the ``cause`` of each interval of the timeline."""

    FIRST_FRAME = 0
    PICKED_UP = 1
    SENT_SYN = 2
    RECEIVED_SYN = 3
    SENT_SYN_ACK = 4
    RECEIVED_SYN_ACK = 5
    RECEIVED_ACK_OF_SYN = 6
    SENT_FIN = 7
    RECEIVED_FIN = 8
    RECEIVED_ACK_OF_FIN = 9
    SENT_RST = 10
    RECEIVED_RST = 11
    TIMER_2MSL = 12
    TIMER_FIN_WAIT2 = 13
    TIMER_RETRANSMISSION = 14
    REUSED = 15
    LOST_TRACK = 16
    RECEIVED_ICMP_ERROR = 17

    @property
    def label(self) -> str:
        """The spelling in tables: ``sent_syn``, ``timer_2msl``."""
        return self.name.lower()


class Evidence(IntEnum):
    """How a state is known, strongest last."""

    ASSUMED = 0
    INFERRED = 1
    OBSERVED = 2

    @property
    def label(self) -> str:
        """The spelling in tables."""
        return self.name.lower()


class Side(IntEnum):
    """The two ends of a connection, in the order in which tables list them."""

    CLIENT = 0
    SERVER = 1

    @property
    def label(self) -> str:
        """The spelling in tables."""
        return self.name.lower()


_S, _E = State, Event

#: The states in which a socket exists for this very connection.
_LIVE = (
    _S.SYN_SENT, _S.SYN_RECV, _S.ESTABLISHED, _S.FIN_WAIT1, _S.FIN_WAIT2,
    _S.CLOSE_WAIT, _S.CLOSING, _S.LAST_ACK, _S.TIME_WAIT,
)  # fmt: skip


def _without(*states: State) -> tuple[State, ...]:
    """The live states but for these."""
    return tuple(state for state in _LIVE if state not in states)


TRANSITIONS: dict[tuple[State, Event], tuple[State, str]] = {
    # Opening (3.5, 3.10.1, 3.10.7.2, 3.10.7.3)
    (_S.CLOSE, _E.SENT_SYN): (_S.SYN_SENT, "3.10.1"),
    (_S.LISTEN, _E.SENT_SYN): (_S.SYN_SENT, "3.10.1"),
    (_S.UNKNOWN, _E.SENT_SYN): (_S.SYN_SENT, "3.10.1"),
    (_S.CLOSE, _E.SENT_SYN_ACK): (_S.SYN_RECV, "3.10.7.2"),
    (_S.LISTEN, _E.SENT_SYN_ACK): (_S.SYN_RECV, "3.10.7.2"),
    (_S.UNKNOWN, _E.SENT_SYN_ACK): (_S.SYN_RECV, "3.10.7.2"),
    (_S.SYN_SENT, _E.RECEIVED_SYN): (_S.SYN_RECV, "3.10.7.3"),
    (_S.SYN_SENT, _E.SENT_SYN_ACK): (_S.SYN_RECV, "3.10.7.3"),
    (_S.SYN_SENT, _E.RECEIVED_SYN_ACK): (_S.ESTABLISHED, "3.10.7.3"),
    (_S.SYN_RECV, _E.RECEIVED_SYN_ACK): (_S.ESTABLISHED, "3.10.7.4"),
    (_S.SYN_RECV, _E.RECEIVED_ACK_OF_SYN): (_S.ESTABLISHED, "3.10.7.4"),
    # Closing (3.6, 3.10.4, 3.10.7.4)
    (_S.SYN_RECV, _E.SENT_FIN): (_S.FIN_WAIT1, "3.10.4"),
    (_S.ESTABLISHED, _E.SENT_FIN): (_S.FIN_WAIT1, "3.10.4"),
    (_S.CLOSE_WAIT, _E.SENT_FIN): (_S.LAST_ACK, "3.10.4"),
    (_S.SYN_RECV, _E.RECEIVED_FIN): (_S.CLOSE_WAIT, "3.10.7.4"),
    (_S.ESTABLISHED, _E.RECEIVED_FIN): (_S.CLOSE_WAIT, "3.10.7.4"),
    (_S.FIN_WAIT1, _E.RECEIVED_FIN): (_S.CLOSING, "3.10.7.4"),
    (_S.FIN_WAIT2, _E.RECEIVED_FIN): (_S.TIME_WAIT, "3.10.7.4"),
    (_S.FIN_WAIT1, _E.RECEIVED_ACK_OF_FIN): (_S.FIN_WAIT2, "3.10.7.4"),
    (_S.CLOSING, _E.RECEIVED_ACK_OF_FIN): (_S.TIME_WAIT, "3.10.7.4"),
    (_S.LAST_ACK, _E.RECEIVED_ACK_OF_FIN): (_S.CLOSE, "3.10.7.4"),
    # Timers (3.10.8; Linux tcp_timer.c, tcp_minisocks.c)
    (_S.TIME_WAIT, _E.TIMER_2MSL): (_S.CLOSE, "3.10.8"),
    (_S.FIN_WAIT2, _E.TIMER_FIN_WAIT2): (_S.CLOSE, "Linux tcp_fin_timeout"),
    (_S.SYN_SENT, _E.TIMER_RETRANSMISSION): (_S.CLOSE, "3.8.3"),
    (_S.SYN_RECV, _E.TIMER_RETRANSMISSION): (_S.CLOSE, "3.8.3"),
    (_S.ESTABLISHED, _E.TIMER_RETRANSMISSION): (_S.CLOSE, "3.8.3"),
    (_S.FIN_WAIT1, _E.TIMER_RETRANSMISSION): (_S.CLOSE, "3.8.3"),
    (_S.CLOSE_WAIT, _E.TIMER_RETRANSMISSION): (_S.CLOSE, "3.8.3"),
    (_S.CLOSING, _E.TIMER_RETRANSMISSION): (_S.CLOSE, "3.8.3"),
    (_S.LAST_ACK, _E.TIMER_RETRANSMISSION): (_S.CLOSE, "3.8.3"),
    # An ICMP hard error ends an attempt to open, never a synchronized connection (3.9.2.2, Linux)
    (_S.SYN_SENT, _E.RECEIVED_ICMP_ERROR): (_S.CLOSE, "3.9.2.2"),
    (_S.SYN_RECV, _E.RECEIVED_ICMP_ERROR): (_S.CLOSE, "Linux tcp_ipv4.c tcp_v4_err"),
    # A capture that begins midway: who speaks, and who is spoken to, is taken to be open
    (_S.UNKNOWN, _E.PICKED_UP): (_S.ESTABLISHED, "capture"),
    (_S.UNKNOWN, _E.SENT_RST): (_S.CLOSE, "3.10.5"),
    (_S.UNKNOWN, _E.RECEIVED_RST): (_S.CLOSE, "3.10.7.4"),
    # Aborts (3.5.3, 3.10.5, 3.10.7.4). A RST sent in SYN_SENT answers a bad ACK; the attempt goes on.
    **{(state, _E.SENT_RST): (_S.CLOSE, "3.10.5") for state in _without(_S.SYN_SENT)},
    **{(state, _E.RECEIVED_RST): (_S.CLOSE, "3.10.7.4") for state in _LIVE},
    # The 4-tuple is used again: the old socket is gone (3.6.1; Linux tcp_timewait_state_process)
    **{(state, _E.REUSED): (_S.CLOSE, "3.6.1") for state in (_S.UNKNOWN, *_LIVE)},
    # The peer acknowledged what the capture missed: a FIN may have been in it
    **{(state, _E.LOST_TRACK): (_S.UNKNOWN, "capture") for state in _LIVE},
}

#: Pairs that leave the state as it is, by event. Table and set together hold every pair, each once.
IGNORED: frozenset[tuple[State, Event]] = frozenset(
    (state, event)
    for event, states in {
        # Where a timeline begins: it says what the state was, it does not change it
        _E.FIRST_FRAME: tuple(State),
        # Only a side of which nothing was known can be picked up
        _E.PICKED_UP: (_S.CLOSE, _S.LISTEN, *_LIVE),
        # A socket sends one SYN; a further one is a retransmission, or another socket's
        _E.SENT_SYN: _LIVE,
        # A listener's own state does not change (the new socket appears at its SYN-ACK, rule 4 of the
        # inference); a synchronized socket answers a SYN with a challenge ACK (3.10.7.4)
        _E.RECEIVED_SYN: (_S.UNKNOWN, _S.CLOSE, _S.LISTEN, *_without(_S.SYN_SENT)),
        _E.SENT_SYN_ACK: _without(_S.SYN_SENT),
        _E.RECEIVED_SYN_ACK: (_S.UNKNOWN, _S.CLOSE, _S.LISTEN, *_without(_S.SYN_SENT, _S.SYN_RECV)),
        _E.RECEIVED_ACK_OF_SYN: (_S.UNKNOWN, _S.CLOSE, _S.LISTEN, *_without(_S.SYN_RECV)),
        # close() before the connection is open sends no FIN; after the FIN there is no second one.
        # Of a side not known before, a FIN alone does not tell FIN_WAIT1 from LAST_ACK
        _E.SENT_FIN: (
            _S.UNKNOWN, _S.CLOSE, _S.LISTEN,
            *_without(_S.SYN_RECV, _S.ESTABLISHED, _S.CLOSE_WAIT),
        ),
        # 3.10.7.4, eighth: in CLOSED, LISTEN and SYN-SENT the FIN is dropped, after a FIN it is a repeat
        _E.RECEIVED_FIN: (
            _S.UNKNOWN, _S.CLOSE, _S.LISTEN,
            *_without(_S.SYN_RECV, _S.ESTABLISHED, _S.FIN_WAIT1, _S.FIN_WAIT2),
        ),
        _E.RECEIVED_ACK_OF_FIN: (
            _S.UNKNOWN, _S.CLOSE, _S.LISTEN,
            *_without(_S.FIN_WAIT1, _S.CLOSING, _S.LAST_ACK),
        ),
        # No socket, nothing to end; a RST sent in SYN_SENT answers a bad ACK (3.10.7.3, first)
        _E.SENT_RST: (_S.CLOSE, _S.LISTEN, _S.SYN_SENT),
        _E.RECEIVED_RST: (_S.CLOSE, _S.LISTEN),
        # Timers that do not run in these states
        _E.TIMER_2MSL: (_S.UNKNOWN, _S.CLOSE, _S.LISTEN, *_without(_S.TIME_WAIT)),
        _E.TIMER_FIN_WAIT2: (_S.UNKNOWN, _S.CLOSE, _S.LISTEN, *_without(_S.FIN_WAIT2)),
        _E.TIMER_RETRANSMISSION: (
            _S.UNKNOWN, _S.CLOSE, _S.LISTEN, _S.FIN_WAIT2, _S.TIME_WAIT,
        ),
        _E.REUSED: (_S.CLOSE, _S.LISTEN),
        _E.LOST_TRACK: (_S.UNKNOWN, _S.CLOSE, _S.LISTEN),
        # A synchronized connection survives ICMP errors (3.9.2.2)
        _E.RECEIVED_ICMP_ERROR: (
            _S.UNKNOWN, _S.CLOSE, _S.LISTEN, *_without(_S.SYN_SENT, _S.SYN_RECV),
        ),
    }.items()
    for state in states
)  # fmt: skip

_OTHER_SPELLINGS = {
    "ESTAB": _S.ESTABLISHED,
    "CLOSED": _S.CLOSE,
    "UNCONN": _S.CLOSE,
    "LISTENING": _S.LISTEN,
    "SYN_RECEIVED": _S.SYN_RECV,
    "SYN_RCVD": _S.SYN_RECV,
    "FIN_WAIT_1": _S.FIN_WAIT1,
    "FIN_WAIT_2": _S.FIN_WAIT2,
    "CLOSEWAIT": _S.CLOSE_WAIT,
    "LASTACK": _S.LAST_ACK,
    "TIMEWAIT": _S.TIME_WAIT,
}

STATE_NAMES = tuple(state.name for state in State)
EVENT_LABELS = tuple(event.label for event in Event)
EVIDENCE_LABELS = tuple(evidence.label for evidence in Evidence)
SIDE_LABELS = tuple(side.label for side in Side)


def parse_state(text: str) -> State:
    """The state that ``text`` names, in netstat's, ``ss``'s or RFC 9293's spelling, in any case.

    Raises
    ------
    ValueError
        If it names none.
    """
    name = text.strip().upper().replace("-", "_").replace(" ", "_")
    if name in State.__members__:
        return State[name]
    if name in _OTHER_SPELLINGS:
        return _OTHER_SPELLINGS[name]
    raise ValueError(f"not a TCP state: {text!r}; use one of {', '.join(STATE_NAMES)}")


def transition_array() -> np.ndarray:
    """The table for the compiled step.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (states, events): the next state, the same state for ignored pairs.
    """
    table = np.repeat(np.arange(len(State), dtype=np.uint8)[:, None], len(Event), axis=1)
    for (state, event), (following, _section) in TRANSITIONS.items():
        table[state, event] = following
    return table
