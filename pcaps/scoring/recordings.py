"""What the recorder left: captures at both ends, the kernels' truth, samples of their socket tables."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tcpstates.states import State, parse_state

from .lives import FOREVER, Ends, Life, Span

VANTAGES = ("client", "server")
#: Beside a round trip: how long a host may take to send, or to note, what changed.
_GRACE = 5_000_000
#: Two sockets of one 4-tuple are further apart, a socket and its mini-socket are not.
_HANDOVER = 100_000


class Look(NamedTuple):
    """The socket table of one host at ``time``."""

    time: int
    side: str
    sockets: set[tuple[Ends, State]]
    listeners: set[str]  # local ends, whose address may be a wildcard


@dataclass(frozen=True)
class Recording:
    """One scenario's files: ``NAME.json`` and those beside it."""

    description: Path

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.description.stem

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the recorder wrote down about it."""
        facts: dict[str, Any] = json.loads(self.description.read_text())
        return facts

    @property
    def link(self) -> str:
        """``clean`` or ``impaired``."""
        return str(self.facts["quality"])

    @property
    def margin(self) -> int:
        """The longest round trip and 5 ms, in nanoseconds: what is left out before and after a change."""
        round_trip = self.facts["link"]["rtt"] + 2 * self.facts["link"]["jitter"]
        return round(float(round_trip) * 1e9) + _GRACE

    def capture(self, vantage: str) -> Path:
        """The capture at that end."""
        return self.description.with_suffix(f".{vantage}.pcap.gz")

    @cached_property
    def lives(self) -> list[Life]:
        """Every true socket but those that listen."""
        return _lives(self._truth)

    @cached_property
    def _truth(self) -> list[dict[str, str]]:
        return _rows(self.description.with_suffix(".truth.csv.gz"))

    @cached_property
    def changes(self) -> list[tuple[int, Ends]]:
        """Every true change of a socket, in order of time."""
        return sorted((change, life.ends) for life in self.lives for change in life.changes())

    @cached_property
    def looks(self) -> list[Look]:
        """Every sample of a host's socket table, in order of time."""
        rows = sorted(_rows(self.description.with_suffix(".ss.csv.gz")), key=itemgetter("time", "side"))
        looks = [list(look) for _, look in groupby(rows, itemgetter("time", "side"))]
        times = nanoseconds(look[0]["time"] for look in looks)
        return [_look(time, look) for time, look in zip(times, looks, strict=True)]

    @cached_property
    def hosts(self) -> dict[str, str]:
        """Whose each address is; of others (a forger's, a flood's) no kernel says anything."""
        return {address_of(row["local"]): row["side"] for row in self._truth}


def recordings(folder: Path, names: Sequence[str] = ()) -> list[Recording]:
    """Those of ``folder``, all or those that are named, in order.

    Raises
    ------
    KeyError
        If a name is not there.
    """
    found = {path.stem: Recording(path) for path in sorted(folder.glob("*.json"))}
    return [found[name] for name in names or found]


def nanoseconds(times: Iterable[str]) -> list[int]:
    """RFC 3339 instants in UTC as nanoseconds since the epoch; FOREVER for an empty text."""
    values = np.array([time.removesuffix("Z") or "NaT" for time in times], "datetime64[ns]")
    return [int(value) if value >= 0 else FOREVER for value in values.astype(np.int64)]


def address_of(end: str) -> str:
    """An end without its port."""
    return end.rpartition(":")[0]


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def _look(time: int, rows: list[dict[str, str]]) -> Look:
    look = Look(time, rows[0]["side"], set(), set())
    for row in rows:
        state = parse_state(row["state"])
        if state == State.LISTEN:
            look.listeners.add(row["local"])
        else:
            look.sockets.add((Ends(row["local"], row["remote"]), state))
    return look


def _lives(rows: list[dict[str, str]]) -> list[Life]:
    starts, ends = (nanoseconds(row[name] for row in rows) for name in ("start", "end"))
    spans: dict[tuple[str, Ends], list[Span]] = defaultdict(list)
    for row, start, end in zip(rows, starts, ends, strict=True):
        state = parse_state(row["state"])
        if state not in (State.LISTEN, State.CLOSE):
            socket = row["side"], Ends(row["local"], row["remote"])
            spans[socket].append(Span(state, start, end, row["source"]))
    return [
        Life(ends, side, life)
        for (side, ends), parts in spans.items()
        for life in _sockets(sorted_spans(parts))
    ]


def sorted_spans(spans: list[Span]) -> list[Span]:
    """In order of time; of those that start together the shorter one first."""
    return sorted(spans, key=lambda span: (span.start, span.end))


def _sockets(spans: list[Span]) -> Iterator[tuple[Span, ...]]:
    """The spans of one 4-tuple, socket by socket."""
    begun = [0, *(at for at in range(1, len(spans)) if _begins(spans[at - 1], spans[at])), len(spans)]
    for first, last in pairwise(begun):
        yield tuple(_joined(spans[first:last]))


def _begins(before: Span, span: Span) -> bool:
    """Whether ``span`` is another socket's than the one ``before`` it."""
    if span.state == State.SYN_SENT or span.start - before.end > _HANDOVER:
        return True
    return span.state == State.SYN_RECV and before.state not in (State.SYN_SENT, State.SYN_RECV)


def _joined(spans: list[Span]) -> Iterator[Span]:
    """The same, each lasting until another state begins."""
    runs = [list(run) for _, run in groupby(spans, lambda span: span.state)]
    for run, following in pairwise(runs):
        yield run[0]._replace(end=following[0].start)
    yield runs[-1][0]._replace(end=runs[-1][-1].end)
