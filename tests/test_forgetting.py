"""Connections that are over are forgotten: nothing of the others changes, and memory stays what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import ACK, FIN, RST, SECOND, START, SYN, Sent, any_streams, as_errors, as_segments, stretched
from tcpstates.inference.engine import Engine, Inference
from tcpstates.inference.parts import chosen, joined
from tcpstates.schema import SEGMENTS
from tcpstates.states import State

Array = np.ndarray[Any, np.dtype[Any]]
FORGOTTEN_AFTER = 241 * SECOND

#: A whole connection: opened, used, closed by the client.
LIFE = (
    Sent(flags=SYN, seq=100),
    Sent(from_client=False, flags=SYN | ACK, seq=500, ack=101),
    Sent(seq=101, ack=501),
    Sent(seq=101, ack=501, payload=10),
    Sent(from_client=False, seq=501, ack=111, payload=20),
    Sent(flags=FIN | ACK, seq=111, ack=521),
    Sent(from_client=False, flags=FIN | ACK, seq=521, ack=112),
    Sent(seq=112, ack=522),
)


def whole(stream: list[Sent], now: int) -> Inference:
    engine = Engine(seed=3)
    engine.feed(as_segments(stream), as_errors(stream))
    return engine.finish(now)


def in_parts(stream: list[Sent], now: int) -> Inference:
    """Fed one by one, with everything retired that can be before each."""
    engine, parts = Engine(seed=3), []
    segments, errors = as_segments(stream), as_errors(stream)
    for place in range(len(segments)):
        time = int(segments["time"][place])
        before = errors[(errors["time"] < time)]
        before = before if place == 0 else before[before["time"] >= segments["time"][place - 1]]
        engine.feed(segments[:0], before)
        retired = engine.retire(time)
        parts.append((retired.numbers, retired.inference))
        engine.feed(segments[place : place + 1])
    last = int(segments["time"][-1]) if len(segments) else 0
    engine.feed(segments[:0], errors[errors["time"] >= last])
    rest = engine.finish(now)
    return joined([*parts, (engine.numbers, rest)])[1]


def same(one: Inference, other: Inference) -> None:
    """All but which connection used a 4-tuple before: that may be retired."""
    for field in ("sides", "transitions", "conduct"):
        first, second = getattr(one, field), getattr(other, field)
        for name in first.dtype.names:
            if name != "reset":
                assert first[name].tolist() == second[name].tolist(), (field, name)
    for name in one.connections.dtype.names:
        if name != "older":
            assert one.connections[name].tolist() == other.connections[name].tolist(), name
    assert one.bad_checksums == other.bad_checksums
    assert one.stray_errors == other.stray_errors
    assert sorted(one.resets.tolist()) == sorted(other.resets.tolist())


@given(any_streams(), st.lists(st.sampled_from([0, 0, 0, 61 * SECOND, FORGOTTEN_AFTER]), max_size=30))
@pytest.mark.slow_without_jit
def test_it_makes_no_difference_when_they_are_forgotten(stream: list[Sent], gaps: list[int]) -> None:
    stream = stretched(stream, gaps)
    now = START + sum(sent.gap for sent in stream)
    same(whole(stream, now), in_parts(stream, now))


def test_a_connection_is_retired_once_it_is_over_for_long() -> None:
    engine = Engine()
    segments = as_segments(LIFE)
    engine.feed(segments)
    end = int(segments["time"][-1])
    assert len(engine.retire(end + 239 * SECOND).numbers) == 0
    retired = engine.retire(end + FORGOTTEN_AFTER)
    assert retired.numbers.tolist() == [0]
    assert retired.inference.transitions["state"][-1] == State.CLOSE
    assert len(engine) == 0
    assert len(engine.finish(end + FORGOTTEN_AFTER).connections) == 0


@pytest.mark.parametrize("life", [LIFE[:5], LIFE[:6]])
def test_an_open_connection_is_never_over(life: tuple[Sent, ...]) -> None:
    """What is open stays, however long nothing is sent; so does a CLOSE_WAIT."""
    engine = Engine()
    segments = as_segments([*life, Sent(from_client=False, seq=521, ack=112)] if len(life) == 6 else life)
    engine.feed(segments)
    assert len(engine.retire(int(segments["time"][-1]) + 100_000 * SECOND).numbers) == 0


def test_a_late_segment_after_that_begins_another_connection() -> None:
    late = Sent(gap=FORGOTTEN_AFTER, seq=112, ack=522)
    result = whole([*LIFE, late], START + 2 * FORGOTTEN_AFTER)
    assert len(result.connections) == 2


def syn_flood(count: int, start: int, first: int = 0) -> Array:
    """SYNs from as many hosts, 10 µs apart."""
    rows = np.zeros(count, SEGMENTS)
    rows["time"] = start + 10_000 * np.arange(count)
    rows["src_lo"] = (0xFFFF << 32) + (20 << 24) + first + np.arange(count)
    rows["dst_lo"] = (0xFFFF << 32) + (10 << 24) + 1
    rows["src_port"], rows["dst_port"], rows["flags"], rows["version"] = 4000, 80, SYN, 4
    rows["frame"], rows["wscale"] = np.arange(1, count + 1), -1
    return rows


def test_a_flood_makes_only_half_open_ones_leave() -> None:
    """Established connections, and the newest attempts, outlive it."""
    engine = Engine()
    engine.feed(as_segments(LIFE[:5]))
    evicted, start = 0, START + SECOND
    for part in range(20):
        flood = syn_flood(10_000, start + part * SECOND // 10, part * 10_000)
        engine.feed(flood)
        evicted += engine.retire(int(flood["time"][-1]), most=20_000).evicted
    assert 0 in engine.numbers
    assert 200_000 in engine.numbers
    assert evicted + len(engine) == 200_001
    assert len(engine) <= 20_000
    assert engine.nbytes < 60 << 20


def lives(count: int, start: int, first: int) -> Array:
    """As many whole connections in one second, one after the other."""
    one = as_segments(LIFE)
    rows = np.tile(one, count)
    begin = np.repeat(np.arange(count) * (SECOND // count), len(one))
    rows["time"] = start + begin + np.tile(one["time"] - one["time"][0], count) // 10
    number = np.repeat(first + np.arange(count), len(one))
    for end in ("src", "dst"):
        is_client = rows[f"{end}_port"] != 80
        rows[f"{end}_lo"][is_client] += (number // 20_000 % 200)[is_client].astype(np.uint64) << np.uint64(8)
        rows[f"{end}_port"][is_client] = 10_000 + (number % 20_000)[is_client]
    return rows


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("minutes", [12, pytest.param(60, marks=pytest.mark.soak)])
def test_memory_is_flat_at_200_connections_a_second(minutes: int) -> None:
    """The minutes are in the packets' time. What is over is handed out, each connection once."""
    engine, sizes, retired = Engine(), [], 0
    for second in range(60 * minutes):
        engine.feed(lives(200, START + second * SECOND, 200 * second))
        if second % 10 == 9:
            retired += len(engine.retire(START + second * SECOND).numbers)
            sizes.append(engine.nbytes)
    assert retired + len(engine) == 200 * 60 * minutes
    assert max(sizes[60:]) <= 1.05 * max(sizes[30:60])
    assert max(sizes) < 150 << 20


def test_parts_keep_what_belongs_together() -> None:
    """RSTs stay with their sides, transitions with their connections, whatever is left out."""
    stream = [
        sent._replace(client=client)
        for client in (1, 2, 3)
        for sent in (*LIFE[:5], Sent(flags=RST, seq=111 if client != 2 else 7))
    ]
    engine = Engine()
    engine.feed(as_segments(stream))
    result = engine.finish(START + SECOND)
    numbers, rest = chosen(engine.numbers, result, np.array([False, True, True]))
    assert numbers.tolist() == [1, 2]
    assert rest.sides["addr_lo"].tolist() == result.sides["addr_lo"][2:].tolist()
    assert rest.resets["side"].tolist() == [0, 2]
    assert rest.resets["seq"].tolist() == [7, 111]
    assert sorted(set(rest.transitions["conn"].tolist())) == [0, 1]


def test_closed_ones_that_make_room_are_handed_out() -> None:
    """Between what is half open and what is idle, the closed ones go, with what is known of them."""
    engine = Engine()
    engine.feed(lives(300, START, 0))
    engine.feed(as_segments(LIFE[:5]))
    later = START + 100 * SECOND
    retired = engine.retire(later, most=200)
    assert retired.evicted == 0
    assert len(retired.numbers) == 301 - 150
    assert 300 in engine.numbers
    last = retired.inference.transitions[np.append(np.diff(retired.inference.transitions["conn"]) > 0, True)]
    assert set(last["state"]) == {State.CLOSE}
    engine.feed(lives(10, later, 1_000))
    assert len(engine.finish(later + SECOND).connections) == 160
