"""Which inferred side is which true socket's, where one 4-tuple served several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from .inferred import Claim, Inferred
from .lives import Ends, Life


class Matching(NamedTuple):
    """Every true socket of the captured time, and every side that claims to be one."""

    pairs: list[tuple[Life, Claim]]
    missed: list[Life]
    unseen: list[Life]
    invented: list[Claim]


def matched(lives: Iterable[Life], ours: Inferred, margin: int) -> Matching:
    """Pair ``lives`` and the claims of ``ours``, the longest common life first."""
    there = [life for life in lives if life.born <= ours.end and life.died > ours.start]
    claims = [claim for claim in ours.claims if claim.life.is_socket or _is_unknown(claim)]
    pairs = _pairs(there, claims, margin, ours.end)
    paired_lives, paired_claims = {id(life) for life, _ in pairs}, {id(claim) for _, claim in pairs}
    alone = [life for life in there if id(life) not in paired_lives]
    frames = _frames(ours)
    seen = [any(_meet(life, *bounds, margin) for bounds in frames[life.ends]) for life in alone]
    return Matching(
        pairs,
        [life for life, has_frames in zip(alone, seen, strict=True) if has_frames],
        [life for life, has_frames in zip(alone, seen, strict=True) if not has_frames],
        [claim for claim in claims if id(claim) not in paired_claims and claim.life.is_socket],
    )


def _is_unknown(claim: Claim) -> bool:
    return claim.life.born < claim.life.died


def _pairs(lives: list[Life], claims: list[Claim], margin: int, end: int) -> list[tuple[Life, Claim]]:
    by_ends: dict[Ends, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_ends[claim.life.ends].append(claim)
    candidates = [
        (_common(life, claim.life, margin, end), life, claim)
        for life in lives
        for claim in by_ends[life.ends]
    ]
    candidates.sort(key=lambda candidate: -candidate[0])
    pairs = []
    taken: set[int] = set()
    for common, life, claim in candidates:
        if common > 0 and not {id(life), id(claim)} & taken:
            taken |= {id(life), id(claim)}
            pairs.append((life, claim))
    return pairs


def _common(life: Life, claimed: Life, margin: int, end: int) -> int:
    """How long both live at once until ``end``, if each began and ended ``margin`` away from where it did."""
    return min(life.died, claimed.died, end) - max(life.born, claimed.born) + 2 * margin


def _frames(ours: Inferred) -> dict[Ends, list[tuple[int, int]]]:
    """When each 4-tuple's connections had frames."""
    frames: dict[Ends, list[tuple[int, int]]] = defaultdict(list)
    for claim in ours.claims:
        frames[claim.life.ends].append((claim.first, claim.last))
    return frames


def _meet(life: Life, first: int, last: int, margin: int) -> bool:
    return first <= life.died + margin and last >= life.born - margin
