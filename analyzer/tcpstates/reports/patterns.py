"""The table of patterns: what many connections show together, which none of them shows alone.

A detector looks at all connections at once, and yields what it found with the figures that decided. Its
thresholds stand at the top of its module. To add a pattern is to write a detector and to list it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tcpstates.reports.facts import Facts
from tcpstates.reports.log import Log
from tcpstates.reports.pattern import Pattern, Traffic
from tcpstates.reports.patterns_capture import one_way
from tcpstates.reports.patterns_closing import idle_timeout_races, leaks, port_exhaustion
from tcpstates.reports.patterns_opening import backlog_overflows, scans, syn_floods
from tcpstates.reports.table import Labels, Table
from tcpstates.reports.when import SECOND
from tcpstates.schema import CULPRITS, PATTERNS, SEVERITIES

DETECTORS: tuple[Callable[[Traffic], Iterator[Pattern]], ...] = (
    leaks,
    syn_floods,
    backlog_overflows,
    port_exhaustion,
    idle_timeout_races,
    one_way,
    scans,
)


def find_patterns(facts: Facts) -> tuple[Pattern, ...]:
    """All patterns, the worst first, then those of the most connections."""
    traffic = Traffic(facts)
    found = [pattern for detect in DETECTORS for pattern in detect(traffic)]
    return tuple(sorted(found, key=lambda p: (-SEVERITIES.index(p.severity), -p.connections, p.first)))


def patterns(log: Log, found: Sequence[Pattern]) -> Table:
    """One row per pattern of ``found``."""
    places = _integers([p.server if p.server >= 0 else p.client for p in found])
    return Table.of(
        "patterns",
        {
            "pattern": _codes([p.pattern for p in found], PATTERNS),
            "severity": _codes([p.severity for p in found], SEVERITIES),
            "server_addr": _addresses(log, [p.server for p in found]),
            "server_port": _integers([p.port for p in found]),
            "client_addr": _addresses(log, [p.client for p in found]),
            "tunnel": log.places.tunnels_of(places),
            "culprit": _codes([p.culprit for p in found], CULPRITS),
            "connections": _integers([p.connections for p in found]),
            "clients": _integers([p.clients for p in found]),
            "first": _integers([p.first for p in found]),
            "last": _integers([p.last for p in found]),
            "per_minute": _numbers([per_minute(p) for p in found]),
            "measured": _numbers([p.measured for p in found]),
            "threshold": _numbers([p.threshold for p in found]),
            "unit": _texts([p.unit for p in found]),
            "explanation": _texts([p.explanation for p in found]),
            "check": _texts([p.check for p in found]),
            "example": _integers([p.example for p in found]),
        },
    )


def per_minute(pattern: Pattern) -> float:
    """How many of its connections a minute there were, 0 if all began at once."""
    span = pattern.last - pattern.first
    return round((pattern.connections - 1) * 60 * SECOND / span, 3) if span else 0.0


def _codes(words: Sequence[str], names: tuple[str, ...]) -> np.ndarray:
    return np.array([names.index(word) if word else -1 for word in words], np.int8)


def _addresses(log: Log, places: Sequence[int]) -> Labels:
    address = np.append(log.places.address, -1)  # the last one serves -1
    return log.addresses.labels(address[_integers(places)])


def _integers(values: Sequence[int]) -> np.ndarray:
    return np.array(values, np.int64)


def _numbers(values: Sequence[float]) -> np.ndarray:
    return np.array(values, np.float64)


def _texts(values: Sequence[str]) -> np.ndarray:
    return np.array(values, object)
