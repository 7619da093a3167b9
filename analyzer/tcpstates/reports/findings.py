"""The table of findings: what is stuck or abnormal, grouped by server, outcome and culprit, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.sentences import Figures, sentence
from tcpstates.reports.table import Table, used_labels
from tcpstates.schema import CULPRITS, OUTCOMES
from tcpstates.states import Side

_PORTS, _OUTCOMES, _CULPRITS = 1 << 16, 32, 4  # sizes of the key's digits


class Groups(NamedTuple):
    """Findings in figures, worst first; one value per finding."""

    server: np.ndarray  # row of log.sides
    outcome: np.ndarray
    severity: np.ndarray
    culprit: np.ndarray
    connections: np.ndarray
    clients: np.ndarray
    lasting: np.ndarray  # how many still were when the capture ended
    first: np.ndarray
    last: np.ndarray
    longest: np.ndarray
    example: np.ndarray  # the connection in which it lasted longest

    def take(self, rows: np.ndarray | slice) -> Groups:
        """Those findings of it."""
        return Groups(*(values[rows] for values in self))


def findings(log: Log, outcomes: Outcomes) -> Table:
    """One row per server, outcome and culprit, of all that is a note or worse."""
    groups = grouped(log, outcomes)
    example = groups.example
    return Table.of(
        "findings",
        {
            "outcome": groups.outcome,
            "severity": groups.severity,
            "server_addr": used_labels(log.addresses.codes[groups.server], log.addresses.names),
            "server_port": log.sides["port"][groups.server],
            "tunnel": log.places.tunnels_of(log.places.codes[groups.server]),
            "culprit": groups.culprit,
            "connections": groups.connections,
            "clients": groups.clients,
            "first": groups.first,
            "last": groups.last,
            "longest": groups.longest,
            "explanation": _texts(explanations(groups)),
            "example": example,
            "wireshark_filter": _texts([wireshark_filter(log, conn) for conn in example.tolist()]),
        },
    )


def _texts(texts: Sequence[str]) -> np.ndarray:
    return np.array(texts, object)


def grouped(log: Log, outcomes: Outcomes) -> Groups:
    """The findings in figures; see ``Groups``."""
    found = np.flatnonzero(outcomes.severity > 0)
    order, starts = _grouping(log, outcomes, found)
    conns = found[order]
    first_of = conns[starts]
    groups = Groups(
        server=2 * first_of + Side.SERVER,
        outcome=outcomes.outcome[first_of],
        severity=outcomes.severity[first_of],
        culprit=outcomes.culprit[first_of],
        connections=np.diff(np.append(starts, len(conns))),
        clients=_clients(log, conns, starts),
        lasting=_reduced(np.add, outcomes.lasts[conns].astype(np.int64), starts),
        first=_reduced(np.minimum, outcomes.since[conns], starts),
        last=_reduced(np.maximum, outcomes.since[conns], starts),
        longest=outcomes.lasted[first_of],
        example=first_of,
    )
    worst_first = np.lexsort((groups.first, -groups.connections, -groups.severity.astype(np.int64)))
    return groups.take(worst_first)


def _grouping(log: Log, outcomes: Outcomes, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order of ``found`` that puts groups together, the longest of each first; and where groups start."""
    server = 2 * found + Side.SERVER
    key = log.places.codes[server] * _PORTS + log.sides["port"][server]
    key = (key * _OUTCOMES + outcomes.outcome[found]) * _CULPRITS + outcomes.culprit[found] + 1
    order = np.lexsort((-outcomes.lasted[found], key))
    key = key[order]
    return order, np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])


def _reduced(function: np.ufunc, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """``function`` over each group of ``values``; reduceat refuses to reduce nothing."""
    reduced: np.ndarray = function.reduceat(values, starts) if len(starts) else values[:0]
    return reduced


def _clients(log: Log, conns: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The number of clients in each group of ``conns``, told apart by address and tunnel."""
    group = np.zeros(len(conns), np.int64)
    group[starts[1:]] = 1
    places = len(log.places.address)
    pairs = np.unique(np.cumsum(group) * places + log.places.codes[2 * conns + Side.CLIENT])
    return np.bincount(pairs // max(places, 1), minlength=len(starts))


def explanations(groups: Groups) -> list[str]:
    """One English sentence or two for each of ``groups``."""
    rows = zip(*(values.tolist() for values in groups), strict=True)
    return [_explanation(Groups(*row)) for row in rows]


def _explanation(row: Groups) -> str:
    figures = Figures(
        culprit=CULPRITS[int(row.culprit)] if int(row.culprit) >= 0 else "",
        connections=int(row.connections),
        clients=int(row.clients),
        lasting=int(row.lasting),
        longest=int(row.longest),
    )
    return sentence(OUTCOMES[int(row.outcome)], figures)


def wireshark_filter(log: Log, conn: int) -> str:
    """The display filter that shows connection ``conn`` and nothing else.

    It names the 4-tuple and the range of frames. Frame numbers start anew in each file, so the range is left
    out where the connection goes on from one file to the next.
    """
    connection, sides = log.connections[conn], log.sides[2 * conn : 2 * conn + 2]
    field = "ip.addr" if connection["version"] == 4 else "ipv6.addr"
    codes = log.addresses.codes[2 * conn : 2 * conn + 2].tolist()
    parts = [f"{field}=={log.addresses.text(code)}" for code in dict.fromkeys(codes)]
    parts += [f"tcp.port=={port}" for port in dict.fromkeys(sides["port"].tolist())]
    if connection["first_file"] == connection["last_file"]:
        parts += [f"frame.number>={connection['first_frame']}", f"frame.number<={connection['last_frame']}"]
    return " && ".join(parts)
