"""One connection's segments between client and server: what every ladder diagram is made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tcpstates.reports.exchange import (
    FATE_LABELS,
    FIN,
    RST,
    SYN,
    Exchange,
    fate_codes,
    flag_names,
    relative_numbers,
    states_at,
)  # fmt: skip
from tcpstates.reports.log import Log
from tcpstates.reports.wording import counted
from tcpstates.states import Side, State


class Rung(NamedTuple):
    """One line of a ladder: a segment, or several in a row that say nothing new.

    Attributes
    ----------
    time : ns.
    sender : who sent it; None for several.
    text : ``SYN ACK  seq 0  ack 1``.
    fate : what it was taken for, empty for nothing special.
    frame : in its file; the first one of several.
    states : of client and server after it.
    changed : whether it changed them.
    """

    time: int
    sender: Side | None
    text: str
    fate: str
    frame: int
    states: tuple[State, State]
    changed: tuple[bool, bool]


class Ladder(NamedTuple):
    """The rungs of one connection, from ``start`` (ns) on; ``omitted`` segments were too many to read."""

    conn: int
    start: int
    rungs: tuple[Rung, ...]
    omitted: int


class _Rows(NamedTuple):
    """What rungs are made of, one value per segment; ``states`` and ``changed`` of shape (n, 2)."""

    exchange: Exchange
    seq: np.ndarray
    ack: np.ndarray
    states: np.ndarray
    changed: np.ndarray


def ladder(log: Log, conn: int, exchange: Exchange, most: int = 60) -> Ladder:
    """The ladder of connection ``conn``, of at most about ``most`` rungs.

    If there are more segments, those are shown that open, close, repeat or change a state, and the first
    ones; the runs between them become one rung each.
    """
    states = np.stack(states_at(log, conn, exchange.segments["time"]), axis=1)
    changed = np.ones(states.shape, bool)
    changed[1:] = states[1:] != states[:-1]
    rows = _Rows(exchange, *relative_numbers(exchange), states, changed)
    rungs: list[Rung] = []
    done = 0
    for row in (*_telling(rows, most).tolist(), len(states)):
        if row > done:
            rungs.append(_segment(rows, done) if row - done == 1 else _run(rows, done, row))
        if row < len(states):
            rungs.append(_segment(rows, row))
        done = row + 1
    return Ladder(conn, int(log.connections["start"][conn]), tuple(rungs), exchange.omitted)


def _telling(rows: _Rows, most: int) -> np.ndarray:
    """The rows to show: all, or those that tell most, in order of time."""
    count = len(rows.changed)
    if count <= most:
        return np.arange(count)
    control = rows.exchange.segments["flags"] & (SYN | FIN | RST) != 0
    weight = 4 * rows.changed.any(axis=1) + 2 * control + (rows.exchange.fate != 0)
    weight[:8] += 1
    weight[-4:] += 1
    best = np.argsort(-weight, kind="stable")[: most // 2]  # a run may follow each
    return np.sort(best[weight[best] > 0])


def _segment(rows: _Rows, row: int) -> Rung:
    exchange = rows.exchange
    segment, code = exchange.segments[row], int(fate_codes(exchange.fate[row : row + 1])[0])
    return Rung(
        int(segment["time"]),
        Side(int(exchange.sender[row])),
        _text(rows, row),
        FATE_LABELS[code] if code >= 0 else "",
        int(segment["frame"]),
        _pair(rows.states[row]),
        (bool(rows.changed[row, 0]), bool(rows.changed[row, 1])),
    )


def _pair(states: np.ndarray) -> tuple[State, State]:
    return State(int(states[Side.CLIENT])), State(int(states[Side.SERVER]))


def _text(rows: _Rows, row: int) -> str:
    segment, ack = rows.exchange.segments[row], int(rows.ack[row])
    parts = [flag_names(int(segment["flags"])) or "no flags", f"seq {rows.seq[row]}"]
    parts += [f"ack {ack}"] if ack >= 0 else []
    parts += [f"len {segment['payload']}"] if segment["payload"] else []
    return "  ".join(parts)


def _run(rows: _Rows, first: int, beyond: int) -> Rung:
    part, sender = rows.exchange.segments[first:beyond], rows.exchange.sender[first:beyond]
    to_server, to_client = (int(part["payload"][sender == side].sum()) for side in Side)
    text = f"{counted(len(part), 'segment')}: {to_server:,} bytes to the server, {to_client:,} to the client"
    states = _pair(rows.states[beyond - 1])
    return Rung(int(part["time"][0]), None, text, "", int(part["frame"][0]), states, (False, False))
