"""Which connections to show where there is room for a few: those that stand for the worst findings."""

from __future__ import annotations

import numpy as np

from tcpstates.reports.findings import grouped, grouping
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import Outcomes


def worst(log: Log, outcomes: Outcomes, most: int = 24, of_each: int = 3) -> list[int]:
    """Connections to look at, the worst finding's first; those without fault only if all fit.

    Parameters
    ----------
    log, outcomes : what was found.
    most : how many connections at most.
    of_each : how many of one finding at most, those in which it lasted longest.
    """
    found = np.flatnonzero(outcomes.severity > 0)
    order, starts = grouping(log, outcomes, found)
    members = np.split(found[order], starts[1:])
    by_example = {int(conns[0]): conns for conns in members if len(conns)}
    limit = most if len(outcomes.severity) <= most else of_each
    chosen: list[int] = []
    for example in grouped(log, outcomes).example[:most].tolist():
        chosen += by_example[example][:limit].tolist()
    if len(outcomes.severity) <= most:
        chosen += np.flatnonzero(outcomes.severity == 0).tolist()
    return chosen[:most]


def worst_rows(outcomes: Outcomes, most: int) -> np.ndarray:
    """All connections in their order, or of too many the worst: by severity, then by how long it lasted."""
    count = len(outcomes.severity)
    if count <= most:
        return np.arange(count)
    return np.lexsort((-outcomes.lasted, -outcomes.severity.astype(np.int64)))[:most]
