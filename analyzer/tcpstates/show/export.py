"""Tables as CSV, as JSON lines and as Parquet: the same columns, times in RFC 3339, durations in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tcpstates.reports.table import Labels, Pieces, Table, Values
from tcpstates.schema import NO_TIME, Column

Quote = Callable[[str], str]
Writer = Callable[[Values], list[str]]


def write_csv(table: Table, stream: TextIO) -> None:
    """Write ``table`` as CSV with a heading (RFC 4180, but for the line ends); no value is no text."""
    stream.write(",".join(column.name for column in table.columns) + "\n")
    for row in _rows(table, _csv_text, ""):
        stream.write(",".join(row) + "\n")


def write_json(table: Table, stream: TextIO) -> None:
    """Write ``table`` as one JSON object per line; null where there is no value."""
    template = "{" + ", ".join(f'"{column.name}": %s' for column in table.columns) + "}\n"
    for row in _rows(table, json.dumps, "null"):
        stream.write(template % row)


def write_parquet(table: Table | Pieces, path: Path, rows: int = 1 << 17) -> None:
    """Write ``table`` so that ``pandas.read_parquet`` gives back the same DataFrame.

    So many ``rows`` at a time are made, each time one row group: a table need not fit in memory with all
    its texts. Where there are several, categories of addresses are in the order in which they come. The
    file appears whole or not at all.
    """
    part = path.with_name(path.name + ".part")
    try:
        _write_row_groups(table, part, rows)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_row_groups(table: Table | Pieces, path: Path, rows: int) -> None:
    from pyarrow.parquet import ParquetWriter  # needed for this alone, as is pandas

    first = _to_arrow(table.take(slice(rows)))
    with ParquetWriter(path, first.schema, compression="snappy") as writer:
        writer.write_table(first)
        for start in range(rows, len(table), rows):
            writer.write_table(_to_arrow(table.take(slice(start, start + rows))))


def _to_arrow(table: Table) -> Any:
    """``table`` as Arrow, with the metadata that pandas writes and reads."""
    import pyarrow

    from tcpstates.reports.frames import to_pandas

    frame = to_pandas(table)
    arrow = pyarrow.Table.from_pandas(frame, preserve_index=False)
    return arrow.replace_schema_metadata({**arrow.schema.metadata, "PANDAS_ATTRS": json.dumps(frame.attrs)})


def _csv_text(text: str) -> str:
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _rows(table: Table, quote: Quote, none: str) -> Iterator[tuple[str, ...]]:
    """Every row's values as text, made column by column."""
    writers = {
        column.name: _writer(column, table.values[column.name], quote, none) for column in table.columns
    }
    for chunk in table.chunks():
        columns = [write(chunk.values[name]) for name, write in writers.items()]
        yield from zip(*columns, strict=True)


def _writer(column: Column, values: Values, quote: Quote, none: str) -> Writer:
    """What makes the texts of a piece of a column."""
    if isinstance(values, Labels):
        names = [*map(quote, values.names), none]  # the last one serves code -1
        return lambda piece: [names[code] for code in _codes(piece)]
    if column.dtype == "time":
        stamp = quote("%sZ")
        return lambda piece: [none if text == "NaT" else stamp % text for text in _stamps(piece)]
    if column.dtype == "duration":
        return lambda piece: [none if value == NO_TIME else seconds(value) for value in _numbers(piece)]
    if column.dtype == "nullable":
        return lambda piece: [none if value < 0 else str(value) for value in _numbers(piece)]
    return lambda piece: [*map(quote if column.dtype == "text" else str, _numbers(piece))]


def _codes(piece: Values) -> list[int]:
    assert isinstance(piece, Labels)
    codes: list[int] = piece.codes.tolist()
    return codes


def _numbers(piece: Values) -> list[Any]:
    assert not isinstance(piece, Labels)
    numbers: list[Any] = piece.tolist()
    return numbers


def _stamps(piece: Values) -> list[str]:
    assert isinstance(piece, np.ndarray)
    stamps: list[str] = np.datetime_as_string(piece.view("datetime64[ns]")).tolist()
    return stamps


def seconds(nanoseconds: int) -> str:
    """Exact decimal seconds, without needless zeros: ``0.25``, ``60``."""
    sign, rest = "-" if nanoseconds < 0 else "", abs(nanoseconds)
    return f"{sign}{rest // 1_000_000_000}.{rest % 1_000_000_000:09d}".rstrip("0").rstrip(".")
