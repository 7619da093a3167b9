"""Patterns of the capture itself: what it shows of one direction only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tcpstates.reports.facts import either
from tcpstates.reports.pattern import Pattern, Traffic, pattern_of
from tcpstates.reports.wording import counted
from tcpstates.states import Side

#: One direction is missing: of connections with so many segments beside SYN and RST, so large a share.
ONE_WAY_SEGMENTS = 5
ONE_WAY_SHARE = 0.2


def one_way(traffic: Traffic) -> Iterator[Pattern]:
    """Connections of which only one side's frames were captured, though it goes on as if it were answered."""
    silent = ~traffic.facts.heard
    conn = _worth(traffic, np.flatnonzero(either(silent)))
    if not len(conn):
        return
    worth = len(_worth(traffic, np.arange(len(silent))))
    if len(conn) / worth >= ONE_WAY_SHARE:
        yield _one_way(traffic, conn, worth, silent[conn].sum(axis=0))


def _worth(traffic: Traffic, conn: np.ndarray) -> np.ndarray:
    """Those connections of ``conn`` that say enough to tell by them."""
    return conn[traffic.talk(conn) >= ONE_WAY_SEGMENTS]


def _one_way(traffic: Traffic, conn: np.ndarray, worth: int, missing: np.ndarray) -> Pattern:
    servers, ports = traffic.server[conn], traffic.server_port[conn]
    one = bool((servers == servers[0]).all()), bool((ports == ports[0]).all())
    sides = [f"the {side.label}'s frames" for side in Side if missing[side]]
    if len(sides) > 1:
        sides = [f"{frames} of {int(missing[side]):,}" for side, frames in enumerate(sides)]
    text = (
        f"The capture shows one direction only of {len(conn):,} of {counted(worth, 'connection')}: "
        f"{' and '.join(sides)} are missing, and little can be said of that side. Capture where both "
        "directions pass, on the host itself for one, or have both mirrored."
    )
    return pattern_of(
        traffic, "one_way_capture", conn,
        at=(int(servers[0]) if one[0] else -1, int(ports[0]) if all(one) else -1, -1), severity="warning",
        culprit="", measured=(100 * len(conn) / worth, 100 * ONE_WAY_SHARE, "% of connections"),
        explanation=text, check="tcpdump -i any -w FILE tcp",
    )  # fmt: skip
