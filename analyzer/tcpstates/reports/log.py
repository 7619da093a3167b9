"""What the engine found in one capture, and what every table derives from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tcpstates.reports.addresses import Addresses
from tcpstates.reports.columns import columns, counts
from tcpstates.reports.places import Places
from tcpstates.schema import CONDUCT, LOSSES, NO_TIME, RESETS
from tcpstates.states import State
from tcpstates.storage import Rows, blocks

LIVE = tuple(state for state in State if state not in (State.UNKNOWN, State.CLOSE, State.LISTEN))
#: A derived column of more bytes is worth a file.
_LONG = 1 << 20
#: The states that a side passes through after the first FIN.
CLOSING_STATES = tuple(state for state in LIVE if state > State.ESTABLISHED)


def _bits(states: np.ndarray) -> np.ndarray:
    """uint16 for each of ``states``: the set of that one, as ``bit_set`` makes it."""
    return np.left_shift(np.uint16(1), states, dtype=np.uint16)  # type: ignore[no-any-return]


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
    folder : where columns that are derived from these are kept too, if they need not fit in memory.
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
    folder: Path | None = None

    @classmethod
    def of(
        cls,
        result: Any,
        start: int,
        end: int,
        files: tuple[str, ...] = (),
        dialects: np.ndarray | None = None,
        losses: np.ndarray | None = None,
        folder: Path | None = None,
    ) -> Log:
        """The log of what an engine inferred (its ``Inference``), of a capture from ``start`` to ``end``."""
        return cls(
            result.connections, result.sides, result.transitions, start, end, files,
            result.conduct, result.resets, dialects, np.zeros(0, LOSSES) if losses is None else losses,
            folder,
        )  # fmt: skip

    def kept(self, column: np.ndarray) -> np.ndarray:
        """A derived column, which is to be asked for again: the same, but in a file where it is long."""
        if self.folder is None or column.nbytes < _LONG:
            return column
        rows = Rows(column.dtype, self.folder)
        rows.put(np.arange(column.size), column.reshape(-1))
        return rows.array.reshape(column.shape)

    @cached_property
    def state(self) -> np.ndarray:
        """uint8 per transition: the state it leads to."""
        return self._changes["state"]

    @cached_property
    def cause(self) -> np.ndarray:
        """uint8 per transition: its ``Event``."""
        return self._changes["cause"]

    @cached_property
    def is_last(self) -> np.ndarray:
        """Per transition, whether the side stayed in that state until the end of the capture."""
        return self._changes["is_last"]

    @cached_property
    def _changes(self) -> dict[str, np.ndarray]:
        found = columns(self.transitions, "side", "state", "cause")
        side, last = found.pop("side"), np.ones(len(self.transitions), bool)
        np.not_equal(side[1:], side[:-1], out=last[:-1])  # each side has a row, so that they alternate
        return {name: self.kept(column) for name, column in (found | {"is_last": last}).items()}

    @cached_property
    def side_of_row(self) -> np.ndarray:
        """int32 per transition: its side's row in ``sides``."""
        side: np.ndarray = self.transitions["conn"] * np.int32(2)
        side += self.transitions["side"]
        return side

    @cached_property
    def first_rows(self) -> np.ndarray:
        """int64 per side: its first transition."""
        return self.first_rows_of(np.arange(len(self.last_rows)))

    @cached_property
    def last_rows(self) -> np.ndarray:
        """int64 per side: its last transition."""
        return self.kept(np.flatnonzero(self.is_last))

    def sides_of(self, rows: np.ndarray) -> np.ndarray:
        """int64: whose these transitions are, as ``side_of_row`` has it of all of them."""
        return np.asarray(self.transitions["conn"][rows] * np.int64(2) + self.transitions["side"][rows])

    def ends_of(self, rows: np.ndarray) -> np.ndarray:
        """int64: the ``row_ends`` of these transitions."""
        following = np.minimum(rows + 1, len(self.transitions) - 1)
        return np.where(self.is_last[rows], self.end, self.transitions["start"][following])

    def first_rows_of(self, sides: np.ndarray) -> np.ndarray:
        """int64: the first transition of each of these sides."""
        return np.where(sides > 0, self.last_rows[sides - 1] + 1, 0)

    def rows_of(self, sides: np.ndarray) -> np.ndarray:
        """int64: all transitions of these sides, one side after the other."""
        first = self.first_rows_of(sides)
        count = self.last_rows[sides] + 1 - first
        before = np.cumsum(count) - count
        return np.repeat(first - before, count) + np.arange(int(count.sum()))

    def rows_of_side(self, side: int) -> slice:
        """The transitions of one side."""
        return slice(int(self.first_rows_of(np.array([side]))[0]), int(self.last_rows[side]) + 1)

    def slow_stays(self, states: int, over: int) -> np.ndarray:
        """int64: the transitions to a set of states that lasted longer than ``over`` ns, or until the end."""
        slow, start = self.is_last.copy(), self.transitions["start"]
        for block in blocks(len(slow) - 1):
            slow[block] |= start[1:][block] - start[:-1][block] > over
        for block in blocks(len(slow)):
            slow[block] &= _bits(self.state[block]) & np.uint16(states) != 0
        return np.flatnonzero(slow)

    def states_before(self, rows: np.ndarray) -> np.ndarray:
        """uint8: the states that these transitions lead from, UNKNOWN for a side's first."""
        return np.where(self.is_last[rows - 1], np.uint8(State.UNKNOWN), self.state[rows - 1])

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
        return self.kept(np.maximum(begins, np.minimum(ends, self.end)))

    @cached_property
    def final(self) -> np.ndarray:
        """uint8 of shape (connections, 2): the state at the end of the capture."""
        return self.kept(np.reshape(self.state[self.last_rows], (-1, 2)))

    @cached_property
    def ever(self) -> np.ndarray:
        """uint16 of shape (connections, 2): the states that a side was ever in, one bit each."""
        ever = np.empty(len(self.last_rows), np.uint16)
        for sides in blocks(len(ever)):
            first = self.first_rows_of(np.arange(sides.start, sides.stop))
            bits = _bits(self.state[first[0] : self.last_rows[sides.stop - 1] + 1])
            np.bitwise_or.reduceat(bits, first - first[0], out=ever[sides])
        return self.kept(ever.reshape(-1, 2))

    @cached_property
    def finally_in(self) -> np.ndarray:
        """uint16 of shape (connections, 2): the bit of the state at the end of the capture."""
        return self.kept(_bits(self.final))

    @cached_property
    def addresses(self) -> Addresses:
        """Every side's address, as codes into the capture's unique ones."""
        found = Addresses.of(self.sides["addr_hi"], self.sides["addr_lo"])
        return replace(found, codes=self.kept(found.codes))

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

    def up_to_255(self, name: str) -> np.ndarray:
        """The same as uint8, of a count that verdicts often ask for; 255 stands for that or more."""
        return np.reshape(self._counts[name], (-1, 2))

    @cached_property
    def _counts(self) -> dict[str, np.ndarray]:
        found = counts(self.sides, "frames", "duplicates", "syns", "syn_acks", "rsts", "icmp_errors")
        return {name: self.kept(column) for name, column in found.items()}
