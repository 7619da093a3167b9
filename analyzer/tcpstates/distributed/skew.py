"""How far the clocks of captures are apart, where the same segments stand in several of them.

A segment that passes from near one capture to near another is stamped there later by the way that it
takes, and by what the clocks differ; one that passes the other way, earlier by the way. So each bounds the
difference from one side, and the tightest bounds of both directions tell it, as in NTP, to half of the
shortest round trip.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tcpstates.inference.conduct import FIN, SYN

Array = np.ndarray[Any, np.dtype[Any]]

#: Of one bucket so many segments are remembered at most.
MOST = 1 << 17
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SEEN = np.dtype([("mark", "u8"), ("time", "i8"), ("tuple", "u8"), ("file", "i4"), ("forward", "u1")])


class Bounds(NamedTuple):
    """By what the clock of one capture is ahead of another's, in ns: between two bounds.

    Attributes
    ----------
    first, second : numbers of the files; it is the second one's clock that is ahead, if this is positive.
    least, most : the bounds; the wrong way round by what clocks drifted meanwhile.
    segments : how many stood in both.
    """

    first: int
    second: int
    least: int
    most: int
    segments: int

    @property
    def middle(self) -> int:
        """The estimate."""
        return (self.least + self.most) // 2

    @property
    def doubt(self) -> int:
        """How far it may be off."""
        return abs(self.most - self.least) // 2


class Comparison:
    """Remembers segments that open and close connections, to find them in other captures."""

    def __init__(self) -> None:
        self._seen: list[Array] = []
        self._count = 0

    def take(self, rows: Array) -> None:
        """Take in segments, copies included."""
        if self._count >= MOST:
            return
        chosen = (rows["flags"] & (SYN | FIN) != 0) & ((rows["ip_id"] != 0) | (rows["tsval"] != 0))
        rows = rows[chosen]
        if len(rows):
            self._seen.append(_remembered(rows))
            self._count += len(rows)

    def bounds(self) -> list[Bounds]:
        """What the segments that stand in several captures tell."""
        if self._count < 2:
            return []
        seen = np.concatenate(self._seen)
        seen = seen[np.lexsort((seen["file"], seen["mark"]))]
        alike = seen["mark"][1:] == seen["mark"][:-1]
        again = alike & (seen["file"][1:] == seen["file"][:-1])
        once = ~(np.append(again, False) | np.append(False, again))
        seen = seen[once]  # what one file has twice may be another's either
        pairs = np.flatnonzero(seen["mark"][1:] == seen["mark"][:-1])
        return list(_bounds(seen[pairs], seen[pairs + 1]))


def _remembered(rows: Array) -> Array:
    seen = np.zeros(len(rows), _SEEN)
    seen["time"], seen["file"] = rows["time"], rows["file"]
    ends = [_end(rows, "src"), _end(rows, "dst")]
    seen["forward"] = ends[0] > ends[1]
    seen["tuple"] = ends[0] + ends[1]
    mark = ends[0] * np.uint64(3) + ends[1]
    for name in ("seq", "ack", "flags", "payload", "ip_id", "tsval", "tsecr"):
        mark = (mark ^ (mark >> np.uint64(31)) ^ rows[name].astype(np.uint64)) * _MIX
    seen["mark"] = mark
    return seen


def _end(rows: Array, name: str) -> Array:
    end = (rows[f"{name}_hi"] ^ (rows[f"{name}_lo"] >> np.uint64(7))) * _MIX
    return np.asarray(
        (end ^ rows[f"{name}_lo"] ^ rows[f"{name}_port"].astype(np.uint64) << np.uint64(48)) * _MIX
    )


def _bounds(earlier: Array, later: Array) -> Iterable[Bounds]:
    """Per pair of files, from the segments of ``earlier``, of the first, and ``later``, of the second."""
    ahead = later["time"] - earlier["time"]
    for first, second in sorted({*zip(earlier["file"].tolist(), later["file"].tolist(), strict=True)}):
        here = (earlier["file"] == first) & (later["file"] == second)
        told = _of_pair(earlier[here], ahead[here])
        if told is not None:
            yield Bounds(first, second, *told, int(here.sum()))


def _of_pair(segments: Array, ahead: Array) -> tuple[int, int] | None:
    """The bounds from connections of which both directions were seen; None without any."""
    _tuples, which = np.unique(segments["tuple"], return_inverse=True)
    extremes = []
    for direction in (0, 1):
        mine = segments["forward"] == direction
        least = np.full(len(_tuples), np.iinfo(np.int64).max)
        most = np.full(len(_tuples), np.iinfo(np.int64).min)
        np.minimum.at(least, which[mine], ahead[mine])
        np.maximum.at(most, which[mine], ahead[mine])
        extremes.append((least, most))
    (least0, most0), (least1, most1) = extremes
    both = (least0 <= most0) & (least1 <= most1)
    if not both.any():
        return None
    onward = least0 >= least1  # the direction that is stamped later there goes there
    upper = np.where(onward, least0, least1)[both].min()
    lower = np.where(onward, most1, most0)[both].max()
    return int(lower), int(upper)


def together(parts: Iterable[Bounds]) -> list[Bounds]:
    """The bounds of several buckets as one for each pair of files."""
    found: dict[tuple[int, int], Bounds] = {}
    for part in parts:
        other = found.get((part.first, part.second), part._replace(segments=0))
        found[part.first, part.second] = Bounds(
            part.first,
            part.second,
            max(part.least, other.least),
            min(part.most, other.most),
            part.segments + other.segments,
        )
    return [found[pair] for pair in sorted(found)]
