"""How long the inferred state is the true one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tcpstates.states import State

from .lives import EVER, FOREVER, Life, Span, overlaid, whole

#: Overlapping pieces of time that are left out, in order and apart from each other.
Windows = list[tuple[int, int]]


class Piece(NamedTuple):
    """Some time in which both say one thing each; ``length`` without what is left out."""

    kind: str  # right, wrong, unknown, silent
    truth: Span
    claim: Span
    start: int
    end: int
    length: int


def pieces(truth: Life | None, claim: Life | None, bounds: tuple[int, int], margin: int) -> Iterator[Piece]:
    """All of the time within ``bounds`` in which the one lives, or the other is said to.

    Parameters
    ----------
    truth, claim : a true socket and a side of a connection; None for none.
    bounds : the captured time.
    margin : what is left out on either side of a true change.
    """
    windows = left_out(truth.changes() if truth else [], margin, bounds)
    for true, said, start, end in overlaid(_whole(truth, State.CLOSE), _whole(claim, None)):
        kind = _kind(true.state, said.state)
        start, end = max(start, bounds[0]), min(end, bounds[1])
        if kind and start < end:
            yield Piece(kind, true, said, start, end, outside(start, end, windows))


def left_out(changes: list[int], margin: int, bounds: tuple[int, int]) -> Windows:
    """The time around ``changes``, within ``bounds`` and a margin."""
    windows: Windows = []
    for change in sorted(change for change in changes if bounds[0] - margin <= change <= bounds[1] + margin):
        start, end = change - margin, change + margin
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows


def outside(start: int, end: int, windows: Windows) -> int:
    """How much of the time from ``start`` to ``end`` is in none of ``windows``."""
    inside = sum(max(0, min(end, last) - max(start, first)) for first, last in windows)
    return end - start - inside


def _whole(life: Life | None, before: State | None) -> list[Span]:
    return whole(life, before) if life else [Span(State.CLOSE, EVER, FOREVER)]


def _kind(true: State | None, said: State | None) -> str | None:
    """Which time it is; None where there is no socket and none is claimed."""
    if said == true:
        return None if true == State.CLOSE else "right"
    if true == State.CLOSE and said in (None, State.UNKNOWN):
        return None
    if said is None:
        return "silent"
    return "unknown" if said == State.UNKNOWN else "wrong"
