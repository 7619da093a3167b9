"""How long is too long: the durations after which a side counts as stuck, unanswered or half open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from tcpstates.errors import UsageError
from tcpstates.reports.when import SECOND, parse_duration
from tcpstates.states import State, parse_state

#: A SYN without an answer, and a SYN-ACK without one.
NO_ANSWER_AFTER = 3 * SECOND
HALF_OPEN_AFTER = 5 * SECOND
#: Retransmissions or probes that nobody has answered when the capture ends.
VANISHED_AFTER = 5 * SECOND
#: So many of one host's ports tried by another are a scan: if some were open, or if none was.
SCANNED_PORTS, SCANNED_CLOSED_PORTS = 3, 8
#: A connection that its client resets within this time without having said anything was only to try the port.
TRIED_WITHIN = SECOND

#: Closing waits for the application in the first two, for one round trip in the others.
STUCK_AFTER: dict[State, int] = {
    State.CLOSE_WAIT: 60 * SECOND,
    State.FIN_WAIT1: 30 * SECOND,
    State.FIN_WAIT2: 60 * SECOND,
    State.CLOSING: 30 * SECOND,
    State.LAST_ACK: 30 * SECOND,
}


def stuck_thresholds(given: Any = None) -> dict[State, int]:
    """After how many nanoseconds each closing state counts as stuck.

    Parameters
    ----------
    given : a duration for all of them, ``"STATE=DURATION"`` for one, a list of these, or a mapping from state
        to duration; what is not given keeps its default.

    Raises
    ------
    UsageError
        If a state is none that closing passes through, or a duration is none.
    """
    thresholds = dict(STUCK_AFTER)
    for state, duration in _entries(given):
        thresholds.update(
            dict.fromkeys([_stuck_state(state)] if state else STUCK_AFTER, parse_duration(duration))
        )
    return thresholds


def _entries(given: Any) -> Iterable[tuple[Any, Any]]:
    if given is None:
        return
    if isinstance(given, Mapping):
        yield from given.items()
    elif isinstance(given, str):
        state, _, duration = given.rpartition("=")
        yield state.strip() or None, duration
    elif isinstance(given, Iterable) and not isinstance(given, timedelta):
        for entry in given:
            yield from _entries(entry)
    else:
        yield None, given


def _stuck_state(name: Any) -> State:
    try:
        state = State(name) if isinstance(name, int) else parse_state(str(name))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if state not in STUCK_AFTER:
        names = ", ".join(known.name for known in STUCK_AFTER)
        raise UsageError(f"no side is stuck in {state.name}; stuck-after knows {names}")
    return state
