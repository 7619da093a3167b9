"""What is kept of connections that are over while a capture goes on: what was wrong, and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from tcpstates.inference.engine import Inference
from tcpstates.inference.parts import chosen, joined
from tcpstates.reports.facts import Facts
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import outcomes
from tcpstates.schema import OUTCOMES
from tcpstates.states import State

#: So many are kept whole; some 500 bytes each.
MOST = 50_000


class Archive:
    """Connections that were handed out by an engine.

    Parameters
    ----------
    stuck_after : ns from when on each closing state counts as stuck.
    most : how many to keep at most. Beyond that those of which nothing is wrong are only counted, and
        then the oldest of the others.

    Attributes
    ----------
    forgotten : how many are not kept, by outcome.
    """

    def __init__(self, stuck_after: Mapping[State, int], most: int = MOST) -> None:
        self._stuck_after, self._most = stuck_after, most
        self._parts: list[tuple[np.ndarray, Inference]] = []
        self.forgotten: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(len(numbers) for numbers, _part in self._parts)

    def add(self, numbers: np.ndarray, part: Inference, now: int, losses: np.ndarray) -> None:
        """Take in what is over by ``now``; ``losses`` as for ``Log``."""
        if len(numbers):
            self._parts.append((numbers, part))
        if len(self) > self._most:
            self._thin_out(now, losses)

    def joined(self, numbers: np.ndarray, rest: Inference) -> tuple[np.ndarray, Inference]:
        """What is kept together with the ``rest``."""
        return joined([*self._parts, (numbers, rest)])

    def _thin_out(self, now: int, losses: np.ndarray) -> None:
        """Keep three quarters of what is allowed at most."""
        numbers, whole = joined(self._parts)
        log = Log.of(whole, int(whole.connections["start"].min()), now, losses=losses)
        found = outcomes(Facts(log, self._stuck_after))
        keep = found.severity > 0
        keep[np.flatnonzero(keep)[: -(self._most * 3 // 4)]] = False
        names = [OUTCOMES[code] for code in found.outcome[~keep].tolist()]
        self.forgotten.update(names)
        self._parts = [chosen(numbers, whole, keep)]
