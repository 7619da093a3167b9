"""How connections spread: how long sides stay in each state, and where and when connections go wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tcpstates.reports.log import LIVE, Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.wording import duration
from tcpstates.schema import NO_TIME, OUTCOMES, SEVERITIES, tunnel_name
from tcpstates.states import State

#: Ten bins to the decade, from a microsecond to a day and more; in seconds.
EDGES = 10 ** np.arange(-6, 6.01, 0.1)
#: Lengths of time that have a name, in seconds; the coarse ones where there is no room for all.
_COARSE = (1e-6, 1e-3, 1.0, 60.0, 3600.0, 86400.0)
_FINE = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0, 86400.0, 864000.0)
_MOST_TICKS = 6
#: What is no close but an attempt is left out of the closes that went wrong.
_NO_CLOSE = ("scan", "fragment")


class Durations(NamedTuple):
    """How long the stays in one state lasted.

    Attributes
    ----------
    state : which.
    counts : int64 (len(EDGES) - 1,), the stays that ended, by length; shorter and longer ones at the ends.
    median : of those, ns; 0 if there is none.
    lasting : how many stays went on when the capture ended, and are not among them.
    """

    state: State
    counts: np.ndarray
    median: int
    lasting: int


def durations(log: Log) -> list[Durations]:
    """One for each live state that occurs, in the order of the machine."""
    lasted = log.row_ends - log.transitions["start"]
    lasts = np.zeros(len(lasted), bool)
    lasts[log.last_rows] = True
    found = []
    for state in LIVE:
        mine = log.state == state
        if mine.any():
            ended = lasted[mine & ~lasts]
            inside = np.clip(ended / 1e9, EDGES[0], EDGES[-1] * 0.999)
            median = int(np.median(ended)) if len(ended) else 0
            found.append(Durations(state, np.histogram(inside, EDGES)[0], median, int((mine & lasts).sum())))
    return found


def duration_ticks(spread: list[Durations]) -> dict[float, str]:
    """Where to mark the axis on which ``spread`` is drawn: seconds and their names, ``{0.001: "1 ms"}``."""
    low, high = visible(spread)
    fine, coarse = (
        {length: duration(round(length * 1e9)) for length in lengths if low <= length <= high}
        for lengths in (_FINE, _COARSE)
    )
    return coarse if len(fine) > _MOST_TICKS else fine


def visible(spread: list[Durations]) -> tuple[float, float]:
    """The decades in which there is anything, in seconds."""
    used = np.flatnonzero(sum((one.counts for one in spread), np.zeros(len(EDGES) - 1)))
    if not len(used):
        return 1e-3, 1e3
    low, high = np.floor(np.log10(EDGES[used[0]])), np.ceil(np.log10(EDGES[used[-1] + 1]) + 0.01)
    return float(10.0**low), float(10.0**high)


class Heat(NamedTuple):
    """Connections that went wrong, by server and time.

    Attributes
    ----------
    hosts : the servers' addresses, with the tunnels they are in, the worst first; the last row may be all
        others together.
    named : how many rows are one server's.
    starts : int64 (bins,), when each bin begins, ns.
    every : the length of a bin, ns.
    counts : int64 (hosts, bins).
    """

    hosts: tuple[str, ...]
    named: int
    starts: np.ndarray
    every: int
    counts: np.ndarray


def heat(log: Log, outcomes: Outcomes, hosts: int = 20, bins: int = 60) -> Heat:
    """Where and when connections ended or stayed abnormally: each counts once, when its matter began.

    Parameters
    ----------
    log, outcomes : what was found.
    hosts, bins : rows and columns, at most; the rest of the hosts is one more row.
    """
    left_out = [OUTCOMES.index(name) for name in _NO_CLOSE]
    bad = (outcomes.severity >= SEVERITIES.index("warning")) & ~np.isin(outcomes.outcome, left_out)
    if log.start == NO_TIME or not bad.any():
        return Heat((), 0, np.empty(0, np.int64), 1, np.zeros((0, 0), np.int64))
    codes = log.places.codes[1::2][bad]
    totals = np.bincount(codes)
    worst = np.argsort(-totals, kind="stable")[: min(hosts, int((totals > 0).sum()))]
    row_of = np.full(len(totals), len(worst))
    row_of[worst] = np.arange(len(worst))
    rows = row_of[codes]
    every = heat_step(log, bins)
    column = np.clip((outcomes.since[bad] - log.start) // every, 0, bins - 1)
    counts = np.bincount(rows * bins + column, minlength=(len(worst) + 1) * bins).reshape(-1, bins)
    names = [_name(log, code) for code in worst.tolist()]
    others = int((totals > 0).sum()) - len(worst)
    if others:
        names.append(f"{others:,} others")
    return Heat(tuple(names), len(worst), log.start + every * np.arange(bins), every, counts[: len(names)])


def heat_step(log: Log, bins: int = 60) -> int:
    """The length of each of ``bins`` that together take in the capture, ns."""
    return max((log.end - log.start) // bins + 1, 1)


def _name(log: Log, place: int) -> str:
    """``10.0.0.5``, ``10.0.0.5 in VXLAN 100``."""
    address = log.host(place)
    tunnel = tunnel_name(int(log.places.tunnel[place]))
    return f"{address} in {tunnel}" if tunnel else address
