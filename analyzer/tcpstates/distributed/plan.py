"""Which files are read together, and in which order what comes of them is put.

A *unit* is one file, or several small ones that follow each other: it is read by one worker, just as one
process would read it. Units whose times do not overlap follow each other. Of those that do, each of which is
in order of time in itself, buckets are merged, and the copies of frames among them left out. But where one
of those is not in order, what is late depends on the frames of the others: then they are read anew, as one
unit. So the order of all segments is that of one process.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tcpstates.compiled import PACKAGE, sources_digest

#: Files that are smaller together are read in one task.
TOGETHER = 32 << 20
#: Bytes of captures for each bucket.
PER_BUCKET = 1 << 26
#: Connections of a bucket that a worker infers at once: 400 MB at most.
AT_ONCE = 1 << 18
LEAST_BUCKETS, MOST_BUCKETS = 8, 1024


class Options(NamedTuple):
    """How units are read: what their segments depend on, besides the files."""

    decoder: str
    checksums: bool
    filter: str | None
    buckets: int


@dataclass(frozen=True)
class Unit:
    """Files that one worker reads as one stream.

    Attributes
    ----------
    paths : of its files, in the order of their first frames.
    first_file : the number of the first of them in the whole capture.
    bytes : their size.
    is_first : whether the whole capture begins with it.
    was_in_order : whether all frames before it were in the order of time.
    """

    paths: tuple[str, ...]
    first_file: int
    bytes: int
    is_first: bool
    was_in_order: bool = True

    def address(self, options: Options) -> str:
        """What its segments are found by: the same for the same files, options and program."""
        said = [_identities(self.paths), self.is_first, self.was_in_order, options, program()]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """What to call it in a message."""
        rest = len(self.paths) - 1
        return self.paths[0] + (f" and {rest} more" if rest else "")


@dataclass
class Facts:
    """What a worker says of a unit that it has read; times in ns.

    Attributes
    ----------
    folder : where its rows are.
    first_time, last_time : the earliest and the latest frame's, None if there is none.
    is_in_order : whether no frame was late, and no clock set back.
    is_too_late : see ``capture.ordering.Sorter``.
    disorder : the fields of ``schema.Disorder``.
    damage : for each file that is damaged, its path, and what ``capture.files.Damage`` says.
    fragments : how many frames wait for what other units have.
    pairs : how many pairs of ends each bucket has, or more.
    seconds : of the processor, that it took.
    groups : by kind of row, the bucket and the number of rows of each row group; empty once it was told.
    """

    folder: str
    first_time: int | None = None
    last_time: int | None = None
    frames: int = 0
    segments: int = 0
    filtered: int = 0
    dissected: int = 0
    copies: int = 0
    fragments: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    disorder: dict[str, int] = field(default_factory=dict)
    is_in_order: bool = True
    is_too_late: bool = False
    damage: list[tuple[str, int, int, str]] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0
    was_there: bool = False
    pairs: list[int] = field(default_factory=list)
    groups: dict[str, list[list[int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Units whose times overlap each other, and no others'."""

    units: tuple[tuple[Unit, Facts], ...]

    @property
    def is_merged(self) -> bool:
        """Whether they are put together bucket by bucket."""
        return len(self.units) > 1

    @property
    def must_be_read_as_one(self) -> bool:
        """Whether what is late in one depends on what is in the others."""
        return self.is_merged and not all(facts.is_in_order for _unit, facts in self.units)


def units_of(files: Sequence[tuple[str, int]]) -> list[Unit]:
    """The units of files in the order of their first frames, given with their sizes."""
    units: list[Unit] = []
    for number, (path, size) in enumerate(files):
        last = units[-1] if units else None
        if last is not None and last.bytes + size <= TOGETHER:
            units[-1] = replace(last, paths=(*last.paths, path), bytes=last.bytes + size)
        else:
            units.append(Unit((path,), number, size, is_first=number == 0))
    return units


def joined(units: Iterable[Unit]) -> Unit:
    """One unit of several that follow each other."""
    units = list(units)
    paths = tuple(path for unit in units for path in unit.paths)
    return replace(units[0], paths=paths, bytes=sum(unit.bytes for unit in units))


def groups_of(read: Iterable[tuple[Unit, Facts]]) -> list[Group]:
    """What was read, by what overlaps, in the order of time; units without a frame are left out."""
    spans = [
        (facts.first_time, facts.last_time, unit, facts)
        for unit, facts in read
        if facts.first_time is not None and facts.last_time is not None
    ]
    groups: list[list[tuple[Unit, Facts]]] = []
    reached = None
    for first, last, unit, facts in sorted(spans, key=lambda span: (span[0], span[2].first_file)):
        if reached is None or first > reached:
            groups.append([])
        groups[-1].append((unit, facts))
        reached = last if reached is None else max(reached, last)
    return [Group(tuple(sorted(group, key=lambda pair: pair[0].first_file))) for group in groups]


def buckets_for(size: int) -> int:
    """How many buckets the connections of so many bytes are shared out to."""
    needed = max(1, -(-size // PER_BUCKET))
    return min(max(1 << (needed - 1).bit_length(), LEAST_BUCKETS), MOST_BUCKETS)


class Share(NamedTuple):
    """What one worker infers: a bucket, or a slice of one.

    Attributes
    ----------
    bucket : its number.
    number, slices : the how-manieth slice of how many.
    """

    bucket: int
    number: int = 0
    slices: int = 1


def shares_of(pairs: Iterable[int]) -> list[Share]:
    """The shares of buckets that have so many pairs of ends each, or fewer."""
    counts = [max(1, -(-count // AT_ONCE)) for count in pairs]
    return [Share(bucket, number, count) for bucket, count in enumerate(counts) for number in range(count)]


@cache
def program() -> str:
    """What tells one version of the program from another: a digest of what makes segments and states."""
    digest = hashlib.sha256(sources_digest().encode())
    for path in sorted((PACKAGE / "distributed").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _identities(paths: Iterable[str]) -> list[tuple[Any, ...]]:
    """What changes when a file does: its place, size and time."""
    statuses = [(path, Path(path).stat()) for path in paths]
    return [(os.path.realpath(path), status.st_size, status.st_mtime_ns) for path, status in statuses]
