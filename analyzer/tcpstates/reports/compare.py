"""Where Zeek's or Wireshark's word on a connection is not borne out by the evidence, and why.

A rule sees all connections at once and says where its disagreement applies. To add one is to name it in
``schema.DISAGREEMENTS``, to write its rule, and to put both and a sentence into ``RULES``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tcpstates.errors import UsageError
from tcpstates.reports.dialects import conn_states, histories
from tcpstates.reports.log import CLOSING_STATES, Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.table import Pieces, Table, Values
from tcpstates.schema import (
    CONN_STATES,
    DIALECT_NAMES,
    DISAGREEMENTS,
    NO_TIME,
    OUTCOMES,
    Completeness,
    ZeekState,
)
from tcpstates.states import Event, Side, State
from tcpstates.storage import blocks

_LOWER = 0x20  # the bit that makes a letter a small one
_RESETS = ("REJ", "RSTO", "RSTR", "RSTOS0", "RSTRH")
_ROLES = ("originator", "responder")
_HANDSHAKE = Completeness.SYN | Completeness.SYN_ACK | Completeness.ACK
_SENT = (State.FIN_WAIT1, State.CLOSING, State.LAST_ACK)
_ALIVE = tuple(state for state in (State.ESTABLISHED, *CLOSING_STATES) if state != State.TIME_WAIT)


def compare(log: Log, outcomes: Outcomes) -> Pieces:
    """One row per connection and disagreement, in the order of connections.

    Raises
    ------
    UsageError
        If the log was made without the dialects.
    """
    words = _Words(log, outcomes)
    found = [np.flatnonzero(rule.applies(words)) for rule in RULES]
    conn = np.concatenate(found)
    which = np.repeat(np.arange(len(RULES)), [len(rows) for rows in found])
    order = np.lexsort((which, conn))
    conn, which = conn[order], which[order]
    return Pieces("compare", len(conn), lambda part: _rows(words, conn[part], which[part]))


class _Words:
    """What both sides of the comparison have to say; bool answers are one per connection."""

    def __init__(self, log: Log, outcomes: Outcomes) -> None:
        if log.dialects is None:
            raise UsageError("the capture was analysed without dialects; use analyze(..., dialects=True)")
        self.log, self.outcomes, self.rows = log, outcomes, log.dialects

    @cached_property
    def conn_state(self) -> np.ndarray:
        """int8, of CONN_STATES."""
        return conn_states(self.rows)

    def is_in(self, *names: str) -> np.ndarray:
        """Whether Zeek's conn_state is one of ``names``."""
        return np.isin(self.conn_state, [CONN_STATES.index(name) for name in names])

    def has(self, bits: int) -> np.ndarray:
        """Whether all of ``bits`` are in Wireshark's completeness."""
        return np.asarray(self.rows["completeness"] & bits == bits)

    def ended_in(self, *states: State) -> np.ndarray:
        """Whether a side is in one of ``states`` when the capture ends."""
        return np.asarray(np.isin(self.log.final, states).any(axis=1))

    def met(self, *events: Event) -> np.ndarray:
        """Whether one of ``events`` changed the state of a side."""
        met = np.zeros(len(self.log.connections), bool)
        for part in blocks(len(self.log.cause)):
            met[self.log.transitions["conn"][part][np.isin(self.log.cause[part], events)]] = True
        return met

    @cached_property
    def has_both_fins(self) -> np.ndarray:
        """Whether both sides sent a FIN, captured or shown by its acknowledgement."""
        return np.asarray((self.log.per_side("fin_time") != NO_TIME).all(axis=1))

    @cached_property
    def was_never_open(self) -> np.ndarray:
        """Whether the server sent a SYN-ACK, and its handshake was never completed."""
        server = self.log.ever[:, Side.SERVER]
        opened = sum(1 << state for state in (State.ESTABLISHED, *CLOSING_STATES))
        return np.asarray((server & (1 << State.SYN_RECV) != 0) & (server & opened == 0))

    @cached_property
    def ignored_reset(self) -> np.ndarray:
        """Whether RSTs were captured, and none ended a side."""
        resets = self.log.per_side("rsts").any(axis=1)
        return np.asarray(resets & ~self.met(Event.SENT_RST, Event.RECEIVED_RST))


class _Rule(NamedTuple):
    """A disagreement: whose word it is, what it is called, where it applies, and why it is one."""

    dialect: str
    name: str
    applies: Callable[[_Words], np.ndarray]
    explanation: str


def _wireshark_calls_complete(words: _Words) -> np.ndarray:
    closing = words.has(_HANDSHAKE | Completeness.FIN)
    stuck = [index for index, name in enumerate(OUTCOMES) if name.startswith("stuck")]
    open_still = words.ended_in(*_ALIVE) & ~words.met(Event.SENT_RST, Event.RECEIVED_RST)
    return np.asarray(closing & (open_still | np.isin(words.outcomes.outcome, stuck)))


def _zeek_calls_closed(words: _Words) -> np.ndarray:
    return np.asarray(words.is_in("SF") & words.ended_in(*_SENT))


def _zeek_calls_established(words: _Words) -> np.ndarray:
    return np.asarray(words.is_in("S1", "S2", "S3", "SF", "RSTO", "RSTR") & words.was_never_open)


def _zeek_misses_a_fin(words: _Words) -> np.ndarray:
    seen = [np.isin(words.rows[role], (ZeekState.CLOSED, ZeekState.RESET)) for role in _ROLES]
    return np.asarray(words.has_both_fins & ~(seen[0] & seen[1]) & (words.rows["zeek_splits"] == 0))


def _wireshark_misses_a_fin(words: _Words) -> np.ndarray:
    has_fin = (words.log.per_side("fin_time") != NO_TIME).any(axis=1)
    return np.asarray(has_fin & ~words.has(Completeness.FIN) & (words.rows["wireshark_splits"] == 0))


def _zeek_leaves_out_segments(words: _Words) -> np.ndarray:
    found = np.zeros(len(words.rows), bool)
    for part in blocks(len(found)):
        letters = words.rows["history"][part].copy().view(np.uint8).reshape(part.stop - part.start, -1)
        found[part] = ((letters | _LOWER) == ord("c")).any(axis=1)
    return found


def _wireshark_misses_the_syn(words: _Words) -> np.ndarray:
    return np.asarray((words.log.per_side("syns")[:, Side.CLIENT] > 0) & ~words.has(Completeness.SYN))


def _wireshark_takes_a_refusal_for_an_ack(words: _Words) -> np.ndarray:
    refused = words.outcomes.outcome == OUTCOMES.index("refused")
    return np.asarray(refused & words.has(Completeness.ACK))


RULES: tuple[_Rule, ...] = (
    _Rule(
        "wireshark", "still_open", _wireshark_calls_complete,
        "Wireshark calls a conversation complete when it has seen the handshake and one FIN; here a side "
        "never closed, or its close was never acknowledged, or only after long.",
    ),
    _Rule(
        "zeek", "unacknowledged_fin", _zeek_calls_closed,
        "For Zeek two FINs are a normal end (SF); here one was not acknowledged, and its sender waits.",
    ),
    _Rule(
        "zeek", "ignored_reset", lambda words: words.ignored_reset & words.is_in(*_RESETS),
        "Zeek takes any RST for the end; this one had a number that its receiver ignores, and nothing ended.",
    ),
    _Rule(
        "wireshark", "ignored_reset", lambda words: words.ignored_reset & words.has(Completeness.RST),
        "Wireshark notes any RST; this one had a number that its receiver ignores, and nothing ended.",
    ),
    _Rule(
        "zeek", "unfinished_handshake", _zeek_calls_established,
        "For Zeek the SYN-ACK establishes a connection; the server never got the third ACK, and stayed in "
        "SYN_RECV.",
    ),
    _Rule(
        "wireshark", "unfinished_handshake", lambda words: words.has(_HANDSHAKE) & words.was_never_open,
        "Wireshark takes any segment with ACK and no data for the handshake's third; the server got none "
        "that completes it, and stayed in SYN_RECV.",
    ),
    _Rule(
        "zeek", "missed_fin", _zeek_misses_a_fin,
        "The capture lacks a FIN that its acknowledgement shows; Zeek goes by the FINs that it sees.",
    ),
    _Rule(
        "wireshark", "missed_fin", _wireshark_misses_a_fin,
        "The capture lacks a FIN that its acknowledgement shows, or it came without ACK; Wireshark goes by "
        "FINs with ACK that it sees.",
    ),
    _Rule(
        "wireshark", "missed_syn", _wireshark_misses_the_syn,
        "Wireshark counts a SYN only as a stream's first frame; here something was captured before it.",
    ),
    _Rule(
        "wireshark", "refusal_as_ack", _wireshark_takes_a_refusal_for_an_ack,
        "Wireshark's ACK bit is not of a handshake here: it is that of the RST which refused the SYN.",
    ),
    _Rule(
        "zeek", "wrong_checksums", _zeek_leaves_out_segments,
        "Zeek leaves out segments with a wrong checksum (zeek -C takes them in); we count those that were "
        "left to a network card, or whose sender sends no right ones.",
    ),
    _Rule(
        "zeek", "reversed_roles", lambda words: words.rows["reversed"] != 0,
        "Zeek's originator is the side that we take for the server: lower and upper case are exchanged.",
    ),
    _Rule(
        "zeek", "split", lambda words: words.rows["zeek_splits"] != 0,
        "Zeek has this in several records, of which this is the first: it gives up a SYN after 5 s, a closed "
        "connection 5 s after its end, a silent one after 5 min, and any at a SYN with another number.",
    ),
    _Rule(
        "wireshark", "split", lambda words: words.rows["wireshark_splits"] != 0,
        "Wireshark has later frames of this in another stream: any SYN with another number begins one.",
    ),
)  # fmt: skip


def _rows(words: _Words, conn: np.ndarray, which: np.ndarray) -> Table:
    log, dialect = words.log, np.array([DIALECT_NAMES.index(rule.dialect) for rule in RULES])[which]
    values: dict[str, Values] = {
        "conn": conn,
        "dialect": dialect,
        "says": _sayings(words, conn, dialect),
        "outcome": words.outcomes.outcome[conn],
        "disagreement": np.array([DISAGREEMENTS.index(rule.name) for rule in RULES])[which],
        "explanation": np.array([rule.explanation for rule in RULES], object)[which],
    }
    for side in Side:
        codes = log.addresses.codes[2 * conn + side]
        values[f"{side.label}_addr"] = log.addresses.labels(codes)
        values[f"{side.label}_port"] = log.sides["port"][2 * conn + side]
        values[f"{side.label}_state"] = log.final[conn, side]
    return Table.of("compare", values)


def _sayings(words: _Words, conn: np.ndarray, dialect: np.ndarray) -> np.ndarray:
    """``SF ShADadFf`` for Zeek, ``31`` for Wireshark."""
    rows = words.rows[conn]
    states, bits = words.conn_state[conn].tolist(), rows["completeness"].tolist()
    is_zeek = (dialect == DIALECT_NAMES.index("zeek")).tolist()
    texts = [
        f"{CONN_STATES[state]} {letters}" if zeek else str(number)
        for zeek, state, letters, number in zip(is_zeek, states, histories(rows).tolist(), bits, strict=True)
    ]
    return np.array(texts, object)
