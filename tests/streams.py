"""Streams of segments for property tests: wild ones, and those of two simulated hosts, perturbed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from tcpstates.schema import ICMP_ERRORS, SEGMENTS, Checksum, Mark

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
START = 1_700_000_000 * SECOND
CLIENT_PORT, SERVER_PORT = 40_000, 80
IPV6_NETWORK = 0x2001_0DB8 << 32


class Sent(NamedTuple):
    """A captured segment, times counted from the segment before it; or an ICMP error that quotes it."""

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
    checksum: Checksum = Checksum.GOOD
    client: int = 1
    version: int = 4
    network: int = 0  # upper half of both addresses
    icmp: tuple[int, int] | None = None  # type and code
    ttl: int = 64
    interface: int = 0


Array = np.ndarray[Any, np.dtype[Any]]


def as_segments(stream: Iterable[Sent]) -> Array:
    """The SEGMENTS array of a stream, numbered from frame 1."""
    stream = list(stream)
    rows = np.zeros(len(stream), SEGMENTS)
    for row, sent in zip(rows, stream, strict=True):
        _fill(row, sent)
    _place(rows, stream)
    return rows[[sent.icmp is None for sent in stream]] if stream else rows


def as_errors(stream: Iterable[Sent]) -> Array:
    """The ICMP_ERRORS array of a stream."""
    stream = list(stream)
    rows = np.zeros(len(stream), ICMP_ERRORS)
    for row, sent in zip(rows, stream, strict=True):
        _fill_ends(row, sent)
        row["seq"], row["router_lo"] = sent.seq % 2**32, sent.client
        row["type"], row["code"] = sent.icmp or (0, 0)
    _place(rows, stream)
    return rows[[sent.icmp is not None for sent in stream]] if stream else rows


def _place(rows: Array, stream: list[Sent]) -> None:
    """Times and frame numbers."""
    rows["time"] = START + np.cumsum([sent.gap for sent in stream], dtype=np.int64)
    rows["frame"] = np.arange(1, len(stream) + 1)


def _fill_ends(row: Any, sent: Sent) -> None:
    client = (0xFFFF << 32 | 10 << 24 | sent.client, CLIENT_PORT)
    server = (0xFFFF << 32 | 10 << 24 | 200, SERVER_PORT)
    (row["src_lo"], row["src_port"]), (row["dst_lo"], row["dst_port"]) = (
        (client, server) if sent.from_client else (server, client)
    )
    row["src_hi"] = row["dst_hi"] = sent.network
    for name in ("tunnel", "checksum", "version"):
        row[name] = getattr(sent, name)


def _fill(row: Any, sent: Sent) -> None:
    _fill_ends(row, sent)
    for name in ("seq", "ack"):
        row[name] = getattr(sent, name) % 2**32
    for name in ("flags", "payload", "window", "wscale", "ip_id", "ttl", "interface"):
        row[name] = getattr(sent, name)
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
_NUMBERS = (0, 1, 2, 3, 4) * 6 + tuple(range(-2, 9)) + _FAR
_RARELY = (False,) * 15 + (True,)
#: ICMP's type and code; ICMPv6 has the smaller types.
_ICMP = ((3, 1), (3, 3), (3, 4), (3, 16), (11, 0), (11, 1), (12, 0), (5, 1), (1, 0), (1, 4), (2, 0), (4, 1))


def _wild_segment(choices: bytes) -> Sent:
    """Any flags, numbers near each other, gaps small, large and now and then negative.

    A byte for each choice: one number is drawn for a segment, and smaller ones make it plainer.
    """
    rest = iter(choices)

    def one_of(options: Sequence[Any]) -> Any:
        return options[next(rest) % len(options)]

    from_client = one_of((True, False))
    own, other = _BASES if from_client else _BASES[::-1]
    echo = next(rest)
    return Sent(
        gap=-5 * MILLISECOND if one_of(_RARELY) else one_of(_GAPS),
        from_client=from_client,
        flags=one_of(_FLAGS * 18 + tuple(range(64))),
        seq=own + one_of(_NUMBERS),
        ack=other + one_of(_NUMBERS),
        payload=one_of((0, 0, 0, 1, 2, 3)),
        window=one_of((1000, 0, 65535)),
        wscale=one_of((-1, -1, 7, 14)),
        timestamps=(echo // 2 % 4, echo // 8 % 4) if echo % 2 else None,
        sack=(other, other + one_of(_NUMBERS)) if one_of(_RARELY) else None,
        ip_id=one_of((0, 1, 2, 3)),
        tunnel=int(one_of(_RARELY)),
        checksum=one_of((Checksum.UNKNOWN,) * 12 + tuple(Checksum)),
        client=one_of((1, 1, 1, 1, 1, 1, 1, 2)),
        version=6 if one_of(_RARELY) else 4,
        network=IPV6_NETWORK if one_of(_RARELY) else 0,
        icmp=one_of((None,) * 11 + _ICMP),
        ttl=one_of((64, 64, 64, 63)),
        interface=int(one_of(_RARELY)),
    )


def _short_or_long(elements: st.SearchStrategy[Any], max_size: int) -> st.SearchStrategy[list[Any]]:
    """Lists that are short, as by themselves they are, and as many long ones."""
    long = st.lists(elements, min_size=max_size // 2, max_size=max_size)
    return st.lists(elements, max_size=max_size) | long


def wild_streams(max_size: int = 40) -> st.SearchStrategy[list[Sent]]:
    return _short_or_long(st.binary(min_size=23, max_size=23).map(_wild_segment), max_size)


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
#: What may happen next, as often as it is named here.
_STEPS: tuple[tuple[str, Any], ...] = (
    *[("deliver", 0)] * 24, ("deliver", 1), ("deliver", 2),
    *[("lose", 0)] * 3, ("lose", 1),
    *[("wait", gap) for gap in (200 * MILLISECOND, SECOND, 3 * SECOND, 61 * SECOND)] * 2,
    *[(deed, host) for deed in _DEEDS for host in _HOSTS],
    *[(deed, host) for deed in ("send", "send", "close", "repeat", "acknowledge") for host in _HOSTS],
)  # fmt: skip


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
def faithful_streams(draw: st.DrawFn, max_steps: int = 60) -> list[Sent]:
    """What two hosts said to each other, all of it, in order."""
    steps = draw(_short_or_long(st.sampled_from(_STEPS), max_steps))
    return _play(steps, draw(st.booleans()), draw(st.sampled_from((True, True, True, False))))


# --- what a capture makes of it ------------------------------------------------------------------


def _drop(stream: list[Sent], place: int, _: int) -> None:
    del stream[place]


def _show_twice(stream: list[Sent], place: int, _: int) -> None:
    stream.insert(place + 1, stream[place]._replace(gap=MILLISECOND // 100))


def _show_all_twice(stream: list[Sent], place: int, choice: int) -> None:
    """Every segment from here on, in bursts as a mirror or a router's other side shows them; no IP IDs."""
    burst, by = 1 + choice % 10, choice // 16 % 2
    shown: list[Sent] = []
    rest = [segment._replace(ip_id=0) if choice // 32 % 2 else segment for segment in stream[place:]]
    for at in range(0, len(rest), burst):
        part = rest[at : at + burst]
        shown += part
        shown += [segment._replace(gap=MILLISECOND // 100, ttl=segment.ttl - by) for segment in part]
    stream[place:] = shown


def _hide_ip_ids(stream: list[Sent], _place: int, choice: int) -> None:
    """As over IPv6; the clock of the hosts' timestamps is slow, and some of the gaps are short."""
    for at, segment in enumerate(stream):
        gap = segment.gap if (choice + at) % 3 else segment.gap // 50
        stream[at] = segment._replace(ip_id=0, gap=gap, timestamps=(7, 7) if segment.timestamps else None)


def _show_late(stream: list[Sent], place: int, _: int) -> None:
    segment = stream.pop(place)
    stream.insert(place + 3, segment._replace(gap=0))


def _swap(stream: list[Sent], place: int, _: int) -> None:
    stream[place : place + 2] = stream[place : place + 2][::-1]


def _delay(stream: list[Sent], place: int, choice: int) -> None:
    gap = (SECOND, 4 * SECOND, -5 * MILLISECOND)[choice % 3]
    stream[place] = stream[place]._replace(gap=stream[place].gap + gap)


def _begin_here(stream: list[Sent], place: int, _: int) -> None:
    del stream[: min(place, 6)]


def _see_one_side(stream: list[Sent], place: int, _: int) -> None:
    stream[:] = [segment for segment in stream if segment.from_client == stream[place].from_client]


def _repeat_much_later(stream: list[Sent], place: int, _: int) -> None:
    stream.append(stream[place]._replace(gap=65 * SECOND, ip_id=stream[place].ip_id + 500))


def _another(segment: Sent, choice: int) -> Sent:
    """A segment that differs in one thing."""
    by = (1, -1, 2)[choice % 3]
    changes: tuple[dict[str, Any], ...] = (
        *[{"flags": flags} for flags in (RST, RST | ACK, SYN, SYN | ACK, FIN | ACK, ACK, FIN)],
        {"seq": segment.seq + by},
        {"ack": segment.ack + by},
        {"payload": max(0, segment.payload + by)},
        {"window": 0},
        {"wscale": 14},
        {"timestamps": (5, 2)},
        {"sack": (segment.ack + 2, segment.ack + 3)},
        *[{"checksum": checksum} for checksum in (Checksum.BAD, Checksum.OFFLOADED)],
        {"tunnel": 1},
    )
    return segment._replace(**changes[choice // 3 % len(changes)])


def _change(stream: list[Sent], place: int, choice: int) -> None:
    stream[place] = _another(stream[place], choice)


def _forge(stream: list[Sent], place: int, choice: int) -> None:
    forged = _another(_another(stream[place], choice), choice // 60)
    stream.insert(place + choice % 2, forged._replace(ip_id=stream[place].ip_id + 700))


def _repeat(stream: list[Sent], place: int, choice: int) -> None:
    """Send it again, and again, at growing intervals."""
    for number in range(1, 2 + choice % 3):
        again = stream[place]._replace(gap=2**number * SECOND // 4, ip_id=stream[place].ip_id + 900 + number)
        stream.insert(place + number, again)


def _fill_accept_queue(stream: list[Sent], _: int, choice: int) -> None:
    """The third ACK finds no place, so the SYN-ACK is sent and acknowledged again."""
    flags = [segment.flags for segment in stream]
    if SYN | ACK not in flags:
        return
    place = flags.index(SYN | ACK)
    for number, again in enumerate(stream[place : place + 2] * (1 + choice % 3)):
        gap = MILLISECOND if number % 2 else SECOND + 2**number * SECOND // 4
        stream.insert(place + 2 + number, again._replace(gap=gap, ip_id=again.ip_id + 800 + number))


def _answer_with_rst(stream: list[Sent], place: int, _: int) -> None:
    segment = stream[place]
    rst = Sent(from_client=not segment.from_client, flags=RST, seq=segment.ack, client=segment.client)
    stream.insert(place + 1, rst)


def _answer_with_icmp_error(stream: list[Sent], place: int, choice: int) -> None:
    segment = stream[place]
    kind, is_again = _ICMP[choice % len(_ICMP)], choice // 16 % 4 == 0
    for number in range(1 + is_again):
        stream.insert(place + 1 + number, segment._replace(gap=MILLISECOND // 100, icmp=kind))


_PERTURBATIONS = (
    _drop, _drop, _drop, _show_twice, _show_all_twice, _hide_ip_ids, _show_late, _swap, _swap, _delay,
    _begin_here, _see_one_side, _repeat_much_later, _change, _change, _forge, _forge, _repeat,
    _fill_accept_queue, _answer_with_rst, _answer_with_icmp_error, _answer_with_icmp_error,
)  # fmt: skip
_CHOICES = st.tuples(st.sampled_from(_PERTURBATIONS), st.integers(0, 63), st.integers(0, 2**12 - 1))


@st.composite
def perturbed_streams(draw: st.DrawFn, max_steps: int = 60) -> list[Sent]:
    """What a capture may make of what two hosts said to each other, and others in their name."""
    stream = draw(faithful_streams(max_steps))
    for perturb, place, choice in draw(st.lists(_CHOICES, min_size=1, max_size=8)):
        if stream:
            perturb(stream, place % len(stream), choice)
    return stream


def any_streams() -> st.SearchStrategy[list[Sent]]:
    return st.one_of(wild_streams(), faithful_streams(), perturbed_streams())


def stretched(stream: list[Sent], gaps: list[int]) -> list[Sent]:
    """The stream with pauses in it, so long that connections are forgotten."""
    return [
        sent._replace(gap=abs(sent.gap) + gap)
        for sent, gap in zip(stream, [*gaps, *[0] * len(stream)], strict=False)
    ]
