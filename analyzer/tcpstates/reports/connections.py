"""The table of connections: who, when, how much, and what became of it."""

from __future__ import annotations

import numpy as np

from tcpstates.reports.diagnosis import Diagnoses
from tcpstates.reports.dialects import dialects
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.table import Pieces, Table, Values
from tcpstates.states import Side

_COUNTED = ("frames", "bytes", "retransmits", "duplicates")


def connections(log: Log, outcomes: Outcomes, diagnoses: Diagnoses) -> Pieces:
    """One row per connection, in the order of first frames."""
    count = len(log.connections)
    return Pieces("connections", count, lambda part: _rows(log, outcomes, diagnoses, part))


def _rows(log: Log, outcomes: Outcomes, diagnoses: Diagnoses, part: slice) -> Table:
    rows = log.connections[part]
    conn = np.arange(*part.indices(len(log.connections)))
    values: dict[str, Values] = {
        "conn": conn,
        "tunnel": log.places.tunnels_of(log.places.codes[2 * conn + Side.CLIENT]),
        "start": rows["start"].copy(),
        "end": rows["end"].copy(),
        "duration": rows["end"] - rows["start"],
        "first_closer": rows["first_closer"].astype(np.int8) - 1,
        "outcome": outcomes.outcome[part],
        "culprit": outcomes.culprit[part],
        "severity": outcomes.severity[part],
        "diagnosis": diagnoses.column[part],
        **dialects(log, conn),
    }
    for side in Side:
        values |= {f"{side.label}_{name}": column for name, column in _of_side(log, conn, side).items()}
    return Table.of("connections", values)


def _of_side(log: Log, conn: np.ndarray, side: Side) -> dict[str, Values]:
    """The columns of one side, without its name before theirs."""
    places = 2 * conn + side
    counts = {name: log.sides[name][places].astype(np.int64) for name in _COUNTED}
    return {
        "addr": log.addresses.labels(log.addresses.codes[places]),
        "port": log.sides["port"][places],
        "state": log.final[conn, side],
        **counts,
    }
