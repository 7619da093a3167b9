"""What a link does to the frames it carries: how late they are, and which it loses, repeats or overtakes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .packets import Segment

#: Whether a segment, sent by that side, is meant.
Predicate = Callable[[str, Segment], bool]


@dataclass(frozen=True)
class Link:
    """The qualities of a link; what it does to segments by chance, it does to nothing but TCP.

    Attributes
    ----------
    delay : seconds that a frame is under way; the round trip takes twice as long.
    jitter : seconds that it may take longer, evenly spread; the order is kept.
    loss, duplicate, reorder : share of the segments that vanish, arrive twice, or are overtaken.
    overtaken_by : seconds that an overtaken segment comes later.
    seed : of the chances.
    """

    delay: float = 0.005
    jitter: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    overtaken_by: float = 0.004
    seed: int = 9293

    @property
    def chancy(self) -> bool:
        """Whether it loses, repeats or reorders."""
        return any((self.jitter, self.loss, self.duplicate, self.reorder))


class Chances:
    """What happens to each segment by chance.

    Each side's segments with the same flags have a sequence of their own: so two recordings of a
    scenario lose the same share of every kind, be it as rare as a RST.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._sequences: dict[tuple[str, str], random.Random] = {}

    def fate(self, side: str, segment: Segment) -> list[bool]:
        """For each copy of a segment that arrives, whether it is overtaken; empty if it is lost."""
        kind = side, segment.flags
        sequence = self._sequences.setdefault(kind, random.Random(f"{self._link.seed} {kind}"))
        lost, repeated, *overtaken = (sequence.random() for _ in range(4))
        if lost < self._link.loss:
            return []
        copies = 2 if repeated < self._link.duplicate else 1
        return [chance < self._link.reorder for chance in overtaken[:copies]]


class Loss:
    """Loses what is meant, so many times, or until it is mended."""

    def __init__(self, meant: Predicate, times: int | None) -> None:
        self._meant = meant
        self._left = times
        self.lost = 0

    def takes(self, side: str, segment: Segment) -> bool:
        """Whether this segment is lost."""
        if self._left == 0 or not self._meant(side, segment):
            return False
        self.lost += 1
        if self._left is not None:
            self._left -= 1
        return True

    def mend(self) -> None:
        """Lose no more."""
        self._left = 0


def sent_by(side: str, flags: str | None = None, *, payload: bool | None = None) -> Predicate:
    """Segments of a side with exactly these flags (of ``FSRA``; PSH is ignored), perhaps with payload."""

    def meant(sender: str, segment: Segment) -> bool:
        return (
            sender == side
            and flags in (None, segment.flags.replace("P", ""))
            and payload in (None, segment.payload > 0)
        )

    return meant
