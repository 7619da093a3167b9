"""One Inference of several that have different connections: what was handed out early, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tcpstates.inference.conduct import by_side
from tcpstates.inference.engine import Inference
from tcpstates.inference.memory import sides_of
from tcpstates.schema import CONDUCT, CONNECTIONS, RESETS, SIDES, TRANSITIONS
from tcpstates.storage import Rows

Array = np.ndarray[Any, np.dtype[Any]]


class Parts:
    """The rows of connections that come part by part: each is put where it belongs at once.

    Parameters
    ----------
    folder : where they are kept if they need not fit in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._connections, self._sides = Rows(CONNECTIONS, folder), Rows(SIDES, folder)
        self._conduct = Rows(CONDUCT, folder)
        self._transitions, self._ends = Rows(TRANSITIONS, folder), [0]  # of each part, one after another
        self._resets = Rows(RESETS, folder)
        self._bad_checksums = self._stray_errors = 0

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self._ends) - 1

    def add(self, places: Array, part: Inference) -> None:
        """Take in a part; ``places`` (int64) says where its connections belong among all."""
        sides, start = sides_of(places), self._ends[-1]
        self._connections.put(places, part.connections)
        self._sides.put(sides, part.sides)
        self._conduct.put(sides, part.conduct)
        resets = len(self._resets) + np.arange(len(part.resets))
        self._conduct.array["reset"][sides[part.resets["side"]]] = resets + 1
        self._resets.put(resets, part.resets)
        end = start + len(part.transitions)
        self._transitions.put(np.arange(start, end), part.transitions)
        self._transitions.array["conn"][start:end] = places[part.transitions["conn"]]
        self._ends.append(end)
        self._bad_checksums += part.bad_checksums
        self._stray_errors += part.stray_errors

    def whole(self) -> Inference:
        """All that there is; no more parts can follow."""
        conduct, resets = by_side(self._conduct.array, self._resets.array, self._folder)
        return Inference(
            self._connections.array,
            self._sides.array,
            self._in_order(),
            self._bad_checksums,
            self._stray_errors,
            conduct,
            resets,
        )

    def _in_order(self) -> Array:
        """The transitions by connection; those of one connection stand together already."""
        unordered, rows = self._transitions.array, Rows(TRANSITIONS, self._folder)
        rows.reach(len(unordered))
        counts = np.bincount(unordered["conn"])
        before = np.cumsum(counts) - counts
        for start, end in pairwise(self._ends):
            part = unordered[start:end]
            first = np.flatnonzero(np.diff(part["conn"], prepend=-1))
            conn = part["conn"][first]
            rows.put(np.arange(len(part)) + np.repeat(before[conn] - first, counts[conn]), part)
        return rows.array


def joined(parts: Sequence[tuple[Array, Inference]]) -> tuple[Array, Inference]:
    """All connections of ``parts``, in the order of what they are called for good.

    Parameters
    ----------
    parts : pairs of int64 (n,), the numbers of its connections, and an Inference.

    Returns
    -------
    numbers : int64 (m,), rising.
    inference : Inference, its connections numbered from 0 on.
    """
    numbers, whole = np.concatenate([numbers for numbers, _part in parts]), Parts()
    order = np.argsort(numbers, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    ends = np.cumsum([len(numbers) for numbers, _part in parts])
    for places, (_numbers, part) in zip(np.split(place, ends[:-1]), parts, strict=True):
        whole.add(places, part)
    return numbers[order], whole.whole()


def chosen(numbers: Array, whole: Inference, keep: Array) -> tuple[Array, Inference]:
    """The connections that ``keep``, a mask, says, in their order."""
    places = np.flatnonzero(keep)
    transitions = whole.transitions[keep[whole.transitions["conn"]]]
    transitions["conn"] = (np.cumsum(keep) - 1)[transitions["conn"]]
    conduct, resets = by_side(whole.conduct[sides_of(places)], whole.resets)
    return numbers[places], whole._replace(
        connections=whole.connections[places],
        sides=whole.sides[sides_of(places)],
        transitions=transitions,
        conduct=conduct,
        resets=resets,
    )
