"""What passes between workers: segments with their place in the capture, by bucket, in Parquet.

A unit's segments are one file, in which each row group is of one bucket: who wants a bucket reads no others.
A row knows where its frame stood in its unit, and what it takes to know the frame's copies in other units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tcpstates.inference.tuples import hash_of
from tcpstates.schema import ICMP_ERRORS, SEGMENTS
from tcpstates.storage import bytes_of

Array = np.ndarray[Any, np.dtype[Any]]

_PLACE: list[Any] = [
    ("position", "u4"),  # of its frame among those of its unit
    ("length", "u4"),  # bytes that the frame had on the wire
    ("mark", "u8"),  # digest of the bytes that were captured of it
    ("part", "u1"),  # the how-manieth of its frame
    ("dissected", "u1"),  # whether dpkt was asked
]


def _with_place(base: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([*((name, base[name]) for name in base.names or ()), *_PLACE], align=True)


#: A segment, and where it stood.
SEGMENT_ROWS = _with_place(SEGMENTS)
#: An ICMP error; ``position`` is of the first frame whose segments come after it.
ERROR_ROWS = _with_place(ICMP_ERRORS)
#: A frame that holds no segment; ``reason`` is an index into the unit's reasons.
OTHER_ROWS = np.dtype(
    [("time", "i8"), ("file", "i4"), ("reason", "u1"), *_PLACE],
    align=True,
)
#: A fragment of a segment: read when all fragments are there.
FRAGMENT_ROWS = np.dtype(
    [
        ("time", "i8"),
        ("file", "i4"),
        ("frame", "u4"),
        ("interface", "i4"),
        ("linktype", "u4"),
        ("start", "i8"),  # of its bytes among those of all fragments of the unit
        ("captured", "u4"),
        *_PLACE,
    ],
    align=True,
)

#: Rows that wait in a worker's memory to be written: 70 MB.
WAITING = 1 << 19


def bucket_of(rows: Array, buckets: int) -> Array:
    """uint16 per row: the bucket of its addresses and ports."""
    return _bucket(hash_of(rows), buckets)


def _bucket(hashes: Array, buckets: int) -> Array:
    return ((hashes >> np.uint64(40)) % np.uint64(buckets)).astype(np.uint16)


def slice_of(rows: Array, slices: int) -> Array:
    """uint16 per row: the slice of its bucket, where one is too large for the memory of a worker."""
    return ((hash_of(rows) >> np.uint64(8) & np.uint64(0xFFFFFFFF)) % np.uint64(slices)).astype(np.uint16)


def placed(records: Array, dtype: np.dtype[Any]) -> Array:
    """Records with room for their place behind them."""
    rows = np.zeros(len(records), dtype)
    bytes_of(rows)[:, : records.dtype.itemsize] = bytes_of(np.ascontiguousarray(records))
    return rows


class BucketWriter:
    """Writes rows to a Parquet file whose row groups are of one bucket each.

    Attributes
    ----------
    groups : a tuple (bucket, rows) for each row group, in the file's order.
    pairs : int64 (buckets,), how many different pairs of ends were in each bucket, counted anew in each
        row group; 0 for rows that have none.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], buckets: int) -> None:
        self.groups: list[tuple[int, int]] = []
        self._path, self._dtype, self._buckets = path, dtype, buckets
        self._waiting, self._of_waiting = np.empty(0, dtype), np.empty(0, np.uint16)
        self._count = 0
        self._writer: Any = None
        self.pairs = np.zeros(buckets, np.int64)

    def add(self, rows: Array, buckets: Array) -> None:
        """Take in rows and the bucket of each."""
        if self._count + len(rows) > WAITING:
            self._flush()
        end = self._count + len(rows)
        self._make_room(end)
        bytes_of(self._waiting)[self._count : end] = bytes_of(np.ascontiguousarray(rows))
        self._of_waiting[self._count : end] = buckets
        self._count = end

    def close(self) -> None:
        """Write what is left; without any row there is no file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _make_room(self, needed: int) -> None:
        if needed > len(self._waiting):
            room = max(needed, 2 * len(self._waiting))
            self._waiting.resize(room, refcheck=False)
            self._of_waiting.resize(room, refcheck=False)

    def _flush(self) -> None:
        """Write all rows, by bucket: column by column, as that is how they are stored."""
        if not self._count:
            return
        import pyarrow

        buckets = self._of_waiting[: self._count]
        order = np.argsort(buckets, kind="stable")
        rows, self._count = self._waiting[: self._count], 0
        names = self._dtype.names or ()
        if "src_port" in names:
            pairs = _bucket(np.unique(hash_of(rows)), self._buckets)
            self.pairs += np.bincount(pairs, minlength=self._buckets)
        table = pyarrow.table({name: np.ascontiguousarray(rows[name])[order] for name in names})
        ends = np.cumsum(np.bincount(buckets, minlength=self._buckets)).tolist()
        for bucket, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            if end > start:
                self._open(table.schema).write_table(table.slice(start, end - start), end - start)
                self.groups.append((bucket, end - start))

    def _open(self, schema: Any) -> Any:
        from pyarrow.parquet import ParquetWriter

        if self._writer is None:
            options = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
            self._writer = ParquetWriter(self._path, schema, **options)
        return self._writer


def read_bucket(
    path: Path, dtype: np.dtype[Any], groups: Sequence[Sequence[int]], bucket: int
) -> Iterator[Array]:
    """The rows of one bucket, a row group at a time.

    Parameters
    ----------
    path : what a ``BucketWriter`` wrote.
    dtype : of the rows.
    groups : its ``groups``.
    bucket : which one.
    """
    wanted = [index for index, (of, _rows) in enumerate(groups) if of == bucket]
    if not wanted:
        return
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, memory_map=True) as file:
        for index in wanted:
            table = file.read_row_group(index, use_threads=False)
            rows = np.zeros(table.num_rows, dtype)
            for name in dtype.names or ():
                rows[name] = table.column(name).to_numpy()
            yield rows
