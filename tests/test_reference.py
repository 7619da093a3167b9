"""The compiled engine against the plain one of ``reference.py``, and what must hold of any timeline."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import infer
from reference_sockets import Interval
from streams import (
    ACK,
    FIN,
    MILLISECOND,
    RST,
    SYN,
    Sent,
    any_streams,
    as_segments,
    faithful_streams,
    perturbed_streams,
    wild_streams,
)
from tcpstates.inference.engine import Engine, Inference
from tcpstates.inference.timers import PROFILES, Timers
from tcpstates.states import TRANSITIONS, Event, Evidence, State

Array = np.ndarray[Any, np.dtype[Any]]

COUNTERS = (
    "frames", "bytes", "retransmits", "duplicates", "keepalives",
    "syns", "syn_acks", "fins", "rsts", "suspicious_rsts",
)  # fmt: skip

timers_of_hosts = st.sampled_from((PROFILES["linux"], PROFILES["rfc9293"]))
rest_of_capture = st.sampled_from((0, 1, 59_000_000_000, 60_000_000_000, 1_000_000_000_000))


class SideOf(NamedTuple):
    """What either engine says of one side."""

    port: int
    first_closer: int
    counters: dict[str, int]
    timeline: list[Interval]


def compiled(segments: Array, now: int, timers: Timers, slices: tuple[int, ...] = ()) -> Inference:
    """What the compiled engine says, fed in slices that end at these places."""
    engine = Engine(timers, seed=7)
    for part in np.split(segments, sorted(slices)):
        engine.feed(part)
    return engine.finish(now)


def sides_of_compiled(inference: Inference) -> list[SideOf]:
    sides = []
    for index, row in enumerate(inference.sides):
        mine = (inference.transitions["conn"] == index // 2) & (inference.transitions["side"] == index % 2)
        counters = {name: int(row[name]) for name in COUNTERS}
        sides.append(
            SideOf(
                int(row["port"]),
                int(inference.connections["first_closer"][index // 2]),
                counters,
                timeline_of(inference.transitions[mine]),
            )
        )
    return sides


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


def sides_of_reference(segments: Array, now: int, timers: Timers) -> list[SideOf]:
    return [
        SideOf(
            side.key[3],
            int(connection.first_closer),
            {name: getattr(side, name) for name in COUNTERS},
            side.timeline(),
        )
        for connection in infer(segments, now, timers)
        for side in connection.sides
    ]


def end_of(segments: Array, rest: int) -> int:
    return int(segments["time"].max(initial=0)) + rest


def agree(stream: list[Sent], timers: Timers, rest: int) -> None:
    segments = as_segments(stream)
    now = end_of(segments, rest)
    assert sides_of_compiled(compiled(segments, now, timers)) == sides_of_reference(segments, now, timers)


@given(wild_streams(), timers_of_hosts, rest_of_capture)
def test_engines_agree_on_wild_streams(stream: list[Sent], timers: Timers, rest: int) -> None:
    agree(stream, timers, rest)


@given(faithful_streams(), timers_of_hosts, rest_of_capture)
def test_engines_agree_on_what_hosts_say(stream: list[Sent], timers: Timers, rest: int) -> None:
    agree(stream, timers, rest)


@given(perturbed_streams(), timers_of_hosts, rest_of_capture)
def test_engines_agree_on_imperfect_captures(stream: list[Sent], timers: Timers, rest: int) -> None:
    agree(stream, timers, rest)


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
    segments = as_segments(stream)
    now = end_of(segments, 0)
    engine = Engine(seed=7)
    engine.feed(segments[:place])
    engine.finish(int(segments["time"][:place].max(initial=0)))
    engine.feed(segments[place:])
    assert_same(engine.finish(now), compiled(segments, now, PROFILES["linux"]))
    assert_same(engine.finish(now), engine.finish(now))


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
    for index, side in enumerate(sides_of_compiled(inference)):
        starts = [interval.start for interval in side.timeline]
        assert starts == sorted(starts)
        assert starts[0] == inference.connections["start"][index // 2]
    order = [(int(row["conn"]), int(row["side"])) for row in inference.transitions]
    assert order == sorted(order)


@given(any_streams())
def test_timelines_follow_the_table(stream: list[Sent]) -> None:
    segments = as_segments(stream)
    for side in sides_of_compiled(compiled(segments, end_of(segments, 0), PROFILES["linux"])):
        before = before_the_first(side.timeline[0])
        for interval in side.timeline:
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
