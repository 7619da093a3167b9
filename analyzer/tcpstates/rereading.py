"""The segments of a few connections, read from their capture a second time.

An analysis keeps no segments: its memory does not grow with them. Since a connection's inference depends
only on its own segments and the capture's bounds, an engine that is fed those of a few connections says the
same of them as the one that was fed all, and needs next to no time and memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from tcpstates.capture.ahead import decode
from tcpstates.capture.decoder import Decoder
from tcpstates.capture.files import CaptureReader
from tcpstates.capture.filters import Filter
from tcpstates.capture.ordering import Sorter
from tcpstates.capture.streams import source_name
from tcpstates.errors import CaptureError
from tcpstates.inference.engine import Engine
from tcpstates.inference.timers import profile_named
from tcpstates.reports.exchange import Exchange
from tcpstates.reports.log import Log
from tcpstates.schema import NOTES, SEGMENTS, Fate

_FIN, _SYN, _RST = 1, 2, 4
#: Segments that are kept of one connection, besides those that open, close or repeat.
MOST_SEGMENTS = 20_000
#: And besides these, of those.
_MOST_TELLING = 20_000


class Reading(NamedTuple):
    """How a capture was read: what it takes to read it again."""

    sources: tuple[Any, ...]
    timers: str = "linux"
    checksums: str = "auto"
    decoder: Literal["fast", "dpkt"] = "fast"
    filter: str | None = None

    @classmethod
    def of(cls, sources: Iterable[Any], *options: Any) -> Reading:
        """Remember it; a path means the same file also when the working directory has changed."""
        return cls(tuple(_path(source) or source for source in sources), *options)

    def new_decoder(self) -> Decoder:
        """What makes segments of the capture's blocks, as they were made the first time."""
        chosen = None if self.filter is None else Filter(self.filter)
        return Decoder(decoder=self.decoder, checksums=self.checksums != "ignore", chosen=chosen)

    @property
    def is_repeatable(self) -> bool:
        """Whether the capture can be read again."""
        return all(map(_is_there, self.sources))

    def paths(self) -> list[str]:
        """The files to read again.

        Raises
        ------
        CaptureError
            If the capture was no regular file, or is not there any more.
        """
        for source in self.sources:
            if not _is_there(source):
                raise CaptureError(
                    f"{source_name(source)}: cannot be read a second time, which showing segments takes; "
                    "analyze a file"
                )
        return [os.fspath(source) for source in self.sources]


def _path(source: Any) -> str | None:
    """The absolute path that a source is, None if it is none."""
    is_path = isinstance(source, (str, os.PathLike)) and source != "-"
    return os.path.abspath(os.fspath(source)) if is_path else None  # noqa: PTH100


def _is_there(source: Any) -> bool:
    """Whether a source can be read from its beginning at any time."""
    path = _path(source)
    return path is not None and Path(path).is_file()


class _Kept(NamedTuple):
    """Segments of one block that belong to the connections asked for."""

    conn: np.ndarray
    segments: np.ndarray
    fate: np.ndarray


def exchanges(reading: Reading, log: Log, conns: Sequence[int]) -> dict[int, Exchange]:
    """The segments of each of ``conns``.

    Parameters
    ----------
    reading : how the capture was read.
    log : what was found in it.
    conns : numbers of connections.

    Raises
    ------
    CaptureError
        If the capture cannot be read a second time, or is no longer the one that was analysed.
    """
    captures = reading.paths()
    if not len(conns):
        return {}
    opened = log.connections[list(conns)]
    which = {
        (int(row["first_file"]), int(row["first_frame"])): conn
        for conn, row in zip(conns, opened, strict=True)
    }
    room = dict.fromkeys(conns, (MOST_SEGMENTS, _MOST_TELLING))
    kept: dict[int, list[_Kept]] = {conn: [] for conn in conns}
    omitted = dict.fromkeys(conns, 0)
    for part in _noted(captures, reading, log, conns, which):
        for conn in np.unique(part.conn).tolist():
            mine = _Kept(*(values[part.conn == conn] for values in part))
            chosen, room[conn] = _bounded(mine, room[conn])
            omitted[conn] += len(mine.conn) - len(chosen)
            kept[conn].append(_Kept(*(values[chosen] for values in mine)))
    if not all(kept.values()):
        raise CaptureError(f"{captures[0]}: has changed since it was analysed; analyze it again")
    return {conn: _exchange(log, conn, parts, omitted[conn]) for conn, parts in kept.items()}


def _noted(
    captures: list[str], reading: Reading, log: Log, conns: Sequence[int], which: dict[tuple[int, int], int]
) -> Iterator[_Kept]:
    """The segments of the connections asked for, block by block, with what an engine takes them for."""
    sides = log.sides[[2 * conn for conn in conns]], log.sides[[2 * conn + 1 for conn in conns]]
    wanted = _digest(*((rows["addr_hi"], rows["addr_lo"], rows["port"]) for rows in sides))
    frames = reading.new_decoder()
    engine = Engine(profile_named(reading.timers), checksums=reading.checksums)
    numbers = np.full(1, -1)  # the engine's number of a connection -> the log's, -1 for one not asked for
    for decoded in decode(CaptureReader(captures), Sorter(), frames):
        segments = decoded.segments
        segments = segments[_is_of(segments, wanted) & (segments["time"] <= log.end)]
        notes: np.ndarray = engine.feed(segments, decoded.errors[_is_of(decoded.errors, wanted)])
        if not len(segments):
            continue
        numbers = _numbered(numbers, segments, notes, which)
        conn = numbers[notes["side"] // 2]
        yield _Kept(*(values[conn >= 0] for values in (conn, segments, notes["fate"])))


def _digest(*ends: Iterable[np.ndarray]) -> np.ndarray:
    """uint64 per pair of endpoints, the same in both directions; rarely the same for two pairs."""
    digest = np.zeros(0, np.uint64)
    for hi, lo, port in ends:
        mixed = (hi * np.uint64(0x9E3779B97F4A7C15)) ^ (lo * np.uint64(0xC2B2AE3D27D4EB4F))
        mixed = (mixed ^ (mixed >> np.uint64(29))) + port.astype(np.uint64) * np.uint64(0x165667B19E3779F9)
        digest = mixed if not len(digest) else digest + mixed
    return digest


def _is_of(segments: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Whether each segment is of a pair of endpoints that is asked for."""
    ends = ((segments[f"{end}_hi"], segments[f"{end}_lo"], segments[f"{end}_port"]) for end in ("src", "dst"))
    return np.isin(_digest(*ends), wanted)


def _numbered(
    numbers: np.ndarray, segments: np.ndarray, notes: np.ndarray, which: dict[tuple[int, int], int]
) -> np.ndarray:
    """``numbers`` with the connections that begin here: their first frames tell which they are."""
    opening = np.flatnonzero(notes["fate"] & Fate.OPENING)
    if not len(opening):
        return numbers
    grown = np.full(int(notes["side"].max()) // 2 + 1, -1)
    grown = np.concatenate([numbers, grown[len(numbers) :]])
    for flow, file, frame in zip(
        (notes["side"][opening] // 2).tolist(),
        segments["file"][opening].tolist(),
        segments["frame"][opening].tolist(),
        strict=True,
    ):
        grown[flow] = which.get((file, frame), -1)
    return grown


def _bounded(part: _Kept, room: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Which of one connection's segments there is room for: the first ones, and those that tell most."""
    telling = (part.segments["flags"] & (_SYN | _FIN | _RST) != 0) | (part.fate != 0)
    plenty, rest = room
    chosen = (telling & (np.cumsum(telling) <= rest)) | (~telling & (np.cumsum(~telling) <= plenty))
    left = plenty - int((~telling).sum()), rest - int(telling.sum())
    return np.flatnonzero(chosen), (max(left[0], 0), max(left[1], 0))


def _exchange(log: Log, conn: int, parts: list[_Kept], omitted: int) -> Exchange:
    segments = np.concatenate([np.zeros(0, SEGMENTS), *(part.segments for part in parts)])
    fate = np.concatenate([np.zeros(0, NOTES["fate"]), *(part.fate for part in parts)])
    client = log.sides[2 * conn]
    by_client = segments["src_port"] == client["port"]
    for half in ("hi", "lo"):
        by_client &= segments[f"src_{half}"] == client[f"addr_{half}"]
    return Exchange(segments, np.where(by_client, 0, 1).astype(np.uint8), fate, omitted)
