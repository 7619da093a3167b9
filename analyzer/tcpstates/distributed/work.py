"""What a distributed analysis took, and what is to be said of it beside the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tcpstates.distributed.skew import Bounds
from tcpstates.reports.wording import counted, duration

#: So many pairs of clocks are named.
_MOST_NAMED = 5


class Stage(NamedTuple):
    """A stage of the work, in figures.

    Attributes
    ----------
    name : ``read``, ``infer`` or ``join``.
    tasks, found : how many pieces of work there were, and how many of them had been done before.
    bytes : of the captures, or of what was inferred.
    items, what : how many frames, segments or connections went through.
    seconds, worked : by the clock, and of the workers' processors.
    """

    name: str
    tasks: int
    found: int
    bytes: int
    items: int
    what: str
    seconds: float
    worked: float

    def __str__(self) -> str:
        before = f", {self.found:,} of them done before" if self.found else ""
        size = f", {self.bytes / 1e6:,.1f} MB" if self.bytes else ""
        return (
            f"{self.name}: {self.items:,} {self.what}{size} in {counted(self.tasks, 'task')}{before}; "
            f"{self.seconds:.1f} s, {self.worked:.1f} s of processors"
        )


class Work(NamedTuple):
    """What it took.

    Attributes
    ----------
    workers : how many there were at the end.
    stages : in their order.
    skews : how far the clocks of captures are apart.
    together : how many files one worker had to read, as they overlap and are out of order.
    files : the names that ``skews`` count.
    """

    workers: int
    stages: tuple[Stage, ...]
    skews: tuple[Bounds, ...]
    together: int
    files: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """All of it, a line each."""
        yield from map(str, self.stages)
        if self.together:
            yield (
                f"{self.together:,} files that overlap were read as one, as frames in them are out of order"
            )
        yield from self._clocks()

    def _clocks(self) -> Iterator[str]:
        """How far clocks are apart, those that are farthest first."""
        order = sorted(self.skews, key=lambda bounds: -abs(bounds.middle))
        for bounds in order[:_MOST_NAMED]:
            first, second = (self.files[number] for number in (bounds.first, bounds.second))
            ahead = "ahead of" if bounds.middle >= 0 else "behind"
            yield (
                f"the clock of {second} is {duration(abs(bounds.middle))} {ahead} that of {first}, give or "
                f"take {duration(bounds.doubt)}, by {counted(bounds.segments, 'segment')} in both; "
                "times are as stamped"
            )
        if len(order) > _MOST_NAMED:
            rest = duration(abs(order[_MOST_NAMED].middle))
            yield f"the clocks of {len(order) - _MOST_NAMED:,} other pairs of files differ by at most {rest}"
