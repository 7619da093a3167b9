"""Connections that are over while their capture is still being read: they leave the engine, and wait here.

An engine takes more than twice the memory for a connection that what is said of it does. As no later segment
can belong to a connection that is over for long (docs/inference.md, 2), all is the same as if it had stayed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tcpstates.inference.engine import Engine, Inference
from tcpstates.inference.memory import bytes_of, sides_of
from tcpstates.schema import CONDUCT, CONNECTIONS, DIALECTS, SIDES, TRANSITIONS

if TYPE_CHECKING:
    from tcpstates.inference.dialects import Dialects

Array = np.ndarray[Any, np.dtype[Any]]

#: After so many new connections it is looked which are over: fewer are not worth moving.
MANY = 1 << 19
#: They are set aside where they are so large a part of all: what remains is moved together.
SHARE = 0.25
#: Segments may come so much later than later ones: a clock was set, or several were merged.
SLACK = 10_000_000_000


class TimeWentBack(Exception):  # noqa: N818  (nothing is wrong)
    """A segment is so much older than others before it that it may be of a connection that was set aside."""


class Shelf:
    """Takes from an engine what is over.

    Parameters
    ----------
    engine : whose connections.
    others : what else knows the engine's connections by their places.
    """

    def __init__(self, engine: Engine, others: Dialects | None) -> None:
        self._engine, self._others = engine, others
        self._store = _Store()
        self._remembered = 0  # when it was looked last
        self._latest = self._looked_at = np.iinfo(np.int64).min

    def check(self, times: NDArray[np.int64]) -> None:
        """See that nothing comes too late.

        Parameters
        ----------
        times : ns, of what the engine is about to take in.

        Raises
        ------
        TimeWentBack
            If something does: all has to be read again, without a shelf.
        """
        if not len(times):
            return
        if times.min() < self._looked_at:
            raise TimeWentBack
        self._latest = max(self._latest, int(times.max()))

    def set_aside(self) -> None:
        """Take what is over, where that is worth it."""
        if len(self._engine) - self._remembered < MANY:
            return
        self._looked_at = self._latest - SLACK
        over = self._engine.over(self._looked_at)
        if self._others:
            over = self._others.free(over)
        if over.sum() >= SHARE * len(over):
            self._take(over)
        self._remembered = len(self._engine)

    def _take(self, over: Array) -> None:
        words = None
        if self._others:
            words = self._others.said_of(np.flatnonzero(over), self._engine.sides)
            self._others.keep(np.flatnonzero(over == 0))
        self._store.add(*self._engine.release(over), words)

    def close(self, now: int) -> tuple[Inference, Array | None]:
        """All connections in the order of their numbers, and what the others say of each.

        Parameters
        ----------
        now : when the capture ends, ns since the epoch.
        """
        numbers = self._engine.numbers
        rest = self._engine.close(now)
        words = self._others.finish(rest.sides) if self._others else None
        if not len(self._store):
            return rest, words
        self._store.add(numbers, rest, words)
        return self._store.whole(rest)


class _Store:
    """The rows of connections, each at the place of its number, so that only transitions move again."""

    def __init__(self) -> None:
        self._connections = np.zeros(0, CONNECTIONS)
        self._sides, self._conduct = np.zeros(0, SIDES), np.zeros(0, CONDUCT)
        self._words: Array | None = None
        self._transitions, self._ends = np.zeros(0, TRANSITIONS), [0]  # those of each part, one after another
        self._resets: list[Array] = []

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self._ends) - 1

    def add(self, numbers: Array, part: Inference, words: Array | None) -> None:
        """Take in a part: its connections' numbers, rising, what is known of them, and the others' words."""
        sides = sides_of(numbers)
        self._connections = _placed(self._connections, numbers, part.connections)
        self._sides = _placed(self._sides, sides, part.sides)
        self._conduct = _placed(self._conduct, sides, part.conduct)
        if words is not None:
            self._words = _placed(
                np.zeros(0, DIALECTS) if self._words is None else self._words, numbers, words
            )
        rows, resets = part.transitions, part.resets
        rows["conn"], resets["side"] = numbers[rows["conn"]], sides[resets["side"]]
        here = np.arange(self._ends[-1], self._ends[-1] + len(rows))
        self._transitions = _placed(self._transitions, here, rows)
        self._ends.append(self._ends[-1] + len(rows))
        self._resets.append(resets)

    def whole(self, counts: Inference) -> tuple[Inference, Array | None]:
        """All that there is; nobody's are the figures of ``counts``."""
        resets = np.concatenate(self._resets)
        resets = resets[np.argsort(resets["side"])]
        self._conduct["reset"][resets["side"]] = np.arange(1, len(resets) + 1)
        inference = Inference(
            self._connections,
            self._sides,
            self._in_order(),
            counts.bad_checksums,
            counts.stray_errors,
            self._conduct,
            resets,
        )
        return inference, self._words

    def _in_order(self) -> Array:
        """The transitions by connection; those of one connection stand together already."""
        parts = [self._transitions[start:end] for start, end in pairwise(self._ends)]
        counts = np.bincount(self._transitions["conn"])
        ends = np.cumsum(counts)
        rows = np.empty(len(self._transitions), TRANSITIONS)
        for part in parts:
            conn = part["conn"]
            first = np.flatnonzero(np.diff(conn, prepend=-1))
            shift = (ends - counts)[conn[first]] - first
            bytes_of(rows)[np.arange(len(part)) + np.repeat(shift, counts[conn[first]])] = bytes_of(part)
        return rows


def _placed(rows: Array, places: Array, new: Array) -> Array:
    """``rows`` with ``new`` ones at their places; there is as much room as is needed."""
    if len(places):
        rows.resize(max(len(rows), int(places[-1]) + 1), refcheck=False)
        bytes_of(rows)[places] = bytes_of(np.ascontiguousarray(new))
    return rows
