"""What is counted, and how counts add up."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass
class Tally:
    """How far a capture's analysis agrees with the kernel; times in nanoseconds.

    Attributes
    ----------
    sockets : true ones of the captured time that at least one frame tells of.
    unseen : true ones without a frame.
    missed, invented : see the package.
    exact, lenient : sockets whose sequence of states is.
    right, wrong, unknown, silent : their time, less what is left out around changes.
    equal, ours, theirs : rows of netstat that are the same, or only on one side.
    listening, ours_listening, theirs_listening : the same of listeners.
    """

    sockets: int = 0
    unseen: int = 0
    missed: int = 0
    invented: int = 0
    exact: int = 0
    lenient: int = 0
    right: int = 0
    wrong: int = 0
    unknown: int = 0
    silent: int = 0
    equal: int = 0
    ours: int = 0
    theirs: int = 0
    listening: int = 0
    ours_listening: int = 0
    theirs_listening: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))

    def share(self, kind: str) -> float:
        """``right``, ``wrong``, ``unknown`` or ``silent`` time in percent of all; of none it is all right."""
        time = self.right + self.wrong + self.unknown + self.silent
        return _percent(getattr(self, kind), time, empty=100.0 if kind == "right" else 0.0)

    def sequences(self, kind: str) -> float:
        """Sockets with an ``exact`` or ``lenient`` sequence, in percent."""
        return _percent(getattr(self, kind), self.sockets)

    @property
    def rows(self) -> float:
        """Rows of netstat that are equal, in percent of those on either side."""
        return _percent(self.equal, self.equal + self.ours + self.theirs)


def _percent(part: int, whole: int, empty: float = 100.0) -> float:
    return 100 * part / whole if whole else empty
