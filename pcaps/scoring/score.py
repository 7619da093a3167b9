"""One capture's analysis against its recording's truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .agreement import Piece, pieces
from .inferred import Claim, Inferred, inferred
from .lives import Life
from .matching import Matching, matched
from .recordings import Recording, address_of
from .rows import compared
from .sequence import Verdict, verdict
from .tally import Tally


class Pairing(NamedTuple):
    """A true socket, the side that was taken for it, and what their comparison gave; None where one lacks."""

    truth: Life | None
    claim: Claim | None
    pieces: list[Piece]
    verdict: Verdict


class Score(NamedTuple):
    """One capture's."""

    recording: Recording
    vantage: str
    ours: Inferred
    pairings: list[Pairing]
    tally: Tally

    def is_near(self, pairing: Pairing) -> bool:
        """Whether it is about a socket of the host at which was captured, all of whose frames are there."""
        life = pairing.truth or (pairing.claim and pairing.claim.life)
        return life is not None and self.recording.hosts.get(address_of(life.ends.local)) == self.vantage

    def of_side(self, near: bool) -> Tally:
        """The sockets of the near or of the far host alone, without netstat's rows."""
        return _tally([pairing for pairing in self.pairings if self.is_near(pairing) == near])


def scored(recording: Recording, vantage: str, source: Any = None) -> Score:
    """Analyse the capture taken at ``vantage`` and compare it with the kernels' truth.

    Parameters
    ----------
    recording : what was recorded.
    vantage : ``client`` or ``server``.
    source : another form of that capture, as ``tcpstates.analyze`` takes it.
    """
    ours = inferred(source if source is not None else recording.capture(vantage))
    matching = matched(recording.lives, _judged(ours, recording), recording.margin)
    pairings = list(_pairings(matching, ours, recording.margin))
    tally = _tally(pairings) + Tally(unseen=len(matching.unseen))
    return Score(recording, vantage, ours, pairings, tally + compared(recording, ours, matching.unseen))


def _judged(ours: Inferred, recording: Recording) -> Inferred:
    """Without the sides of hosts that no kernel spoke for."""
    known = [claim for claim in ours.claims if address_of(claim.life.ends.local) in recording.hosts]
    return ours._replace(claims=known)


def _pairings(matching: Matching, ours: Inferred, margin: int) -> Iterator[Pairing]:
    bounds, neither = (ours.start, ours.end), Verdict(False, False)
    for life, claim in matching.pairs:
        judged = verdict(life, claim, bounds, margin)
        yield Pairing(life, claim, list(pieces(life, claim.life, bounds, margin)), judged)
    for life in matching.missed:
        yield Pairing(life, None, list(pieces(life, None, bounds, margin)), neither)
    for claim in matching.invented:
        yield Pairing(None, claim, list(pieces(None, claim.life, bounds, margin)), neither)


def _tally(pairings: list[Pairing]) -> Tally:
    tally = Tally()
    for truth, claim, parts, judged in pairings:
        tally.sockets += truth is not None
        tally.missed += claim is None
        tally.invented += truth is None
        tally.exact += judged.exact
        tally.lenient += judged.lenient
        for piece in parts:
            setattr(tally, piece.kind, getattr(tally, piece.kind) + piece.length)
    return tally
