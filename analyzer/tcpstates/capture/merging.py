"""Several captures as one, in order of time, where they overlap.

Files that follow one another are read one after the other. Where the next one begins before the
others' blocks end, as much of each is taken as is earlier than what any of them may still bring, and
put in order. So memory is bounded by a block per file that is open, however long they overlap. The order
does not depend on where blocks end: it is that of the stamps (of the latest in the file so far, where they
go back), then of the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tcpstates.capture.blocks import Block, joined
from tcpstates.capture.framing import Bytes, Records
from tcpstates.compiled import kernel

#: Files that overlap are kept open up to so many; of more, each is open only while it is read.
MOST_OPEN = 64
#: Frames of one stamp are waited for over so many blocks of a file.
_MOST_TIED = 64


class Capture(Protocol):
    """A capture that is read block by block."""

    first_time: int  # ns, of its first frame

    def blocks(self) -> Iterator[Block]:
        """Its blocks."""

    def park(self) -> None:
        """Hold no file open until it is read on."""


class Merger:
    """Reads captures, given in the order of their first frames' times, as one.

    Attributes
    ----------
    copies : int
        Frames that stood in more than one of them, with the same stamp and bytes, and were left out.
    """

    def __init__(self, captures: Sequence[Capture]) -> None:
        self.copies = 0
        self._waiting = list(reversed(captures))
        self._open: list[_Pending] = []

    def blocks(self) -> Iterator[Block]:
        """The frames of all, in blocks."""
        if len(self._waiting) == 1:  # nothing to merge
            yield from self._waiting.pop().blocks()
        while self._enter():
            until = min(pending.latest for pending in self._open)
            if len(self._open) == 1:
                yield self._open[0].take(until)[0]
            else:
                yield self._merged([part for pending in self._open for part in self._take(pending, until)])
            self._open = [pending for pending in self._open if self._fill(pending)]

    def _take(self, pending: _Pending, until: int) -> list[_Part]:
        """What is not later than that, also where a block ends among frames of one stamp."""
        parts: list[_Part] = []
        while len(parts) < _MOST_TIED and self._fill(pending) and pending.earliest <= until:
            parts.append(pending.take(until))
        return parts

    def _enter(self) -> bool:
        """Open the captures that begin before what is open ends; False when all are read."""
        while self._waiting and (not self._open or self._is_due(self._waiting[-1])):
            pending = _Pending(self._waiting.pop())
            if self._fill(pending):
                self._open.append(pending)
        return bool(self._open)

    def _fill(self, pending: _Pending) -> bool:
        """Read on, unless there is something left; False at the end."""
        is_there = pending.fill()
        if is_there and len(self._open) >= MOST_OPEN:
            pending.capture.park()
        return is_there

    def _is_due(self, capture: Capture) -> bool:
        return capture.first_time <= min(pending.latest for pending in self._open)

    def _merged(self, parts: list[_Part]) -> Block:
        """In the order of stamps; each file's own order stays, even where its stamps go back."""
        if len(parts) == 1:
            return parts[0][0]
        block = joined([part for part, _times in parts])
        merged = block.part(np.argsort(np.concatenate([times for _part, times in parts]), kind="stable"))
        copies = _copies(merged)
        self.copies += int(copies.sum())
        return merged.part(~copies) if copies.any() else merged


#: Frames of one file, and for each the latest stamp of that file until then.
_Part = tuple[Block, NDArray[np.int64]]


class _Pending:
    """A capture that is open, and what was read of it and not taken yet."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self._blocks = capture.blocks()
        self._block: Block | None = None
        self._times: NDArray[np.int64] = np.empty(0, np.int64)
        self._reached = np.iinfo(np.int64).min

    @property
    def latest(self) -> int:
        """Before this time, all there is was read."""
        return int(self._times[-1])

    @property
    def earliest(self) -> int:
        """The time of the first frame that was not taken."""
        return int(self._times[0])

    def fill(self) -> bool:
        """Read on, unless there is something left; False at the end."""
        if self._block is None or not len(self._block.frames):
            self._block = next(self._blocks, None)
            if self._block is None:
                return False
            self._times = np.maximum(np.maximum.accumulate(self._block.frames["time"]), self._reached)
            self._reached = self.latest
        return True

    def take(self, until: int) -> _Part:
        """What is not later than that."""
        assert self._block is not None
        count = int(np.searchsorted(self._times, until, "right"))
        taken = self._block.part(slice(count)), self._times[:count]
        self._block, self._times = self._block.part(slice(count, None)), self._times[count:]
        return taken


def _copies(block: Block) -> NDArray[np.bool_]:
    """Which frames another file has too; of those that one file has twice, both stay."""
    frames, is_copy = block.frames, np.zeros(len(block.frames), np.bool_)
    same = frames["time"][1:] == frames["time"][:-1]
    if not (same & (frames["file"][1:] != frames["file"][:-1])).any():
        return is_copy
    rows = np.flatnonzero(np.append(same, False) | np.append(False, same))
    chosen = frames[rows]
    is_copy[rows] = copies_among(
        [chosen["time"], chosen["length"], digests(block.buffer, chosen)], chosen["file"], chosen["file"]
    )
    return is_copy


def copies_among(keys: list[Any], origins: Any, files: Any) -> NDArray[np.bool_]:
    """Which of frames that come from several places are copies of another place's.

    Parameters
    ----------
    keys : arrays (n,), what is equal in copies.
    origins : int array (n,), where each comes from; what is there twice is no copy.
    files : int array (n,), of equal frames the one of the first file stays.
    """
    repeats = _ranks([*keys, origins])  # the how-manieth of its place
    return _ranks([*keys, repeats], [files]) > 0


def digests(buffer: Bytes, frames: Records) -> NDArray[np.uint64]:
    """A 64-bit digest of each frame's bytes."""
    marks = np.empty(len(frames), np.uint64)
    with np.errstate(over="ignore"):
        _digest_frames(buffer, frames, marks)
    return marks


def _ranks(keys: list[Any], within: Sequence[Any] = ()) -> NDArray[np.int64]:
    """The place of each row among those with equal ``keys``, in the order of ``within``."""
    order = np.lexsort([*within, *keys])
    changes = np.zeros(len(order), np.bool_)
    changes[0] = True
    for key in keys:
        changes[1:] |= key[order][1:] != key[order][:-1]
    places = np.arange(len(order))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = places - np.maximum.accumulate(np.where(changes, places, 0))
    return ranks


@kernel
def _digest_frames(buffer: Bytes, frames: Records, marks: NDArray[np.uint64]) -> None:
    """As FNV-1a, but of eight bytes at a time."""
    prime, shift = np.uint64(0x100000001B3), np.uint64(32)
    for row in range(len(frames)):
        mark, at = np.uint64(0xCBF29CE484222325), np.int64(frames[row]["offset"])
        end = at + np.int64(frames[row]["captured"])
        while at + 8 <= end:
            word = np.uint64(0)
            for i in range(8):
                word |= np.uint64(buffer[at + i]) << np.uint64(8 * i)
            mark = (mark ^ word) * prime
            mark ^= mark >> shift
            at += 8
        while at < end:
            mark = (mark ^ np.uint64(buffer[at])) * prime
            at += 1
        marks[row] = mark
