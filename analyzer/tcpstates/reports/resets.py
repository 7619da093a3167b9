"""RSTs told apart: what each was sent for, and by whom.

A RST says little itself; what was sent before and after it says the rest. RFC 9293, 3.10.7.1 tells one kind:
a host that has no socket answers a segment with a RST that has no ACK, and whose number is that segment's ACK
number; a socket that is aborted (3.10.5) sends one unasked.

The rules see all RSTs at once and are tried in order, as those for outcomes are.
"""

# What numpy makes of comparisons is Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tcpstates.reports.log import LIVE, Log
from tcpstates.schema import NO_TIME, REASONS, Known
from tcpstates.states import Event, Side, State
from tcpstates.storage import blocks

SECOND = 1_000_000_000
#: A RST is an answer if it comes within this time of the segment that it fits: more than any round trip.
ANSWERED_WITHIN = SECOND
#: A side that has asked so often, and for so long, without an answer, gives up by a RST.
UNANSWERED, ASKED_FOR = 2, SECOND
#: Routes change by a hop or two; more, and the packet came from elsewhere.
SAME_ROUTE = 2
#: So many IP IDs in a row make a counter, of which the RST's should be one more.
STEADY_IDS = 4
_RST_ACK = 0x10
#: The rules, of which the first that applies decides.
_IN_ORDER = (
    "refused",
    "probe",
    "after_close",
    "assassination",
    "ignored",
    "middlebox",
    "gave_up",
    "late_data",
    "stale",
    "unknown",
    "unread_data",
    "aborted",
)
_INITIAL_TTLS = np.array([32, 64, 128, 255])


@dataclass(frozen=True, eq=False)
class Resets:
    """The RSTs of a capture, and what is known of each: one value per row of ``log.resets``.

    Attributes
    ----------
    log : what the engine found.
    part : the rows that are spoken of; all if None.
    """

    log: Log
    part: slice | None = None

    @cached_property
    def rows(self) -> np.ndarray:
        """The RESETS array."""
        return np.asarray(self.log.resets[self.part or slice(None)])

    @cached_property
    def side(self) -> np.ndarray:
        """int64: the sender's row in ``log.sides``."""
        return self.rows["side"].astype(np.int64)

    @cached_property
    def sender_state(self) -> np.ndarray:
        """uint8: the sender's state just before."""
        return _state_before(self.log, self.side, self.rows["time"])

    @cached_property
    def receiver_state(self) -> np.ndarray:
        """uint8: the receiver's state just before."""
        return _state_before(self.log, self.side ^ 1, self.rows["time"])

    @cached_property
    def was_received(self) -> np.ndarray:
        """bool: it, or another of that side's, ended its receiver."""
        return _met(self.log, self.side ^ 1, Event.RECEIVED_RST)

    @cached_property
    def is_answer(self) -> np.ndarray:
        """bool: it has no ACK, and the number that a host without a socket answers the last segment with."""
        rows = self.rows
        prompt = (rows["waited"] >= 0) & (rows["waited"] <= ANSWERED_WITHIN)
        fits = (rows["peer_known"] & Known.ACK != 0) & (rows["seq"] == rows["peer_acked"])
        return prompt & fits & ~self.has_ack

    @cached_property
    def has_ack(self) -> np.ndarray:
        """bool: an aborted socket's has an ACK, as a rule."""
        return np.asarray(self.rows["flags"] & _RST_ACK != 0)

    @cached_property
    def sender_had_closed(self) -> np.ndarray:
        """bool: the sender had sent a FIN."""
        return np.asarray(self.rows["known"] & Known.FIN != 0)

    @cached_property
    def peer_had_closed(self) -> np.ndarray:
        """bool: the receiver had sent a FIN, and the RST does not say that it had not arrived yet."""
        rows = self.rows
        crossed = self.has_ack & (ahead(rows["ack"], rows["peer_fin_end"]) < 0)
        return (rows["peer_known"] & Known.FIN != 0) & ~crossed

    @cached_property
    def in_flight(self) -> np.ndarray:
        """int64: bytes of the receiver's payload that it does not acknowledge; 0 if it has no ACK."""
        rows = self.rows
        fin = (rows["peer_known"] & Known.FIN != 0) & (rows["peer_fin_end"] == rows["peer_snd_nxt"])
        beyond = ahead(rows["peer_snd_nxt"], rows["ack"]) - fin
        return np.where(self.has_ack & (rows["peer_known"] & Known.SEQUENCE != 0), np.maximum(beyond, 0), 0)

    @cached_property
    def ahead_of_expected(self) -> np.ndarray:
        """int64: how far its number is ahead of the receiver's last ACK."""
        return ahead(self.rows["seq"], self.rows["peer_acked"])

    @cached_property
    def by_other_ttl(self) -> np.ndarray:
        """bool: it came a longer or shorter way than all of its sender's packets."""
        rows = self.rows
        known = rows["known"] & Known.SEEN != 0
        ttl, least, most = (rows[name].astype(np.int64) for name in ("ttl", "ttl_least", "ttl_most"))
        outside = (ttl < least - SAME_ROUTE) | (ttl > most + SAME_ROUTE)
        # A host's own RST may begin with another TTL than its sockets' packets; its way is as long then
        same_way = np.abs(_hops(ttl) - _hops(most)) <= SAME_ROUTE
        return known & outside & ~same_way

    @cached_property
    def by_other_id(self) -> np.ndarray:
        """bool: its sender's packets were counted by their IP ID, and it, no answer, is out of the count."""
        rows = self.rows
        steady = (rows["id_steps"] >= STEADY_IDS) & (rows["id_jumps"] == 0)
        step = rows["ip_id"].astype(np.int64) - rows["last_ip_id"] & 0xFFFF
        return steady & ((step == 0) | (step > 1024)) & (rows["waited"] < 0) & (rows["ip_id"] != 0)

    @cached_property
    def lived_on(self) -> np.ndarray:
        """bool: its sender went on afterwards."""
        return np.asarray(self.rows["lived_on"] != NO_TIME)

    @cached_property
    def reason(self) -> np.ndarray:
        """uint8: of ``schema.REASONS``, the first that applies."""
        reasons = np.empty(len(self.rows), np.uint8)
        for part in blocks(len(reasons)):
            reasons[part] = Resets(self.log, part)._reasons
        return reasons

    @property
    def _reasons(self) -> np.ndarray:
        conditions = [getattr(self, f"_is_{name}") for name in _IN_ORDER]
        return np.select(conditions, [REASONS.index(name) for name in _IN_ORDER])

    @property
    def _is_refused(self) -> np.ndarray:
        """It answers a SYN that nothing else answered."""
        return (self.receiver_state == State.SYN_SENT) & (self.log.sides["syn_acks"][self.side] == 0)

    @property
    def _is_probe(self) -> np.ndarray:
        """It refuses a probe, or a SYN-ACK that nobody asked for or wants."""
        rows = self.rows
        probe = self.log.connections["probe"][self.side >> 1] != 0
        unasked = (self.receiver_state == State.SYN_RECV) & (self.side & 1 == Side.CLIENT)
        return probe | (unasked & (rows["unanswered"] == 0) & (self.log.sides["bytes"][self.side] == 0))

    @property
    def _is_assassination(self) -> np.ndarray:
        """It ended TIME_WAIT (RFC 1337)."""
        return (self.receiver_state == State.TIME_WAIT) & self.was_received

    @property
    def _is_after_close(self) -> np.ndarray:
        """Its receiver, or the whole connection, was done."""
        done = np.isin(self.receiver_state, (State.CLOSE, State.TIME_WAIT)) & ~self._is_assassination
        return done & ~self.was_received

    @property
    def _is_ignored(self) -> np.ndarray:
        """It did not end its receiver, which was alive."""
        return ~self.was_received & np.isin(self.receiver_state, LIVE) & ~self._not_arrived

    @property
    def _not_arrived(self) -> np.ndarray:
        """It ended its sender: that its receiver went on shows only that it was lost, or nobody there."""
        return _met(self.log, self.side, Event.SENT_RST)

    @property
    def _is_middlebox(self) -> np.ndarray:
        """It does not look like its sender's packets, or its sender went on."""
        return self.by_other_ttl | self.by_other_id | self.lived_on

    @property
    def _is_gave_up(self) -> np.ndarray:
        """Its sender had repeated itself, or probed, in vain."""
        rows = self.rows
        asked = (rows["unanswered"] >= UNANSWERED) & (rows["asked_for"] >= ASKED_FOR)
        return asked & (rows["peer_known"] & Known.SEEN != 0)

    @property
    def _is_late_data(self) -> np.ndarray:
        """Its sender had closed, and its receiver then sent data, or a FIN that found no socket."""
        prompt = (self.rows["waited"] >= 0) & (self.rows["waited"] <= ANSWERED_WITHIN)
        data, fin = self.rows["peer_pending"] > 0, self.is_answer & self.peer_had_closed
        return self.sender_had_closed & prompt & (data | fin)

    @property
    def _is_stale(self) -> np.ndarray:
        """It answers an ordinary segment as a host does that knows no such connection."""
        return self.is_answer

    @property
    def _is_unknown(self) -> np.ndarray:
        """What it may answer was not captured."""
        rows = self.rows
        return (rows["peer_known"] & Known.SEEN == 0) & (~self.has_ack | (rows["known"] & Known.SEEN == 0))

    @property
    def _is_unread_data(self) -> np.ndarray:
        """Data that it does not acknowledge were under way, or a server never answered what it was sent."""
        unanswered = (self.rows["peer_pending"] > 0) & (self.side & 1 == Side.SERVER)
        return ~self.sender_had_closed & (unanswered | (self.in_flight > 0))

    @property
    def _is_aborted(self) -> np.ndarray:
        return np.ones(len(self.rows), bool)


def ahead(number: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far sequence numbers are ahead of others modulo 2^32 (int64), negative if behind."""
    difference = number.astype(np.int64) - other.astype(np.int64)
    return (difference + (1 << 31) & 0xFFFFFFFF) - (1 << 31)


def _hops(ttl: np.ndarray) -> np.ndarray:
    """How many routers a packet passed, if it began with a usual TTL."""
    return _INITIAL_TTLS[np.searchsorted(_INITIAL_TTLS, np.minimum(ttl, 255))] - ttl


def _met(log: Log, side: np.ndarray, event: Event) -> np.ndarray:
    """Whether ``event`` changed the state of each of ``side``."""
    rows = log.rows_of(side)
    return np.isin(side, log.sides_of(rows[log.cause[rows] == event]))


def _state_before(log: Log, side: np.ndarray, time: np.ndarray) -> np.ndarray:
    """The state of each of ``side`` just before ``time``; its first one if that is later."""
    row, last = log.first_rows_of(side), log.last_rows[side]
    while True:
        following = np.minimum(row + 1, last)
        goes_on = (following > row) & (log.transitions["start"][following] < time)
        if not goes_on.any():
            return log.state[row]
        row = np.where(goes_on, following, row)
