"""Capture files, read block by block: bytes in, frames out, damage noted.

A block is a part of a file and the places of the frames in it. What of a record the end of a block
cuts off is carried over to the next. Nothing is read whole, and nothing here knows of TCP.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, Self, cast

import numpy as np

from tcpstates import schema
from tcpstates.capture.blocks import Block
from tcpstates.capture.formats import HEADER, scanner_for
from tcpstates.capture.framing import PCAP_RECORD_HEADER, Bytes, Status
from tcpstates.capture.merging import Merger
from tcpstates.capture.streams import Source, open_stream, source_name
from tcpstates.capture.watching import Watch
from tcpstates.errors import CaptureError

#: Bytes of a block, if so many are there. Small enough to stay in a processor's caches until it is decoded,
#: large enough that what is done once for each block takes no time.
BLOCK_SIZE = 1 << 21
#: Frames of a block at most.
BLOCK_FRAMES = 1 << 15
#: Bytes of a file's first block: enough for its header and, as a rule, its first frame.
_FIRST_SIZE = 1 << 16
#: Bytes of a block where so many files overlap that larger ones would be too much.
_SMALL_SIZE = 1 << 17
#: A buffer with less room is not read into any more; a pipe gives as much at a time.
_LEAST_ROOM = 1 << 16


class Damage(NamedTuple):
    """Where a capture could not be read any further.

    Attributes
    ----------
    file : its name.
    offset : bytes from the beginning of the capture, decompressed, to the record that is damaged.
    frames_before : frames of this file that were read.
    what : what is wrong there.
    """

    file: str
    offset: int
    frames_before: int
    what: str

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.what} at byte {self.offset:,}; "
            f"the {self.frames_before:,} frames before it were read"
        )


class CaptureReader:
    """Reads captures as one, in the order of time: one after another, merged where they overlap.

    Parameters
    ----------
    sources : path, ``-``, binary file object, or several of them
        pcap, pcapng or snoop, plain or compressed. ``-`` is standard input.
    watch : Watch, optional
        When to wait for more at the end, and when to stop.

    Attributes
    ----------
    names : list of str
        The files' names, in the order of their first frames; ``FRAMES.file`` is an index into it.

    Raises
    ------
    CaptureError
        If one of the sources cannot be read as a capture at all.
    CapturePermissionError
        If this user may not read one of them.

    Notes
    -----
    Damage within a capture never raises: what comes before it is read, then the next file.
    """

    def __init__(self, sources: Source | Iterable[Source], watch: Watch | None = None) -> None:
        self._files = _in_order_of_time(listed(sources), watch)
        self._merger = Merger(self._files)
        self.names = [file.name for file in self._files]

    @property
    def copies(self) -> int:
        """Frames that stood in more than one file and were left out, so far."""
        return self._merger.copies

    @property
    def damage(self) -> list[Damage]:
        """What could not be read, so far."""
        return [file.damage for file in self._files if file.damage is not None]

    @property
    def bytes_read(self) -> int:
        """Bytes read so far, of the files as they are stored (compressed)."""
        return sum(file.stream.bytes_read for file in self._files)

    @property
    def bytes_total(self) -> int | None:
        """Bytes of all files as they are stored; None if one of them is a pipe."""
        sizes = [file.stream.bytes_total for file in self._files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def blocks(self) -> Iterator[Block]:
        """Read on, block by block; where files overlap, a block holds frames of several."""
        return self._merger.blocks()


class _File:
    """One capture: its stream, the bytes read ahead of the frames, the scanner that finds these."""

    def __init__(self, source: Source, watch: Watch | None = None) -> None:
        self.source, self.name, self._watch = source, source_name(source), watch
        self.damage: Damage | None = None
        self.number = 0
        self.first_time = 0
        self._block_size = BLOCK_SIZE
        self._first: Block | None = None  # found when the first frame's time was asked for
        self._open()

    def _open(self) -> None:
        """Open the file at its beginning and recognise its format."""
        self.stream = open_stream(self.source, self._watch)
        self._is_open = True
        self._buffer: Bytes = np.empty(_FIRST_SIZE, np.uint8)
        self._offset = 0  # of the buffer in the capture
        self._end = 0  # of what was read into the buffer
        self._frames_read = 0
        while self._end < HEADER and self._fill():
            pass
        if self._end < HEADER and self.stream.failure is not None:
            raise CaptureError(f"{self.name}: {self.stream.failure}; nothing of it can be read")
        self._scanner = scanner_for(bytes(self._buffer[: self._end]), self.name)

    def __enter__(self) -> Self:
        if not self._is_open:
            self._open()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stream.close()
        self._is_open = False

    def find_first_time(self) -> Self:
        """Learn the first frame's time, the latest there is if there is no frame.

        A file that can be opened again is closed until its turn: there may be thousands of them.
        """
        self._first = next(self._found(), None)
        time = np.iinfo(np.int64).max if self._first is None else self._first.frames["time"][0]
        if self.stream.can_reopen:
            self._first = None
            self.__exit__()
        self.first_time = int(time)
        return self

    def park(self) -> None:
        """One of many that overlap: hold no file open and no large block."""
        self._block_size = min(self._block_size, _SMALL_SIZE)
        self.stream.park()

    def blocks(self) -> Iterator[Block]:
        """The blocks that have frames, until the end or damage; the file is open meanwhile."""
        with self:
            for block in self._all_found():
                block.frames["file"] = self.number
                yield block

    def _all_found(self) -> Iterator[Block]:
        """What is found, also in the files that come to be at the same path while it is followed."""
        yield from self._found()
        while self.stream.was_replaced:
            self.stream.close()
            self._offset = 0
            self._open()
            yield from self._found()

    def _found(self) -> Iterator[Block]:
        if self._first is not None:
            yield self._first
        while True:
            buffer, frames = self._buffer, np.empty(self._most_frames(), schema.FRAMES)
            count, status = self._scanner.scan(buffer, self._end, frames)
            self._frames_read += count
            if count:
                yield Block(buffer, frames[:count])
            if status is not Status.FULL and not (status is Status.INCOMPLETE and self._fill()):
                break
        self._note_damage(status)

    def _most_frames(self) -> int:
        """How many frames there may be in what the scanner has not passed yet."""
        bytes_left = max(self._end - self._scanner.position, 0)
        return min(BLOCK_FRAMES, bytes_left // PCAP_RECORD_HEADER + 1)  # no format has smaller records

    def _fill(self) -> bool:
        """Read on; False at the end."""
        if len(self._buffer) - self._end < _LEAST_ROOM and self._end > HEADER:
            self._carry_over()
        count = self.stream.readinto(memoryview(cast(bytearray, self._buffer))[self._end :])
        self._end += count
        return count > 0

    def _carry_over(self) -> None:
        """Move what the scanner has not passed yet to a new buffer, with at least as much room again."""
        position = self._scanner.position
        rest = self._buffer[position : self._end]
        self._buffer = np.empty(max(self._block_size, 2 * len(rest)), np.uint8)
        self._buffer[: len(rest)] = rest
        self._offset += position
        self._end = len(rest)
        self._scanner.position = 0

    def _note_damage(self, status: Status) -> None:
        """Nothing more can be read: say why, unless it is the end."""
        position = self._scanner.position
        if status is Status.INCOMPLETE and self.stream.was_stopped:
            return  # in the middle of a record that is being written
        if status is Status.INCOMPLETE and self.stream.failure is not None:
            position, what = self._end, self.stream.failure
        elif status.is_damage or position < self._end:
            what = self._scanner.explain(status, self._buffer, self._end)
        else:
            return
        self.damage = Damage(self.name, self._offset + position, self._frames_read, what)


def first_time(path: str) -> int:
    """The time of a file's first frame, ns since the epoch; the latest there is if it has none.

    Raises
    ------
    CaptureError
        If it cannot be read as a capture at all.
    """
    return _File(path).find_first_time().first_time


def listed(sources: Source | Iterable[Source]) -> list[Source]:
    """One source or several, as a list."""
    if isinstance(sources, (str, os.PathLike)):
        return [sources]
    if hasattr(sources, "read"):
        return [cast(BinaryIO, sources)]
    return list(sources)


def _in_order_of_time(sources: list[Source], watch: Watch | None) -> list[_File]:
    """The files, by the time of their first frame; those without one last."""
    if not sources:
        raise CaptureError("no capture given; give a path")
    if len(sources) == 1:
        return [_File(sources[0], watch)]
    files = [_File(source, watch).find_first_time() for source in sources]
    files.sort(key=lambda file: file.first_time)
    for number, file in enumerate(files):
        file.number = number
    return files
