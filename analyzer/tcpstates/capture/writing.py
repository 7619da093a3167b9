"""Writing captured frames as pcapng, as they come: so that ``analyze`` reads what a live capture saw.

Blocks are those of draft-ietf-opsawg-pcapng, little-endian, times in nanoseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tcpstates.capture.blocks import Block
from tcpstates.capture.framing import Bytes, Records
from tcpstates.compiled import inlined, kernel
from tcpstates.schema import FRAMES

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_AROUND = 32  # bytes of a packet block beside the frame
_NANOSECONDS = 9
_IF_NAME, _IF_TSRESOL = 2, 9


class Writer:
    """A pcapng file that grows.

    Parameters
    ----------
    path : Path
    interfaces : sequence of (str, int)
        The interfaces' names and LINKTYPE_ values, in the order of their numbers.

    Raises
    ------
    OSError
        If the file cannot be begun.

    Attributes
    ----------
    path : Path
    failure : str
        Why no more can be written, such as a disk that is full; empty while all is well.
    """

    def __init__(self, path: Path, interfaces: Sequence[tuple[str, int]]) -> None:
        self.path, self.failure = path, ""
        self._file = path.open("wb")
        try:
            self._file.write(_header(interfaces))
            self._write(Block(np.empty(0, np.uint8), np.zeros(0, FRAMES)))  # compiled before there are frames
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None

    def write(self, block: Block) -> None:
        """Append the frames of a block, in their order; nothing any more after a failure."""
        if not self.failure:
            with self._failing():
                self._write(block)

    def _write(self, block: Block) -> None:
        most = int(block.frames["captured"].astype(np.int64).sum()) + (_AROUND + 3) * len(block.frames)
        out, buffer = np.zeros(most, np.uint8), block.buffer.view()
        buffer.flags.writeable = False
        self._file.write(out[: pack(buffer, block.frames, out)].tobytes())
        self._file.flush()

    def close(self) -> None:
        """Write what is still to be written."""
        with self._failing():
            self._file.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Have the file's errors end the writing, not the capture."""
        try:
            yield
        except OSError as error:
            self.failure = f"{self.path}: {error.strerror}; the file ends before the capture does"


def _header(interfaces: Sequence[tuple[str, int]]) -> bytes:
    """A Section Header Block, and an Interface Description Block for each interface."""
    blocks = [_block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for name, linktype in interfaces:
        options = _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, bytes([_NANOSECONDS]))
        blocks.append(_block(_INTERFACE, struct.pack("<HHI", linktype, 0, 0) + options + bytes(4)))
    return b"".join(blocks)


def _block(kind: int, body: bytes) -> bytes:
    total = len(body) + 12
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


@inlined
def _put(out: Any, at: Any, value: Any) -> None:
    """Four bytes, the lowest first."""
    for i in range(4):
        out[at + i] = (value >> 8 * i) & 0xFF


@kernel
def pack(buffer: Bytes, frames: Records, out: Bytes) -> Any:
    """Write frames as Enhanced Packet Blocks (4.3) into ``out``, which is zero; how many bytes."""
    at = np.int64(0)
    for row in range(len(frames)):
        frame = frames[row]
        time, captured, start = np.int64(frame["time"]), np.int64(frame["captured"]), frame["offset"]
        total = _AROUND + captured + (-captured & 3)
        _put(out, at, _PACKET)
        _put(out, at + 4, total)
        _put(out, at + 8, np.int64(frame["interface"]))
        _put(out, at + 12, time >> 32)
        _put(out, at + 16, time & 0xFFFFFFFF)
        _put(out, at + 20, captured)
        _put(out, at + 24, np.int64(frame["length"]))
        for i in range(captured):
            out[at + 28 + i] = buffer[start + i]
        _put(out, at + total - 4, total)
        at += total
    return at
