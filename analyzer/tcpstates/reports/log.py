"""What the engine found in one capture, and what every table derives from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tcpstates.reports.addresses import Addresses
from tcpstates.reports.places import Places
from tcpstates.schema import CONDUCT, LOSSES, NO_TIME, RESETS
from tcpstates.states import State

LIVE = tuple(state for state in State if state not in (State.UNKNOWN, State.CLOSE, State.LISTEN))
#: The states that a side passes through after the first FIN.
CLOSING_STATES = tuple(state for state in LIVE if state > State.ESTABLISHED)


def bit_set(*states: State) -> int:
    """A set of states as bits, as ``Log.ever`` holds them."""
    return sum(1 << state for state in states)


@dataclass(frozen=True, eq=False)
class Log:
    """One capture's connections, their sides and the log of transitions; times in nanoseconds.

    Attributes
    ----------
    connections, sides, transitions : ``schema.CONNECTIONS``, ``SIDES`` and ``TRANSITIONS`` arrays.
        Row ``2 * conn`` of ``sides`` is the client, the next one the server. ``transitions`` is sorted by
        conn, side and time, and each side has at least one row.
    start, end : the capture's first and last record of any protocol, ``NO_TIME`` if it has none.
    files : the names that ``file`` columns count.
    conduct, resets : ``schema.CONDUCT`` and ``RESETS`` arrays, the former with a row for each side.
    dialects : ``schema.DIALECTS`` array, one row per connection; None if that was not asked for.
    losses : ``schema.LOSSES`` array, when frames are known to have been lost on the way into the capture.
    """

    connections: np.ndarray
    sides: np.ndarray
    transitions: np.ndarray
    start: int = NO_TIME
    end: int = NO_TIME
    files: tuple[str, ...] = ()
    conduct: np.ndarray = field(default_factory=lambda: np.zeros(0, CONDUCT))
    resets: np.ndarray = field(default_factory=lambda: np.zeros(0, RESETS))
    dialects: np.ndarray | None = None
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0, LOSSES))

    @classmethod
    def of(
        cls,
        result: Any,
        start: int,
        end: int,
        files: tuple[str, ...] = (),
        dialects: np.ndarray | None = None,
        losses: np.ndarray | None = None,
    ) -> Log:
        """The log of what an engine inferred (its ``Inference``), of a capture from ``start`` to ``end``."""
        return cls(
            result.connections, result.sides, result.transitions, start, end, files,
            result.conduct, result.resets, dialects, np.zeros(0, LOSSES) if losses is None else losses,
        )  # fmt: skip

    @cached_property
    def state(self) -> np.ndarray:
        """uint8 per transition: the state it leads to."""
        return np.ascontiguousarray(self.transitions["state"])

    @cached_property
    def side_of_row(self) -> np.ndarray:
        """int32 per transition: its side's row in ``sides``."""
        side: np.ndarray = self.transitions["conn"] * np.int32(2)
        side += self.transitions["side"]
        return side

    @cached_property
    def first_rows(self) -> np.ndarray:
        """int64 per side: its first transition."""
        if not len(self.transitions):
            return np.empty(0, np.int64)
        change = np.flatnonzero(self.side_of_row[1:] != self.side_of_row[:-1]) + 1
        return np.concatenate(([0], change))

    @cached_property
    def last_rows(self) -> np.ndarray:
        """int64 per side: its last transition."""
        return np.append(self.first_rows[1:], len(self.transitions))[: len(self.first_rows)] - 1

    @cached_property
    def row_ends(self) -> np.ndarray:
        """int64 per transition: when the side left the state, the capture's end where it did not."""
        ends = np.empty(len(self.transitions), np.int64)
        ends[:-1] = self.transitions["start"][1:]
        ends[self.last_rows] = self.end
        return ends

    @cached_property
    def known_until(self) -> np.ndarray:
        """int64 per connection: until when what was not seen did not happen.

        That is the first loss of frames after its last frame: what ended a state may have been among them. A
        later frame of either side, by its numbers, shows whether it was. Without a loss, the capture's end.
        """
        ends = self.connections["end"]
        following = np.searchsorted(self.losses["end"], ends)
        begins = np.append(self.losses["start"], self.end)[following]
        return np.asarray(np.maximum(begins, np.minimum(ends, self.end)))

    @cached_property
    def previous(self) -> np.ndarray:
        """uint8 per transition: the state that it leads from, UNKNOWN for a side's first."""
        previous = np.empty(len(self.transitions), np.uint8)
        previous[1:] = self.state[:-1]
        previous[self.first_rows] = State.UNKNOWN
        return previous

    @cached_property
    def final(self) -> np.ndarray:
        """uint8 of shape (connections, 2): the state at the end of the capture."""
        return np.reshape(self.state[self.last_rows], (-1, 2))

    @cached_property
    def ever(self) -> np.ndarray:
        """uint16 of shape (connections, 2): the states that a side was ever in, one bit each."""
        if not len(self.first_rows):
            return np.empty((0, 2), np.uint16)
        bits = np.left_shift(np.uint16(1), self.state, dtype=np.uint16)
        return np.bitwise_or.reduceat(bits, self.first_rows).reshape(-1, 2)

    @cached_property
    def addresses(self) -> Addresses:
        """Every side's address, as codes into the capture's unique ones."""
        return Addresses.of(self.sides["addr_hi"], self.sides["addr_lo"])

    @cached_property
    def places(self) -> Places:
        """Every side's address within its tunnel: what tells hosts apart."""
        return Places.of(self.addresses, self.sides["tunnel"])

    def host(self, place: int) -> str:
        """The address of one of ``places``, written out."""
        return self.addresses.text(int(self.places.address[place]))

    def per_side(self, name: str) -> np.ndarray:
        """A field of ``sides``, of shape (connections, 2)."""
        return np.reshape(self.sides[name], (-1, 2))
