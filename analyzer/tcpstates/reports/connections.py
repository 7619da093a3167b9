"""The table of connections: who, when, how much, and what became of it."""

from __future__ import annotations

import numpy as np

from tcpstates.reports.diagnosis import Diagnoses
from tcpstates.reports.dialects import dialects
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.table import Table, Values, used_labels
from tcpstates.states import Side

_COUNTED = ("frames", "bytes", "retransmits", "duplicates")


def connections(log: Log, outcomes: Outcomes, diagnoses: Diagnoses) -> Table:
    """One row per connection, in the order of first frames."""
    start, end = log.connections["start"].copy(), log.connections["end"].copy()
    values: dict[str, Values] = {
        "conn": np.arange(len(log.connections)),
        "tunnel": log.places.tunnels_of(log.places.codes[Side.CLIENT :: 2]),
        "start": start,
        "end": end,
        "duration": end - start,
        "first_closer": log.connections["first_closer"].astype(np.int8) - 1,
        "outcome": outcomes.outcome,
        "culprit": outcomes.culprit,
        "severity": outcomes.severity,
        "diagnosis": diagnoses.column,
        **dialects(log),
    }
    for side in Side:
        values |= {f"{side.label}_{name}": column for name, column in _of_side(log, side).items()}
    return Table.of("connections", values)


def _of_side(log: Log, side: Side) -> dict[str, Values]:
    """The columns of one side, without its name before theirs."""
    rows = log.sides[side::2]
    counts = {name: rows[name].astype(np.int64) for name in _COUNTED}
    return {
        "addr": used_labels(log.addresses.codes[side::2], log.addresses.names),
        "port": rows["port"].copy(),
        "state": log.final[:, side],
        **counts,
    }
