"""What a capture amounts to, in figures: what ``analyze`` prints and notebooks show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tcpstates.reports.findings import (
    Groups,
    checks,
    clients_involved,
    explanations,
    grouped,
    wireshark_filter,
)
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.pattern import Pattern
from tcpstates.reports.wording import endpoint
from tcpstates.schema import CULPRITS, OUTCOMES, SEVERITIES, Disorder, tunnel_name
from tcpstates.states import State


@dataclass(frozen=True)
class Counts:
    """What was read. ``skipped`` has the frames that hold no TCP segment, by reason."""

    frames: int = 0
    segments: int = 0
    dissected: int = 0  # by dpkt, because the fast path declined them
    bad_checksums: int = 0  # segments that moved nobody for that reason
    stray_errors: int = 0  # ICMP errors about segments of no connection
    skipped: Mapping[str, int] = field(default_factory=dict)
    copies: int = 0  # frames that stood in more than one file, and count once
    filtered: int = 0  # frames that the filter left out
    disorder: Disorder = field(default_factory=Disorder)


@dataclass(frozen=True)
class Finding:
    """One finding, ready to be shown; times in ns."""

    outcome: str
    severity: str
    culprit: str
    server_addr: str
    server_port: int
    tunnel: str
    connections: int
    clients: int
    first: int
    last: int
    median: int
    p95: int
    longest: int
    top_clients: str
    explanation: str
    check: str
    example: int
    wireshark_filter: str


@dataclass(frozen=True)
class ShownPattern:
    """One pattern, ready to be shown; times in ns. An empty address or a negative port: several."""

    pattern: str
    severity: str
    culprit: str
    server_addr: str
    server_port: int
    client_addr: str
    tunnel: str
    first: int
    last: int
    explanation: str
    check: str
    example: int

    @property
    def whose(self) -> str:
        """The server or the client that it is about, as far as it is one."""
        within = f" in {self.tunnel}" if self.tunnel else ""
        if self.server_addr and self.server_port >= 0:
            return endpoint(self.server_addr, self.server_port) + within
        if self.server_port >= 0:
            return f"port {self.server_port}{within}"
        return (self.server_addr or self.client_addr) + within


@dataclass(frozen=True)
class Summary:
    """A capture in figures; times in ns.

    Attributes
    ----------
    files : the captures read.
    start, end : their bounds, ``NO_TIME`` where there is no frame.
    counts : what was read.
    outcomes : connections by outcome, the most frequent first.
    severities : connections by severity, the worst first.
    states : by state, how many clients and how many servers are in it when the capture ends.
    patterns, findings : the worst ones.
    more_patterns, more_findings : how many there are beside these.
    """

    files: tuple[str, ...]
    start: int
    end: int
    counts: Counts
    connections: int
    outcomes: dict[str, int]
    severities: dict[str, int]
    states: dict[str, tuple[int, int]]
    patterns: tuple[ShownPattern, ...]
    more_patterns: int
    findings: tuple[Finding, ...]
    more_findings: int


def summary(
    log: Log, outcomes: Outcomes, patterns: Sequence[Pattern], counts: Counts, most: int = 5
) -> Summary:
    """``log`` in figures, with at most ``most`` patterns, and as many findings."""
    groups = grouped(log, outcomes)
    return Summary(
        files=log.files,
        start=log.start,
        end=log.end,
        counts=counts,
        connections=len(log.connections),
        outcomes=_frequencies(outcomes.outcome, OUTCOMES),
        severities=_severities(outcomes),
        states=_states(log),
        patterns=tuple(_pattern(log, pattern) for pattern in patterns[:most]),
        more_patterns=max(len(patterns) - most, 0),
        findings=_findings(log, groups.take(slice(most))),
        more_findings=max(len(groups.example) - most, 0),
    )


def _frequencies(codes: np.ndarray, names: tuple[str, ...]) -> dict[str, int]:
    counted = np.bincount(codes, minlength=len(names)).tolist()
    pairs = [(name, number) for name, number in zip(names, counted, strict=True) if number]
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


def _severities(outcomes: Outcomes) -> dict[str, int]:
    counted = np.bincount(outcomes.severity, minlength=len(SEVERITIES)).tolist()
    return dict(reversed([*zip(SEVERITIES, counted, strict=True)]))


def _states(log: Log) -> dict[str, tuple[int, int]]:
    client, server = (np.bincount(log.final[:, side], minlength=len(State)).tolist() for side in (0, 1))
    return {state.name: (client[state], server[state]) for state in State if client[state] or server[state]}


def _findings(log: Log, groups: Groups) -> tuple[Finding, ...]:
    texts = zip(explanations(groups), clients_involved(log, groups), checks(log, groups), strict=True)
    return tuple(_finding(log, groups, row, *text) for row, text in enumerate(texts))


def _pattern(log: Log, found: Pattern) -> ShownPattern:
    place = found.server if found.server >= 0 else found.client
    return ShownPattern(
        pattern=found.pattern,
        severity=found.severity,
        culprit=found.culprit,
        server_addr=_address(log, found.server),
        server_port=found.port,
        client_addr=_address(log, found.client),
        tunnel=tunnel_name(log.places.tunnel[place]) if place >= 0 else "",
        first=found.first,
        last=found.last,
        explanation=found.explanation,
        check=found.check,
        example=found.example,
    )


def _address(log: Log, place: int) -> str:
    return log.host(place) if place >= 0 else ""


def _finding(log: Log, groups: Groups, row: int, explanation: str, clients: str, to_check: str) -> Finding:
    server, culprit = int(groups.server[row]), int(groups.culprit[row])
    return Finding(
        outcome=OUTCOMES[groups.outcome[row]],
        severity=SEVERITIES[groups.severity[row]],
        culprit=CULPRITS[culprit] if culprit >= 0 else "",
        server_addr=log.addresses.text(int(log.addresses.codes[server])),
        server_port=int(log.sides["port"][server]),
        tunnel=tunnel_name(log.sides["tunnel"][server]),
        connections=int(groups.connections[row]),
        clients=int(groups.clients[row]),
        first=int(groups.first[row]),
        last=int(groups.last[row]),
        median=int(groups.median[row]),
        p95=int(groups.p95[row]),
        longest=int(groups.longest[row]),
        top_clients=clients,
        explanation=explanation,
        check=to_check,
        example=int(groups.example[row]),
        wireshark_filter=wireshark_filter(log, int(groups.example[row])),
    )
