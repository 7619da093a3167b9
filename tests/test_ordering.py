"""Frames in the order of time: late ones sorted, clock steps left as they are, both counted."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from builders import tcp_frame
from frames_of_tests import Block as AnyBlock
from tcpstates.capture import ordering
from tcpstates.capture.blocks import Block
from tcpstates.capture.ordering import Sorter
from tcpstates.schema import FRAMES

MILLISECOND = 1_000_000
START = 1_700_000_000 * 1_000 * MILLISECOND


def block(times: Iterable[float], interfaces: Iterable[int] | int = 0, first: int = 1) -> Block:
    """Frames with these stamps (ms after ``START``), each holding its own number."""
    stamps = np.array([START + round(time * MILLISECOND) for time in times], np.int64)
    frames = np.zeros(len(stamps), FRAMES)
    frames["time"], frames["interface"] = stamps, interfaces
    frames["number"] = np.arange(first, first + len(stamps))
    frames["captured"] = frames["length"] = 4
    frames["offset"] = np.arange(len(stamps)) * 4
    return Block(frames["number"].astype(">u4").view(np.uint8), frames)


class Sorted:
    """What a sorter makes of blocks."""

    def __init__(self, *blocks: Block | AnyBlock) -> None:
        self.sorter = Sorter()
        self.blocks = list(self.sorter.blocks(blocks))  # type: ignore[arg-type]
        self.disorder = self.sorter.disorder

    def column(self, name: str) -> list[int]:
        return [value for block in self.blocks for value in block.frames[name].tolist()]

    @property
    def milliseconds(self) -> list[float]:
        return [(time - START) / MILLISECOND for time in self.column("time")]

    def assert_bytes_are_each_frames_own(self) -> None:
        for block in self.blocks:
            for frame in block.frames:
                data = block.buffer[frame["offset"] :][: frame["captured"]].tobytes()
                assert int.from_bytes(data, "big") == frame["number"]


def test_what_is_in_order_passes_as_it_is() -> None:
    whole = block(range(0, 5000))
    parts = [whole.part(slice(at, at + 500)) for at in range(0, 5000, 500)]
    result = Sorted(*parts)
    assert result.column("number") == list(range(1, 5001))
    assert vars(result.disorder) == vars(Sorter().disorder)
    assert all(np.shares_memory(part.buffer, whole.buffer) for part in result.blocks)  # nothing was copied


def test_late_frames_are_sorted_and_counted() -> None:
    result = Sorted(block([0, 1, 2, 4, 3, 5, 6, 9, 7, 8]))
    assert result.milliseconds == sorted(result.milliseconds)
    result.assert_bytes_are_each_frames_own()
    assert (result.disorder.sorted, result.disorder.latest, result.disorder.steps) == (3, 2 * MILLISECOND, 0)


def test_a_frame_of_a_later_block_finds_its_place() -> None:
    result = Sorted(block([0, 40, 90, 130, 150]), block([70, 160], first=6), block([155, 400], first=8))
    assert result.milliseconds == [0, 40, 70, 90, 130, 150, 155, 160, 400]
    result.assert_bytes_are_each_frames_own()
    assert result.disorder.latest == 80 * MILLISECOND


def test_equal_stamps_stay_in_the_files_order() -> None:
    assert Sorted(block([5, 5, 5, 4, 5, 5])).column("number") == [4, 1, 2, 3, 5, 6]


def test_a_clock_that_is_set_back_keeps_the_files_order() -> None:
    result = Sorted(block([1000, 1001, 1003, 1002, 500, 501, 503, 502]), block([504], first=9))
    assert result.milliseconds == [1000, 1001, 1002, 1003, 500, 501, 502, 503, 504]
    assert (result.disorder.steps, result.disorder.longest_step) == (1, 502 * MILLISECOND)
    assert result.disorder.sorted == 2


def test_a_stamp_from_the_future_does_not_drag_the_others_along() -> None:
    result = Sorted(block([0, 1, 9_000_000, 2, 3]))
    assert result.milliseconds == [0, 1, 9_000_000, 2, 3]
    assert result.disorder.steps == 1


def test_interfaces_may_be_later_than_one_alone() -> None:
    """One interface's frames were written 400 ms after the other's, as buffers of their own make them."""
    times, interfaces = [0, 100, 500, 200, 300, 600], [0, 0, 0, 1, 1, 0]
    result = Sorted(block(times, interfaces))
    assert result.milliseconds == sorted(times)
    assert (result.disorder.steps, result.disorder.latest) == (0, 300 * MILLISECOND)
    alone = Sorted(block(times))
    assert alone.milliseconds == times
    assert alone.disorder.steps == 1


def test_the_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "HELD", 50)
    sorter, given = Sorter(), []

    def blocks() -> Iterable[Block]:
        for number in range(20):
            yield block([5] * 30, first=1 + 30 * number)
            held = 30 * (number + 1) - sum(len(part.frames) for part in given)
            assert held <= 80

    for part in sorter.blocks(blocks()):
        given.append(part)
    assert sum(len(part.frames) for part in given) == 600


def tcp_block(*frames: tuple[float, bytes]) -> Block:
    """Frames with stamps in ms."""
    data = [content for _time, content in frames]
    rows = block(time for time, _content in frames).frames
    rows["captured"] = rows["length"] = [len(content) for content in data]
    rows["offset"] = np.cumsum(rows["captured"]) - rows["captured"]
    rows["linktype"] = 1
    return Block(np.frombuffer(b"".join(data), np.uint8), rows)


C, S = "10.0.0.1:4000", "10.0.0.2:80"
SYN, SYN_ACK = tcp_frame(C, S, "S", seq=10), tcp_frame(S, C, "SA", seq=20, ack=11)
ACK, FIN = tcp_frame(C, S, "A", seq=11, ack=21), tcp_frame(C, S, "FA", seq=11, ack=21)


def test_stamps_that_contradict_the_acknowledgements_are_not_believed() -> None:
    """As programs make captures: one stamp for all that the client sends, another for the server's."""
    result = Sorted(tcp_block((0, SYN), (0.03, SYN_ACK), (0, ACK), (0, FIN)))
    assert result.column("number") == [1, 2, 3, 4]
    assert (result.disorder.sorted, result.disorder.kept) == (0, 2)


def test_stamps_that_agree_with_the_acknowledgements_are_believed() -> None:
    result = Sorted(tcp_block((0.03, SYN_ACK), (0, SYN), (0.04, ACK), (0.05, FIN)))
    assert result.column("number") == [2, 1, 3, 4]
    assert (result.disorder.sorted, result.disorder.kept) == (1, 0)
