"""What one segment does to its connection in the reference engine (docs/inference.md, 3 to 6)."""

from __future__ import annotations

from reference_numbers import ahead, behind, distance
from reference_rst import Reset
from reference_segments import ACK, FIN, RST, SYN, Segment
from reference_sockets import Connection, Leap, Seen, Side
from tcpstates.inference.timers import Timers
from tcpstates.schema import Checksum, FirstCloser, Mark
from tcpstates.states import Event, Evidence, State

NEAR = 1 << 24  # an ACK number further ahead than this is of no use
HALF_WINDOW = 1 << 30


class Step:
    """What one segment from ``x`` to ``y`` does to its connection (sections 3 to 6)."""

    def __init__(self, connection: Connection, segment: Segment, timers: Timers, checksums: str) -> None:
        self.connection, self.segment, self.timers = connection, segment, timers
        self.checksums = checksums
        self.x, self.y = connection.ends(segment)
        self.now = max(segment.time, connection.end)
        self.rst_again = self.was_not_reused = False

    def take(self) -> None:
        """Section 3."""
        self.connection.lasts_until(self.now, self.segment.frame)
        self.x.counts_frame(self.now)
        if self.x.is_duplicate(self.segment, self.y):
            self.x.duplicates += 1
            return
        self.y.unanswered_keepalives = 0
        self.x.bytes += self.segment.payload
        self.x.tunnel = self.segment.tunnel
        self.x.checksums_can_be_right |= self.segment.checksum == Checksum.GOOD
        if self._is_damaged():
            self.connection.damaged += 1
        else:
            self._take_intact()
        self.x.last_time = self.now

    def _is_damaged(self) -> bool:
        is_believed = self.checksums == "verify" or (
            self.checksums == "auto" and self.x.checksums_can_be_right
        )
        return is_believed and self.segment.checksum == Checksum.BAD

    def _take_intact(self) -> None:
        self.connection.run_timers(self.x, self.now, self.timers)
        if self._is_rejected_by_paws():
            return
        flags = self.segment.flags
        if flags & RST:
            Reset(self.connection, self.segment, self.now).take()
        elif flags & (SYN | ACK) and flags & (SYN | FIN) != SYN | FIN:
            self._segment_of_a_socket()

    def _is_rejected_by_paws(self) -> bool:
        """RFC 7323, 5.3: R1 and R3; pure ACKs do no harm and are let through."""
        x, y, segment = self.x, self.y, self.segment
        if not segment.marks & Mark.HAS_TIMESTAMP or not segment.tsval or segment.has(RST):
            return False
        opens = segment.has(SYN)
        if not opens and x.ts_recent is not None and behind(segment.tsval, x.ts_recent):
            return bool(segment.payload) or segment.has(FIN)
        if opens or (y.acked is not None and not ahead(segment.seq, y.acked)):
            x.ts_recent = segment.tsval
        return False

    def _segment_of_a_socket(self) -> None:
        if self.x.state == State.CLOSE and self.x.events:
            self._life()
        if self.segment.has(SYN):
            self._syn_ack() if self.segment.has(ACK) else self._syn()
        else:
            self._ack()
        self._numbers()
        if self.segment.has(FIN):
            self._fin()
        if self.rst_again:
            self._meet(self.x, Event.RECEIVED_RST)
            self.x.rst_received = self.now
        self._restart_time_wait()

    def _restart_time_wait(self) -> None:
        restarting = ACK if self.timers.any_ack_restarts_time_wait else FIN
        if self.y.state == State.TIME_WAIT and self.segment.has(restarting):
            self.y.time_wait_restarted = self.now

    def _meet(self, side: Side, event: Event, evidence: Evidence = Evidence.OBSERVED) -> None:
        side.meet(event, self.now, evidence, self.segment.frame)

    def _confirm(self, event: Event) -> None:
        """``x`` is shown to have received ``y``'s SYN, SYN-ACK or FIN: when did that arrive?"""
        copy = self.y.last_copy
        if copy is None:
            self._meet(self.x, event, Evidence.INFERRED)
            return
        has_echo = self.segment.marks & Mark.HAS_TIMESTAMP and self.segment.tsecr != 0
        first = self.y.first_copy
        if has_echo and first and self.segment.tsecr == first.tsval:
            copy = first
        time = copy.time if self.x.last_time is None else max(copy.time, self.x.last_time)
        self.x.meet(event, time, Evidence.OBSERVED, copy.frame)

    @property
    def _here(self) -> Seen:
        return Seen(self.now, self.segment.frame)

    def _remember_copy(self, first: bool = False) -> None:
        self.x.remember_copy(self.now, self.segment.frame, self.segment.tsval, first)

    # --- section 4: opening ---------------------------------------------------------------------

    def _syn(self) -> None:
        x = self.x
        x.syns += 1
        if not self.connection.handshake and x.frames == 1:
            self._was_refused_already()
        is_first = not x.iss_known
        if is_first:
            self._first_syn()
        elif x.syns == 1:  # captured after the SYN-ACK that answers it
            x.window_scale = self.segment.wscale
        else:
            x.retransmits += 1
            x.transmit(self.now, is_repeat=True)
        if x.has_met(Event.SENT_SYN) and not x.has_met(Event.SENT_SYN_ACK) and not x.fin_known:
            self._remember_copy(is_first)

    def _was_refused_already(self) -> None:
        self.connection.handshake = True
        for side in self.connection.sides:
            side.begin(State.CLOSE, side.beginning.time, side.beginning.frame)

    def _first_syn(self) -> None:
        x = self.x
        self._learn_iss()
        x.syn_payload = self.segment.payload
        if x.state == State.CLOSE and not x.events:
            self._meet(x, Event.SENT_SYN)
            x.transmit(self.now, is_repeat=False)

    def _learn_iss(self) -> None:
        self.x.learn_iss(self.segment.seq, self.segment.payload)
        self.x.window_scale = self.segment.wscale

    def _syn_ack(self) -> None:
        x, y, segment = self.x, self.y, self.segment
        x.syn_acks += 1
        if not y.iss_known:
            y.iss_is(segment.ack - 1)
            y.numbers_start_at(segment.ack)
        first = not x.has_met(Event.SENT_SYN_ACK)
        x.transmit(self.now, is_repeat=not first)
        if first:
            self._first_syn_ack()
        else:
            self._repeated_syn_ack()
        if not x.fin_known:
            self._remember_copy(first)
        self._note_ack(segment.window)
        y.has_arrived_before(segment.ack)

    def _first_syn_ack(self) -> None:
        x, y = self.x, self.y
        if not x.iss_known:
            self._learn_iss()
        if x.has_met(Event.SENT_SYN):
            self._confirm(Event.RECEIVED_SYN)
        acknowledged = x.withdraw(Event.RECEIVED_SYN_ACK)
        self._meet(x, Event.SENT_SYN_ACK)
        if acknowledged or y.has_met(Event.SENT_SYN_ACK):
            self._meet(x, Event.RECEIVED_SYN_ACK)
            self._meet(y, Event.RECEIVED_SYN_ACK)

    def _repeated_syn_ack(self) -> None:
        x = self.x
        x.retransmits += 1
        if self.segment.seq != x.iss and x.state == State.SYN_RECV:
            x.used = False
            self._learn_iss()
        if x.last_copy:
            x.backoff = self.now - x.last_copy.time
        is_old = x.syn_ack_acked is None or not self.connection.crossed(self.now, x.syn_ack_acked.time)
        if is_old and not x.open_for_sure and x.withdraw(Event.RECEIVED_ACK_OF_SYN):
            x.third_ack_in_doubt = True

    # --- section 5: acknowledging ---------------------------------------------------------------

    def _ack(self) -> None:
        x, y, segment = self.x, self.y, self.segment
        if self.connection.handshake:
            self._complete_handshake()
        else:
            self._pick_up()
        if not y.used:
            y.iss = (segment.ack - 1) % 2**32
            y.numbers_start_at(segment.ack)
        elif ahead(segment.ack, y.snd_nxt) and (segment.ack - y.snd_nxt) % 2**32 < NEAR:
            self._acknowledges_the_unseen()
        elif self._acknowledges_leap():
            self._leap_was_fin()
        if y.fin_known and not behind(segment.ack, y.fin_end):
            self._acknowledges_fin()
        elif y.fin_seen and (x.acked is None or not behind(segment.ack, x.acked)):
            self._take_back_unseen_acknowledgement()
        if x.state == State.FIN_WAIT2 and not y.fin_known and x.acked is not None:
            x.held = x.held or ahead(segment.ack, x.acked)
        self._note_ack(segment.window << max(0, min(x.window_scale, 14)))
        y.has_arrived_before(segment.ack)

    def _note_ack(self, window: int) -> None:
        self.y.is_acknowledged(self.segment, self.x.acked, self.now)
        self.x.note_ack(self.segment.ack)
        self.x.window = window
        if self.segment.marks & Mark.HAS_SACK:
            self.x.sack_right = self.segment.sack_right

    def _complete_handshake(self) -> None:
        """Item 1."""
        x, y = self.x, self.y
        if y.has_met(Event.SENT_SYN_ACK) or y.state == State.CLOSE:
            if x.state == State.SYN_SENT and not x.has_met(Event.RECEIVED_SYN_ACK):
                self._answers_unseen_syn_ack()
        elif y.state == State.SYN_SENT and x.state == State.CLOSE and not x.events:
            self._infer_handshake()
        if y.iss_known:
            self._acknowledges_syn()
            self._shows_open_peer()

    def _answers_unseen_syn_ack(self) -> None:
        y = self.y
        if not y.has_met(Event.SENT_SYN_ACK) and not y.used:
            y.iss_is(self.segment.ack - 1)
            y.numbers_start_at(self.segment.ack)
        self._meet(y, Event.SENT_SYN_ACK, Evidence.INFERRED)
        self._confirm(Event.RECEIVED_SYN_ACK)

    def _infer_handshake(self) -> None:
        """``x`` answers a SYN with an ACK: the capture missed its SYN-ACK and what followed."""
        self._meet(self.x, Event.SENT_SYN_ACK, Evidence.INFERRED)
        self._meet(self.y, Event.RECEIVED_SYN_ACK, Evidence.INFERRED)
        self._meet(self.x, Event.RECEIVED_ACK_OF_SYN, Evidence.INFERRED)
        self.x.syn_ack_acked = self._here

    def _acknowledges_syn(self) -> None:
        x, y = self.x, self.y
        if not y.has_met(Event.SENT_SYN_ACK) or not ahead(self.segment.ack, y.iss):
            return
        if y.has_met(Event.RECEIVED_ACK_OF_SYN):
            return
        y.syn_ack_acked = self._here
        if y.third_ack_in_doubt:
            return
        self._meet(y, Event.RECEIVED_ACK_OF_SYN)
        if self.connection.round_trip is None and x.last_copy and x.syns == 1 and y.syn_acks == 1:
            self.connection.round_trip = self.now - x.last_copy.time

    def _shows_open_peer(self) -> None:
        """``y`` was answered beyond its SYN: it had received the SYN-ACK and ``x`` the third ACK."""
        x, y, segment = self.x, self.y, self.segment
        beyond = segment.payload or segment.has(FIN) or self._acknowledges_more_than_syn()
        if not x.has_met(Event.SENT_SYN_ACK) or y.syn_payload or not beyond:
            return
        x.open_for_sure = True
        x.resolve_doubt()
        times = [copy.time for copy in (x.last_copy,) if copy]
        times += [time for time in (y.last_time,) if time is not None]
        time = max(times, default=self.now)
        y.meet(Event.RECEIVED_SYN_ACK, time, Evidence.INFERRED, segment.frame)
        self._meet(x, Event.RECEIVED_ACK_OF_SYN, Evidence.INFERRED)

    def _acknowledges_more_than_syn(self) -> bool:
        iss = self.y.iss
        return ahead(self.segment.ack, iss) and self.segment.ack != (iss + 1) % 2**32

    def _pick_up(self) -> None:
        """Item 2."""
        x, y, connection = self.x, self.y, self.connection
        if not connection.probe:
            if State.UNKNOWN not in (x.state, y.state):
                return
            if not (self.segment.payload or self.segment.has(FIN)) or not y.fin_seen or x.fin_known:
                return
        connection.probe = False
        for side in connection.sides:
            if side.beginning.event == Event.FIRST_FRAME:
                side.pick_up()

    def _acknowledges_the_unseen(self) -> None:
        """Item 3."""
        x, y, ack = self.x, self.y, self.segment.ack
        missed = (ack - y.snd_nxt) % 2**32
        y.snd_nxt = ack
        if y.frames == 0 or y.fin_seen:
            return
        y.missed_until = ack
        if missed == 1 and not y.fin_inferred and y.state != State.SYN_SENT:
            y.infer_fin(ack, self.now)
            x.withdraw(Event.LOST_TRACK)
            y.withdraw(Event.LOST_TRACK)
            self._meet(y, Event.SENT_FIN, Evidence.INFERRED)
            self._first_closer_is(y)
            return
        self._retract_fin(y, x)
        y.has_missed = True
        self._meet(x, Event.LOST_TRACK, Evidence.INFERRED)
        self._meet(y, Event.LOST_TRACK, Evidence.INFERRED)

    def _acknowledges_leap(self) -> bool:
        y, ack = self.y, self.segment.ack
        return y.leap is not None and not y.fin_known and y.state != State.SYN_SENT and (
            ack == y.leap.end == y.snd_nxt
        )  # fmt: skip

    def _leap_was_fin(self) -> None:
        x, y = self.x, self.y
        assert y.leap
        y.infer_fin(y.leap.end, y.leap.time)
        y.missed_until = y.leap.end
        self._first_closer_is(y)
        x.withdraw(Event.LOST_TRACK)
        y.withdraw(Event.LOST_TRACK)
        self._date_fin(y, x, y.leap)

    def _acknowledges_fin(self) -> None:
        """Item 4."""
        x, y = self.x, self.y
        inferred = y.fin_inferred
        if not x.has_met(Event.RECEIVED_FIN):
            self._confirm(Event.RECEIVED_FIN)
            if y.fins == 1 and not self._is_d_sack:
                self._note_leap(first_ack_of_fin=True)
        if not y.has_met(Event.RECEIVED_ACK_OF_FIN):
            evidence = Evidence.INFERRED if inferred else Evidence.OBSERVED
            self._meet(y, Event.RECEIVED_ACK_OF_FIN, evidence)
        y.fin_acked = self._here

    def _take_back_unseen_acknowledgement(self) -> None:
        """Silence told that ``x`` had received the FIN; its own ACK says that it has not (section 8)."""
        if self.x.withdraw(Event.RECEIVED_FIN):
            self.y.withdraw(Event.RECEIVED_ACK_OF_FIN)
            self.y.sent_times = 0

    def _first_closer_is(self, side: Side) -> None:
        connection = self.connection
        if connection.first_closer == FirstCloser.NONE:
            connection.first_closer = connection.closer(side)

    def _retract_fin(self, sender: Side, receiver: Side) -> None:
        if sender.fin_inferred:
            connection = self.connection
            sender.forget_fin()
            if connection.first_closer == connection.closer(sender):
                other = connection.closer(receiver) if receiver.fin_known else FirstCloser.NONE
                connection.first_closer = other
            sender.withdraw(Event.SENT_FIN)
            sender.withdraw(Event.RECEIVED_ACK_OF_FIN)
            receiver.withdraw(Event.RECEIVED_FIN)

    # --- section 5, end: sending ----------------------------------------------------------------

    def _numbers(self) -> None:
        x, segment = self.x, self.segment
        if not x.used:
            x.iss = (segment.seq - 1) % 2**32
            x.numbers_start_at(segment.seq)
        if segment.has(SYN):
            return
        if x.leap is None or x.leap.time != self.now or x.leap.end != segment.seq:
            self._note_leap(first_ack_of_fin=False)
        is_keep_alive = self._is_keep_alive()
        if is_keep_alive:
            x.sends_keep_alive()
        if (segment.payload or segment.has(FIN)) and not is_keep_alive:
            self._transmit()
        if segment.payload:
            self._payload(is_keep_alive)
        if distance(segment.end, x.snd_nxt) <= HALF_WINDOW:
            self._arrives()

    @property
    def _is_d_sack(self) -> bool:
        """RFC 2883: the first block lies below the ACK number."""
        segment = self.segment
        has_block = bool(segment.marks & Mark.HAS_SACK)
        return has_block and not ahead(segment.sack_right, segment.ack)

    def _note_leap(self, first_ack_of_fin: bool) -> None:
        """A bare ACK one number beyond what was captured: that number may have been its FIN's."""
        x, segment = self.x, self.segment
        bare = not segment.payload and not segment.has(FIN) and not segment.has(SYN)
        if bare and x.used and not x.fin_known and segment.seq == (x.snd_nxt + 1) % 2**32:
            x.leap = Leap(self.now, segment.frame, segment.seq, first_ack_of_fin)

    def _is_keep_alive(self) -> bool:
        """Or a window probe."""
        x, y, segment = self.x, self.y, self.segment
        if segment.has(FIN) or segment.seq != (x.snd_nxt - 1) % 2**32:
            return False
        is_acknowledged = y.acked is not None and not behind(y.acked, x.snd_nxt)
        return segment.payload == 0 or (segment.payload == 1 and is_acknowledged)

    def _arrives(self) -> None:
        x, segment = self.x, self.segment
        if ahead(segment.end, x.snd_nxt):
            x.snd_nxt = segment.end
            if segment.payload:
                x.last_data = self.now
        x.has_arrived(segment.seq, segment.end)

    def _transmit(self) -> None:
        x, y, segment = self.x, self.y, self.segment
        is_new = ahead(segment.end + segment.has(FIN), x.snd_nxt)
        if is_new or y.acked is None or not ahead(segment.seq, y.acked):
            x.transmit(self.now, is_repeat=not is_new)

    def _payload(self, is_keep_alive: bool) -> None:
        x, end = self.x, self.segment.end
        if x.fin_inferred and not behind(end, x.fin_end):
            self._retract_fin(x, self.y)
        self._find_missed(end)
        is_repeated_fin = self.segment.has(FIN) and x.fin_seen
        if not ahead(end, x.snd_nxt) and not is_keep_alive and not is_repeated_fin:
            x.retransmits += behind(self.segment.seq, x.contiguous) or self._last_data_is_old()

    def _find_missed(self, end: int) -> None:
        """What the capture missed was sent again: nobody is lost track of any more."""
        if self.x.has_missed and not behind(end, self.x.missed_until):
            self.x.has_missed = False
            self.x.withdraw(Event.LOST_TRACK)
            self.y.withdraw(Event.LOST_TRACK)

    def _last_data_is_old(self) -> bool:
        last = self.x.last_data
        return last is not None and not self.connection.crossed(self.now, last)

    def _fin(self) -> None:
        x, y, segment = self.x, self.y, self.segment
        end = (segment.end + 1) % 2**32
        if x.fin_seen:
            if end == x.fin_end:
                self._repeated_fin()
            return
        x.fins += 1
        if x.fin_inferred and end != x.fin_end:
            self._retract_fin(x, self.y)
        self._find_missed(end)
        x.see_fin(end, self.now)
        self._first_closer_is(x)
        closed_before = self.connection.first_closer == self.connection.closer(y)
        if closed_before and behind(segment.ack, y.fin_end):
            self.connection.first_closer = FirstCloser.BOTH
        if ahead(end, x.snd_nxt):
            x.snd_nxt = end
        x.has_arrived(segment.seq, end)
        self._remember_copy(first=True)
        if x.leap and x.leap.end == end:
            x.retransmits += 1
            self._date_fin(x, y, x.leap)
        self._meet(x, Event.SENT_FIN)

    def _date_fin(self, sender: Side, receiver: Side, leap: Leap) -> None:
        """The bare ACK came after a copy of the FIN that the capture missed."""
        connection = self.connection
        received = [entry for entry in sender.events if entry.event == Event.RECEIVED_FIN]
        crossed = leap.first_ack_of_fin and bool(received)
        if connection.first_closer == connection.closer(receiver) and (
            crossed or (receiver.fin_time is not None and receiver.fin_time > leap.time)
        ):
            connection.first_closer = FirstCloser.BOTH
        if not crossed:
            sender.meet(Event.SENT_FIN, leap.time, Evidence.INFERRED, leap.frame)
            return
        _, time, evidence, frame = received[0]
        sender.withdraw(Event.RECEIVED_FIN)
        sender.meet(Event.SENT_FIN, time, Evidence.INFERRED, leap.frame)
        sender.meet(Event.RECEIVED_FIN, time, evidence, frame)

    def _repeated_fin(self) -> None:
        x = self.x
        x.fins += 1
        x.retransmits += 1
        self._remember_copy()
        if x.withdraw(Event.RECEIVED_ACK_OF_FIN) and x.fin_acked:
            time, frame = x.fin_acked
            if self.connection.crossed(self.now, time):
                x.meet(Event.RECEIVED_ACK_OF_FIN, time, Evidence.OBSERVED, frame)
        if self.y.acked is None or behind(self.y.acked, x.fin_end):  # it was thought acknowledged unseen
            self.y.withdraw(Event.RECEIVED_FIN)

    # --- section 6: life ------------------------------------------------------------------------

    def _life(self) -> None:
        x, end = self.x, self.segment.end
        x.withdraw(Event.TIMER_2MSL)
        x.withdraw(Event.TIMER_FIN_WAIT2)
        x.withdraw(Event.TIMER_RETRANSMISSION)
        x.withdraw(Event.RECEIVED_ICMP_ERROR)
        if not x.used or ahead(end, x.snd_nxt):
            self.was_not_reused = x.withdraw(Event.REUSED)
        if not self.connection.crossed(self.now, x.last_rst) or ahead(end, x.last_rst_number):
            x.withdraw(Event.SENT_RST)
        if x.state == State.CLOSE and not self._fin_acknowledged_lately():
            x.withdraw(Event.RECEIVED_ACK_OF_FIN)
        if x.withdraw(Event.RECEIVED_RST):
            if x.rst_was_sure and self.connection.crossed(self.now, x.rst_received):
                self.rst_again = True
            else:
                self.y.suspicious_rsts += 1

    def _fin_acknowledged_lately(self) -> bool:
        acknowledged = self.x.fin_acked
        return acknowledged is not None and self.connection.crossed(self.now, acknowledged.time)
