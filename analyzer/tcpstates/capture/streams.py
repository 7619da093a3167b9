"""Where captured bytes come from: paths, standard input, objects; compressed ones are opened on the way.

A stream is read with ``readinto`` until that gives 0. What goes wrong on the way (a compressed file
that ends early, a disk that fails) ends the stream too, and is told by its ``failure``: what came
before it is still worth having.
"""

from __future__ import annotations

import os
import stat
import sys
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, Protocol

from tcpstates.capture.watching import Watch, was_replaced
from tcpstates.errors import CaptureError, CapturePermissionError

#: What can be read: a path, ``-`` for standard input, or an object open for reading bytes.
Source = str | os.PathLike[str] | BinaryIO

#: Compressed bytes are given to the decompressor in pieces of this size: at most so much is lost
#: where it fails, and a piece that is made to swell (zstd: 128 KB from 4 bytes) stays below 64 MB.
PIECE = 2048
#: Of what swells more (bzip2: 45 MB from 45 bytes) so much is taken out at once.
MOST_AT_ONCE = 1 << 22


class Stream(Protocol):
    """Bytes of one file, decompressed."""

    name: str
    failure: str | None
    bytes_total: int | None
    can_reopen: bool

    @property
    def was_stopped(self) -> bool:
        """Whether the user stopped it before its end."""

    @property
    def was_replaced(self) -> bool:
        """Whether another file is at its path, or it was cut: that is to be read from its beginning."""

    @property
    def bytes_read(self) -> int:
        """How many bytes of the (compressed) file were read."""

    def readinto(self, target: memoryview) -> int:
        """Fill the beginning of ``target``; how many bytes, 0 at the end."""

    def park(self) -> None:
        """Hold no file open until it is read on, if it can be opened again."""

    def close(self) -> None:
        """Close the file, if it was opened here."""


class RawStream:
    """The bytes of a file as they are."""

    was_stopped = was_replaced = False

    def __init__(
        self,
        name: str,
        file: Any,
        path: str | os.PathLike[str] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.name = name
        self.failure: str | None = None
        self.bytes_read = 0
        self.bytes_total = _regular_size(file)
        self.can_reopen = path is not None and self.bytes_total is not None
        self._file, self._path, self._watch = file, path, watch
        self._is_parked = False
        self._pushed_back = b""

    def readinto(self, target: memoryview) -> int:
        """Fill the beginning of ``target``; how many bytes, 0 at the end."""
        if self._pushed_back:
            data, self._pushed_back = self._pushed_back[: len(target)], self._pushed_back[len(target) :]
            target[: len(data)] = data
            return len(data)
        try:
            self._unpark()
            count = self._read(target)
        except (OSError, ValueError) as error:
            self.failure = f"cannot be read: {_reason(error)}"
            return 0
        self.bytes_read += count
        return count

    def _read(self, target: memoryview) -> int:
        """Read once, and again after a while where more may come."""
        if self._watch is None:
            return _readinto(self._file, target)
        if self.bytes_total is None and not self._watch.wait_for_pipe(self._file):
            self.was_stopped = True
            return 0
        count = _readinto(self._file, target)
        while count == 0 and self._path is not None and self.bytes_total is not None:
            if was_replaced(self._file, self._path, self.bytes_read):
                self.was_replaced = self._watch.follow
                break
            if not self._watch.wait_for_file():
                self.was_stopped = self._watch.follow
                break
            count = _readinto(self._file, target)
        return count

    def peek(self, size: int) -> bytes:
        """The first bytes, which stay to be read."""
        head = bytearray(size)
        count, filled = 1, 0
        while count and filled < size:
            count = self.readinto(memoryview(head)[filled:])
            filled += count
        self._pushed_back = bytes(head[:filled])
        return self._pushed_back

    def park(self) -> None:
        """Hold no file open until it is read on, if it can be opened again."""
        if self.can_reopen:
            self._is_parked = True
            self._file.close()

    def _unpark(self) -> None:
        if self._is_parked and self._path is not None:
            self._file = open(self._path, "rb", buffering=0)  # noqa: PTH123, SIM115
            self._file.seek(self.bytes_read)
            self._is_parked = False

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._path is not None:
            self._file.close()


class CompressedStream:
    """The bytes that a compressed file holds: any number of members, frames or streams."""

    def __init__(self, raw: RawStream, compression: Compression) -> None:
        self.name = raw.name
        self.failure: str | None = None
        self.bytes_total, self.can_reopen = raw.bytes_total, raw.can_reopen
        self._raw, self._compression = raw, compression.name
        self._most = (MOST_AT_ONCE,) if compression.is_bounded else ()
        self._holds_more = False  # output for which no more input is needed
        self._new, self._errors = compression.load()
        self._decompressor: Any = None  # None between members
        self._pieces = memoryview(bytearray(64 * PIECE))
        self._input = self._pieces[:0]
        self._output = memoryview(b"")

    @property
    def bytes_read(self) -> int:
        """How many bytes of the compressed file were read."""
        return self._raw.bytes_read

    @property
    def was_stopped(self) -> bool:
        """Whether the user stopped it before its end."""
        return self._raw.was_stopped

    @property
    def was_replaced(self) -> bool:
        """Whether another file is in its place."""
        return self._raw.was_replaced

    def readinto(self, target: memoryview) -> int:
        """Fill the beginning of ``target``; how many bytes, 0 at the end."""
        filled = 0
        while filled < len(target):
            if self._output:
                count = min(len(target) - filled, len(self._output))
                target[filled : filled + count] = self._output[:count]
                self._output = self._output[count:]
                filled += count
            elif (filled and not self._input) or not self._decompress():
                break  # what is there is given at once: a pipe may have no more for now
        return filled

    def _decompress(self) -> bool:
        """Decompress a piece; False at the end."""
        if self.failure is not None:
            return False
        if not self._input and not self._holds_more:
            self._input = self._pieces[: self._raw.readinto(self._pieces)]
        if not self._input and not self._holds_more:
            self._end()
            return False
        taken = 0 if self._holds_more else PIECE
        piece, self._input = self._input[:taken], self._input[taken:]
        try:
            self._feed(piece)
        except self._errors as error:
            self.failure = f"the {self._compression} data is corrupt ({_one_line(error)})"
        return True

    def _feed(self, piece: memoryview) -> None:
        """Decompress ``piece``, in which members may end and begin."""
        data, output = bytes(piece), []
        while data or self._holds_more:
            if self._decompressor is None:
                data = data.lstrip(b"\0")  # padding after a member, as tape blocks leave it
                if not data:
                    break
                self._decompressor = self._new()
            output.append(self._decompressor.decompress(data, *self._most))
            data, self._holds_more = b"", bool(self._most) and not self._decompressor.needs_input
            if self._decompressor.eof:
                data, self._decompressor = self._decompressor.unused_data, None
                self._holds_more = False
            elif self._holds_more:
                break
        self._output = memoryview(b"".join(output))

    def _end(self) -> None:
        """No more input: in the middle of a member, that is too early."""
        self.failure = self._raw.failure
        if self.failure is None and self._decompressor is not None and not self.was_stopped:
            self.failure = f"the {self._compression} data ends early"

    def park(self) -> None:
        """Hold no file open until it is read on, if it can be opened again."""
        self._raw.park()

    def close(self) -> None:
        """Close the file, if it was opened here."""
        self._raw.close()


class Compression(NamedTuple):
    """A compression: how it begins, and what undoes it, member by member."""

    name: str
    is_at: Callable[[bytes], bool]
    load: Callable[[], tuple[Callable[[], Any], type[Exception]]]
    is_bounded: bool = False  # whether what undoes it can be told how much to give at once


def _load_gzip() -> tuple[Callable[[], Any], type[Exception]]:
    return lambda: zlib.decompressobj(wbits=31), zlib.error  # 31: with gzip's header and trailer


def _load_zstd() -> tuple[Callable[[], Any], type[Exception]]:
    import zstandard  # not before a file needs it

    return lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError


def _load_lz4() -> tuple[Callable[[], Any], type[Exception]]:
    import lz4.frame

    return lz4.frame.LZ4FrameDecompressor, RuntimeError


def _load_xz() -> tuple[Callable[[], Any], type[Exception]]:
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), lzma.LZMAError


def _load_bzip2() -> tuple[Callable[[], Any], type[Exception]]:
    import bz2

    return bz2.BZ2Decompressor, OSError


#: Enough for xz -9; a file can ask for 1.5 GB.
_XZ_MEMORY = 128 << 20


def _is_zstd(head: bytes) -> bool:
    """Whether a frame is there (RFC 8878, 3.1.1), or a skippable one before it (3.1.2)."""
    return head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5)


COMPRESSIONS = (
    Compression("gzip", lambda head: head.startswith(b"\x1f\x8b"), _load_gzip),
    Compression("zstd", _is_zstd, _load_zstd),
    Compression("lz4", lambda head: head.startswith(b"\x04\x22\x4d\x18"), _load_lz4, is_bounded=True),
    Compression("xz", lambda head: head.startswith(b"\xfd7zX"), _load_xz, is_bounded=True),
    Compression("bzip2", lambda head: head[:3] == b"BZh" and b"1" <= head[3:] <= b"9", _load_bzip2, True),
)


def open_stream(source: Source, watch: Watch | None = None) -> Stream:
    """Open a source, and decompress it if its first bytes say that it is compressed.

    With a ``watch``, a pipe is read until it says so, and with its ``follow`` a file that grows.

    Raises
    ------
    CaptureError
        If it is missing, a directory, a terminal, no binary file, or cannot be read.
    CapturePermissionError
        If this user may not read it.
    """
    raw = _open(source, watch)
    head = raw.peek(4)
    if raw.failure is not None:
        raw.close()
        raise CaptureError(f"{raw.name}: {raw.failure}")
    compression = next((entry for entry in COMPRESSIONS if entry.is_at(head)), None)
    return raw if compression is None else CompressedStream(raw, compression)


def source_name(source: Source) -> str:
    """What to call a source: its path, or where it comes from; always one line."""
    if source == "-":
        return "standard input"
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    if not isinstance(name, str):
        return "a file object"
    return name if name.isprintable() else ascii(name)


def _open(source: Source, watch: Watch | None) -> RawStream:
    name = source_name(source)
    if not isinstance(source, (str, os.PathLike)):
        return RawStream(name, source, watch=watch)
    if source == "-":
        return RawStream(name, _standard_input(), watch=watch)
    try:
        return RawStream(name, open(source, "rb", buffering=0), source, watch)  # noqa: PTH123
    except PermissionError as error:
        raise CapturePermissionError(f"{name}: permission denied; read it as a user who may") from error
    except (OSError, ValueError) as error:
        raise CaptureError(f"{name}: {_reason(error)}{_advice(error)}") from error


def _standard_input() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise CaptureError("standard input: is a terminal; pipe a capture into it, or give a path")
    return getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)


def _advice(error: Exception) -> str:
    if isinstance(error, IsADirectoryError):
        return "; give the captures in it"
    if isinstance(error, FileNotFoundError):
        return "; check the path"
    return ""


def _reason(error: Exception) -> str:
    """What the system says: ``no such file or directory``."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else _one_line(error)
    return text[:1].lower() + text[1:]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _readinto(file: Any, target: memoryview) -> int:
    """Read once, whatever kind of file it is: what a pipe holds is not waited for to become more.

    A buffered file's ``readinto1`` would wait: having given what it holds, it reads on.
    """
    if hasattr(file, "readinto") and not hasattr(file, "read1"):
        return file.readinto(target) or 0
    data = file.read1(len(target)) if hasattr(file, "read1") else file.read(len(target))
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ValueError(f"it gives {type(data).__name__}, not bytes; open it in binary mode")
    target[: len(data)] = data
    return len(data)


def _regular_size(file: Any) -> int | None:
    """The size of a regular file, None for all that has none."""
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
