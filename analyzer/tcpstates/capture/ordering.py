"""Frames in the order of their time stamps, where a capture has them in another.

Cards with several queues and captures of several interfaces write frames some time after later ones.
They are sorted, stably, before anything is made of them: the last frames are held back until later
ones show that none is missing before them. What comes even later, because the clock was set back or a
stamp is wrong, stays where it is in the file, and is counted.

Stamps can be worse than the order in the file: a program that makes captures may stamp all that one
host sends alike. Where a segment acknowledges one that is stamped later, the file's order stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tcpstates.capture.blocks import Block, joined
from tcpstates.capture.decode import decode_fast
from tcpstates.capture.framing import Records
from tcpstates.schema import Disorder

_MILLISECOND = 1_000_000
#: Frames of one interface are late by less; a clock that NTP sets is set by more (128 ms and up).
WINDOW = 100 * _MILLISECOND
#: Frames of different interfaces wait in buffers of their own, for up to 250 ms each.
WINDOW_ACROSS = 1_000 * _MILLISECOND
#: Frames held back at most while a capture was in order so far, and once it was not.
HELD, HELD_IN_DISORDER = 1 << 10, 1 << 16
#: Places where time goes back that are looked at for what acknowledges what.
_MOST_PLACES = 1 << 10

_SPACE = np.uint16(0x003)  # SYN and FIN occupy a sequence number each
_ACK = np.uint16(0x010)


class Sorter:
    """Sorts the frames of a capture by time, as far as they were merely written late.

    Parameters
    ----------
    is_first, was_in_order : bool
        For a capture that goes on where others ended: whether it is the first one nevertheless, and
        whether those before it were in order.

    Attributes
    ----------
    disorder : Disorder
        What was found, so far.
    is_too_late : bool
        Whether frames came so late that, had those before been out of order, they would have been sorted.
    """

    def __init__(self, is_first: bool = True, was_in_order: bool = True) -> None:
        self.disorder = Disorder()
        self.is_too_late = False
        self._held: list[Block] = []
        self._window = WINDOW if is_first else WINDOW_ACROSS
        self._most = HELD if was_in_order else HELD_IN_DISORDER
        self._origin: tuple[int, int] | None = None
        self._pushed_out = np.iinfo(np.int64).min  # the latest that only had to make room

    def blocks(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The frames of ``blocks``, in blocks again."""
        for block in blocks:
            self._widen(block.frames)
            if self._is_in_order(block.frames["time"]):
                self._held.append(block)
            else:
                yield from self._sort(block)
            yield from self._release()
        yield from self._take()

    def _widen(self, frames: Records) -> None:
        """Wait longer once there are several interfaces."""
        if self._origin is None:
            self._origin = (int(frames["file"][0]), int(frames["interface"][0]))
        if self._window == WINDOW:
            file, interface = self._origin
            if (frames["interface"] != interface).any() or (frames["file"] != file).any():
                self._window = WINDOW_ACROSS

    def _is_in_order(self, times: NDArray[np.int64]) -> bool:
        follows = not self._held or times[0] >= self._held[-1].frames["time"][-1]
        return bool(follows and (times[1:] >= times[:-1]).all())

    def _sort(self, block: Block) -> Iterator[Block]:
        """Sort what is held together with ``block``; what lies before a step of the clock is done with."""
        if self._most == HELD:
            self._most = HELD_IN_DISORDER
            self.is_too_late = int(block.frames["time"].min()) < self._pushed_out
        whole = joined([*self._take(), block])
        ends = [*self._steps(whole.frames), len(whole.frames)]
        for start, end in zip([0, *ends], ends, strict=False):
            yield from self._take()
            part = whole.part(slice(start, end))
            order = np.argsort(part.frames["time"], kind="stable")
            if self._is_plausible(part):
                self._held = [part.part(order)]
            else:
                yield part

    def _steps(self, frames: Records) -> list[int]:
        """Before which frames a clock went back: time of one interface went back by more than the window."""
        key = frames["file"].astype(np.int64) << 32 | frames["interface"]
        order = np.argsort(key, kind="stable")
        back = np.where(np.diff(key[order]) == 0, -np.diff(frames["time"][order]), 0)
        places = np.flatnonzero(back > WINDOW)
        self.disorder.steps += len(places)
        self.disorder.longest_step = max([self.disorder.longest_step, *back[places].tolist()])
        return sorted(order[places + 1].tolist())

    def _is_plausible(self, part: Block) -> bool:
        """Whether the stamps can be believed; either way, count what is late."""
        times = part.frames["time"]
        late = np.maximum.accumulate(times) - times
        count = int((late > 0).sum())
        if count and _contradicts(part):
            self.disorder.kept += count
            return False
        self.disorder.sorted += count
        self.disorder.latest = max(self.disorder.latest, int(late.max()))
        return True

    def _release(self) -> Iterator[Block]:
        """What is held and old enough, or too much."""
        if not self._held:
            return
        horizon = self._held[-1].frames["time"][-1] - self._window
        excess = sum(len(block.frames) for block in self._held) - self._most
        while self._held:
            block = self._held[0]
            count = max(int(np.searchsorted(block.frames["time"], horizon, "right")), excess)
            if count == excess and self._most == HELD:
                self._pushed_out = int(block.frames["time"][min(count, len(block.frames)) - 1])
            if count < len(block.frames):
                if count > 0:
                    self._held[0] = block.part(slice(count, None))
                    yield block.part(slice(count))
                return
            excess -= len(block.frames)
            yield self._held.pop(0)

    def _take(self) -> list[Block]:
        held, self._held = self._held, []
        return held


def _contradicts(part: Block) -> bool:
    """Whether acknowledgements agree with the file's order more often than with the stamps."""
    places = np.flatnonzero(np.diff(part.frames["time"]) < 0)[:_MOST_PLACES]
    rows = np.unique([places, places + 1])
    segments, _declined, _skipped = decode_fast(part.buffer, part.frames[rows], False)
    first, second = segments[:-1], segments[1:]
    pairs = (second["time"] < first["time"]) & _are_opposite(first, second)
    against = pairs & _acknowledges(second, first)
    in_favour = pairs & _acknowledges(first, second)
    return bool(against.sum() > in_favour.sum())


def _are_opposite(first: Records, second: Records) -> Any:
    """Whether two segments are of one connection, in opposite directions."""
    same = first["tunnel"] == second["tunnel"]
    for source, destination in (("src_hi", "dst_hi"), ("src_lo", "dst_lo"), ("src_port", "dst_port")):
        same &= (first[source] == second[destination]) & (first[destination] == second[source])
    return same


def _acknowledges(segment: Records, other: Records) -> Any:
    """Whether a segment acknowledges just what the other one sent."""
    flags = other["flags"] & _SPACE
    length = other["payload"] + (flags & 1) + (flags >> 1)
    end = other["seq"].astype(np.uint32) + length.astype(np.uint32)
    return (segment["flags"] & _ACK != 0) & (length > 0) & (segment["ack"] == end)
