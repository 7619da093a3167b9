"""Connections and their sides in the reference engine: their numbers, their events, their states.

The transitions are written as RFC 9293, 3.10 has them: by what happens, and in which states that
means something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from reference_numbers import ahead, behind
from reference_segments import FIN, MILLISECOND, SECOND, SYN, Segment
from tcpstates.inference.timers import Timers
from tcpstates.schema import NO_TIME, FirstCloser, Mark
from tcpstates.states import Event, Evidence, State

CLOSED = (State.CLOSE, State.LISTEN, State.UNKNOWN)
#: 3.3.2: the states after the handshake; SYN-RECEIVED goes with them where a FIN is concerned.
RECEIVING = (State.SYN_RECV, State.ESTABLISHED)


# --- the state machine (3.10) --------------------------------------------------------------------


def following(state: State, event: Event) -> State:
    """The state of a socket in ``state`` after ``event``."""
    for section in (_opening, _closing, _ending):
        found = section(state, event)
        if found is not None:
            return found
    return state


def _opening(state: State, event: Event) -> State | None:
    match event:
        case Event.SENT_SYN if state in CLOSED:  # 3.10.1, active OPEN
            return State.SYN_SENT
        case Event.SENT_SYN_ACK if state in (*CLOSED, State.SYN_SENT):  # 3.10.7.2 and 3.10.7.3
            return State.SYN_RECV
        case Event.RECEIVED_SYN if state == State.SYN_SENT:  # 3.10.7.3, simultaneous open
            return State.SYN_RECV
        case Event.RECEIVED_SYN_ACK if state in (State.SYN_SENT, State.SYN_RECV):
            return State.ESTABLISHED
        case Event.RECEIVED_ACK_OF_SYN if state == State.SYN_RECV:  # 3.10.7.4, fifth
            return State.ESTABLISHED
        case Event.PICKED_UP if state == State.UNKNOWN:
            return State.ESTABLISHED
    return None


def _closing(state: State, event: Event) -> State | None:
    match event:
        case Event.SENT_FIN if state in RECEIVING:  # 3.10.4, CLOSE
            return State.FIN_WAIT1
        case Event.SENT_FIN if state == State.CLOSE_WAIT:
            return State.LAST_ACK
        case Event.RECEIVED_FIN if state in RECEIVING:  # 3.10.7.4, eighth
            return State.CLOSE_WAIT
        case Event.RECEIVED_FIN if state == State.FIN_WAIT1:
            return State.CLOSING
        case Event.RECEIVED_FIN if state == State.FIN_WAIT2:
            return State.TIME_WAIT
        case Event.RECEIVED_ACK_OF_FIN if state == State.FIN_WAIT1:  # 3.10.7.4, fifth
            return State.FIN_WAIT2
        case Event.RECEIVED_ACK_OF_FIN if state == State.CLOSING:
            return State.TIME_WAIT
        case Event.RECEIVED_ACK_OF_FIN if state == State.LAST_ACK:
            return State.CLOSE
    return None


def _ending(state: State, event: Event) -> State | None:
    if event == Event.SENT_RST and state == State.SYN_SENT:  # it answers a bad ACK (3.10.7.3, first)
        return None
    exists = state not in CLOSED
    match event:
        case Event.SENT_RST | Event.RECEIVED_RST | Event.REUSED if exists or state == State.UNKNOWN:
            return State.CLOSE
        case Event.RECEIVED_ICMP_ERROR if state in (State.SYN_SENT, State.SYN_RECV):  # 3.9.2.2
            return State.CLOSE
        case Event.TIMER_2MSL if state == State.TIME_WAIT:  # 3.10.8
            return State.CLOSE
        case Event.TIMER_FIN_WAIT2 if state == State.FIN_WAIT2:
            return State.CLOSE
        case Event.TIMER_RETRANSMISSION if exists and state not in (
            State.FIN_WAIT2,
            State.TIME_WAIT,
        ):  # 3.8.3
            return State.CLOSE
        case Event.LOST_TRACK if exists:
            return State.UNKNOWN
    return None


# --- a side --------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """Something that one side met, and what is known of it."""

    event: Event
    time: int
    evidence: Evidence
    frame: int


class Interval(NamedTuple):
    """One row of a timeline."""

    state: State
    start: int
    evidence: Evidence
    cause: Event
    frame: int


class Seen(NamedTuple):
    """Where something was captured."""

    time: int
    frame: int


class Leap(NamedTuple):
    """A bare ACK whose number is one beyond all that was captured."""

    time: int
    frame: int
    end: int
    first_ack_of_fin: bool


class Copy(NamedTuple):
    """One copy of a SYN, SYN-ACK or FIN."""

    time: int
    frame: int
    tsval: int


class Side:
    """What one end of a connection sent and met."""

    def __init__(self, key: tuple[int, int, int, int], tunnel: int) -> None:
        self.key, self.tunnel = key, tunnel
        self.beginning = Entry(Event.FIRST_FRAME, 0, Evidence.OBSERVED, 0)
        self.first_state = State.UNKNOWN
        self.events: list[Entry] = []
        self.frames = self.bytes = self.retransmits = self.duplicates = self.keepalives = 0
        self.syns = self.syn_acks = self.fins = self.rsts = self.suspicious_rsts = 0
        # numbers that it used
        self.used = self.iss_known = False
        self.iss = self.snd_nxt = self.contiguous = self.syn_payload = 0
        self.beyond_hole: tuple[int, int] | None = None
        self.fin_seen = self.fin_inferred = False
        self.fin_end = 0
        self.has_missed = False
        self.missed_until = 0
        # what it said of the peer's
        self.acked: int | None = None
        self.sack_right: int | None = None
        self.window = 0
        self.window_scale = -1
        # when things happened
        self.first: int | None = None
        self.last: int | None = None
        self.first_copy: Copy | None = None
        self.last_copy: Copy | None = None
        self.last_time: int | None = None
        self.last_data: int | None = None
        self.fin_time: int | None = None
        self.syn_ack_acked: Seen | None = None
        self.fin_acked: Seen | None = None
        self.last_rst: int | None = None
        self.last_rst_number = 0
        self.rst_acked: int | None = None
        self.leap: Leap | None = None
        self.ts_recent: int | None = None
        self.rst_received: int | None = None
        self.rst_was_sure = False
        self.icmp_errors = 0
        self.last_icmp_error: Any = None
        self.time_wait_restarted: int | None = None
        self.held = self.open_for_sure = self.third_ack_in_doubt = self.checksums_can_be_right = False
        self.sent_times = self.sent_at = self.backoff = self.unanswered_keepalives = 0
        self.recent: list[tuple[Segment, int]] = []

    # events

    def begin(self, state: State, time: int, frame: int, evidence: Evidence = Evidence.OBSERVED) -> None:
        """Say in which state the timeline begins."""
        self.first_state, self.beginning = state, Entry(Event.FIRST_FRAME, time, evidence, frame)

    def pick_up(self) -> None:
        self.first_state = State.ESTABLISHED
        self.beginning = self.beginning._replace(event=Event.PICKED_UP, evidence=Evidence.ASSUMED)

    def has_met(self, event: Event) -> bool:
        return any(entry.event == event for entry in self.events)

    def meet(self, event: Event, time: int, evidence: Evidence, frame: int) -> None:
        """Add an event behind those of the same time, unless it is there already."""
        if self.has_met(event):
            return
        time = max(time, self.beginning.time)
        place = sum(entry.time <= time for entry in self.events)
        self.events.insert(place, Entry(event, time, evidence, frame))

    def withdraw(self, event: Event) -> bool:
        """Take an event back; whether it was there."""
        kept = [entry for entry in self.events if entry.event != event]
        was_there = len(kept) < len(self.events)
        self.events = kept
        return was_there

    def timeline(self) -> list[Interval]:
        """The states of this side, one after the other."""
        rows = self._changes()
        return rows[1:] if self._begins_with_an_event() else rows

    def _begins_with_an_event(self) -> bool:
        """Whether what it was in before lasted no time, and says nothing."""
        event, time, evidence, _ = self.beginning
        if not self.events or (event, evidence) != (Event.FIRST_FRAME, Evidence.OBSERVED):
            return False
        following_state = following(self.first_state, self.events[0].event)
        return self.events[0].time == time and following_state != self.first_state

    def _changes(self) -> list[Interval]:
        event, time, evidence, frame = self.beginning
        rows = [Interval(self.first_state, time, evidence, event, frame)]
        for event, time, evidence, frame in self.events:
            state = following(rows[-1].state, event)
            if state != rows[-1].state:
                rows.append(Interval(state, time, evidence, event, frame))
        return rows

    @property
    def is_opening(self) -> bool:
        """Whether all that is known of it is that it, or somebody in its name, sent a SYN."""
        answered = self.has_met(Event.RECEIVED_SYN_ACK) or self.has_met(Event.SENT_SYN_ACK)
        return self.last_copy is not None and not self.fin_known and not answered

    @property
    def state(self) -> State:
        return self._changes()[-1].state

    def run_timers(self, peer: Side, now: int, timers: Timers, round_trip: int) -> None:
        """End what time has ended for this side (section 8)."""
        current = self._changes()[-1]
        if current.state == State.TIME_WAIT:
            restarted = self.time_wait_restarted
            start = current.start if restarted is None else max(current.start, restarted)
            self._meet_timer(Event.TIMER_2MSL, start + timers.time_wait, now)
        elif current.state == State.FIN_WAIT2 and not self.held:
            self._meet_timer(Event.TIMER_FIN_WAIT2, current.start + timers.fin_timeout, now)
        elif current.state == State.SYN_RECV and self._awaits_third_ack():
            self._was_open_after_all(now)
        elif self.sent_times and (peer.frames or current.state == State.SYN_SENT):
            self._be_silent(peer, now, timers, round_trip)

    def _meet_timer(self, event: Event, due: int, now: int) -> None:
        if due <= now:
            self.meet(event, due, Evidence.ASSUMED, 0)

    def _acknowledged_after_last_copy(self) -> bool:
        acknowledged, copy = self.syn_ack_acked, self.last_copy
        return acknowledged is not None and (copy is None or acknowledged.time > copy.time)

    def _awaits_third_ack(self) -> bool:
        return self.third_ack_in_doubt and self._acknowledged_after_last_copy()

    def _was_open_after_all(self, now: int) -> None:
        """It repeats its SYN-ACK no more: it had a place in its accept queue for the last third ACK."""
        if self.last_copy and now - self.last_copy.time > 2 * self.backoff + 300 * MILLISECOND:
            self.resolve_doubt()

    def resolve_doubt(self) -> None:
        if self.syn_ack_acked and self._awaits_third_ack():
            self.meet(
                Event.RECEIVED_ACK_OF_SYN,
                self.syn_ack_acked.time,
                Evidence.OBSERVED,
                self.syn_ack_acked.frame,
            )

    def _be_silent(self, peer: Side, now: int, timers: Timers, round_trip: int) -> None:
        """It awaits an acknowledgement: has it given up, or got one that the capture missed?"""
        if self.sent_times > 1:
            linear = self.state == State.SYN_SENT and self.syns <= 1 + timers.linear_syn_retries
            interval = max(self.backoff * (1 if linear else 2), 200 * MILLISECOND + round_trip)
            due = self.sent_at + min(interval, timers.maximum_rto)
            if now - due > max(self.backoff // 4, 300 * MILLISECOND):
                self._meet_timer(Event.TIMER_RETRANSMISSION, due, now)
            return
        acknowledged = self.has_met(Event.RECEIVED_ACK_OF_FIN) or self.state == State.CLOSE
        if self.fin_seen and self.last_copy and not acknowledged and now - self.last_copy.time > 3 * SECOND:
            self._is_acknowledged_unseen(peer, self.last_copy)

    def _is_acknowledged_unseen(self, peer: Side, fin: Copy) -> None:
        time = fin.time if peer.last_time is None else max(fin.time, peer.last_time)
        peer.meet(Event.RECEIVED_FIN, time, Evidence.INFERRED, fin.frame)
        self.meet(Event.RECEIVED_ACK_OF_FIN, time, Evidence.INFERRED, fin.frame)
        self.fin_acked = Seen(time, fin.frame)

    # what awaits an acknowledgement

    def transmit(self, now: int, is_repeat: bool) -> None:
        """Count how often the oldest that is outstanding was sent."""
        if not self.sent_times:
            self.sent_times, self.sent_at = 1, now
        elif is_repeat:
            self.sent_times = min(self.sent_times + 1, 255)
            self.backoff, self.sent_at = now - self.sent_at, now

    def is_acknowledged(self, segment: Segment, peer_acked: int | None, now: int) -> None:
        """The peer sent an ACK number, the highest before was ``peer_acked``."""
        is_progress = peer_acked is not None and ahead(segment.ack, peer_acked)
        if not behind(segment.ack, self.snd_nxt) or segment.window == 0:
            self.sent_times = 0
        elif self.sent_times and is_progress:
            self.sent_times, self.sent_at = 1, now
        if is_progress or not self.sent_times:
            self.withdraw(Event.TIMER_RETRANSMISSION)

    def sends_keep_alive(self) -> None:
        self.keepalives += 1
        self.unanswered_keepalives = min(self.unanswered_keepalives + 1, 255)

    @property
    def cannot_reach_peer(self) -> bool:
        return self.unanswered_keepalives >= 2 or self.sent_times > 2

    # frames

    def counts_frame(self, now: int) -> None:
        self.frames += 1
        self.first, self.last = now if self.first is None else self.first, now

    def is_duplicate(self, segment: Segment, peer: Side) -> bool:
        """Whether the capture shows a frame again; if not, it is remembered."""
        heard = peer.frames - peer.duplicates
        if any(self._is_copy(segment, seen, peer, heard == then) for seen, then in self.recent):
            return True
        self.recent = [*self.recent[-7:], (segment, heard)]
        return False

    def _is_copy(self, segment: Segment, seen: Segment, peer: Side, has_heard_nothing: bool) -> bool:
        age = (segment.time >> 10) - (seen.time >> 10)
        if segment.fingerprint != seen.fingerprint or age > 20 * MILLISECOND >> 10:
            return False
        if segment.time - (self.last_time or 0) > 20 * MILLISECOND:
            return False
        if segment.ip_id or segment.path != seen.path:
            return True
        if not peer.frames:
            return age <= MILLISECOND // 20 >> 10
        if not segment.marks & Mark.HAS_TIMESTAMP and age > 2 * MILLISECOND >> 10:
            return False
        end = segment.end + segment.has(SYN) + segment.has(FIN)
        is_acknowledged = peer.acked is not None and not behind(peer.acked, end)
        return has_heard_nothing or (end != segment.seq and is_acknowledged)

    def remember_copy(self, time: int, frame: int, tsval: int, first: bool) -> None:
        self.last_copy = Copy(time, frame, tsval)
        if first:
            self.first_copy = self.last_copy

    # numbers

    @property
    def fin_known(self) -> bool:
        return self.fin_seen or self.fin_inferred

    def iss_is(self, iss: int) -> None:
        self.iss, self.iss_known = iss % 2**32, True

    def numbers_start_at(self, number: int) -> None:
        self.used = True
        self.snd_nxt = self.contiguous = number

    def learn_iss(self, iss: int, payload: int) -> None:
        """Take the initial sequence number from a SYN or SYN-ACK."""
        self.iss_is(iss)
        if not self.used:
            self.numbers_start_at((iss + 1) % 2**32)
            self.snd_nxt = (iss + 1 + payload) % 2**32

    def note_ack(self, ack: int) -> None:
        if self.acked is None or ahead(ack, self.acked):
            self.acked = ack

    def has_arrived_before(self, number: int) -> None:
        """All up to ``number`` has arrived at the peer."""
        if ahead(number, self.contiguous):
            self.contiguous = number
        self._fill_hole()

    def has_arrived(self, begin: int, end: int) -> None:
        """What is from ``begin`` to ``end`` arrived at the peer, as far as captured."""
        if not ahead(begin, self.contiguous):
            self.has_arrived_before(end)
            return
        self.beyond_hole = self._kept(begin, end)
        self._fill_hole()

    def _kept(self, begin: int, end: int) -> tuple[int, int]:
        if self.beyond_hole is None:
            return begin, end
        left, right = self.beyond_hole
        if ahead(begin, right) or behind(end, left):  # another range: there is room for one
            return (left, right) if behind(self.contiguous, left) else (begin, end)
        return begin if ahead(left, begin) else left, end if ahead(end, right) else right

    def _fill_hole(self) -> None:
        if self.beyond_hole is None:
            return
        left, right = self.beyond_hole
        if not behind(self.contiguous, left) and ahead(right, self.contiguous):
            self.contiguous = right

    # closing

    def infer_fin(self, end: int, now: int) -> None:
        self.fin_inferred, self.fin_end, self.fin_time = True, end, now
        self.first_copy = self.last_copy = None

    def forget_fin(self) -> None:
        self.fin_inferred, self.fin_time = False, None

    def see_fin(self, end: int, now: int) -> None:
        self.fin_seen, self.fin_inferred, self.fin_end, self.fin_time = True, False, end, now


class FromSource(Protocol):
    """A segment, or an ICMP error that quotes one."""

    @property
    def source(self) -> tuple[int, int, int, int]: ...


@dataclass
class Connection:
    """Two sockets and what they share."""

    client: Side
    server: Side
    handshake: bool
    probe: bool
    tunnel: int
    start: int
    first_frame: int
    before: Connection | None = None
    end: int = NO_TIME
    last_frame: int = 0
    damaged: int = 0  # segments that moved nobody because of their checksum
    round_trip: int | None = None
    first_closer: FirstCloser = FirstCloser.NONE

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.client, self.server

    def forget_forged_syn(self, source: tuple[int, int, int, int]) -> None:
        """The connection was begun by somebody else than its sender's address says (section 2)."""
        side = self.client if source == self.client.key else self.server
        opening = {Event.SENT_SYN, Event.TIMER_RETRANSMISSION, Event.REUSED, Event.RECEIVED_ICMP_ERROR}
        if side.has_met(Event.SENT_SYN) and {entry.event for entry in side.events} <= opening:
            side.events = []
            self.probe = True

    def ends(self, segment: FromSource) -> tuple[Side, Side]:
        """Sender and receiver."""
        if segment.source == self.client.key:
            return self.client, self.server
        return self.server, self.client

    def is_to_forget(self, now: int, timers: Timers) -> bool:
        """Whether nothing can belong to it any more (section 2)."""
        if now - self.end <= 240 * SECOND:
            return False
        self.run_timers(self.client, now, timers)
        return all(side.state == State.CLOSE for side in self.sides)

    def lasts_until(self, now: int, frame: int) -> None:
        self.end, self.last_frame = now, frame

    def run_timers(self, first: Side, now: int, timers: Timers) -> None:
        """Run all timers, twice: what one ends can start another."""
        second = self.server if first is self.client else self.client
        for side, peer in 2 * ((first, second), (second, first)):
            side.run_timers(peer, now, timers, self.round_trip or 0)

    def closer(self, side: Side) -> FirstCloser:
        """What ``first_closer`` is if this side sent the first FIN."""
        return FirstCloser.CLIENT if side is self.client else FirstCloser.SERVER

    def crossed(self, now: int, time: int | None) -> bool:
        """Whether what was sent now may have crossed on the wire what was sent at ``time``."""
        return time is not None and now - time <= self.crossing_time

    @property
    def crossing_time(self) -> int:
        if self.round_trip is None:
            return 100 * MILLISECOND
        return min(self.round_trip, SECOND // 2) + 5 * MILLISECOND
