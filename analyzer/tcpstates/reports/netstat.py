"""The table that netstat would have printed at one instant, of all hosts at once."""

from __future__ import annotations

import numpy as np

from tcpstates.errors import UsageError
from tcpstates.reports.listeners import Listening, listening_at
from tcpstates.reports.log import LIVE, Log, bit_set
from tcpstates.reports.table import Labels, Table, Values, used_labels
from tcpstates.reports.timeline import endpoints
from tcpstates.reports.wording import instant
from tcpstates.states import State

_LIVE_BITS = bit_set(*LIVE)


def netstat(log: Log, at: int) -> Table:
    """One row per socket at ``at``: first those that listen, then the others by conn and side.

    Parameters
    ----------
    log : what the engine found.
    at : ns since the epoch; a state is held from its start until, but not at, its end.

    Raises
    ------
    UsageError
        If ``at`` is outside of the capture.
    """
    if not log.start <= at <= log.end:
        bounds = f"{instant(log.start)} to {instant(log.end)}"
        raise UsageError(f"{instant(at)} is outside of the capture; use a time from {bounds}")
    rows = _live_rows(log, at)
    sides = log.side_of_row[rows]
    sockets: dict[str, Values] = {
        **endpoints(log, sides),
        "state": log.state[rows],
        "since": log.transitions["start"][rows],
        "conn": sides // 2,
        "side": (sides % 2).astype(np.int8),
    }
    listeners = _listeners(log, listening_at(log, at))
    return Table.of("netstat", {name: _joined(listeners[name], sockets[name]) for name in listeners})


def _live_rows(log: Log, at: int) -> np.ndarray:
    """The transitions whose state is live, and held at ``at``."""
    held = (log.transitions["start"] <= at) & (log.row_ends > at)
    last = log.last_rows[log.transitions["start"][log.last_rows] <= at]
    held[last] = True  # until the end of the capture, which is not when it ended
    rows = np.flatnonzero(held)
    return np.extract(_LIVE_BITS >> log.state[rows].astype(np.int64) & 1, rows)


def _listeners(log: Log, found: Listening) -> dict[str, Values]:
    order = np.lexsort((found.port, found.place))
    count, places = len(order), found.place[order]
    return {
        "local_addr": used_labels(log.places.address[places], log.addresses.names),
        "local_port": found.port[order].astype(np.uint16),
        "remote_addr": Labels(np.zeros(count, np.int32), ["*"]),
        "remote_port": np.zeros(count, np.uint16),
        "tunnel": log.places.tunnels_of(places),
        "state": np.full(count, State.LISTEN, np.uint8),
        "since": found.time[order],
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
