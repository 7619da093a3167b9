"""What has changed since the last look: the transitions of a capture that goes on, each told once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tcpstates.reports.addresses import address_text
from tcpstates.reports.log import Log
from tcpstates.schema import NO_TIME
from tcpstates.states import EVENT_LABELS, EVIDENCE_LABELS, SIDE_LABELS, STATE_NAMES, Event, State


class Change(NamedTuple):
    """One side passed from one state to another; times in ns.

    ``lasted`` is how long it was in the old state, -1 where that had no beginning that was seen.
    """

    time: int
    conn: int
    side: str
    local_addr: str
    local_port: int
    remote_addr: str
    remote_port: int
    old: str
    new: str
    lasted: int
    evidence: str
    cause: str


class Changes:
    """Tells the transitions that were not told yet.

    A correction of what was told (a frame shows that an earlier one was not received) is told as one more
    transition, from the state that was told to the state that holds. Connections that were left out of a look
    are over: they are not told again in a later one that has them.
    """

    def __init__(self) -> None:
        self._numbers = np.zeros(0, np.int64)
        self._told = np.zeros((0, 2), np.int64)  # when each side entered the state that was told last
        self._states = np.zeros((0, 2), np.uint8)
        self._newest = -1

    def since(self, log: Log, numbers: np.ndarray, most: int | None = None) -> tuple[list[Change], int]:
        """What is new in ``log``, in the order of time, and how much more there is than is told.

        Parameters
        ----------
        log : the connections as they are now.
        numbers : int64 (n,), rising: what each is called for good.
        most : how many changes are told; all if None.
        """
        told, states, is_over = self._before(numbers)
        sides, rows = log.side_of_row, log.transitions
        first = np.zeros(len(rows), bool)
        first[log.first_rows] = True
        silent = first & np.isin(log.state, (State.CLOSE, State.UNKNOWN))
        new = np.flatnonzero((rows["start"] > told[sides]) & ~silent & ~is_over[sides])
        corrected = self._corrected(log, told, states, new)
        chosen = np.concatenate((new, corrected))
        chosen = chosen[np.argsort(rows["start"][chosen], kind="stable")]
        last = log.last_rows
        self._numbers, self._newest = numbers.copy(), max(self._newest, int(numbers.max(initial=-1)))
        self._told, self._states = rows["start"][last].reshape(-1, 2), log.state[last].reshape(-1, 2)
        left_out = 0 if most is None else max(len(chosen) - most, 0)
        chosen = chosen[: len(chosen) - left_out]
        return list(_changes(log, numbers, chosen, states, set(corrected.tolist()))), left_out

    def _before(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Since when each side was told to be in which state, and whether it was left out the last time."""
        is_over = numbers <= self._newest
        told = np.full((len(numbers), 2), NO_TIME)
        states = np.full((len(numbers), 2), State.CLOSE, np.uint8)
        if len(self._numbers):
            place = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
            known = self._numbers[place] == numbers
            is_over &= ~known
            told[known], states[known] = self._told[place[known]], self._states[place[known]]
        return told.reshape(-1), states.reshape(-1), np.repeat(is_over, 2)

    @staticmethod
    def _corrected(log: Log, told: np.ndarray, states: np.ndarray, new: np.ndarray) -> np.ndarray:
        """The last rows of sides that are in another state than was told, without a new row."""
        differs = (told != NO_TIME) & (log.state[log.last_rows] != states)
        differs[log.side_of_row[new]] = False
        return np.asarray(log.last_rows[differs])


def _changes(
    log: Log, numbers: np.ndarray, chosen: np.ndarray, states: np.ndarray, corrected: set[int]
) -> Iterator[Change]:
    rows, sides = log.transitions, log.sides
    firsts = set(log.first_rows[log.side_of_row[chosen]].tolist())
    for place in chosen.tolist():
        row, side = rows[place], int(log.side_of_row[place])
        local, remote = sides[side], sides[side ^ 1]
        old, lasted = int(log.state[place - 1]), int(row["start"]) - int(rows[place - 1]["start"])
        if place in corrected:
            old, lasted = int(states[side]), -1
        elif place in firsts:
            old, lasted = State.UNKNOWN if row["cause"] == Event.PICKED_UP else State.CLOSE, -1
        yield Change(
            int(row["start"]),
            int(numbers[side // 2]),
            SIDE_LABELS[side % 2],
            address_text(int(local["addr_hi"]), int(local["addr_lo"])),
            int(local["port"]),
            address_text(int(remote["addr_hi"]), int(remote["addr_lo"])),
            int(remote["port"]),
            STATE_NAMES[old],
            STATE_NAMES[int(row["state"])],
            lasted,
            EVIDENCE_LABELS[int(row["evidence"])],
            EVENT_LABELS[int(row["cause"])],
        )
