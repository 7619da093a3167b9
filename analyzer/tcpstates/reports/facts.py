"""What the outcome rules ask of the log: each answer is computed for all connections at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from tcpstates.reports.log import CLOSING_STATES, LIVE, Log, bit_set
from tcpstates.reports.resets import Resets
from tcpstates.reports.thresholds import HALF_OPEN_AFTER
from tcpstates.schema import REASONS, Known
from tcpstates.states import Event, Side, State

_ALIVE = tuple(state for state in LIVE if state != State.TIME_WAIT)


class Stays(NamedTuple):
    """Stays of sides in one state; one value per stay, in the order of the log, times in ns.

    ``waited`` leaves out the time during which the side that must act was still sending data. A stay that
    lasted beyond ``Log.known_until`` is known until then only: it neither lasts nor is whole.
    """

    conn: np.ndarray
    side: np.ndarray
    since: np.ndarray
    lasted: np.ndarray
    waited: np.ndarray
    lasts: np.ndarray  # bool: until the end of the capture
    whole: np.ndarray  # bool: no frame was lost that might have ended it
    ended_by: np.ndarray  # Event, of no meaning where it lasts or is not whole

    def where(self, chosen: np.ndarray) -> Self:
        """Those stays of it (bool per stay)."""
        return type(self)(*(values[chosen] for values in self))

    def of(self, side: Side) -> Self:
        """The stays of that side."""
        return self.where(self.side == side)


class Endings(NamedTuple):
    """The first RST of each connection that ended something alive; one value per such connection."""

    conn: np.ndarray
    time: np.ndarray
    sender: np.ndarray  # Side
    while_closing: np.ndarray  # bool: its sender had sent a FIN, or received one
    sender_had_closed: np.ndarray  # bool: it had sent one
    reason: np.ndarray  # of schema.REASONS

    def where(self, chosen: np.ndarray) -> Self:
        """Those of it (bool per RST)."""
        return type(self)(*(values[chosen] for values in self))

    def of(self, *reasons: str) -> Self:
        """Those for one of these reasons."""
        return self.where(np.isin(self.reason, [REASONS.index(name) for name in reasons]))


class Silences(NamedTuple):
    """Sides that repeated themselves, or probed, without an answer; one value per side."""

    conn: np.ndarray
    side: np.ndarray
    since: np.ndarray
    until: np.ndarray

    def where(self, chosen: np.ndarray) -> Self:
        """Those of it (bool per side)."""
        return type(self)(*(values[chosen] for values in self))


class Facts:
    """Questions about every connection of a log; bool answers are of shape (connections, 2)."""

    def __init__(self, log: Log, stuck_after: Mapping[State, int]) -> None:
        self.log = log
        self.stuck_after = stuck_after
        self.start = log.kept(np.ascontiguousarray(log.connections["start"]))

    def ever(self, *states: State) -> np.ndarray:
        """Whether a side was ever in one of ``states``."""
        return np.asarray(self.log.ever & np.uint16(bit_set(*states)) != 0)

    def finally_in(self, *states: State) -> np.ndarray:
        """Whether a side is in one of ``states`` when the capture ends."""
        return np.asarray(self.log.finally_in & np.uint16(bit_set(*states)) != 0)

    @cached_property
    def heard(self) -> np.ndarray:
        """Whether the capture holds any frame of that side."""
        return self.log.up_to_255("frames") > 0

    @cached_property
    def unreachable(self) -> np.ndarray:
        """Whether the last ICMP error about a client's segments says that they cannot arrive."""
        unreachable = client(self.log.up_to_255("icmp_errors")) > 0
        conn = np.flatnonzero(unreachable)
        rows, is_ipv6 = self.log.sides[2 * conn], self.log.connections["version"][conn] == 6
        too_big = np.where(
            is_ipv6, rows["icmp_type"] == 2, (rows["icmp_type"] == 3) & (rows["icmp_code"] == 4)
        )
        unreachable[conn[too_big]] = False
        return unreachable

    def gave_up(self, *states: State) -> Silences:
        """The sides in one of ``states`` that retransmitted until they gave up."""
        rows, log = self._endings((Event.TIMER_RETRANSMISSION,), states), self.log
        ends = log.transitions["start"][rows]
        rows = rows[ends <= log.known_until[log.transitions["conn"][rows]]]
        return self._silences(log.sides_of(rows), log.transitions["start"][rows])

    @cached_property
    def given_up_by_reset(self) -> Silences:
        """The sides that asked in vain, and then said by a RST that they give up."""
        resets = self.resets.of("gave_up")
        return self._silences(2 * resets.conn + resets.sender, resets.time)

    @cached_property
    def unanswered(self) -> Silences:
        """The sides that still ask, again and again, and get no answer when the capture ends."""
        conduct, peer_heard = self.log.conduct, self.heard[:, ::-1].ravel()
        waiting = conduct["unanswered"] > 1
        waiting &= peer_heard & self.finally_in(*_ALIVE).ravel()
        sides = np.flatnonzero(waiting)
        return self._silences(sides, self.log.known_until[sides // 2])

    def _silences(self, sides: np.ndarray, until: np.ndarray) -> Silences:
        since = np.minimum(self.log.conduct["unanswered_since"][sides], until)
        start = self.start[sides // 2]
        return Silences(sides // 2, sides % 2, np.where(since > 0, since, start), until)

    def acknowledges(self, sides: np.ndarray) -> np.ndarray:
        """Whether each of these sides was seen to acknowledge anything, as bool per side given."""
        return np.asarray(self.log.conduct["known"][sides] & Known.ACK != 0)

    @cached_property
    def completed(self) -> np.ndarray:
        """Whether that side was ever open."""
        return self.ever(State.ESTABLISHED, *CLOSING_STATES)

    @cached_property
    def half_open(self) -> Stays:
        """Stays in SYN_RECV that came to nothing, though they lasted or the SYN-ACK was repeated."""
        stays = self.stays(State.SYN_RECV, ~self.completed).of(Side.SERVER)
        repeated = server(self.log.up_to_255("syn_acks")) > 1
        return stays.where((stays.lasted >= HALF_OPEN_AFTER) | (repeated[stays.conn] & stays.whole))

    @cached_property
    def services(self) -> np.ndarray:
        """int64 per connection: the same number for the same server, within its tunnel, and port."""
        servers = slice(Side.SERVER, None, 2)
        return self.log.kept((self.log.places.codes[servers] << 16) + self.log.sides["port"][servers])

    @cached_property
    def attempts(self) -> Stays:
        """The stays in SYN_SENT of clients of which the capture shows no connection that came of it."""
        opened = self.ever(State.SYN_RECV, State.ESTABLISHED, *CLOSING_STATES)
        return self.stays(State.SYN_SENT, ~opened).of(Side.CLIENT)

    def stays(self, state: State, among: np.ndarray) -> Stays:
        """Stays in ``state`` of the sides ``among`` (bool of shape (connections, 2))."""
        sides = np.flatnonzero(among & self.ever(state))
        return self._stays(self.log.rows_of(sides), state, actor_is_peer=False)

    def slow_stays(self, state: State, *, actor_is_peer: bool) -> Stays:
        """Those stays in a closing ``state`` that lasted so long that any may be stuck, or until the end.

        The time counts as waited in which the side that must act, which may be the peer, sent no data.
        """
        return self._stays(self._slow, state, actor_is_peer)

    @cached_property
    def _slow(self) -> np.ndarray:
        """As transitions, those in all closing states: few connections take long to close."""
        return self.log.slow_stays(bit_set(*self.stuck_after), min(self.stuck_after.values()))

    def _stays(self, rows: np.ndarray, state: State, actor_is_peer: bool) -> Stays:
        """Those of the transitions ``rows`` that lead to ``state``."""
        log = self.log
        rows = rows[log.state[rows] == state]
        side, start, until = log.sides_of(rows), log.transitions["start"][rows], log.ends_of(rows)
        end = np.maximum(np.minimum(until, log.known_until[side // 2]), start)
        whole = end == until
        active = np.clip(log.sides["last_data"][side ^ actor_is_peer], start, end)
        lasts = log.is_last[rows]
        ended_by = log.cause[np.where(lasts, rows, rows + 1)]
        return Stays(side // 2, side % 2, start, end - start, end - active, lasts & whole, whole, ended_by)

    @cached_property
    def resets(self) -> Endings:
        """The first RST of each connection that ended a socket which was not done already."""
        log = self.log
        rows = self._endings((Event.SENT_RST, Event.RECEIVED_RST), _ALIVE)
        conn, time = log.transitions["conn"][rows], log.transitions["start"][rows]
        order = np.lexsort((time, conn))
        first = order[np.append(True, np.diff(conn[order]) > 0)[: len(order)]]
        conn, time, rows = conn[first].astype(np.int64), time[first], rows[first]
        side = log.transitions["side"][rows].astype(np.int64)
        sender = np.where(log.cause[rows] == Event.SENT_RST, side, 1 - side)
        known = log.conduct["reset"][2 * conn + sender].astype(np.int64) - 1
        told = self.told_resets
        had_closed, peer_had_closed = told.sender_had_closed[known], told.peer_had_closed[known]
        return Endings(conn, time, sender, had_closed | peer_had_closed, had_closed, told.reason[known])

    def _endings(self, causes: tuple[Event, ...], states: tuple[State, ...]) -> np.ndarray:
        """The transitions to CLOSE by one of ``causes`` from one of ``states``, as indices."""
        rows = np.sort(np.concatenate([np.flatnonzero(self.log.cause == cause) for cause in causes]))
        held = (self.log.state[rows] == State.CLOSE) & np.isin(self.log.states_before(rows), states)
        return np.extract(held, rows)

    @cached_property
    def told_resets(self) -> Resets:
        """All RSTs, told apart."""
        return Resets(self.log)


def both(pairs: np.ndarray) -> np.ndarray:
    """Whether it holds of both sides: bool of shape (connections, 2) to one per connection."""
    return np.asarray(pairs[:, Side.CLIENT] & pairs[:, Side.SERVER])


def either(pairs: np.ndarray) -> np.ndarray:
    """Whether it holds of any of the two sides."""
    return np.asarray(pairs[:, Side.CLIENT] | pairs[:, Side.SERVER])


def client(pairs: np.ndarray) -> np.ndarray:
    """The client's half of an array of shape (connections, 2)."""
    return pairs[:, Side.CLIENT]


def server(pairs: np.ndarray) -> np.ndarray:
    """The server's half of an array of shape (connections, 2)."""
    return pairs[:, Side.SERVER]
