"""One bucket of all units, as one stream: in the order in which one process would have its segments.

Memory is bounded by a row group for each unit that overlaps others, however large the bucket is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tcpstates.capture.merging import copies_among
from tcpstates.distributed.mapping import FILTERED, KINDS, known_facts
from tcpstates.distributed.plan import Facts, Options, Share
from tcpstates.distributed.rows import SEGMENT_ROWS, read_bucket, slice_of
from tcpstates.errors import ClusterError
from tcpstates.inference.memory import beginning
from tcpstates.schema import ICMP_ERRORS, SEGMENTS

Array = np.ndarray[Any, np.dtype[Any]]

#: Rows that are inferred at once, so that they stay in a processor's cache.
AT_ONCE = 1 << 13


class ReadUnit(NamedTuple):
    """A unit that was read.

    Attributes
    ----------
    folder : where its rows are.
    first_file : the number of its first file in the whole capture.
    first_time : ns, of its earliest frame.
    is_in_order : whether its frames are in the order of time.
    """

    folder: str
    first_file: int
    first_time: int
    is_in_order: bool


class ReadGroup(NamedTuple):
    """Units whose times overlap."""

    units: tuple[ReadUnit, ...]

    @property
    def is_merged(self) -> bool:
        """Whether there are several."""
        return len(self.units) > 1


@dataclass(frozen=True)
class Plan:
    """All that was read, in the order of time, and how."""

    groups: tuple[ReadGroup, ...]
    options: Options


class Piece(NamedTuple):
    """What the engine can be fed at once.

    Attributes
    ----------
    rows : SEGMENT_ROWS
    errors : ICMP_ERRORS
    """

    rows: Array
    errors: Array

    @property
    def segments(self) -> Array:
        """SEGMENTS of the rows."""
        return beginning(self.rows, SEGMENTS)


#: Told of the rows of a group that is merged, before copies are left out, and of the unit of each.
Watcher = Callable[[Array, Array], None]


class Stream:
    """One share of what was read.

    Parameters
    ----------
    plan : what was read.
    share : which one.
    extra : by the number of a unit's first file, SEGMENT_ROWS that only all units together made known.
    watch : see ``Watcher``.

    Attributes
    ----------
    copies : frames so far that another unit has too, and that were left out.
    dissected, filtered : how many of these dpkt was asked about, and the filter did not accept.
    skipped : how many hold no segment, by reason.
    """

    def __init__(self, plan: Plan, share: Share, extra: dict[int, Array], watch: Watcher) -> None:
        self.copies = self.dissected = self.filtered = 0
        self.skipped: dict[str, int] = {}
        self._plan, self._share, self._extra, self._watch = plan, share, extra, watch

    def of_group(self, group: ReadGroup) -> Iterator[Piece]:
        """The pieces of one group."""
        facts = [_facts(unit) for unit in group.units]
        if group.is_merged:
            if self._share.number == 0:
                self._count_others(group, facts)
            yield from _in_order(self._merged(group, facts, "segments"), self._merged(group, facts, "errors"))
            return
        [unit] = group.units
        rows, errors = self._run(unit, facts[0], "segments"), self._run(unit, facts[0], "errors")
        yield from (_in_order if unit.is_in_order else _in_places)(rows, errors)

    def _run(self, unit: ReadUnit, facts: Facts, kind: str) -> Iterator[Array]:
        """The rows of one unit, in its order."""
        path = Path(unit.folder) / f"{kind}.parquet"
        extra = self._extra.get(unit.first_file, np.zeros(0, SEGMENT_ROWS))
        if kind != "segments":
            extra = extra[:0]
        for rows in read_bucket(path, KINDS[kind], facts.groups[kind], self._share.bucket):
            rows["file"] += unit.first_file
            if self._share.slices > 1 and kind != "others":
                rows = rows[slice_of(rows, self._share.slices) == self._share.number]
            if not len(rows):
                continue
            if len(extra):
                count = int(np.searchsorted(extra["position"], rows["position"][-1], "right"))
                rows, extra = _with_extra(rows, extra[:count]), extra[count:]
            yield rows
        if len(extra):
            yield extra

    def _merged(self, group: ReadGroup, facts: Sequence[Facts], kind: str) -> Iterator[Array]:
        """The rows of all its units, in the order of time, each frame once."""
        runs = [
            (unit.first_time, lambda unit=unit, said=said: self._run(unit, said, kind))
            for unit, said in zip(group.units, facts, strict=True)
        ]
        for rows, origins in merged(runs):
            if kind == "segments":
                self._watch(rows, origins)
            keep = without_copies(rows, origins)
            self._count(rows[~keep], [facts[origin] for origin in origins[~keep]], kind)
            yield rows if keep.all() else rows[keep]

    def _count_others(self, group: ReadGroup, facts: Sequence[Facts]) -> None:
        """Count the copies of what holds no segment."""
        for _rows in self._merged(group, facts, "others"):
            pass

    def _count(self, copies: Array, facts: Sequence[Facts], kind: str) -> None:
        if kind == "errors":
            return  # their frames are among the others
        is_frame = copies["part"] == 0
        self.copies += int(is_frame.sum())
        self.dissected += int(copies["dissected"][is_frame].sum())
        if kind == "others":
            for code, said in zip(copies["reason"].tolist(), facts, strict=True):
                reason = said.reasons[code]
                if reason == FILTERED:
                    self.filtered += 1
                else:
                    self.skipped[reason] = self.skipped.get(reason, 0) + 1


def _facts(unit: ReadUnit) -> Facts:
    facts = known_facts(Path(unit.folder))
    if facts is None:
        raise ClusterError(f"{unit.folder}: has disappeared while it was needed; run it again")
    return facts


def _with_extra(rows: Array, extra: Array) -> Array:
    if not len(extra):
        return rows
    whole = np.concatenate((rows, extra))
    return whole[np.lexsort((whole["part"], whole["position"]))]


def without_copies(rows: Array, origins: Array) -> Array:
    """Which rows of several units stay: of a frame that several have, that of the first file.

    Parameters
    ----------
    rows : in the order of time, with all rows of each time that there is.
    origins : int array (n,), the unit of each.
    """
    keep = np.ones(len(rows), np.bool_)
    same = rows["time"][1:] == rows["time"][:-1]
    if not (same & (origins[1:] != origins[:-1])).any():
        return keep
    places = np.flatnonzero(np.append(same, False) | np.append(False, same))
    chosen = rows[places]
    keys = [chosen[name] for name in ("time", "length", "mark", "part")]
    keep[places] = ~copies_among(keys, origins[places], chosen["file"])
    return keep


def merged(runs: Sequence[tuple[int, Callable[[], Iterator[Array]]]]) -> Iterator[tuple[Array, Array]]:
    """Rows of several units by time, file and position, and the place among ``runs`` that each comes from.

    Parameters
    ----------
    runs : for each unit, the time before which it has none, and what gives its rows in its order.
    """
    order = sorted(range(len(runs)), key=lambda place: runs[place][0])
    waiting, open_runs = [(runs[place][0], place) for place in reversed(order)], dict[int, _Run]()
    while waiting or open_runs:
        while waiting and (not open_runs or waiting[-1][0] <= min(run.latest for run in open_runs.values())):
            _time, place = waiting.pop()
            run = _Run(runs[place][1]())
            if run.fill():
                open_runs[place] = run
        if not open_runs:
            continue
        until = min(run.latest for run in open_runs.values())
        taken = [(part, place) for place, run in open_runs.items() for part in run.take(until)]
        rows = np.concatenate([part for part, _place in taken])
        origins = np.concatenate([np.full(len(part), place) for part, place in taken])
        if len(taken) > 1:
            sorting = np.lexsort((rows["part"], rows["position"], rows["file"], rows["time"]))
            rows, origins = rows[sorting], origins[sorting]
        yield rows, origins
        open_runs = {place: run for place, run in open_runs.items() if run.fill()}


class _Run:
    """The rows of one unit, of which some were read and not taken yet."""

    def __init__(self, pieces: Iterator[Array]) -> None:
        self._pieces = pieces
        self._rows = np.zeros(0, SEGMENT_ROWS)

    @property
    def latest(self) -> int:
        return int(self._rows["time"][-1])

    def fill(self) -> bool:
        """Read on, unless there is something left; False at the end."""
        while not len(self._rows):
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._rows = piece
        return True

    def take(self, until: int) -> Iterator[Array]:
        """All that is not later."""
        while self.fill() and self._rows["time"][0] <= until:
            count = int(np.searchsorted(self._rows["time"], until, "right"))
            taken, self._rows = self._rows[:count], self._rows[count:]
            yield taken


def _cut(rows: Iterator[Array]) -> Iterator[Array]:
    """The same in pieces that are not too large."""
    for piece in rows:
        for start in range(0, len(piece), AT_ONCE):
            yield piece[start : start + AT_ONCE]


def _in_order(rows: Iterator[Array], errors: Iterator[Array]) -> Iterator[Piece]:
    """Segments in the order of time; an ICMP error comes behind all that are not later."""
    waiting = _all_errors(errors)
    for piece in _cut(rows):
        is_due = waiting["time"] < piece["time"][-1]
        yield Piece(piece, beginning(waiting[is_due], ICMP_ERRORS))
        waiting = waiting[~is_due] if is_due.any() else waiting
    if len(waiting):
        yield Piece(np.zeros(0, SEGMENT_ROWS), beginning(waiting, ICMP_ERRORS))


def _in_places(rows: Iterator[Array], errors: Iterator[Array]) -> Iterator[Piece]:
    """Segments in another order; an ICMP error comes where it came when they were read."""
    waiting = _all_errors(errors)
    nothing, none = np.zeros(0, SEGMENT_ROWS), np.zeros(0, ICMP_ERRORS)
    for piece in _cut(rows):
        start = 0
        count = int(np.searchsorted(waiting["position"], piece["position"][-1], "right"))
        due, waiting = waiting[:count], waiting[count:]
        for row, place in enumerate(np.searchsorted(piece["position"], due["position"], "left").tolist()):
            yield Piece(piece[start:place], none)
            yield Piece(nothing, beginning(due[row : row + 1], ICMP_ERRORS))
            start = place
        yield Piece(piece[start:], none)
    if len(waiting):
        yield Piece(nothing, beginning(waiting, ICMP_ERRORS))


def _all_errors(errors: Iterator[Array]) -> Array:
    return np.concatenate([np.zeros(0, KINDS["errors"]), *errors])
