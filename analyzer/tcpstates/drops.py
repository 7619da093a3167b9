"""What a kernel had no room for while a capture went on: how much, when, and what that leaves in doubt."""

from __future__ import annotations

import numpy as np

from tcpstates.reports.log import LIVE, Log
from tcpstates.reports.wording import counted, instant
from tcpstates.schema import LOSSES, NO_TIME
from tcpstates.states import Evidence

#: So many times of loss are told apart; beyond that each two that follow each other become one.
_MOST_LOSSES = 4_096


class Drops:
    """Counts what was dropped, and notes when.

    Attributes
    ----------
    counts : how many frames, by interface.
    losses : ``schema.LOSSES`` array. A time of loss lies between two looks at the kernel's counters, so it is
        longer than the loss itself.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.losses = np.zeros(0, LOSSES)
        self._looked = NO_TIME

    def note(self, counts: dict[str, int], now: int) -> None:
        """Note how many there are by ``now``, the time of the clock."""
        fresh = sum(counts.values()) - sum(self.counts.values())
        if fresh > 0:
            self._add(self._looked, now, fresh)
        self.counts, self._looked = dict(counts), now

    def _add(self, start: int, end: int, frames: int) -> None:
        if len(self.losses) and self.losses["end"][-1] == start:
            start, frames = int(self.losses["start"][-1]), frames + int(self.losses["frames"][-1])
            self.losses = self.losses[:-1]
        self.losses = np.append(self.losses, np.array([(start, end, frames)], LOSSES))
        if len(self.losses) > _MOST_LOSSES:
            self.losses = _coarser(self.losses)

    def words(self, log: Log) -> tuple[str, ...]:
        """One line for each interface that lost frames, and one on what that means for ``log``."""
        lost = [f"{name}: the kernel dropped {counted(n, 'frame')}" for name, n in self.counts.items() if n]
        if not lost:
            return ()
        first, last = int(self.losses["start"][0]), int(self.losses["end"][-1])
        between = f" between {instant(first)} and {instant(last)}"
        count = int((_in_doubt(log) & np.isin(log.final, LIVE).any(axis=1)).sum())
        doubt = (
            f"{counted(count, 'connection')} showed nothing since then: frames that were dropped may have "
            "ended what seems to wait there, so that for this time it is not called stuck or unanswered"
        )
        return (*(line + between for line in lost), *([doubt] if count else []))


def _coarser(losses: np.ndarray) -> np.ndarray:
    """Each two that follow each other as one."""
    pairs = losses[: len(losses) // 2 * 2].reshape(-1, 2)
    joined = pairs[:, 0].copy()
    joined["end"], joined["frames"] = pairs["end"][:, 1], pairs["frames"].sum(axis=1)
    return np.concatenate((joined, losses[2 * len(pairs) :]))


def _in_doubt(log: Log) -> np.ndarray:
    """Bool per connection: whether frames were lost since its last one."""
    return np.asarray(log.known_until < log.end)


def doubted(log: Log) -> Log:
    """``log``, in which states that hold since before a loss are ``assumed`` unless a later frame shows them.

    The evidence is changed in place.
    """
    if len(log.losses) and len(log.transitions):
        last = log.last_rows[np.repeat(_in_doubt(log), 2)]
        last = last[np.isin(log.state[last], LIVE)]
        log.transitions["evidence"][last] = Evidence.ASSUMED
    return log
