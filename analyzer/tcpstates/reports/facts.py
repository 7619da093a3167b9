"""What the outcome rules ask of the log: each answer is computed for all connections at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from tcpstates.reports.log import CLOSING_STATES, LIVE, Log, bit_set
from tcpstates.schema import NO_TIME
from tcpstates.states import Event, Side, State

_ALIVE = tuple(state for state in LIVE if state != State.TIME_WAIT)


class Stays(NamedTuple):
    """Stays of sides in one state; one value per stay, in the order of the log, times in ns.

    ``waited`` leaves out the time during which the side that must act was still sending data.
    """

    conn: np.ndarray
    side: np.ndarray
    since: np.ndarray
    lasted: np.ndarray
    waited: np.ndarray
    lasts: np.ndarray  # bool: until the end of the capture
    ended_by: np.ndarray  # Event, of no meaning where it lasts

    def where(self, chosen: np.ndarray) -> Self:
        """Those stays of it (bool per stay)."""
        return type(self)(*(values[chosen] for values in self))

    def of(self, side: Side) -> Self:
        """The stays of that side."""
        return self.where(self.side == side)


class Resets(NamedTuple):
    """The first RST of each connection that ended something alive; one value per such connection."""

    conn: np.ndarray
    time: np.ndarray
    sender: np.ndarray  # Side
    while_closing: np.ndarray  # bool: a FIN had been sent before
    sender_had_closed: np.ndarray  # bool: by the sender of the RST

    def where(self, chosen: np.ndarray) -> Self:
        """Those resets of it (bool per reset)."""
        return type(self)(*(values[chosen] for values in self))


class Facts:
    """Questions about every connection of a log; bool answers are of shape (connections, 2)."""

    def __init__(self, log: Log, stuck_after: Mapping[State, int]) -> None:
        self.log = log
        self.stuck_after = stuck_after
        self.start = np.ascontiguousarray(log.connections["start"])
        self.duration = log.connections["end"] - self.start

    def ever(self, *states: State) -> np.ndarray:
        """Whether a side was ever in one of ``states``."""
        return np.asarray(self.log.ever & np.uint16(bit_set(*states)) != 0)

    def finally_in(self, *states: State) -> np.ndarray:
        """Whether a side is in one of ``states`` when the capture ends."""
        return np.isin(self.log.final, states)

    @cached_property
    def heard(self) -> np.ndarray:
        """Whether the capture holds any frame of that side."""
        return self.log.per_side("frames") > 0

    @cached_property
    def unreachable(self) -> np.ndarray:
        """Whether the last ICMP error about a client's segments says that they cannot arrive."""
        rows = self.log.sides[Side.CLIENT :: 2]
        is_ipv6 = self.log.connections["version"] == 6
        too_big = np.where(
            is_ipv6, rows["icmp_type"] == 2, (rows["icmp_type"] == 3) & (rows["icmp_code"] == 4)
        )
        return np.asarray((rows["icmp_errors"] > 0) & ~too_big)

    def gave_up(self, *states: State) -> np.ndarray:
        """The connections of which a side in one of ``states`` retransmitted until it gave up."""
        rows = self._endings((Event.TIMER_RETRANSMISSION,), states)
        return np.unique(self.log.transitions["conn"][rows])

    @cached_property
    def attempts(self) -> Stays:
        """The stays in SYN_SENT of clients of which the capture shows no connection that came of it."""
        opened = self.ever(State.SYN_RECV, State.ESTABLISHED, *CLOSING_STATES)
        return self.stays(State.SYN_SENT, among=~opened).of(Side.CLIENT)

    def stays(
        self, state: State, *, among: np.ndarray | None = None, over: int = -1, actor_is_peer: bool = False
    ) -> Stays:
        """Stays in ``state``; the time counts as waited in which the side that must act sent no data.

        Parameters
        ----------
        state : which state.
        among : the sides that are asked about, bool of shape (connections, 2); all if None.
        over : stays that lasted longer only, ns; few do, and the rest need not be looked at.
        actor_is_peer : whether it is the peer that must act.
        """
        log = self.log
        rows = np.flatnonzero(log.state == state)
        if among is not None:
            rows = rows[among.ravel()[log.side_of_row[rows]]]
        rows = rows[log.row_ends[rows] - log.transitions["start"][rows] > over]
        side = log.side_of_row[rows]
        start, end = log.transitions["start"][rows], log.row_ends[rows]
        active = np.clip(log.sides["last_data"][side ^ actor_is_peer], start, end)
        lasts = rows == log.last_rows[side]
        following = np.where(lasts, rows, rows + 1)
        return Stays(side // 2, side % 2, start, end - start, end - active, lasts, self._cause[following])

    @cached_property
    def resets(self) -> Resets:
        """The first RST of each connection that ended a socket which was not done already."""
        log = self.log
        rows = self._endings((Event.SENT_RST, Event.RECEIVED_RST), _ALIVE)
        conn, time = log.transitions["conn"][rows], log.transitions["start"][rows]
        order = np.lexsort((time, conn))
        first = order[np.append(True, np.diff(conn[order]) > 0)[: len(order)]]
        conn, time, rows = conn[first], time[first], rows[first]
        side = log.transitions["side"][rows]
        sender = np.where(self._cause[rows] == Event.SENT_RST, side, 1 - side)
        fins = log.per_side("fin_time")[conn]
        before = (fins != NO_TIME) & (fins <= time[:, None])
        return Resets(conn, time, sender, before.any(axis=1), before[np.arange(len(conn)), sender])

    def _endings(self, causes: tuple[Event, ...], states: tuple[State, ...]) -> np.ndarray:
        """The transitions to CLOSE by one of ``causes`` from one of ``states``, as indices."""
        rows = np.flatnonzero(np.isin(self._cause, causes))
        held = (self.log.state[rows] == State.CLOSE) & np.isin(self.log.previous[rows], states)
        return np.extract(held, rows)

    @cached_property
    def _cause(self) -> np.ndarray:
        return np.ascontiguousarray(self.log.transitions["cause"])


def client(pairs: np.ndarray) -> np.ndarray:
    """The client's half of an array of shape (connections, 2)."""
    return pairs[:, Side.CLIENT]


def server(pairs: np.ndarray) -> np.ndarray:
    """The server's half of an array of shape (connections, 2)."""
    return pairs[:, Side.SERVER]
