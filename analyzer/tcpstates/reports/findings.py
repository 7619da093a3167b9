"""The table of findings: what is stuck or abnormal, grouped by server, outcome and culprit, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tcpstates.reports.checks import check
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.sentences import Figures, sentence
from tcpstates.reports.table import Table
from tcpstates.schema import CULPRITS, OUTCOMES
from tcpstates.states import Side

_TOP = 3  # clients that are named
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
    median: np.ndarray
    p95: np.ndarray
    longest: np.ndarray
    top_clients: np.ndarray  # codes of log.places, shape (findings, 3), -1 for none
    top_counts: np.ndarray  # how many of the connections each of them has
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
            "server_addr": log.addresses.labels(log.addresses.codes[groups.server]),
            "server_port": log.sides["port"][groups.server],
            "tunnel": log.places.tunnels_of(log.places.codes[groups.server]),
            "culprit": groups.culprit,
            "connections": groups.connections,
            "clients": groups.clients,
            "first": groups.first,
            "last": groups.last,
            "median": groups.median,
            "p95": groups.p95,
            "longest": groups.longest,
            "top_clients": _texts(clients_involved(log, groups)),
            "explanation": _texts(explanations(groups)),
            "check": _texts(checks(log, groups)),
            "example": example,
            "wireshark_filter": _texts([wireshark_filter(log, conn) for conn in example.tolist()]),
        },
    )


def _texts(texts: Sequence[str]) -> np.ndarray:
    return np.array(texts, object)


def grouped(log: Log, outcomes: Outcomes) -> Groups:
    """The findings in figures; see ``Groups``."""
    found = np.flatnonzero(outcomes.severity > 0)
    order, starts = grouping(log, outcomes, found)
    conns = found[order]
    first_of, sizes = conns[starts], np.diff(np.append(starts, len(conns)))
    clients, top_clients, top_counts = _clients(log, conns, sizes)
    groups = Groups(
        server=2 * first_of + Side.SERVER,
        outcome=outcomes.outcome[first_of],
        severity=outcomes.severity[first_of],
        culprit=outcomes.culprit[first_of],
        connections=sizes,
        clients=clients,
        lasting=_reduced(np.add, outcomes.lasts[conns].astype(np.int64), starts),
        first=_reduced(np.minimum, outcomes.since[conns], starts),
        last=_reduced(np.maximum, outcomes.since[conns], starts),
        median=outcomes.lasted[conns[starts + _rank(sizes, 50)]],
        p95=outcomes.lasted[conns[starts + _rank(sizes, 95)]],
        longest=outcomes.lasted[first_of],
        top_clients=top_clients,
        top_counts=top_counts,
        example=first_of,
    )
    worst_first = np.lexsort((groups.first, -groups.connections, -groups.severity.astype(np.int64)))
    return groups.take(worst_first)


def grouping(log: Log, outcomes: Outcomes, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _rank(sizes: np.ndarray, percent: int) -> np.ndarray:
    """The place of a percentile in groups of these sizes, each sorted from the longest on."""
    return np.asarray(sizes + (-sizes * percent) // 100)


def _clients(log: Log, conns: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each group of ``conns``: the number of client hosts, the most frequent, and how often each."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    places = max(len(log.places.address), 1)
    keys = group * places + log.places.codes[2 * conns + Side.CLIENT]
    pairs, counts = np.unique(keys, return_counts=True)
    group, code = np.divmod(pairs, places)
    number = np.bincount(group, minlength=len(sizes))
    order = np.lexsort((-counts, group))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(number) - number, number)
    order, rank = order[rank < _TOP], rank[rank < _TOP]
    top, times = np.full((len(sizes), _TOP), -1), np.zeros((len(sizes), _TOP), np.int64)
    top[group[order], rank], times[group[order], rank] = code[order], counts[order]
    return number, top, times


def clients_involved(log: Log, groups: Groups) -> list[str]:
    """For each of ``groups``: ``"10.0.0.1 (12), 10.0.0.7 (3), 10.0.0.9 and 4 more"``."""
    rows = zip(groups.top_clients.tolist(), groups.top_counts.tolist(), groups.clients.tolist(), strict=True)
    return [_involved(log, top, counts, clients) for top, counts, clients in rows]


def _involved(log: Log, top: list[int], counts: list[int], clients: int) -> str:
    known = [(place, count) for place, count in zip(top, counts, strict=True) if place >= 0]
    hosts = [(log.host(place), count) for place, count in known]
    names = [name if count == 1 else f"{name} ({count:,})" for name, count in hosts]
    more = f" and {clients - len(known):,} more" if clients > len(known) else ""
    return ", ".join(names) + more


def checks(log: Log, groups: Groups) -> list[str]:
    """For each of ``groups``, what to run next, and where."""
    rows = zip(groups.outcome.tolist(), groups.culprit.tolist(), groups.server.tolist(), strict=True)
    return [_check(log, outcome, culprit, server) for outcome, culprit, server in rows]


def _check(log: Log, outcome: int, culprit: int, server: int) -> str:
    address = log.addresses.text(int(log.addresses.codes[server]))
    who = CULPRITS[culprit] if culprit >= 0 else ""
    return check(OUTCOMES[outcome], who, address, int(log.sides["port"][server]))


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
