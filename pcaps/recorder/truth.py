"""What the kernels themselves said: every socket's state on both sides, on the capture's clock.

Two sources, because neither is enough. The tracepoint ``sock:inet_sock_set_state`` gives each change
to the nanosecond, but TIME_WAIT, an orphaned FIN_WAIT2 and SYN_RECV are mini-sockets that it does
not know: it says CLOSE where the first two begin, and knows the third only when it ends. The samples
of ``ss`` show them, ten times a second.
"""

from __future__ import annotations

import csv
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from socket import AF_INET, IPPROTO_TCP
from typing import NamedTuple

from .diag import STATES, Endpoint, SocketTable, Tuple4, endpoint
from .trace import Event

_INTERVAL = 0.1
#: States that the kernel enters before it has given the socket all of its addresses.
_INCOMPLETE = ("SYN_SENT", "SYN_RECV")
_SECOND = 1_000_000_000


class Row(NamedTuple):
    """One socket's change of state; ``time`` in nanoseconds since the epoch."""

    time: int
    side: str
    local: Endpoint
    remote: Endpoint
    old: str
    new: str
    source: str


class Sample(NamedTuple):
    """A change between two looks at a host's sockets, and when the look began and ended."""

    before: int
    after: int
    side: str
    tuple4: Tuple4
    state: str


class Look(NamedTuple):
    """A host's sockets at one moment between ``before`` and ``after``; those that netstat shows."""

    before: int
    after: int
    side: str
    table: dict[Tuple4, str]


class Sampler(threading.Thread):
    """Looks at the hosts' sockets again and again, and keeps all of it, and what changed."""

    def __init__(self, tables: dict[str, SocketTable]) -> None:
        super().__init__(name="sampler", daemon=True)
        self.samples: list[Sample] = []
        self.looks: list[Look] = []
        self._tables = tables
        self._seen: dict[str, dict[Tuple4, str]] = {side: {} for side in tables}
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        while not self._stopped.wait(_INTERVAL):
            self.look()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self.join()

    def look(self) -> dict[str, dict[Tuple4, str]]:
        """Every socket's state now, by side."""
        for side, table in self._tables.items():
            before = time.time_ns()
            now = table.read()
            after = time.time_ns()
            shown = {ends: state for ends, state in now.items() if state != "CLOSE"}
            self.looks.append(Look(before, after, side, shown))
            seen = self._seen[side]
            changed = {ends: now.get(ends, "CLOSE") for ends in now | seen if now.get(ends) != seen.get(ends)}
            self.samples += [Sample(before, after, side, ends, state) for ends, state in changed.items()]
            self._seen[side] = now
        return dict(self._seen)


def rows_of(events: Iterable[Event]) -> list[Row]:
    """The tracepoint's hits as rows, sides not yet known; ports and addresses that it lacked filled in.

    A socket has no local port yet when it enters SYN_SENT, and no remote one when it is cloned from
    its listener: the next event of the same socket tells.
    """
    rows: list[Row] = []
    later: dict[bytes, Row] = {}
    for event in reversed([event for event in events if event.number("protocol") == IPPROTO_TCP]):
        row, address = _row(event), event.fields["skaddr"]
        following = later.get(address)
        if row.new in _INCOMPLETE and following and following.old == row.new:
            row = row._replace(local=following.local, remote=following.remote)
        later[address] = row
        rows.append(row)
    return rows[::-1]


def _row(event: Event) -> Row:
    suffix = "" if event.number("family") == AF_INET else "_v6"
    local = endpoint(event.fields[f"saddr{suffix}"], event.number("sport"))
    remote = endpoint(event.fields[f"daddr{suffix}"], event.number("dport"))
    old, new = STATES[event.number("oldstate")], STATES[event.number("newstate")]
    return Row(event.time, "", local, remote, old, new, "tracepoint")


def merged(rows: Iterable[Row], samples: Iterable[Sample]) -> list[Row]:
    """Both sources in order of time; a sample only where it says what the tracepoint had not."""
    by_tuple: dict[Tuple4, list[Row]] = defaultdict(list)
    for row in rows:
        by_tuple[row.local, row.remote].append(row)
    looks: dict[Tuple4, list[Sample]] = defaultdict(list)
    for sample in samples:
        looks[sample.tuple4].append(sample)
    both = {ends: _merged_socket(by_tuple[ends], looks[ends]) for ends in [*by_tuple, *looks]}
    return sorted(row for one in both.values() for row in one)


def _merged_socket(rows: list[Row], samples: list[Sample]) -> list[Row]:
    """One 4-tuple's rows, its samples put in where they belong."""
    merged_rows = list(rows)
    for sample in samples:
        if any(sample.before <= row.time <= sample.after for row in rows):
            continue  # the look and the change crossed: the next look is better
        known = [row for row in merged_rows if row.time < sample.before]
        old = known[-1].new if known else "CLOSE"
        if old != sample.state:
            row = Row(sample.before, sample.side, *sample.tuple4, old, sample.state, "ss")
            merged_rows.insert(len(known), row)
    return merged_rows


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """``rows`` as a table, times in RFC 3339."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("side", "local", "remote", "time", "old", "new", "source"))
        for row in rows:
            writer.writerow((row.side, row.local, row.remote, rfc3339(row.time), *row[4:]))


def rfc3339(time_ns: int) -> str:
    """A time as the tables have it."""
    seconds, nanoseconds = divmod(time_ns, _SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
