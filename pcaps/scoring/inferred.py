"""What the analysis says of a capture, in the form that the truth has."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import tcpstates
from tcpstates.reports.log import Log
from tcpstates.reports.netstat import netstat
from tcpstates.reports.table import Labels, Table
from tcpstates.schema import NO_TIME
from tcpstates.states import State

from .lives import FOREVER, Ends, Life, Span


class Claim(NamedTuple):
    """One side of an inferred connection, and when the connection's frames were captured."""

    life: Life
    conn: int
    first: int
    last: int


class Inferred(NamedTuple):
    """An analysed capture, from its first to its last record."""

    log: Log
    claims: list[Claim]

    @property
    def start(self) -> int:
        """The first record's time."""
        return self.log.start

    @property
    def end(self) -> int:
        """The last record's time."""
        return self.log.end


def inferred(source: Any) -> Inferred:
    """The analysis of a capture, given as ``tcpstates.analyze`` takes it."""
    analysis = tcpstates.analyze(source)
    columns = _columns(analysis.table("timeline"))
    rows = zip(columns["conn"], columns["side"], _ends(columns), _spans(columns), strict=True)
    bounds = analysis.log.connections
    claims = []
    for (conn, side, ends), group in groupby(rows, lambda row: row[:3]):
        life = Life(ends, side, tuple(span for *_, span in group))
        claims.append(Claim(life, conn, int(bounds["start"][conn]), int(bounds["end"][conn])))
    return Inferred(analysis.log, claims)


def sockets_at(log: Log, at: int) -> tuple[set[tuple[Ends, State]], set[str]]:
    """``tcpstates netstat --at``: sockets with their states, and the endpoints that listen."""
    columns = _columns(netstat(log, at))
    rows = list(zip(_ends(columns), columns["state"], strict=True))
    sockets = {(ends, State[state]) for ends, state in rows if state != State.LISTEN.name}
    return sockets, {ends.local for ends, state in rows if state == State.LISTEN.name}


def _columns(table: Table) -> dict[str, list[Any]]:
    """The table as plain values; labels as text, None for none."""
    return {name: _plain(values) for name, values in table.values.items()}


def _plain(values: Any) -> list[Any]:
    if isinstance(values, Labels):
        names = [*values.names, None]
        return [names[code] for code in values.codes.tolist()]
    plain: list[Any] = values.tolist()
    return plain


def _ends(columns: dict[str, list[Any]]) -> list[Ends]:
    local, remote = (
        [_endpoint(*end) for end in zip(columns[f"{end}_addr"], columns[f"{end}_port"], strict=True)]
        for end in ("local", "remote")
    )
    return [Ends(*ends) for ends in zip(local, remote, strict=True)]


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _spans(columns: dict[str, list[Any]]) -> list[Span]:
    names = ("state", "start", "end", "cause", "evidence", "frame")
    return [
        Span(State[state], start, FOREVER if end == NO_TIME else end, _reason(cause, evidence, frame))
        for state, start, end, cause, evidence, frame in zip(*(columns[name] for name in names), strict=True)
    ]


def _reason(cause: str, evidence: str, frame: int) -> str:
    return f"{cause}, {evidence}" + (f", frame {frame}" if frame > 0 else "")
