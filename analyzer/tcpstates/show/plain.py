"""Long tables in plain fixed-width text: as many columns as fit, and every row.

rich lays a table out only when it has all of it; half a million rows are written here as they come.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TextIO

import numpy as np

from tcpstates.reports import wording
from tcpstates.reports.table import Labels, Table, Values
from tcpstates.schema import NO_TIME


class View(NamedTuple):
    """One column as shown. ``source`` is a column of the table, or two of them: address and port.

    Of the columns that do not fit, those of the highest ``rank`` are left out.
    """

    title: str
    source: tuple[str, ...]
    rank: int


def _view(title: str, source: str = "", rank: int = 0) -> View:
    return View(title, tuple((source or title).split()), rank)


VIEWS: dict[str, tuple[View, ...]] = {
    "connections": (
        _view("conn"),
        _view("client", "client_addr client_port"),
        _view("server", "server_addr server_port"),
        _view("tunnel", rank=1),
        _view("start", rank=4),
        _view("duration", rank=1),
        _view("client state", "client_state", 3),
        _view("server state", "server_state", 3),
        _view("outcome"),
        _view("culprit", rank=2),
        _view("client bytes", "client_bytes", 5),
        _view("server bytes", "server_bytes", 5),
        _view("client frames", "client_frames", 6),
        _view("server frames", "server_frames", 6),
        _view("conn_state", rank=7),
        _view("history", rank=8),
        _view("completeness", rank=9),
        _view("community id", "community_id", 10),
    ),
    "timeline": (
        _view("conn"),
        _view("side"),
        _view("local", "local_addr local_port", 2),
        _view("remote", "remote_addr remote_port", 3),
        _view("tunnel", rank=2),
        _view("state"),
        _view("start"),
        _view("end", rank=4),
        _view("cause"),
        _view("evidence"),
        _view("frame", rank=1),
        _view("file", rank=5),
    ),
    "findings": (
        _view("severity"),
        _view("outcome"),
        _view("server", "server_addr server_port"),
        _view("tunnel", rank=1),
        _view("culprit"),
        _view("conns", "connections"),
        _view("longest", rank=1),
        _view("clients", rank=3),
        _view("example", rank=2),
        _view("median", rank=5),
        _view("95 %", "p95", 5),
        _view("first", rank=4),
        _view("last", rank=4),
        _view("explanation", rank=6),
    ),
    "patterns": (
        _view("severity"),
        _view("pattern"),
        _view("server", "server_addr server_port"),
        _view("client", "client_addr", 3),
        _view("tunnel", rank=1),
        _view("culprit", rank=3),
        _view("conns", "connections"),
        _view("clients", rank=4),
        _view("first", rank=1),
        _view("last", rank=5),
        _view("a minute", "per_minute", 2),
        _view("measured", rank=6),
        _view("threshold", rank=6),
        _view("unit", rank=6),
        _view("example", rank=5),
        _view("explanation", rank=7),
    ),
    "netstat": (
        _view("time"),
        _view("state"),
        _view("local", "local_addr local_port"),
        _view("remote", "remote_addr remote_port"),
        _view("tunnel", rank=1),
        _view("since", rank=1),
        _view("conn", rank=2),
        _view("side", rank=3),
    ),
    "resets": (
        _view("conn"),
        _view("side"),
        _view("reason"),
        _view("from", "local_addr local_port", 1),
        _view("to", "remote_addr remote_port", 2),
        _view("time"),
        _view("frame"),
        _view("rsts", rank=3),
        _view("ignored", rank=4),
        _view("ttl", rank=5),
        _view("file", rank=6),
    ),
    "census": (_view("time"), _view("state"), _view("sockets")),
    "compare": (
        _view("conn"),
        _view("client", "client_addr client_port", 3),
        _view("server", "server_addr server_port", 2),
        _view("client state", "client_state", 4),
        _view("server state", "server_state", 4),
        _view("outcome", rank=1),
        _view("dialect"),
        _view("says"),
        _view("disagreement"),
    ),
}
#: Tables of which a text is the same for all rows of a label: it is written once, below the table.
NOTES = {"compare": ("disagreement", "explanation")}

_GAP = "  "
_INDENT = " " * 6
#: What text below a row is filled to where there is no terminal.
_TEXT_WIDTH = 100
_DATED, _UNDATED = "2026-01-31 12:00:00.000000", "12:00:00.000000"


class _Cells(NamedTuple):
    """One shown column: its widest cell, and what makes its cells of a piece of the table."""

    view: View
    width: int
    right: bool
    texts: Callable[[Table], list[str]]


def print_table(table: Table, stream: TextIO, width: int | None = None, below: str = "") -> None:
    """Write ``table`` in columns, all its rows.

    Parameters
    ----------
    table : the table.
    stream : where to.
    width : of the terminal, in characters; every column is written if None.
    below : a column of text that is written below its row, filled to the width.
    """
    views = [
        view
        for view in VIEWS[table.name]
        if not _is_the_only_time(table, view) and (width is None or _says_something(table, view))
    ]
    columns = _fitting([_cells(table, view) for view in views], width)
    for line in _lines(table, columns, below, width or _TEXT_WIDTH):
        stream.write(line)
    if table.name in NOTES:
        stream.writelines(_notes(table, *NOTES[table.name], width or _TEXT_WIDTH))


def filled(text: str, width: int, indent: str = "") -> str:
    """``text`` in lines of at most ``width`` characters."""
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _is_the_only_time(table: Table, view: View) -> bool:
    """Whether netstat is shown of one instant, which whoever asked for it knows."""
    times = table.values.get("time")
    if table.name != "netstat" or view.source != ("time",) or not isinstance(times, np.ndarray):
        return False
    return not len(times) or bool(times[0] == times[-1])


def _lines(table: Table, columns: list[_Cells], below: str, width: int) -> Iterator[str]:
    template = _GAP.join(f"{{:{'>' if cells.right else '<'}{cells.width}}}" for cells in columns)
    yield template.format(*(cells.view.title.upper() for cells in columns)).rstrip() + "\n"
    for chunk in table.chunks():
        texts = _plain_texts(chunk.values[below]) if below else [""] * len(chunk)
        for text, row in zip(
            texts, zip(*(cells.texts(chunk) for cells in columns), strict=True), strict=True
        ):
            yield template.format(*row).rstrip() + "\n"
            if text:
                yield filled(text, width, _INDENT) + "\n"


def _says_something(table: Table, view: View) -> bool:
    """Whether a terminal shows a column: that of tunnels only where there is one."""
    values = table.values[view.source[0]]
    return view.title != "tunnel" or (isinstance(values, Labels) and bool((values.codes >= 0).any()))


def _notes(table: Table, label: str, text: str, width: int) -> Iterator[str]:
    """Each text once, under its label."""
    pairs = zip(_label_texts(table.values[label]), _plain_texts(table.values[text]), strict=True)
    for name, sentence in dict.fromkeys(pairs):
        yield f"\n{name}\n"
        yield filled(sentence, width, _GAP) + "\n"


def _fitting(columns: list[_Cells], width: int | None) -> list[_Cells]:
    """As many of ``columns`` as fit, the most important first; those of rank 0 whether they fit or not."""
    if width is None:
        return columns
    taken = [cells for cells in columns if cells.view.rank == 0]
    for cells in sorted((cells for cells in columns if cells.view.rank), key=lambda cells: cells.view.rank):
        if sum(other.width + len(_GAP) for other in taken) + cells.width > width:
            break
        taken.append(cells)
    return [cells for cells in columns if cells in taken]


def _cells(table: Table, view: View) -> _Cells:
    if len(view.source) == 2:
        return _endpoint_cells(table, view)
    name = view.source[0]
    dtype = next(column.dtype for column in table.columns if column.name == name)
    widest, texts = _measured(dtype, table.values[name])
    right = dtype in ("nullable", "count", "port", "duration", "number")
    return _Cells(view, max(widest, len(view.title)), right, lambda part: texts(part.values[name]))


def _measured(dtype: str, values: Values) -> tuple[int, Callable[[Values], list[str]]]:
    """The widest cell of a column, and what makes cells of a piece of it."""
    if isinstance(values, Labels):
        return _longest(_occurring(values)), _label_texts
    if dtype == "number":
        return _longest(_figure_texts(values)), _figure_texts
    if dtype == "text":
        return _longest(values.tolist()), _plain_texts
    if dtype == "time":
        return (len(_DATED), _moment_texts) if _spans_days(values) else (len(_UNDATED), _clock_texts)
    assert isinstance(values, np.ndarray)
    if dtype == "duration":
        return _longest(_duration_texts(np.sort(values)[-1:])), _duration_texts
    return len(str(values.max(initial=0))), _number_texts


def _endpoint_cells(table: Table, view: View) -> _Cells:
    address, port = view.source
    names, ports = table.values[address], table.values[port]
    assert isinstance(names, Labels) and isinstance(ports, np.ndarray)
    widest = max((len(wording.endpoint(name, 0)) - 1 for name in names.names), default=0)
    widest += len(str(ports.max(initial=0)))
    return _Cells(
        view, max(widest, len(view.title)), False, lambda part: _endpoint_texts(part, address, port)
    )


def _endpoint_texts(part: Table, address: str, port: str) -> list[str]:
    names, ports = _label_texts(part.values[address]), part.values[port]
    assert isinstance(ports, np.ndarray)
    pairs = zip(names, ports.tolist(), strict=True)
    return [_endpoint_text(name, number) for name, number in pairs]


def _endpoint_text(name: str, number: int) -> str:
    """``*`` for what is not one address or one port in particular."""
    if name in ("*", "") or number < 0:
        return f"{name or '*'}:{number if number > 0 else '*'}"
    return wording.endpoint(name, number)


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _occurring(values: Labels) -> list[str]:
    used = np.flatnonzero(np.bincount(values.codes[values.codes >= 0], minlength=len(values.names)))
    return [values.names[code] for code in used.tolist()]


def _label_texts(values: Values) -> list[str]:
    assert isinstance(values, Labels)
    names = [*values.names, ""]
    return [names[code] for code in values.codes.tolist()]


def _moment_texts(values: Values) -> list[str]:
    """Date and time of day, to the microsecond, in UTC."""
    assert isinstance(values, np.ndarray)
    moments = np.datetime_as_string(values.view("datetime64[ns]"), unit="us").tolist()
    return ["" if moment == "NaT" else moment.replace("T", " ") for moment in moments]


def _clock_texts(values: Values) -> list[str]:
    return [moment[11:] for moment in _moment_texts(values)]


def _duration_texts(values: Values) -> list[str]:
    assert isinstance(values, np.ndarray)
    return ["" if value == NO_TIME else f"{value / 1e9:.6f}" for value in values.tolist()]


def _number_texts(values: Values) -> list[str]:
    assert isinstance(values, np.ndarray)
    return ["" if value < 0 else str(value) for value in values.tolist()]


def _figure_texts(values: Values) -> list[str]:
    assert isinstance(values, np.ndarray)
    return [wording.figure(value) for value in values.tolist()]


def _plain_texts(values: Values) -> list[str]:
    assert not isinstance(values, Labels)
    texts: list[str] = values.tolist()
    return texts


def _spans_days(values: Values) -> bool:
    """Whether the times are of more than one UTC day, so that the date has to be shown."""
    assert isinstance(values, np.ndarray)
    known = values[values != NO_TIME] // 86_400_000_000_000
    return bool(len(known) and known.min() != known.max())
