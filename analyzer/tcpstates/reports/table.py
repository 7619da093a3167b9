"""A table as numpy columns: what reports compute, and what pandas, files and terminals are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tcpstates.schema import (
    CLOSERS,
    CONN_STATES,
    CULPRITS,
    DIALECT_NAMES,
    DISAGREEMENTS,
    NO_TIME,
    OUTCOMES,
    PATTERNS,
    REASONS,
    SEGMENTS_TABLE,
    SEVERITIES,
    TABLES,
    Column,
)
from tcpstates.states import EVENT_LABELS, EVIDENCE_LABELS, SIDE_LABELS, STATE_NAMES


class Labels(NamedTuple):
    """Text from a small set: codes into ``names``, -1 for none."""

    codes: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class Composed:
    """Text that is written when it is asked for: that of half a million rows need not be, to show twenty.

    Attributes
    ----------
    rows : int64, what ``write`` knows the rows by.
    write : gives the texts of some rows.
    """

    rows: np.ndarray
    write: Callable[[np.ndarray], list[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray | slice) -> Composed:
        return Composed(self.rows[rows], self.write)

    def tolist(self) -> list[str]:
        """The texts."""
        return self.write(self.rows)


#: int64 for time, duration, nullable (-1 for none) and count, uint16 for port, float64 for number, text as
#: objects or composed, else labels.
Values = np.ndarray | Labels | Composed

#: The names behind each category, in their order.
CATEGORIES: dict[str, Sequence[str]] = {
    "state": STATE_NAMES,
    "client_state": STATE_NAMES,
    "server_state": STATE_NAMES,
    "side": SIDE_LABELS,
    "evidence": EVIDENCE_LABELS,
    "cause": EVENT_LABELS,
    "outcome": OUTCOMES,
    "pattern": PATTERNS,
    "culprit": CULPRITS,
    "severity": SEVERITIES,
    "reason": REASONS,
    "first_closer": CLOSERS,
    "conn_state": CONN_STATES,
    "dialect": DIALECT_NAMES,
    "disagreement": DISAGREEMENTS,
}


_COLUMNS = {**TABLES, "segments": SEGMENTS_TABLE}


@dataclass(frozen=True, eq=False)
class Table:
    """The values of one of ``schema.TABLES``, or of a connection's segments, by column.

    polars, DuckDB and pyarrow read it as it is: ``polars.DataFrame(table)``.

    Attributes
    ----------
    name : which table.
    values : by column name, in the schema's order, all of one length.
    """

    name: str
    values: dict[str, Values]

    @classmethod
    def of(cls, name: str, values: dict[str, Values]) -> Table:
        """The table ``name``; bare codes of a category with known names become labels."""
        return cls(name, {column.name: _labelled(column, values[column.name]) for column in _COLUMNS[name]})

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the schema says of each column."""
        return _COLUMNS[self.name]

    def __len__(self) -> int:
        first = next(iter(self.values.values()))
        return len(first.codes if isinstance(first, Labels) else first)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The table as a stream of Arrow's C interface, with the types that its DataFrame has."""
        import pyarrow  # takes a while, and printing a table does without

        arrays = {column.name: _arrow(column, self.values[column.name]) for column in self.columns}
        stream: object = pyarrow.table(arrays).__arrow_c_stream__(requested_schema)
        return stream

    def take(self, rows: np.ndarray | slice) -> Table:
        """Those rows of it."""
        return Table(self.name, {name: _take(values, rows) for name, values in self.values.items()})

    def chunks(self, size: int = 1 << 16) -> Iterator[Table]:
        """The table in pieces, so that writing a long one does not hold all of it as text."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


@dataclass(frozen=True, eq=False)
class Pieces:
    """A long table of which each part is made when it is taken, so that never all of it is in memory.

    Attributes
    ----------
    name : which table.
    length : how many rows it has.
    make : gives a part.
    """

    name: str
    length: int
    make: Callable[[slice], Table]

    def __len__(self) -> int:
        return self.length

    def take(self, rows: slice) -> Table:
        """Those rows of it."""
        return self.make(rows)

    @property
    def whole(self) -> Table:
        """All of it."""
        return self.make(slice(self.length))


def _labelled(column: Column, values: Values) -> Values:
    if column.dtype == "category" and isinstance(values, np.ndarray):
        return Labels(values, CATEGORIES[column.name])
    return values


def _take(values: Values, rows: np.ndarray | slice) -> Values:
    if isinstance(values, Labels):
        return Labels(values.codes[rows], values.names)
    return values[rows] if isinstance(values, Composed) else np.asarray(values[rows])


def _arrow(column: Column, values: Values) -> Any:
    """A column as an Arrow array: categories and addresses as dictionaries, nothing as null."""
    import pyarrow as pa

    if isinstance(values, Labels):
        codes = pa.array(values.codes, pa.int32(), mask=values.codes < 0)
        names = pa.array(list(values.names), pa.string())
        return pa.DictionaryArray.from_arrays(codes, names, ordered=column.dtype == "category")
    if column.dtype == "text" or isinstance(values, Composed):
        return pa.array(values.tolist(), pa.string())
    if column.dtype in ("time", "duration"):
        kind = pa.timestamp("ns", "UTC") if column.dtype == "time" else pa.duration("ns")
        return pa.array(values, pa.int64(), mask=values == NO_TIME).cast(kind)
    if column.dtype == "nullable":
        return pa.array(values, pa.int64(), mask=values < 0)
    return pa.array(values)


def used_labels(codes: np.ndarray, names: Sequence[str]) -> Labels:
    """``codes`` into ``names``, narrowed to the names that occur, in their order."""
    used = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(names)))
    renumbered = np.full(len(names) + 1, -1, np.int32)  # the last one serves code -1
    renumbered[used] = np.arange(len(used))
    return Labels(renumbered[codes], [names[index] for index in used.tolist()])
