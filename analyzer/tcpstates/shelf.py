"""Connections that are over while their capture is still being read: they leave the engine, and wait here.

An engine takes more than twice the memory for a connection that what is said of it does. As no later segment
can belong to a connection that is over for long (docs/inference.md, 2), all is the same as if it had stayed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tcpstates.inference.engine import Engine, Inference
from tcpstates.inference.parts import Parts
from tcpstates.schema import DIALECTS
from tcpstates.storage import Rows

if TYPE_CHECKING:
    from tcpstates.inference.dialects import Dialects

Array = np.ndarray[Any, np.dtype[Any]]

#: After so many new connections it is looked which are over: fewer are not worth moving. To a folder they are
#: moved sooner: it is there to need less memory.
MANY, MANY_FOR_A_FOLDER = 1 << 19, 1 << 17
#: But not before there are so many more of all: to look takes longer, the more there are.
MORE = 0.25
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
    folder : where to keep what is taken, if it need not fit in memory.
    """

    def __init__(self, engine: Engine, others: Dialects | None, folder: Path | None = None) -> None:
        self._engine, self._others = engine, others
        self._parts, self._words = Parts(folder), Rows(DIALECTS, folder)
        self._many = MANY if folder is None else MANY_FOR_A_FOLDER
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
        if len(self._engine) - self._remembered < max(self._many, MORE * self._remembered):
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
        self._add(*self._engine.release(over), words)

    def _add(self, numbers: Array, part: Inference, words: Array | None) -> None:
        self._parts.add(numbers, part)
        if words is not None:
            self._words.put(numbers, words)

    def close(self, now: int) -> tuple[Inference, Array | None]:
        """All connections in the order of their numbers, and what the others say of each.

        Parameters
        ----------
        now : when the capture ends, ns since the epoch.
        """
        numbers = self._engine.numbers
        rest = self._engine.close(now)
        words = self._others.finish(rest.sides) if self._others else None
        if not len(self._parts):
            return rest, words
        self._add(numbers, rest, words)
        return self._parts.whole(), None if words is None else self._words.array
