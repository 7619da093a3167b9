"""Scores as text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from tcpstates.states import State

from .score import Score
from .tally import Tally

HEAD = (
    f"{'':38}{'sockets':>8}{'unseen':>7}{'missed':>7}{'invent.':>8}"
    f"{'right %':>9}{'wrong':>8}{'unknown':>8}{'silent':>8}{'exact %':>9}{'lenient':>8}"
    f"{'rows':>7}{'equal %':>9}{'ours':>6}{'theirs':>7}{'listeners':>12}"
)


def by_capture(scores: Iterable[Score]) -> Iterator[str]:
    """A line for each capture."""
    yield HEAD
    for score in scores:
        yield line(f"{score.recording.name} {score.vantage}", score.tally)


def totals(scores: Collection[Score]) -> Iterator[str]:
    """The sums by link and vantage, by link and distance of the socket's host, and by link."""
    yield HEAD
    for sums in (_by_vantage(scores), _by_distance(scores), by_link(scores)):
        for name, tally in sums.items():
            yield line(name, tally)


def by_state(scores: Iterable[Score]) -> Iterator[str]:
    """How long sockets were in each state, and how much of that was not seen so; CLOSE: nor was there one."""
    times: dict[tuple[str, str, str], list[int]] = {}
    for score in scores:
        for pairing in score.pairings:
            for piece in pairing.pieces:
                key = score.recording.link, _side(score.is_near(pairing)), State(piece.truth.state or 0).name
                time = times.setdefault(key, [0, 0])
                time[piece.kind != "right"] += piece.length
    yield f"{'':38}{'seconds':>10}{'not right':>11}{'%':>9}"
    for (link, side, state), (right, other) in sorted(times.items()):
        whole = max(right + other, 1)
        name = f"{link}, {side} side, {state}"
        yield f"{name:38}{whole / 1e9:10.1f}{other / 1e9:11.2f}{100 * other / whole:9.3f}"


def by_link(scores: Iterable[Score]) -> dict[str, Tally]:
    """The sums of clean and of impaired links."""
    return _summed((score.recording.link, score.tally) for score in scores)


def _by_vantage(scores: Iterable[Score]) -> dict[str, Tally]:
    return _summed((f"{score.recording.link}, {score.vantage}", score.tally) for score in scores)


def _by_distance(scores: Iterable[Score]) -> dict[str, Tally]:
    """The sockets of the host where was captured, and those of the other, of which less can be known."""
    return _summed(
        (f"{score.recording.link}, {_side(near)} side", score.of_side(near))
        for score in scores
        for near in (True, False)
    )


def _side(near: bool) -> str:
    return "near" if near else "far"


def _summed(named: Iterable[tuple[str, Tally]]) -> dict[str, Tally]:
    sums: dict[str, Tally] = {}
    for name, tally in named:
        sums[name] = sums.get(name, Tally()) + tally
    return dict(sorted(sums.items()))


def line(name: str, tally: Tally) -> str:
    """One tally: counts of sockets and rows, shares of time, sequences and rows."""
    rows = tally.equal + tally.ours + tally.theirs
    listeners = f"{tally.listening}/{tally.ours_listening}/{tally.theirs_listening}"
    return (
        f"{name:38}{tally.sockets:8}{tally.unseen:7}{tally.missed:7}{tally.invented:8}"
        f"{tally.share('right'):9.3f}{tally.share('wrong'):8.3f}"
        f"{tally.share('unknown'):8.3f}{tally.share('silent'):8.3f}"
        f"{tally.sequences('exact'):9.2f}{tally.sequences('lenient'):8.2f}"
        f"{rows:7}{tally.rows:9.2f}{tally.ours:6}{tally.theirs:7}{listeners:>12}"
    )
