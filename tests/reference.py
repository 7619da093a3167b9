"""A second inference engine, slow and plain, written from RFC 9293 and docs/inference.md.

It shares names with the compiled engine (states, events, columns) and nothing else: neither the
transition table nor the sequence arithmetic nor the flow table. Section numbers without further
word are those of docs/inference.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from reference_icmp import IcmpError, plain_errors, quoted, take_error
from reference_numbers import between, distance
from reference_segments import ACK, FIN, RST, SECOND, SYN, Segment, plain
from reference_sockets import Connection, Side
from reference_step import Step
from tcpstates.inference.timers import Timers
from tcpstates.states import Event, Evidence, State

Pair = frozenset[tuple[int, int, int, int]]

NEAR = 1 << 24  # how far a number may lie from the expected one and still be of the connection


def infer(
    segments: Iterable[Any], errors: Iterable[Any], now: int, timers: Timers, checksums: str
) -> Reference:
    """What is known of SEGMENTS and ICMP_ERRORS at ``now``; an error comes before what is later than it."""
    reference = Reference(timers, checksums)
    waiting = plain_errors(errors)
    for segment in map(plain, segments):
        while waiting and waiting[0].time < segment.time:
            reference.take_error(waiting.pop(0))
        reference.take(segment)
    for error in waiting:
        reference.take_error(error)
    for connection in reference.connections:
        connection.run_timers(connection.client, now, timers)
    return reference


class Reference:
    """Takes segments one by one; ``connections`` is what came of them."""

    def __init__(self, timers: Timers, checksums: str) -> None:
        self.timers, self.checksums = timers, checksums
        self.connections: list[Connection] = []
        self.stray_errors = 0
        self.newest: dict[Pair, Connection] = {}  # that is not forgotten

    def take(self, segment: Segment) -> None:
        pair = frozenset((segment.source, segment.target))
        newest = self._remembered(pair, segment.time)
        connection = self._owner(newest, segment)
        if connection is None:
            connection = opened(segment, newest)
            self.newest[pair] = connection
            self.connections.append(connection)
        if segment.has(SYN) and connection.before:
            self._end_old_socket(connection.before, segment)
        step = Step(connection, segment, self.timers, self.checksums)
        step.take()
        if step.was_not_reused:
            for newer in newer_than(connection, self.newest[pair]):
                newer.forget_forged_syn(segment.source)

    def take_error(self, error: IcmpError) -> None:
        newest = self._remembered(frozenset((error.source, error.target)), error.time)
        connection = quoted(generations(newest), error) if newest else None
        if connection:
            take_error(connection, error, self.timers, self.checksums)
        else:
            self.stray_errors += 1

    def _remembered(self, pair: Pair, now: int) -> Connection | None:
        """The newest connection of a pair, once those that nothing can belong to any more are forgotten."""
        if pair not in self.newest:
            return None
        linked = generations(self.newest[pair], 2 * 8)
        rest, kept = linked[-1].before, []
        for place, connection in enumerate(linked):
            if len(kept) > 8:
                kept += linked[place:]
                break
            if not connection.is_to_forget(now, self.timers):
                kept.append(connection)
        for connection, before in pairwise([*kept, rest]):
            assert connection
            connection.before = before
        newest = kept[0] if kept else rest
        if newest:
            self.newest[pair] = newest
        else:
            del self.newest[pair]
        return newest

    def _owner(self, newest: Connection | None, segment: Segment) -> Connection | None:
        """The connection that gets the segment (section 2), none if it opens one."""
        if newest is None:
            return None
        claiming = []
        for candidate in generations(newest):
            if segment.has(SYN) and not segment.has(RST):
                candidate.run_timers(candidate.ends(segment)[0], segment.time, self.timers)
            if not claims(candidate, segment):
                continue
            if not in_another_tunnel(candidate, segment):
                return candidate
            claiming.append(candidate)
        if claiming:
            return claiming[0]
        return None if self._opens(newest, segment) else newest

    def _opens(self, newest: Connection, segment: Segment) -> bool:
        if segment.has(SYN) and not segment.has(RST):
            return True
        if in_another_tunnel(newest, segment):
            return True
        newest.run_timers(newest.ends(segment)[0], segment.time, self.timers)
        over = all(side.state in (State.CLOSE, State.TIME_WAIT) for side in newest.sides)
        return over and segment.time - newest.end > self.timers.time_wait

    def _end_old_socket(self, older: Connection, segment: Segment) -> None:
        """The sender cannot open a second socket for the 4-tuple while the first one lives (3.6.1)."""
        old, _ = older.ends(segment)
        older.run_timers(old, segment.time, self.timers)
        if old.tunnel == segment.tunnel and old.state != State.CLOSE:
            old.meet(Event.REUSED, segment.time, Evidence.INFERRED, segment.frame)


def generations(newest: Connection, most: int = 8) -> list[Connection]:
    """The connections of one 4-tuple, from the newest, so many at most."""
    found: list[Connection] = []
    connection: Connection | None = newest
    while connection and len(found) < most:
        found.append(connection)
        connection = connection.before
    return found


def newer_than(connection: Connection, newest: Connection) -> list[Connection]:
    """The later connections of the same 4-tuple."""
    found = []
    while newest is not connection:
        found.append(newest)
        assert newest.before
        newest = newest.before
    return found


def in_another_tunnel(connection: Connection, segment: Segment) -> bool:
    sender, _ = connection.ends(segment)
    return sender.frames > 0 and sender.tunnel != segment.tunnel


def claims(connection: Connection, segment: Segment) -> bool:
    """Whether the segment's numbers fit the connection (section 2)."""
    x, y = connection.ends(segment)
    if segment.has(RST) or not segment.has(SYN):
        return _claims_other(connection, x, y, segment)
    if segment.has(ACK):
        return _claims_syn_ack(connection, x, y, segment)
    return _claims_syn(connection, x, y, segment)


def _claims_syn(connection: Connection, x: Side, y: Side, segment: Segment) -> bool:
    if not x.used:
        opens_too = y.state == State.SYN_SENT and x.state == State.CLOSE
        return opens_too or _was_refused(connection, x, y, segment)
    if segment.seq != x.iss:
        return False
    if not x.iss_known:
        return segment.time - connection.start <= SECOND // 2
    never_opened = x.state == State.CLOSE and not (
        x.has_met(Event.RECEIVED_SYN_ACK) or x.has_met(Event.REUSED)
    )
    return x.state == State.SYN_SENT or never_opened or segment.time - connection.end <= 2 * SECOND


def _was_refused(connection: Connection, x: Side, y: Side, segment: Segment) -> bool:
    """Whether the RST that answers this SYN was captured before it."""
    only_refuses = not connection.handshake and x.frames == 0 and y.frames == y.rsts + y.duplicates
    if not only_refuses or y.rst_acked is None or y.last_rst is None:
        return False
    answers = between(segment.seq + 1, y.rst_acked, segment.seq + 1 + segment.payload)
    return answers and segment.time - y.last_rst <= SECOND // 10


def _claims_syn_ack(connection: Connection, x: Side, y: Side, segment: Segment) -> bool:
    if y.iss_known:
        return between(y.iss + 1, segment.ack, y.iss + 1 + y.syn_payload)
    return x.used and segment.seq == x.iss and segment.time - connection.start <= SECOND // 2


def _claims_other(connection: Connection, x: Side, y: Side, segment: Segment) -> bool:
    expected = x.snd_nxt if x.used else y.acked
    allowed = 0 if x.is_opening and connection.before else NEAR
    if expected is not None and distance(segment.seq, expected) > allowed:
        return False
    if not segment.has(ACK) or not y.used:
        return True
    if y.is_opening:
        return between(y.snd_nxt - y.syn_payload, segment.ack, y.snd_nxt)
    return distance(segment.ack, y.snd_nxt) <= NEAR


def opened(segment: Segment, before: Connection | None) -> Connection:
    """A new connection, its sides as they began."""
    x, y = (Side(key, segment.tunnel) for key in (segment.source, segment.target))
    for side in (x, y):
        side.begin(_initial_state(segment), segment.time, segment.frame)
    if segment.has(ACK) and not segment.has(RST):
        if segment.has(SYN):
            y.begin(State.SYN_SENT, segment.time, segment.frame, evidence=Evidence.INFERRED)
        elif not segment.has(FIN):
            x.pick_up()
            y.pick_up()
    client, server = (x, y) if _sent_by_client(segment) else (y, x)
    handshake = segment.flags & (SYN | FIN | RST) == SYN
    probe = not segment.flags & (SYN | ACK | RST) or segment.flags & (SYN | FIN) == SYN | FIN
    return Connection(client, server, handshake, probe, segment.tunnel, segment.time, segment.frame, before)


def _initial_state(segment: Segment) -> State:
    if segment.has(RST) or segment.flags & (SYN | ACK | FIN) == ACK | FIN:
        return State.UNKNOWN
    return State.CLOSE


def _sent_by_client(segment: Segment) -> bool:
    if segment.has(SYN):
        return not segment.has(ACK)
    if segment.has(RST) and segment.has(ACK) and segment.seq == 0:
        return False
    return segment.source[3] >= segment.target[3]
