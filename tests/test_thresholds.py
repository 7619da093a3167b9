"""From when on a closing side counts as stuck."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tcpstates.errors import UsageError
from tcpstates.reports.thresholds import STUCK_AFTER, stuck_thresholds
from tcpstates.states import State

SECOND = 1_000_000_000


def test_defaults() -> None:
    assert stuck_thresholds() == STUCK_AFTER


@pytest.mark.parametrize("given", ["90s", 90, timedelta(seconds=90), ["90s"]])
def test_one_duration_is_for_all_states(given: Any) -> None:
    assert set(stuck_thresholds(given).values()) == {90 * SECOND}


@pytest.mark.parametrize(
    "given",
    [
        "CLOSE_WAIT=5min",
        ["close-wait=5min"],
        {"CLOSE_WAIT": "5min"},
        {State.CLOSE_WAIT: 300},
        ("CLOSE-WAIT=300",),
    ],
)
def test_one_state_leaves_the_others(given: Any) -> None:
    assert stuck_thresholds(given) == STUCK_AFTER | {State.CLOSE_WAIT: 300 * SECOND}


def test_the_last_one_given_counts() -> None:
    thresholds = stuck_thresholds(["10s", "FIN_WAIT2=20s"])
    assert (thresholds[State.CLOSING], thresholds[State.FIN_WAIT2]) == (10 * SECOND, 20 * SECOND)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("soon", "not a duration: 'soon'"),
        ("HALF_CLOSED=1s", "not a TCP state: 'HALF_CLOSED'"),
        ("TIME_WAIT=1s", "no side is stuck in TIME_WAIT; stuck-after knows CLOSE_WAIT, FIN_WAIT1"),
        ("CLOSE_WAIT=", "not a duration: ''"),
    ],
)
def test_no_thresholds(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        stuck_thresholds(given)
