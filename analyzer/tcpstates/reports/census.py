"""The table of how many sockets were in each state, at regular instants."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tcpstates.errors import UsageError
from tcpstates.reports.listeners import listening
from tcpstates.reports.log import LIVE, Log
from tcpstates.reports.table import Labels, Table
from tcpstates.reports.when import SECOND
from tcpstates.reports.wording import duration
from tcpstates.schema import NO_TIME
from tcpstates.states import State
from tcpstates.storage import blocks

_STATES = (State.LISTEN, *LIVE)
_MOST_BINS = 1_000_000
_STEPS = tuple(SECOND * seconds for seconds in (1, 10, 60, 600, 3600, 86_400))
_ROUND_STEPS: tuple[int, ...] = (
    *(digit * 10**power for power in range(3, 10) for digit in (1, 2, 5)),
    *(SECOND * seconds for seconds in (10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21_600)),
    *(86_400 * SECOND * days for days in (1, 7, 30, 365)),
)


class _Bins(NamedTuple):
    """Instants from ``first`` on, ``every`` ns apart."""

    first: int
    every: int
    number: int

    def of(self, times: np.ndarray) -> np.ndarray:
        """The first bin that begins at each of ``times`` or later, ``number`` if none does."""
        return np.asarray(np.minimum(-((self.first - times) // self.every), self.number))

    def starts(self) -> np.ndarray:
        return self.first + self.every * np.arange(self.number)


def census(log: Log, every: int) -> Table:
    """One row per bin and per state that occurs in the capture, zeros included.

    Parameters
    ----------
    log : what the engine found.
    every : distance of the bins, ns. Their starts are aligned to the epoch; the first is at or before the
        capture's first frame, where there is no socket yet.

    Raises
    ------
    UsageError
        If ``every`` is zero, or so short that there would be more than a million bins.
    """
    bins = _bins(log, every)
    counts = _sockets(log, bins)
    sockets = {state: counts[state] for state in _STATES if counts[state].any() or _occurs(log, state)}
    return Table.of(
        "census",
        {
            "time": np.repeat(bins.starts(), len(sockets)),
            "state": np.tile(np.array(list(sockets), np.uint8), bins.number),
            "sockets": np.stack(list(sockets.values()), axis=1).ravel() if sockets else np.empty(0, np.int64),
        },
    )


def stacked(log: Log, every: int) -> tuple[np.ndarray, dict[State, np.ndarray]]:
    """The census by state.

    Returns
    -------
    times : int64 (bins,), ns
    sockets : the number of sockets (int64 (bins,)) of each state that occurs
    """
    values = census(log, every).values
    codes, times = values["state"], values["time"]
    assert isinstance(codes, Labels) and isinstance(times, np.ndarray)
    states = [State(int(code)) for code in codes.codes[: len(np.unique(codes.codes))]]
    counts = np.reshape(np.asarray(values["sockets"]), (-1, max(len(states), 1)))
    return times[:: max(len(states), 1)], {state: counts[:, i] for i, state in enumerate(states)}


def comfortable_step(log: Log) -> int:
    """The shortest usual distance of bins, in ns, that keeps a census of the whole capture readable."""
    span = log.end - log.start if log.start != NO_TIME else 0
    return next((step for step in _STEPS if span // step < 10_000), _STEPS[-1])


def drawing_step(log: Log, bins: int = 300) -> int:
    """A round distance of bins, in ns, of which the capture takes at most ``bins``: enough for a drawing."""
    span = log.end - log.start if log.start != NO_TIME else 0
    return next((step for step in _ROUND_STEPS if span < step * bins), span // bins + 1)


def _bins(log: Log, every: int) -> _Bins:
    if every <= 0:
        raise UsageError("a census every 0s has no end; use a longer step, such as 1s")
    if log.start == NO_TIME:
        return _Bins(0, every, 0)
    first = log.start // every * every
    count = (log.end - first) // every + 1
    if count > _MOST_BINS:
        longer = duration(-(-(log.end - first) // _MOST_BINS))
        raise UsageError(
            f"a census every {duration(every)} has {count:,} bins; use a step of {longer} or more"
        )
    return _Bins(first, every, count)


def _occurs(log: Log, state: State) -> bool:
    return bool((log.state == state).any())


def _sockets(log: Log, bins: _Bins) -> np.ndarray:
    """int64 of shape (states, bins): how many sockets are in each state when each bin begins."""
    changes = np.zeros((len(State), bins.number + 1), np.int64)

    def change(states: np.ndarray, times: np.ndarray, by: Any) -> None:
        np.add.at(changes.reshape(-1), states * np.int64(bins.number + 1) + bins.of(times), by)

    for part in blocks(len(log.transitions)):
        rows = np.arange(part.start, part.stop)
        change(log.state[part], log.transitions["start"][part], 1)
        left = rows[~log.is_last[part]]
        change(log.state[left], log.ends_of(left), -1)
    listeners = listening(log)
    change(np.array(State.LISTEN), listeners.time, np.where(listeners.begins, 1, -1))
    return np.cumsum(changes, axis=1)[:, : bins.number]
