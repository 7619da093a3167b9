"""A socket's states in order of time, as the kernel or as the analysis tells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tcpstates.states import State

#: Before and after all that is recorded, in nanoseconds.
EVER, FOREVER = -(1 << 63), (1 << 63) - 1


class Span(NamedTuple):
    """A state from ``start`` until, but not at, ``end``; None where nothing is said yet."""

    state: State | None
    start: int
    end: int
    reason: str = ""  # the truth's source, or the analysis' cause

    @property
    def length(self) -> int:
        """How long it lasts, in nanoseconds."""
        return self.end - self.start


class Ends(NamedTuple):
    """A socket's 4-tuple, each end as ``address:port``, IPv6 addresses in brackets."""

    local: str
    remote: str

    @property
    def reverse(self) -> Ends:
        """Its peer's."""
        return Ends(self.remote, self.local)


class Life(NamedTuple):
    """One socket: spans without gap or overlap between them."""

    ends: Ends
    side: str
    spans: tuple[Span, ...]

    @property
    def born(self) -> int:
        """When it left CLOSE for the first time, FOREVER if it never did."""
        return next((span.start for span in self.spans if span.state != State.CLOSE), FOREVER)

    @property
    def died(self) -> int:
        """When it came to CLOSE for the last time."""
        return next((span.end for span in reversed(self.spans) if span.state != State.CLOSE), EVER)

    @property
    def is_socket(self) -> bool:
        """Whether it was ever in a state that only a socket has."""
        return any(span.state not in (State.CLOSE, State.UNKNOWN) for span in self.spans)

    def changes(self) -> list[int]:
        """The instants at which its state changes."""
        inner = [span.start for span in self.spans]
        last = self.spans[-1].end
        return inner if last == FOREVER else [*inner, last]


def whole(life: Life, before: State | None) -> list[Span]:
    """The spans of ``life`` with ``before`` ahead of them and CLOSE behind: of all time."""
    first, last = life.spans[0].start, life.spans[-1].end
    return [Span(before, EVER, first), *life.spans, Span(State.CLOSE, last, FOREVER)]


def overlaid(one: Iterable[Span], other: Iterable[Span]) -> Iterator[tuple[Span, Span, int, int]]:
    """Where which span of the one meets which of the other: from when, until when."""
    lefts, rights = iter(one), iter(other)
    left, right = next(lefts), next(rights)
    while True:
        start, end = max(left.start, right.start), min(left.end, right.end)
        if start < end:
            yield left, right, start, end
        if left.end == right.end == FOREVER:
            return
        if left.end <= right.end:
            left = next(lefts)
        else:
            right = next(rights)
