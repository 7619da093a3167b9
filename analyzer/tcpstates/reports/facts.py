"""What the outcome rules ask of the log: each answer is computed for all connections at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tcpstates.reports.log import LIVE, Log, bit_set
from tcpstates.schema import NO_TIME
from tcpstates.states import Event, Side, State

NOBODY = -1


class Stay(NamedTuple):
    """Each side's longest stay in one state; arrays of shape (connections, 2), times in ns.

    ``lasted`` is -1 where a side was never in it. ``waited`` leaves out the time during which the side that
    must act was still sending data.
    """

    since: np.ndarray
    lasted: np.ndarray
    waited: np.ndarray
    lasts: np.ndarray  # bool: it still was when the capture ended


class Reset(NamedTuple):
    """The first RST that ended something alive; arrays of one value per connection."""

    time: np.ndarray  # NO_TIME for none
    sender: np.ndarray  # Side, or NOBODY
    while_closing: np.ndarray  # bool: a FIN had been sent before


class Facts:
    """Questions about every connection of a log; bool answers are of shape (connections, 2)."""

    def __init__(self, log: Log, stuck_after: Mapping[State, int]) -> None:
        self.log = log
        self.stuck_after = stuck_after
        self.count = len(log.connections)
        self.start: np.ndarray = log.connections["start"]
        self.duration: np.ndarray = log.connections["end"] - self.start

    def ever(self, *states: State) -> np.ndarray:
        """Whether a side was ever in one of ``states``."""
        return np.asarray(self.log.ever & np.uint16(bit_set(*states)) != 0)

    def finally_in(self, *states: State) -> np.ndarray:
        """Whether a side is in one of ``states`` when the capture ends."""
        return np.isin(self.log.final, states)

    def ended_by(self, cause: Event, *previous: State) -> np.ndarray:
        """Whether ``cause`` took a side from one of ``previous`` to CLOSE."""
        rows = self._ends((cause,), previous)
        return self._marked(rows)

    def stay(self, state: State, actor_is_peer: bool = False) -> Stay:
        """Each side's longest stay in ``state``, of which the time counts that the actor sent no data in."""
        log = self.log
        rows = np.flatnonzero(log.state == state)
        sides = log.side_of_row[rows]
        start, end = log.transitions["start"][rows], log.row_ends[rows]
        active = np.clip(log.sides["last_data"][sides ^ actor_is_peer], start, end)
        order = np.argsort(end - active, kind="stable")  # of several stays the last written is the longest
        chosen = self._per_side(sides[order], order)
        missing = chosen < 0
        return Stay(
            since=_pick(start, chosen, missing, NO_TIME),
            lasted=_pick(end - start, chosen, missing, -1),
            waited=_pick(end - active, chosen, missing, -1),
            lasts=~missing & (log.final == state),
        )

    @cached_property
    def heard(self) -> np.ndarray:
        """Whether the capture holds any frame of that side."""
        return self.log.per_side("frames") > 0

    @cached_property
    def reset(self) -> Reset:
        """The first RST of each connection that ended a socket which was not done already."""
        log = self.log
        done = (State.UNKNOWN, State.CLOSE, State.LISTEN, State.TIME_WAIT)
        rows = self._ends((Event.SENT_RST, Event.RECEIVED_RST), tuple(s for s in LIVE if s not in done))
        conn, start = log.transitions["conn"][rows], log.transitions["start"][rows]
        order = np.lexsort((start, conn))[::-1]  # the last written is the earliest
        chosen = np.full(self.count, -1)
        chosen[conn[order]] = order
        missing = chosen < 0
        sent = log.transitions["cause"][rows] == Event.SENT_RST
        side = log.transitions["side"][rows].astype(np.int8)
        time = _pick(start, chosen, missing, NO_TIME)
        fins = log.per_side("fin_time")
        before = ((fins != NO_TIME) & (fins <= time[:, None])).any(axis=1)
        return Reset(time, _pick(np.where(sent, side, 1 - side), chosen, missing, NOBODY), before)

    def _ends(self, causes: tuple[Event, ...], previous: tuple[State, ...]) -> np.ndarray:
        """The transitions to CLOSE by one of ``causes`` from one of ``previous``, as indices."""
        rows = np.flatnonzero(np.isin(self._cause, causes))
        held = (self.log.state[rows] == State.CLOSE) & np.isin(self.log.previous[rows], previous)
        return np.extract(held, rows)

    @cached_property
    def _cause(self) -> np.ndarray:
        return np.ascontiguousarray(self.log.transitions["cause"])

    def _marked(self, rows: np.ndarray) -> np.ndarray:
        marked = np.zeros(2 * self.count, bool)
        marked[self.log.side_of_row[rows]] = True
        return marked.reshape(-1, 2)

    def _per_side(self, sides: np.ndarray, values: np.ndarray) -> np.ndarray:
        """``values`` put at their sides, of shape (connections, 2), -1 elsewhere; the last one counts."""
        chosen = np.full(2 * self.count, -1)
        chosen[sides] = values
        return chosen.reshape(-1, 2)


def _pick(values: np.ndarray, chosen: np.ndarray, missing: np.ndarray, default: int) -> np.ndarray:
    """``values[chosen]``, ``default`` where there is none."""
    if not len(values):
        return np.full(chosen.shape, default, np.int64)
    return np.where(missing, default, values[chosen])


def client(pairs: np.ndarray) -> np.ndarray:
    """The client's half of an array of shape (connections, 2)."""
    return pairs[:, Side.CLIENT]


def server(pairs: np.ndarray) -> np.ndarray:
    """The server's half of an array of shape (connections, 2)."""
    return pairs[:, Side.SERVER]
