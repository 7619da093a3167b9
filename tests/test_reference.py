"""The compiled engine against the plain one of ``reference.py``, and what must hold of any timeline."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import infer
from reference_sockets import Interval, Side
from streams import (
    ACK,
    FIN,
    MILLISECOND,
    RST,
    SECOND,
    SYN,
    Sent,
    any_streams,
    as_errors,
    as_segments,
    faithful_streams,
    perturbed_streams,
    stretched,
    wild_streams,
)
from tcpstates.inference.engine import Engine, Inference
from tcpstates.inference.timers import PROFILES, Timers
from tcpstates.schema import NO_TIME
from tcpstates.states import TRANSITIONS, Event, Evidence, State

Array = np.ndarray[Any, np.dtype[Any]]

#: What of a connection and of a side is compared, by their names in the schema.
OF_CONNECTION = ("start", "end", "tunnel", "first_frame", "last_frame", "first_closer", "handshake", "probe")
OF_SIDE = (
    "first", "last", "last_data", "fin_time",
    "frames", "bytes", "retransmits", "duplicates", "keepalives",
    "syns", "syn_acks", "fins", "rsts", "suspicious_rsts", "icmp_errors",
)  # fmt: skip
#: The same of the last ICMP error, by its names there.
OF_ERROR = ("frame", "type", "code")

timers_of_hosts = st.sampled_from([*PROFILES.values(), PROFILES["linux"], PROFILES["rfc9293"]])
rest_of_capture = st.sampled_from([0, 1, *(SECOND * rest for rest in (1, 4, 59, 60, 1000))])
checksum_modes = st.sampled_from(("auto", "verify", "ignore"))


class SideOf(NamedTuple):
    """What either engine says of one side."""

    address: tuple[int, int, int]
    facts: dict[str, int]
    icmp_error: dict[str, int]
    timeline: list[Interval]


class ConnectionOf(NamedTuple):
    """What either engine says of one connection."""

    version: int
    facts: dict[str, int]
    client: SideOf
    server: SideOf


class Inferred(NamedTuple):
    """What either engine says of a capture."""

    connections: list[ConnectionOf]
    bad_checksums: int
    stray_errors: int


def compiled(segments: Array, now: int, timers: Timers, slices: tuple[int, ...] = ()) -> Inference:
    """What the compiled engine says, fed in slices that end at these places."""
    engine = Engine(timers, seed=7)
    for part in np.split(segments, sorted(slices)):
        engine.feed(part)
    return engine.finish(now)


def by_compiled(inference: Inference) -> Inferred:
    sides = [_side_of_compiled(inference, index) for index in range(len(inference.sides))]
    connections = [
        ConnectionOf(int(row["version"]), _facts(row, OF_CONNECTION), client, server)
        for row, client, server in zip(inference.connections, sides[::2], sides[1::2], strict=True)
    ]
    return Inferred(connections, inference.bad_checksums, inference.stray_errors)


def _side_of_compiled(inference: Inference, index: int) -> SideOf:
    row, rows = inference.sides[index], inference.transitions
    mine = (rows["conn"] == index // 2) & (rows["side"] == index % 2)
    address = int(row["addr_hi"]), int(row["addr_lo"]), int(row["port"])
    error = {name: int(row[f"icmp_{name}"]) for name in OF_ERROR}
    return SideOf(address, _facts(row, OF_SIDE), error, timeline_of(rows[mine]))


def _facts(row: Any, names: tuple[str, ...]) -> dict[str, int]:
    return {name: int(row[name]) for name in names}


def timeline_of(rows: Array) -> list[Interval]:
    return [
        Interval(
            State(int(row["state"])),
            int(row["start"]),
            Evidence(int(row["evidence"])),
            Event(int(row["cause"])),
            int(row["frame"]),
        )
        for row in rows
    ]


def by_reference(segments: Array, errors: Array, now: int, timers: Timers, checksums: str) -> Inferred:
    reference = infer(segments, errors, now, timers, checksums)
    connections = reference.connections
    said = [
        ConnectionOf(
            connection.client.key[0],
            _attributes(connection, OF_CONNECTION),
            *(_side_of_reference(side) for side in connection.sides),
        )
        for connection in connections
    ]
    damaged = sum(connection.damaged for connection in connections)
    return Inferred(said, damaged, reference.stray_errors)


def _side_of_reference(side: Side) -> SideOf:
    _version, *address = side.key
    error = {name: getattr(side.last_icmp_error, name, 0) for name in OF_ERROR}
    ends = address[0], address[1], address[2]
    return SideOf(ends, _attributes(side, OF_SIDE), error, side.timeline())


def _attributes(thing: object, names: tuple[str, ...]) -> dict[str, int]:
    values = {name: getattr(thing, name) for name in names}
    return {name: NO_TIME if value is None else int(value) for name, value in values.items()}


def end_of(segments: Array, rest: int) -> int:
    return int(segments["time"].max(initial=0)) + rest


def agree(stream: list[Sent], timers: Timers, rest: int, checksums: str = "auto") -> None:
    segments, errors = as_segments(stream), as_errors(stream)
    now = end_of(segments, rest)
    engine = Engine(timers, checksums, seed=7)
    engine.feed(segments, errors)
    assert by_compiled(engine.finish(now)) == by_reference(segments, errors, now, timers, checksums)


@given(wild_streams(), timers_of_hosts, rest_of_capture, checksum_modes)
def test_engines_agree_on_wild_streams(stream: list[Sent], timers: Timers, rest: int, checksums: str) -> None:
    agree(stream, timers, rest, checksums)


@given(faithful_streams(), timers_of_hosts, rest_of_capture)
def test_engines_agree_on_what_hosts_say(stream: list[Sent], timers: Timers, rest: int) -> None:
    agree(stream, timers, rest)


@given(perturbed_streams(), timers_of_hosts, rest_of_capture, checksum_modes)
def test_engines_agree_on_imperfect_captures(
    stream: list[Sent], timers: Timers, rest: int, checksums: str
) -> None:
    agree(stream, timers, rest, checksums)


@given(
    any_streams(), st.lists(st.sampled_from([0, 0, 61 * SECOND, 239 * SECOND, 241 * SECOND])), rest_of_capture
)
def test_engines_forget_alike(stream: list[Sent], gaps: list[int], rest: int) -> None:
    agree(stretched(stream, gaps), PROFILES["linux"], rest)


SYN_OF_CLIENT = Sent(flags=SYN, seq=100, ip_id=1)
SYN_ACK = Sent(from_client=False, flags=SYN | ACK, seq=500, ack=101, ip_id=1)
THIRD_ACK = Sent(seq=101, ack=501, ip_id=2)
FIN_OF_CLIENT = Sent(flags=FIN | ACK, seq=101, ack=501, ip_id=3)
LATE_FIN = Sent(flags=FIN | ACK, seq=105, ack=501, payload=2, ip_id=3)

#: What engines once disagreed on, smallest first.
DISPUTED = {
    "the next SYN is stamped before the connection that it ends": [
        SYN_OF_CLIENT,
        SYN_OF_CLIENT._replace(gap=-5 * MILLISECOND, seq=200, ip_id=2),
    ],
    "a SYN captured after its FIN is not what was received": [
        SYN_ACK,
        THIRD_ACK,
        FIN_OF_CLIENT,
        SYN_OF_CLIENT,
        Sent(from_client=False, seq=501, ack=102, ip_id=2),
    ],
    "a FIN that a RST answers was sent by a socket": [
        FIN_OF_CLIENT,
        Sent(from_client=False, flags=RST, seq=501),
    ],
    "a FIN with data beyond a hole is sent again": [
        THIRD_ACK,
        LATE_FIN,
        LATE_FIN._replace(gap=30 * MILLISECOND, ip_id=4),
    ],
    "two fields change alike, and the frame is another": [
        THIRD_ACK._replace(sack=(600, 700)),
        THIRD_ACK._replace(sack=(602, 700), ip_id=THIRD_ACK.ip_id ^ 600 ^ 602),
    ],
    "a FIN acknowledged unseen was not, says the peer's first ACK, whatever its number": [
        FIN_OF_CLIENT._replace(seq=2**31 + 101),
        Sent(gap=4 * SECOND, from_client=False, seq=501, ack=2**31 + 101, payload=2, ip_id=1),
    ],
    "a SYN-ACK is repeated of which no copy was captured": [
        SYN_OF_CLIENT,
        THIRD_ACK,
        SYN_ACK._replace(gap=SECOND),
        FIN_OF_CLIENT._replace(payload=2),
        THIRD_ACK._replace(gap=2 * SECOND, ip_id=4),
    ],
    "a third ACK in doubt was the one that revealed the handshake": [
        SYN_OF_CLIENT,
        Sent(from_client=False, seq=501, ack=101, ip_id=1),
        THIRD_ACK._replace(ack=502),
        SYN_ACK._replace(gap=SECOND, ip_id=2),
        Sent(from_client=False, seq=502, ack=103, ip_id=3),
    ],
    "what a SYN-ACK answers was captured, as a repeat": [
        SYN_OF_CLIENT,
        THIRD_ACK,
        SYN_ACK,
        Sent(flags=SYN | ACK, seq=100, ack=501, ip_id=4),
    ],
    "a third ACK is in doubt, and the SYN-ACK's copies forgotten": [
        SYN_ACK,
        THIRD_ACK,
        SYN_ACK._replace(gap=61 * SECOND, ip_id=2),
        THIRD_ACK._replace(ack=502, ip_id=3),
        Sent(from_client=False, seq=501, ack=101, payload=1, ip_id=3),
    ],
    "a RST captured before the SYN that it refuses": [
        Sent(from_client=False, flags=RST | ACK, seq=0, ack=101, ip_id=1),
        SYN_OF_CLIENT,
    ],
    "a RST captured before a SYN with data": [
        Sent(from_client=False, flags=RST | ACK, seq=7, ack=104, ip_id=1),
        SYN_OF_CLIENT._replace(payload=5),
        SYN_OF_CLIENT._replace(payload=5, gap=SECOND, ip_id=2),
    ],
    "a SYN captured late, in a connection picked up, awaits no answer": [
        Sent(flags=ACK, seq=600, ack=101, ip_id=1),
        Sent(from_client=False, flags=SYN, seq=100, payload=3, ip_id=1),
        Sent(from_client=False, flags=FIN | ACK, seq=99, ack=600, ip_id=2),
        Sent(gap=300 * SECOND, from_client=False, seq=100, ack=600, ip_id=3),
    ],
}


@pytest.mark.parametrize("case", DISPUTED)
def test_engines_agree_on_what_they_once_disputed(case: str) -> None:
    agree(DISPUTED[case], PROFILES["linux"], 0)


@given(any_streams(), st.lists(st.integers(0, 40), max_size=5))
def test_slices_do_not_matter(stream: list[Sent], places: list[int]) -> None:
    segments = as_segments(stream)
    slices = tuple(min(place, len(segments)) for place in places)
    now = end_of(segments, 0)
    whole = compiled(segments, now, PROFILES["linux"])
    parts = compiled(segments, now, PROFILES["linux"], slices)
    assert_same(whole, parts)


@given(any_streams(), st.integers(0, 40))
def test_looking_does_not_matter(stream: list[Sent], place: int) -> None:
    """finish() may be called at any time, and more segments may follow."""
    looking_does_not_matter(stream, place)


def looking_does_not_matter(stream: list[Sent], place: int) -> None:
    segments = as_segments(stream)
    now = end_of(segments, 0)
    engine = Engine(seed=7)
    engine.feed(segments[:place])
    engine.finish(int(segments["time"][:place].max(initial=0)))
    engine.feed(segments[place:])
    assert_same(engine.finish(now), compiled(segments, now, PROFILES["linux"]))
    assert_same(engine.finish(now), engine.finish(now))
    assert_same(engine.close(now), compiled(segments, now, PROFILES["linux"]))


@pytest.mark.parametrize(
    "stream",
    [
        [
            SYN_OF_CLIENT,
            SYN_OF_CLIENT._replace(ip_id=2),
            Sent(from_client=False, flags=SYN | ACK | FIN, ip_id=1),
            THIRD_ACK._replace(gap=61 * SECOND, seq=0, ack=0),
            Sent(from_client=False, flags=SYN, ip_id=2),
        ],
        [
            Sent(from_client=False, ip_id=1),
            Sent(flags=RST | ACK, ip_id=1),
            Sent(flags=FIN | ACK, ip_id=2),
            Sent(gap=970 * SECOND, ip_id=3),
            Sent(gap=967 * SECOND, seq=2**31 - 1, ip_id=4),
        ],
    ],
    ids=["is that a simultaneous open?", "is that connection over?"],
)
def test_looking_does_not_matter_where_only_time_tells(stream: list[Sent]) -> None:
    for place in range(len(stream) + 1):
        looking_does_not_matter(stream, place)


@given(any_streams(), st.integers(0, 2**64 - 1))
def test_the_hash_does_not_matter(stream: list[Sent], seed: int) -> None:
    segments = as_segments(stream)
    engine = Engine(seed=seed)
    engine.feed(segments)
    now = end_of(segments, 0)
    assert_same(engine.finish(now), compiled(segments, now, PROFILES["linux"]))


def assert_same(one: Inference, other: Inference) -> None:
    for mine, yours in zip(one[:3], other[:3], strict=True):
        assert mine.tolist() == yours.tolist()
    assert one.bad_checksums == other.bad_checksums


@given(any_streams())
def test_timelines_are_in_order(stream: list[Sent]) -> None:
    """An interval ends where the next begins, so rows in order leave no gap and no overlap."""
    segments = as_segments(stream)
    inference = compiled(segments, end_of(segments, 0), PROFILES["linux"])
    for connection in by_compiled(inference).connections:
        for side in (connection.client, connection.server):
            starts = [interval.start for interval in side.timeline]
            assert starts == sorted(starts)
            assert starts[0] == connection.facts["start"]
    order = [(int(row["conn"]), int(row["side"])) for row in inference.transitions]
    assert order == sorted(order)


@given(any_streams())
def test_timelines_follow_the_table(stream: list[Sent]) -> None:
    segments = as_segments(stream)
    for connection in by_compiled(compiled(segments, end_of(segments, 0), PROFILES["linux"])).connections:
        for side in (connection.client, connection.server):
            follows_the_table(side.timeline)


def follows_the_table(timeline: list[Interval]) -> None:
    before = before_the_first(timeline[0])
    for interval in timeline:
        if before is not None:
            assert TRANSITIONS[before, interval.cause][0] == interval.state
        before = interval.state


def before_the_first(interval: Interval) -> State | None:
    """The state that a timeline leaves out because it began and ended with the first frame."""
    if interval.cause in (Event.FIRST_FRAME, Event.PICKED_UP):
        return None
    return State.CLOSE if (State.CLOSE, interval.cause) in TRANSITIONS else State.UNKNOWN


@given(any_streams())
def test_every_frame_is_counted_once(stream: list[Sent]) -> None:
    segments = as_segments(stream)
    inference = compiled(segments, end_of(segments, 0), PROFILES["linux"])
    assert inference.sides["frames"].sum() == len(segments)


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_comes_of_nothing(profile: str) -> None:
    inference = Engine(PROFILES[profile]).finish(0)
    assert len(inference.connections) == len(inference.sides) == len(inference.transitions) == 0
