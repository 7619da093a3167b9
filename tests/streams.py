"""Streams of segments for property tests: wild ones, and those of two simulated hosts, perturbed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from tcpstates.schema import SEGMENTS, Checksum, Mark

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
START = 1_700_000_000 * SECOND
CLIENT_PORT, SERVER_PORT = 40_000, 80


class Sent(NamedTuple):
    """A captured segment, times counted from the segment before it."""

    gap: int = MILLISECOND
    from_client: bool = True
    flags: int = ACK
    seq: int = 0
    ack: int = 0
    payload: int = 0
    window: int = 1000
    wscale: int = -1
    timestamps: tuple[int, int] | None = None
    sack: tuple[int, int] | None = None
    ip_id: int = 0
    tunnel: int = 0
    bad_checksum: bool = False
    client: int = 1


def as_segments(stream: Iterable[Sent]) -> np.ndarray[Any, np.dtype[Any]]:
    """The SEGMENTS array of a stream, numbered from frame 1."""
    stream = list(stream)
    rows = np.zeros(len(stream), SEGMENTS)
    time = START
    for number, sent in enumerate(stream, 1):
        time += sent.gap
        _fill(rows[number - 1], sent, time, number)
    return rows


def _fill(row: Any, sent: Sent, time: int, frame: int) -> None:
    client = (0xFFFF << 32 | 10 << 24 | sent.client, CLIENT_PORT)
    server = (0xFFFF << 32 | 10 << 24 | 200, SERVER_PORT)
    (row["src_lo"], row["src_port"]), (row["dst_lo"], row["dst_port"]) = (
        (client, server) if sent.from_client else (server, client)
    )
    row["time"], row["frame"], row["version"] = time, frame, 4
    for name in ("seq", "ack"):
        row[name] = getattr(sent, name) % 2**32
    for name in ("flags", "payload", "window", "wscale", "ip_id", "tunnel"):
        row[name] = getattr(sent, name)
    row["checksum"] = Checksum.BAD if sent.bad_checksum else Checksum.GOOD
    if sent.timestamps:
        row["tsval"], row["tsecr"] = sent.timestamps
        row["marks"] |= Mark.HAS_TIMESTAMP
    if sent.sack:
        row["sack_left"], row["sack_right"] = (edge % 2**32 for edge in sent.sack)
        row["marks"] |= Mark.HAS_SACK


# --- wild streams --------------------------------------------------------------------------------

#: Either side counts from its own number; both wrap around soon.
_BASES = (2**32 - 3, 2**31 - 2)
_FLAGS = (ACK, SYN, SYN | ACK, ACK | FIN, RST, RST | ACK, PSH | ACK)
_GAPS = (MILLISECOND, 0, 30 * MILLISECOND, 300 * MILLISECOND, 3 * SECOND, 61 * SECOND, 300 * SECOND)
_FAR = (2**16, 2**24, 2**24 + 1, 2**30, 2**31 - 1, 2**31)


def _number(base: int) -> st.SearchStrategy[int]:
    near = st.integers(0, 4)
    return st.one_of(near, near, near, st.integers(-2, 8), st.sampled_from(_FAR)).map(base.__add__)


@st.composite
def wild_segment(draw: st.DrawFn) -> Sent:
    """Any flags, numbers near each other, gaps small, large and now and then negative."""
    from_client = draw(st.booleans())
    own, other = _BASES if from_client else _BASES[::-1]
    rarely = st.integers(0, 15).map(lambda number: number == 15)
    return Sent(
        gap=-5 * MILLISECOND if draw(rarely) else draw(st.sampled_from(_GAPS)),
        from_client=from_client,
        flags=draw(st.one_of(st.sampled_from(_FLAGS), st.sampled_from(_FLAGS), st.integers(0, 63))),
        seq=draw(_number(own)),
        ack=draw(_number(other)),
        payload=draw(st.sampled_from((0, 0, 0, 1, 2, 3))),
        window=draw(st.sampled_from((0, 1000, 65535))),
        wscale=draw(st.sampled_from((-1, -1, 7, 14))),
        timestamps=draw(st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3))),
        sack=(other, draw(_number(other))) if draw(rarely) else None,
        ip_id=draw(st.sampled_from((0, 1, 2, 3))),
        tunnel=1 if draw(rarely) else 0,
        bad_checksum=draw(rarely),
        client=draw(st.sampled_from((1, 1, 1, 2))),
    )


def wild_streams(max_size: int = 40) -> st.SearchStrategy[list[Sent]]:
    return st.lists(wild_segment(), max_size=max_size)


# --- two hosts -----------------------------------------------------------------------------------


@dataclass
class Host:
    """One end of the simulated connection: a small TCP, which does what it is told."""

    is_client: bool
    iss: int
    alive: bool = False
    synchronized: bool = False
    snd_nxt: int = 0
    snd_una: int = 0
    rcv_nxt: int = 0
    fin_sent: bool = False
    last_kept: Sent | None = None
    sent: int = 0


@dataclass
class Lab:
    """Two hosts, the segments between them, and the capture at the wire's beginning."""

    timestamps: bool
    captured: list[Sent] = field(default_factory=list)
    flying: list[Sent] = field(default_factory=list)
    gap: int = 0
    clock: int = 1

    def __post_init__(self) -> None:
        self.client = Host(True, 2**32 - 5)
        self.server = Host(False, 2**32 - 3)

    # what hosts are told

    def open(self, host: Host) -> None:
        host.iss = (host.iss + 1000) % 2**32
        host.alive, host.synchronized, host.fin_sent = True, False, False
        host.snd_una = host.snd_nxt = host.iss
        self.transmit(host, SYN)

    def send(self, host: Host, payload: int = 2) -> None:
        if host.synchronized and not host.fin_sent:
            self.transmit(host, ACK | PSH, payload)

    def close(self, host: Host) -> None:
        if host.synchronized and not host.fin_sent:
            self.transmit(host, ACK | FIN)
            host.fin_sent = True

    def reset(self, host: Host) -> None:
        if host.alive:
            self.put(host, RST | ACK, host.snd_nxt)
        host.alive = host.synchronized = False

    def repeat(self, host: Host) -> None:
        if host.last_kept and host.alive:
            kept = host.last_kept
            self.put(host, kept.flags, kept.seq, kept.payload)

    def keep_alive(self, host: Host) -> None:
        if host.synchronized:
            self.put(host, ACK, host.snd_nxt - 1, host.sent % 2)

    def acknowledge(self, host: Host) -> None:
        if host.synchronized:
            self.put(host, ACK, host.snd_nxt)

    # the wire

    def transmit(self, host: Host, flags: int, payload: int = 0) -> None:
        self.put(host, flags, host.snd_nxt, payload)
        host.last_kept = self.captured[-1]
        host.snd_nxt += payload + bool(flags & (SYN | FIN))

    def put(self, host: Host, flags: int, seq: int, payload: int = 0) -> None:
        host.sent += 1
        self.clock += 1
        segment = Sent(
            gap=self.gap or MILLISECOND,
            from_client=host.is_client,
            flags=flags,
            seq=seq,
            ack=host.rcv_nxt if flags & ACK else 0,
            payload=payload,
            timestamps=(self.clock, self.clock - 1) if self.timestamps else None,
            ip_id=host.sent,
            wscale=7 if flags & SYN else -1,
        )
        self.gap = 0
        self.captured.append(segment)
        self.flying.append(segment)

    def deliver(self, position: int) -> None:
        if self.flying:
            segment = self.flying.pop(position % len(self.flying))
            self.receive(self.server if segment.from_client else self.client, segment)

    def lose(self, position: int) -> None:
        if self.flying:
            self.flying.pop(position % len(self.flying))

    def receive(self, host: Host, segment: Sent) -> None:
        """What RFC 9293, 3.10.7 has a host do, in short."""
        if segment.flags & RST:
            host.alive = host.synchronized = host.synchronized and segment.seq != host.rcv_nxt
        elif segment.flags & SYN:
            self._receive_syn(host, segment)
        elif not host.alive:
            self.put(host, RST, segment.ack)
        elif host.synchronized:
            self._receive_ack(host, segment)

    def _receive_syn(self, host: Host, segment: Sent) -> None:
        if host.synchronized:
            self.acknowledge(host)
            return
        host.rcv_nxt, host.synchronized = segment.seq + 1, True
        if segment.flags & ACK and host.alive:
            self.acknowledge(host)
        elif host.alive:
            self.put(host, SYN | ACK, host.iss)
        else:
            host.alive, host.fin_sent = True, False
            host.iss = host.snd_nxt = host.iss + 1000
            self.transmit(host, SYN | ACK)

    def _receive_ack(self, host: Host, segment: Sent) -> None:
        occupies = segment.payload + (segment.flags & FIN)
        if segment.seq == host.rcv_nxt:
            host.rcv_nxt += occupies
        if occupies:
            self.acknowledge(host)


_HOSTS: dict[str, Callable[[Lab], Host]] = {
    "client": lambda lab: lab.client,
    "server": lambda lab: lab.server,
}
_DEEDS = ("open", "send", "close", "reset", "repeat", "keep_alive", "acknowledge")
_WEIGHED_DEEDS = ("send", "send", "close", "close", "repeat", "open", "reset", "keep_alive", "acknowledge")
_STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.sampled_from((0, 0, 0, 0, 0, 0, 1, 2))),
    st.tuples(st.just("deliver"), st.just(0)),
    st.tuples(st.just("deliver"), st.just(0)),
    st.tuples(st.just("lose"), st.sampled_from((0, 1))),
    st.tuples(st.just("wait"), st.sampled_from((200 * MILLISECOND, SECOND, 3 * SECOND, 61 * SECOND))),
    st.tuples(st.sampled_from(_WEIGHED_DEEDS), st.sampled_from(tuple(_HOSTS))),
    st.tuples(st.sampled_from(_WEIGHED_DEEDS), st.sampled_from(tuple(_HOSTS))),
)


def _play(steps: list[tuple[str, Any]], timestamps: bool, shake_hands: bool) -> list[Sent]:
    """The capture of what two hosts did."""
    lab = Lab(timestamps)
    beginning = [("open", "client"), *[("deliver", 0)] * 3] if shake_hands else []
    for verb, argument in beginning + steps:
        if verb == "wait":
            lab.gap = argument
        elif verb in _DEEDS:
            getattr(lab, verb)(_HOSTS[argument](lab))
        else:
            getattr(lab, verb)(argument)
    return lab.captured


@st.composite
def faithful_streams(draw: st.DrawFn, max_steps: int = 40) -> list[Sent]:
    """What two hosts said to each other, all of it, in order."""
    steps = draw(st.lists(_STEPS, max_size=max_steps))
    return _play(steps, draw(st.booleans()), draw(st.sampled_from((True, True, True, False))))


def _drop(stream: list[Sent], place: int) -> None:
    del stream[place]


def _show_twice(stream: list[Sent], place: int) -> None:
    stream.insert(place + 1, stream[place]._replace(gap=MILLISECOND // 100))


def _show_late(stream: list[Sent], place: int) -> None:
    segment = stream.pop(place)
    stream.insert(place + 3, segment._replace(gap=0))


def _swap(stream: list[Sent], place: int) -> None:
    stream[place : place + 2] = stream[place : place + 2][::-1]


def _delay(stream: list[Sent], place: int) -> None:
    stream[place] = stream[place]._replace(gap=stream[place].gap + SECOND)


def _begin_here(stream: list[Sent], place: int) -> None:
    del stream[: min(place, 6)]


def _repeat_much_later(stream: list[Sent], place: int) -> None:
    stream.append(stream[place]._replace(gap=65 * SECOND, ip_id=stream[place].ip_id + 500))


_PERTURBATIONS = (
    _drop, _drop, _drop, _show_twice, _show_late, _swap, _swap, _delay, _begin_here, _repeat_much_later,
)  # fmt: skip


@st.composite
def perturbed_streams(draw: st.DrawFn, max_steps: int = 40) -> list[Sent]:
    """What a capture may make of what two hosts said to each other."""
    stream = draw(faithful_streams(max_steps))
    for perturb in draw(st.lists(st.sampled_from(_PERTURBATIONS), max_size=6)):
        if stream:
            perturb(stream, draw(st.integers(0, len(stream) - 1)))
    return stream


def any_streams() -> st.SearchStrategy[list[Sent]]:
    return st.one_of(wild_streams(), faithful_streams(), perturbed_streams())
