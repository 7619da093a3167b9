"""Whether a side's states are the kernel's, in order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import dropwhile
from typing import NamedTuple

from tcpstates.states import State

from .inferred import Claim
from .lives import FOREVER, Life, Span


class Verdict(NamedTuple):
    """On one socket's sequence of states."""

    exact: bool
    lenient: bool


def verdict(truth: Life, claim: Claim, bounds: tuple[int, int], margin: int) -> Verdict:
    """Compare the states of a true socket and its side within the captured time."""
    said = [span for span in _entered(claim.life) if span.start <= bounds[1]]
    slices = list(_slices(_entered(truth), claim.first, bounds, margin))
    states = [span.state for span in said]
    exact = any([span.state for span in piece] == states for piece in slices)
    return Verdict(exact, exact or any(_leniently_equal(piece, said, margin) for piece in slices))


def _entered(life: Life) -> list[Span]:
    """Its states from the first that is not CLOSE on, with the CLOSE that it ends in."""
    spans = list(dropwhile(lambda span: span.state == State.CLOSE, life.spans))
    if spans and spans[-1].end < FOREVER:
        spans.append(Span(State.CLOSE, spans[-1].end, FOREVER))
    return spans


def _slices(spans: list[Span], first: int, bounds: tuple[int, int], margin: int) -> Iterator[list[Span]]:
    """What of ``spans`` may be seen: all but what lies at, or beyond, the edges of the captured time."""
    begins = [0]
    if spans[0].start < bounds[0] - margin:
        begins = _around(spans, first, margin) or begins
    for begin in begins:
        for last in _around(spans, bounds[1], margin):
            yield spans[begin : last + 1]


def _around(spans: list[Span], instant: int, margin: int) -> list[int]:
    """The spans that lie within ``margin`` of ``instant``."""
    return [
        at for at, span in enumerate(spans) if span.start <= instant + margin and span.end >= instant - margin
    ]


def _leniently_equal(truth: list[Span], said: list[Span], margin: int) -> bool:
    """Whether they are the same but for spans that are shorter than ``margin``."""

    @cache
    def equal_from(true_at: int, said_at: int) -> bool:
        true, claim = truth[true_at : true_at + 1], said[said_at : said_at + 1]
        if not true and not claim:
            return True
        return (
            (
                bool(true and claim)
                and true[0].state == claim[0].state
                and equal_from(true_at + 1, said_at + 1)
            )
            or (bool(true) and true[0].length < margin and equal_from(true_at + 1, said_at))
            or (bool(claim) and claim[0].length < margin and equal_from(true_at, said_at + 1))
        )

    return equal_from(0, 0)
