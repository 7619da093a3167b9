"""Patterns of how connections begin: floods of SYNs, listeners whose queue is full, scans."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tcpstates.reports.checks import on_host
from tcpstates.reports.facts import both, client, either, server
from tcpstates.reports.pattern import Lookup, Pattern, Traffic, crowds, pattern_of, server_of
from tcpstates.reports.when import SECOND
from tcpstates.reports.wording import share

#: A SYN flood: so many attempts to one server within so long, each a single SYN that was not followed up, and
#: more of them than of completed ones. An attempt counts once the client has had so long to go on.
FLOOD_AT_LEAST = 40
FLOOD_WINDOW = 10 * SECOND
FLOOD_AGE = SECOND

#: A full queue: so many attempts that the listener ignored while it accepted others, so large a share of all
#: in that time, and so many times the share of other segments that were sent again.
BACKLOG_AT_LEAST = 5
BACKLOG_SHARE = 0.05
BACKLOG_TIMES_LOSS = 5

#: A scan: fruitless attempts at so many ports of a host, or hosts with a port, and such a share of all of the
#: client's attempts there. An attempt that has no answer yet counts after so long.
SCAN_AT_LEAST = 20
SCAN_SHARE = 0.8
SCAN_AGE = 3 * SECOND


def syn_floods(traffic: Traffic) -> Iterator[Pattern]:
    """Half-open connections, by masses: SYNs that nobody means to follow up."""
    alone = _alone(traffic)
    half_open = np.flatnonzero(alone & (traffic.log.end - traffic.start >= FLOOD_AGE))
    doubtful = traffic.age < FLOOD_AGE
    others = traffic.attempted & client(traffic.facts.completed) & ~alone
    completed = Lookup(traffic.endpoint, others)
    for rows in crowds(traffic.endpoint[half_open], FLOOD_AT_LEAST):
        conn = half_open[rows]
        if not traffic.answered[conn].any():  # nobody is there, or the capture lacks the answers
            continue
        most, begins = _busiest(traffic.start[conn])
        # Each frame that was lost may have completed one of them, not more
        spared = min(int(doubtful[conn].sum()), int(traffic.log.losses["frames"].sum()))
        most -= spared
        to_it = completed.of(traffic.endpoint[conn[0]])
        within = traffic.start[to_it] - begins
        if most >= FLOOD_AT_LEAST and most > ((within >= 0) & (within < FLOOD_WINDOW)).sum():
            yield _flood(traffic, conn, most, len(conn) - spared, len(to_it))


def _alone(traffic: Traffic) -> np.ndarray:
    """bool: the client's one SYN is all that it said, and was not refused."""
    frames, copies, syns = (client(traffic.log.up_to_255(name)) for name in ("frames", "duplicates", "syns"))
    alone = np.asarray((frames - copies <= 1) & (syns == 1) & ~traffic.refused)
    conn = np.flatnonzero(alone)  # where there may be more than 255 of them, count
    alone[conn] = client(traffic.counts("frames", conn) - traffic.counts("duplicates", conn)) == 1
    return alone


def _busiest(starts: np.ndarray) -> tuple[int, int]:
    """The most starts within one window, and when that window begins."""
    times = np.sort(starts)
    counts = np.searchsorted(times, times + FLOOD_WINDOW) - np.arange(len(times))
    most = int(np.argmax(counts))
    return int(counts[most]), int(times[most])


def _flood(traffic: Traffic, conn: np.ndarray, most: int, count: int, completed: int) -> Pattern:
    sources, frequencies = np.unique(traffic.client[conn], return_counts=True)
    spread = (
        "all from one address, so hardly a forged one"
        if len(sources) == 1
        else f"from {len(sources):,} addresses, {share(frequencies.max() / len(conn))} from the busiest"
    )
    text = (
        f"{count:,} SYNs came to this server and were not followed up, up to {most:,} within 10 s, "
        f"{spread}; {_others(completed)} completed meanwhile."
    )
    host = traffic.log.host(traffic.server[conn[0]])
    command = "nstat -az TcpExtSyncookiesSent TcpExtTCPReqQFullDrop; sysctl net.ipv4.tcp_syncookies"
    only = int(sources[0]) if len(sources) == 1 else -1
    return pattern_of(
        traffic, "syn_flood", conn, at=server_of(traffic, conn, only), severity="error", culprit="client",
        measured=(most, FLOOD_AT_LEAST, "half-open attempts in 10 s"), explanation=text,
        check=on_host(host, command),
    )  # fmt: skip


def _others(number: int) -> str:
    if not number:
        return "no other connection was"
    return f"{number:,} other {'connection was' if number == 1 else 'connections were'}"


def backlog_overflows(traffic: Traffic) -> Iterator[Pattern]:
    """Listeners that ignore SYNs or final ACKs while they accept other connections: a queue is full."""
    repeated_syn = client(traffic.log.up_to_255("syns")) > 1
    # The handshake is complete on the wire, and yet the server repeats its SYN-ACK
    repeated_answer = (server(traffic.log.up_to_255("syn_acks")) > 1) & client(traffic.facts.completed)
    ignored = traffic.attempted & ~traffic.refused & (repeated_syn | repeated_answer)
    ignored = np.flatnonzero(ignored)
    accepted = np.asarray(both(traffic.facts.completed))
    attempts = Lookup(traffic.endpoint, traffic.attempted)
    for rows in crowds(traffic.endpoint[ignored], BACKLOG_AT_LEAST):
        conn = ignored[rows]
        to_it = attempts.of(traffic.endpoint[conn[0]])
        start = traffic.start[to_it]
        meanwhile = to_it[(start >= traffic.start[conn].min()) & (start <= traffic.start[conn].max())]
        ignored_share = len(conn) / len(meanwhile)
        if accepted[meanwhile].sum() == accepted[conn].sum() or ignored_share < BACKLOG_SHARE:
            continue
        loss = _loss(traffic, meanwhile)
        if ignored_share >= BACKLOG_TIMES_LOSS * loss:
            at_answer = int(repeated_answer[conn].sum())
            yield _overflow(traffic, conn, len(meanwhile), at_answer, loss)


def _loss(traffic: Traffic, conn: np.ndarray) -> float:
    """The share of the segments after the handshake that were sent again."""
    repeats = np.maximum(traffic.counts("syns", conn) + traffic.counts("syn_acks", conn) - 1, 0)
    again = np.maximum(traffic.counts("retransmits", conn) - repeats, 0).sum()
    return float(again / max(traffic.talk(conn).sum(), 1))


def _overflow(traffic: Traffic, conn: np.ndarray, attempts: int, at_answer: int, loss: float) -> Pattern:
    again, answer = "had to send its SYN again", "got the SYN-ACK again after its final ACK"
    how = again if not at_answer else answer
    if 0 < at_answer < len(conn):
        how = f"{again} or ({at_answer:,} times) {answer}"
    text = (
        f"In {len(conn):,} of {attempts:,} attempts to connect the client {how}, while the server accepted "
        f"others and only {share(loss)} of the segments after the handshake were repeated: the listener's "
        "queue was full. The application accepts too slowly, or its backlog is too short."
    )
    host = traffic.log.host(traffic.server[conn[0]])
    port = int(traffic.server_port[conn[0]])
    command = f"ss -ltn 'sport = :{port}'; nstat -az TcpExtListenOverflows TcpExtListenDrops"
    return pattern_of(
        traffic, "backlog_overflow", conn, at=server_of(traffic, conn), severity="warning",
        culprit="server", measured=(100 * len(conn) / attempts, 100 * BACKLOG_SHARE, "% of attempts"),
        explanation=text, check=on_host(host, command),
    )  # fmt: skip


def scans(traffic: Traffic) -> Iterator[Pattern]:
    """Clients that try many ports of a host, or many hosts, and use what they find for nothing."""
    fruitless, places = _fruitless(traffic), len(traffic.log.places.address)
    by_host = traffic.client * places + traffic.server
    by_port = (traffic.client << 16) + traffic.server_port
    targets = (("port_scan", by_host, traffic.server_port), ("host_scan", by_port, traffic.server))
    for name, keys, target in targets:
        attempts = Lookup(keys, traffic.tried)
        for rows in crowds(keys[fruitless], SCAN_AT_LEAST):
            found = fruitless[rows]
            if len(found) < SCAN_SHARE * len(attempts.of(keys[found[0]])):
                continue
            number = len(np.unique(target[found]))
            if number >= SCAN_AT_LEAST:
                yield _scan(traffic, name, found, number)


def _fruitless(traffic: Traffic) -> np.ndarray:
    """The connections of which nothing came, and which no ordinary client attempted."""
    log = traffic.log
    reset = either(log.up_to_255("rsts") > 0)
    # Whoever means to connect repeats the SYN until the system gives up
    given_up = ~either(traffic.facts.completed) & (client(log.up_to_255("syns")) <= 2)
    given_up &= traffic.age >= SCAN_AGE
    probe = log.connections["probe"] != 0
    conn = np.flatnonzero(traffic.tried & (probe | reset | given_up))
    said_nothing = both((log.per_side("bytes")[conn] == 0) & (log.per_side("fins")[conn] == 0))
    return np.extract(probe[conn] | said_nothing, conn)


def _scan(traffic: Traffic, name: str, conn: np.ndarray, number: int) -> Pattern:
    refused, answered = int(traffic.refused[conn].sum()), int(traffic.answered[conn].sum())
    port, one_host = int(traffic.server_port[conn[0]]), int(traffic.server[conn[0]])
    source = int(traffic.client[conn[0]])
    target = f"port {port} on {number:,} hosts" if name == "host_scan" else f"{number:,} ports of this host"
    text = (
        f"{traffic.log.host(source)} tried {target} and sent no data: {answered:,} accepted, {refused:,} "
        f"refused, {len(conn) - answered - refused:,} gave no answer."
    )
    where = (-1, port, source) if name == "host_scan" else (one_host, -1, source)
    return pattern_of(
        traffic, name, conn, at=where, severity="note", culprit="client",
        measured=(number, SCAN_AT_LEAST, "hosts" if name == "host_scan" else "ports"), explanation=text,
        check=on_host(traffic.log.host(source), "whose machine it is, and whether it is meant to do this"),
    )  # fmt: skip
