"""What a RST does to its connection in the reference engine (docs/inference.md, 7)."""

from __future__ import annotations

from reference_numbers import ahead, behind, between
from reference_segments import ACK, Segment
from reference_sockets import Connection
from tcpstates.states import Event, Evidence, State

HAS_RECEIVED_FIN = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK)


class Reset:
    """A RST from ``x`` to ``y``."""

    def __init__(self, connection: Connection, segment: Segment, now: int) -> None:
        self.connection, self.segment, self.now = connection, segment, now
        self.x, self.y = connection.ends(segment)

    def take(self) -> None:
        x, y = self.x, self.y
        x.rsts += 1
        surely = self._rst_is_expected()
        acceptable = surely or self._rst_may_be_acceptable()
        self._rst_to_what_was_no_socket()
        if not acceptable:
            x.suspicious_rsts += 1
            return
        if not x.used or self._rst_is_of_its_sender():
            self._end_by_own_rst()
        x.last_rst, x.last_rst_number = self.now, self.segment.seq
        x.rst_acked = self.segment.ack if self.segment.has(ACK) else None
        if x.cannot_reach_peer:
            return
        y.meet(Event.RECEIVED_RST, self.now, Evidence.OBSERVED, self.segment.frame)
        y.rst_received, y.rst_was_sure = self.now, surely

    def _rst_in_syn_sent(self) -> bool:
        """RFC 9293, 3.10.7.3: it has to acknowledge the SYN."""
        x, y, segment = self.x, self.y, self.segment
        if segment.has(ACK):
            return not y.iss_known or between(y.iss + 1, segment.ack, y.iss + 1 + y.syn_payload)
        return x.iss_known and segment.seq == x.snd_nxt

    @property
    def _attempts(self) -> bool:
        return self.y.state == State.SYN_SENT and not self.y.has_met(Event.SENT_SYN_ACK)

    def _rst_is_expected(self) -> bool:
        x, y, seq = self.x, self.y, self.segment.seq
        if self._attempts:
            return self._rst_in_syn_sent()
        if x.used and seq == x.contiguous:
            return True
        if y.acked is None:
            return not x.used
        before_fin = y.state in HAS_RECEIVED_FIN and seq == (y.acked - 1) % 2**32
        return seq in (y.acked, y.sack_right) or before_fin

    def _rst_may_be_acceptable(self) -> bool:
        x, y, seq = self.x, self.y, self.segment.seq
        if self._attempts:
            return False
        if y.acked is None:
            return x.used and seq == x.snd_nxt
        in_window = ahead(seq, y.acked) and (seq - y.acked) % 2**32 < max(y.window, 65536)
        return y.state != State.TIME_WAIT and in_window

    def _rst_to_what_was_no_socket(self) -> None:
        x, y, segment, connection = self.x, self.y, self.segment, self.connection
        if connection.handshake:
            if x.state == State.SYN_SENT and x.frames == 1:
                x.begin(State.CLOSE, x.beginning.time, x.beginning.frame)
            return
        lone = x.frames == 1 and y.frames - y.duplicates == 1 and y.bytes == 0 and not y.fin_known
        if lone and not segment.has(ACK) and segment.seq == y.acked:
            connection.probe = True
            for side in (x, y):
                side.begin(State.CLOSE, side.beginning.time, side.beginning.frame)

    def _rst_is_of_its_sender(self) -> bool:
        x, y, seq = self.x, self.y, self.segment.seq
        return not ahead(seq, x.snd_nxt) and (y.acked is None or not behind(seq, y.acked))

    def _end_by_own_rst(self) -> None:
        x, y = self.x, self.y
        answers_syn_ack = y.syn_acks and self.segment.seq == x.snd_nxt
        if x.state == State.SYN_SENT and answers_syn_ack:
            copy = y.last_copy
            time, frame = (copy.time, copy.frame) if copy else (self.now, self.segment.frame)
            x.meet(Event.RECEIVED_SYN_ACK, time, Evidence.OBSERVED, frame)
        x.meet(Event.SENT_RST, self.now, Evidence.OBSERVED, self.segment.frame)
