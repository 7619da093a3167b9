"""Where analysis and kernel disagree, worst first, for whoever wants to know why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import dropwhile
from typing import NamedTuple

from tcpstates.states import State

from .agreement import Piece
from .lives import FOREVER, Ends, Life, Span
from .score import Pairing, Score

_SECOND = 1_000_000_000


class Disagreement(NamedTuple):
    """A stretch of one socket's time in which something else was said."""

    piece: Piece
    pairing: Pairing
    score: Score

    @property
    def sort(self) -> tuple[str, ...]:
        """What disagreements of one cause have in common: near or far, both states, how ours came about."""
        near = "near" if self.score.is_near(self.pairing) else "far"
        reason = self.piece.claim.reason.split(", frame")[0]
        return near, _state(self.piece.truth), _state(self.piece.claim), reason

    @property
    def where(self) -> str:
        """Which capture and which socket, local end first."""
        life = _life(self.pairing)
        return f"{self.score.recording.name}/{self.score.vantage} {life.side} {_ends(life.ends)}"

    def times(self) -> str:
        """Both spans, in seconds since the capture's first record."""
        truth, claim = (_during(span, self.score.ours.start) for span in (self.piece.truth, self.piece.claim))
        return f"kernel {truth}  ours {claim}"


def disagreements(scores: Iterable[Score]) -> list[Disagreement]:
    """All that are wrong, unknown or silent, the longest first."""
    found = [
        Disagreement(piece, pairing, score)
        for score in scores
        for pairing in score.pairings
        for piece in pairing.pieces
        if piece.kind != "right" and piece.length > 0
    ]
    return sorted(found, key=lambda one: -one.piece.length)


def by_sort(found: Iterable[Disagreement], count: int) -> Iterator[str]:
    """The sorts of disagreement that take most time: how often, in how many scenarios, the longest one."""
    sorts: dict[tuple[str, ...], list[Disagreement]] = defaultdict(list)
    for one in found:
        sorts[one.sort].append(one)
    order = sorted(sorts.items(), key=lambda item: -sum(one.piece.length for one in item[1]))
    yield f"{'seconds':>9} {'times':>5} {'in':>3} {'side':5} {'kernel':12} {'ours':12} {'ours by':34} longest"
    for (near, truth, claim, reason), examples in order[:count]:
        seconds = sum(one.piece.length for one in examples) / _SECOND
        scenarios = len({one.score.recording.name for one in examples})
        counts = f"{seconds:9.2f} {len(examples):5} {scenarios:3}"
        yield f"{counts} {near:5} {truth:12} {claim:12} {reason:34} {examples[0].where}"


def longest(found: Iterable[Disagreement], count: int) -> Iterator[str]:
    """The longest stretches, one of each socket, whichever capture it is from."""
    shown: set[tuple[str, Ends, int]] = set()
    for one in found:
        life = _life(one.pairing)
        socket = one.score.recording.name, life.ends, life.born
        if len(shown) < count and socket not in shown:
            shown.add(socket)
            yield f"{one.piece.length / _SECOND:9.2f} s {one.where}"
            yield f"            {one.times()}"


def sequences(scores: Iterable[Score], count: int) -> Iterator[str]:
    """The sequences of states that are not the kernel's, the most frequent first."""
    examples: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for score in scores:
        for pairing in score.pairings:
            if not pairing.verdict.exact:
                life = _life(pairing)
                degree = "lenient" if pairing.verdict.lenient else "not"
                key = (
                    degree,
                    _states(pairing.truth, score),
                    _states(pairing.claim and pairing.claim.life, score),
                )
                examples[key].append(f"{score.recording.name}/{score.vantage} {life.side} {_ends(life.ends)}")
    for (degree, truth, claim), places in sorted(examples.items(), key=lambda item: -len(item[1]))[:count]:
        yield f"{len(places):5} {degree:8} kernel {truth}"
        yield f"{'':15}ours   {claim}   ({places[0]})"


def _states(life: Life | None, score: Score) -> str:
    """What of a life lies in the captured time."""
    if life is None:
        return "no socket"
    spans = dropwhile(lambda span: span.state == State.CLOSE, life.spans)
    names = [_state(span) for span in spans if span.end >= score.ours.start and span.start <= score.ours.end]
    if life.spans[-1].end <= score.ours.end:
        names.append(State.CLOSE.name)
    return " ".join(names)


def _life(pairing: Pairing) -> Life:
    if pairing.truth:
        return pairing.truth
    assert pairing.claim
    return pairing.claim.life


def _ends(ends: Ends) -> str:
    return f"{ends.local} > {ends.remote}"


def _state(span: Span) -> str:
    return "-" if span.state is None else span.state.name


def _during(span: Span, origin: int) -> str:
    start = "" if span.start < 0 else f"{(span.start - origin) / _SECOND:.3f}"
    end = "" if span.end == FOREVER else f"{(span.end - origin) / _SECOND:.3f}"
    return f"{_state(span)} {start}..{end} ({span.reason})"
