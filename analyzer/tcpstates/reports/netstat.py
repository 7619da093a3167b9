"""The table that netstat would have printed at some instants, of all hosts at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tcpstates.errors import UsageError
from tcpstates.reports.listeners import listening
from tcpstates.reports.log import LIVE, Log
from tcpstates.reports.table import Labels, Table, Values
from tcpstates.reports.timeline import endpoints
from tcpstates.reports.wording import duration, instant
from tcpstates.states import State
from tcpstates.storage import blocks

_MOST_ROWS = 5_000_000


class _Instants(NamedTuple):
    """``number`` instants from ``first`` on, ``every`` ns apart."""

    first: int
    every: int
    number: int

    def during(self, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which intervals (from a start until, but not at, its end) hold which instants: pairs of indices."""
        begin, count = self.held(starts, ends)
        total = int(count.sum())
        if total > _MOST_ROWS:
            raise UsageError(
                f"{total:,} rows, with a step of {duration(self.every)}; use a longer one, or --at alone"
            )
        interval = np.repeat(np.arange(len(count)), count)
        place = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        return interval, begin[interval] + place

    def held(self, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each interval, the first instant that it holds, and how many it holds."""
        begin, end = (np.clip(self._next(times), 0, self.number) for times in (starts, ends))
        return begin, np.maximum(end - begin, 0)

    def _next(self, times: np.ndarray) -> np.ndarray:
        """The first instant at each of ``times`` or later."""
        return -((self.first - times) // self.every)


def netstat(log: Log, at: int, every: int | None = None) -> Table:
    """One row per socket and instant: first those that listen, then the others by conn and side.

    Parameters
    ----------
    log : what the engine found.
    at : ns since the epoch; a state is held from its start until, but not at, its end.
    every : ns from one instant to the next, until the end of the capture; ``at`` is the only one if None.

    Raises
    ------
    UsageError
        If ``at`` is outside of the capture, ``every`` is zero, or there would be more than five million rows.
    """
    instants = _instants(log, at, every)
    listeners, sockets = _listeners(log, instants), _sockets(log, instants)
    columns = {name: _joined(listeners[name], sockets[name]) for name in listeners}
    times = columns["time"]
    assert isinstance(times, np.ndarray)
    return Table.of("netstat", columns).take(np.argsort(times, kind="stable"))


def _instants(log: Log, at: int, every: int | None) -> _Instants:
    if not log.start <= at <= log.end:
        bounds = f"{instant(log.start)} to {instant(log.end)}"
        raise UsageError(f"{instant(at)} is outside of the capture; use a time from {bounds}")
    if every is None:
        return _Instants(at, 1, 1)
    if every <= 0:
        raise UsageError("stepping every 0s has no end; use a longer step, such as 1s")
    return _Instants(at, every, (log.end - at) // every + 1)


def _sockets(log: Log, instants: _Instants) -> dict[str, Values]:
    live = [_live(log, instants, part) for part in blocks(len(log.transitions))]
    rows = np.concatenate([np.empty(0, np.int64), *live])
    which, place = instants.during(*_spans(log, rows))
    rows = rows[which]
    sides = log.sides_of(rows)
    return {
        "time": instants.first + place * instants.every,
        **endpoints(log, sides),
        "state": log.state[rows],
        "since": log.transitions["start"][rows],
        "conn": sides // 2,
        "side": (sides % 2).astype(np.int8),
    }


def _live(log: Log, instants: _Instants, part: slice) -> np.ndarray:
    """The transitions of a part, as indices, to a state of a live socket that holds any of the instants."""
    rows = part.start + np.flatnonzero(np.isin(log.state[part], LIVE))
    _first, count = instants.held(*_spans(log, rows))
    return np.extract(count, rows)


def _spans(log: Log, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From when, and until when, the states of these transitions were held; beyond the end if still then."""
    ends = log.ends_of(rows)
    ends[log.is_last[rows]] = log.end + 1
    return log.transitions["start"][rows], ends


def _listeners(log: Log, instants: _Instants) -> dict[str, Values]:
    changes = listening(log)
    begins = np.flatnonzero(changes.begins)
    following = np.append(changes.time, 0)[begins + 1]
    endpoint = np.append(changes.place * (1 << 16) + changes.port, -1)
    ends = np.where(endpoint[begins + 1] == endpoint[begins], following, log.end + 1)
    which, place = instants.during(changes.time[begins], ends)
    rows = begins[which]
    count, places = len(rows), changes.place[rows]
    return {
        "time": instants.first + place * instants.every,
        "local_addr": log.addresses.labels(log.places.address[places]),
        "local_port": changes.port[rows].astype(np.uint16),
        "remote_addr": Labels(np.zeros(count, np.int32), ["*"]),
        "remote_port": np.zeros(count, np.uint16),
        "tunnel": log.places.tunnels_of(places),
        "state": np.full(count, State.LISTEN, np.uint8),
        "since": changes.time[rows],
        "conn": np.full(count, -1),
        "side": np.full(count, 1, np.int8),
    }


def _joined(above: Values, below: Values) -> Values:
    """Two columns on top of each other."""
    if isinstance(above, Labels) and isinstance(below, Labels):
        names = list(dict.fromkeys((*above.names, *below.names)))
        place = {name: index for index, name in enumerate(names)}
        codes = [
            np.array([*(place[name] for name in part.names), -1], np.int32)[part.codes]
            for part in (above, below)
        ]
        return Labels(np.concatenate(codes), names)
    assert isinstance(above, np.ndarray) and isinstance(below, np.ndarray)
    return np.concatenate((above, below))
