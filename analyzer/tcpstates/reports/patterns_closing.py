"""Patterns of how connections end: sockets that leak, ports that run out, idle timeouts that lose a race."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tcpstates.reports.checks import check, on_host
from tcpstates.reports.facts import Stays
from tcpstates.reports.pattern import Pattern, Traffic, crowds, pattern_of, peak, server_of
from tcpstates.reports.ranking import coded
from tcpstates.reports.when import SECOND
from tcpstates.reports.wording import clock, duration, figure
from tcpstates.schema import NO_TIME
from tcpstates.states import Event, Side, State

#: A leak: so many stuck sockets of one server, of which so large a share was never closed, begun in so many
#: of five equal parts of the time in which they began.
LEAK_AT_LEAST = 10
LEAK_NEVER_CLOSED = 0.8
LEAK_PARTS = 4
#: The descriptors that a Linux process may have by default, and the most that the usual limits allow.
DESCRIPTORS = (1_024, 65_536)

#: How much of a range of ephemeral ports may be in use between one client and one server.
PORTS_IN_USE = 0.5
#: First and last ephemeral port by default: Linux; Windows, macOS and RFC 6335; whatever it was set to.
PORT_RANGES = ((32_768, 60_999), (49_152, 65_535), (1_024, 65_535))

#: A race with an idle timeout: in so many connections, idle for so long before, and for nearly the same time.
RACE_AT_LEAST = 5
RACE_IDLE = SECOND
RACE_WITHIN = SECOND
RACE_SPREAD = 0.1


def leaks(traffic: Traffic) -> Iterator[Pattern]:
    """Sockets in CLOSE_WAIT, or in FIN_WAIT2, whose number only grows because a side never closes."""
    peer_waits = traffic.facts.ever(State.CLOSE_WAIT)[:, ::-1]
    yield from _leaks_in(traffic, State.CLOSE_WAIT, None, actor_is_peer=False)
    # Whose peer is in CLOSE_WAIT waits for the peer's leak
    yield from _leaks_in(traffic, State.FIN_WAIT2, ~peer_waits, actor_is_peer=True)


def _leaks_in(
    traffic: Traffic, state: State, among: np.ndarray | None, *, actor_is_peer: bool
) -> Iterator[Pattern]:
    facts, threshold = traffic.facts, traffic.facts.stuck_after[state]
    stays = facts.slow_stays(state, actor_is_peer=actor_is_peer)
    if among is not None:
        stays = stays.where(among[stays.conn, stays.side])
    heard = facts.heard[stays.conn, stays.side ^ actor_is_peer]
    stays = stays.where(heard & (stays.lasts | (stays.waited > threshold)))
    # Those that were closed by their side after all
    late = ~stays.lasts & (stays.ended_by == Event.SENT_FIN) & (stays.waited > threshold)
    for rows in crowds(traffic.endpoint[stays.conn] * 2 + stays.side, LEAK_AT_LEAST):
        closed_late = stays.waited[rows[late[rows]]]
        if _only_grows(stays, rows, closed_late, threshold):
            now = rows[stays.lasts[rows]]
            yield _leak(traffic, state, stays, now, len(closed_late), actor_is_peer)


def _only_grows(stays: Stays, rows: np.ndarray, closed_late: np.ndarray, threshold: int) -> bool:
    """Whether sockets, the ``rows`` of ``stays``, got stuck all the time, and hardly one was closed.

    ``closed_late`` is how long those waited that were closed, ns.
    """
    if len(closed_late):  # an application that closes after minutes leaks only what is left much longer
        threshold = max(threshold, 2 * int(np.median(closed_late)))
    stuck = rows[stays.waited[rows] > threshold]
    kept = stays.since[stuck[stays.lasts[stuck]]]
    if len(kept) < LEAK_AT_LEAST or len(kept) < LEAK_NEVER_CLOSED * len(stuck):
        return False
    first, last = kept.min(), kept.max()
    fifths = np.minimum((kept - first) * 5 // max(int(last - first), 1), 4)
    return len(np.flatnonzero(np.bincount(fifths))) >= LEAK_PARTS


def _leak(
    traffic: Traffic, state: State, stays: Stays, now: np.ndarray, closed: int, actor_is_peer: bool
) -> Pattern:
    """Those of ``stays`` that last as a pattern: the rows ``now``. Others, ``closed``, were closed late."""
    count, culprit = len(now), Side(int(stays.side[now[0]]) ^ actor_is_peer)
    now = now[np.argsort(stays.since[now])]
    conn, since = stays.conn[now], stays.since[now]
    a_minute = (count - 1) * 60 * SECOND / max(int(since[-1] - since[0]), 1)
    where = f"on the {culprit.label}" if not actor_is_peer else f"because the {culprit.label} does not close"
    text = (
        f"{count:,} sockets have piled up in {state.name} {where}, {figure(a_minute)} a minute, "
        f"{_but_closed(closed)}"
        f"{_outlook(since, a_minute, traffic.log.end)}"
    )
    host = traffic.log.host(traffic.server[conn[0]])
    port = int(traffic.server_port[conn[0]])
    return pattern_of(
        traffic, "leak", conn, at=server_of(traffic, conn), severity="error",
        culprit=culprit.label, measured=(count, LEAK_AT_LEAST, f"sockets in {state.name}"),
        explanation=text, check=check("stuck_close_wait", culprit.label, host, port),
        span=(int(since[0]), int(since[-1])),
    )  # fmt: skip


def _but_closed(closed: int) -> str:
    return "and not one was closed." if not closed else f"and only {closed:,} closed, late."


def _outlook(since: np.ndarray, a_minute: float, end: int) -> str:
    """Whether it goes on, and when the descriptors are used up if it does."""
    count, last = len(since), int(since[-1])
    if (end - last) * a_minute > 10 * 60 * SECOND:  # ten more were due
        return f" None was added in the last {duration(end - last)}."
    limit = next((limit for limit in DESCRIPTORS if limit > count), None)
    if limit is None:
        return ""
    full = last + int((limit - count) / a_minute * 60 * SECOND)
    if full - end > 366 * 86_400 * SECOND:
        return ""
    return f" At this rate {limit:,} descriptors, a usual limit, are used up by {clock(full)[:19]} UTC."


def port_exhaustion(traffic: Traffic) -> Iterator[Pattern]:
    """So many sockets between one client and one server that the client's ephemeral ports run out."""
    fewest = int(PORTS_IN_USE * min(last - first + 1 for first, last in PORT_RANGES))
    busy = np.flatnonzero((np.bincount(traffic.client) >= fewest)[traffic.client])
    endpoints, numbers = coded(traffic.endpoint[busy])
    for rows in crowds(traffic.client[busy] * len(endpoints) + numbers, fewest):
        conn = busy[rows]
        first_port, last_port = _port_range(traffic.log.sides["port"][2 * conn])
        ports = last_port - first_port + 1
        starts, ends = _lives(traffic, conn)
        most, when = peak(starts, ends)
        if most >= PORTS_IN_USE * ports:
            yield _exhaustion(traffic, conn, ports, most, when)


def _port_range(used: np.ndarray) -> tuple[int, int]:
    """The narrowest of the usual ranges that holds the ports used, but for one in a hundred."""
    ranges = sorted(PORT_RANGES, key=lambda bounds: bounds[1] - bounds[0])
    fits = (r for r in ranges if ((used >= r[0]) & (used <= r[1])).mean() >= 0.99)
    return next(fits, ranges[-1])


def _lives(traffic: Traffic, conn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From when to when each client's socket took its port."""
    log, side = traffic.log, 2 * conn
    last = log.last_rows[side]
    gone = log.state[last] == State.CLOSE
    ends = np.where(gone, log.transitions["start"][last], log.end + 1)
    return log.transitions["start"][log.first_rows_of(side)], ends


def _exhaustion(traffic: Traffic, conn: np.ndarray, ports: int, most: int, when: int) -> Pattern:
    waiting = traffic.facts.stays(State.TIME_WAIT, _only(traffic, conn, Side.CLIENT))
    at_peak = int(((waiting.since <= when) & (waiting.since + waiting.lasted > when)).sum())
    text = (
        f"At {clock(when)} UTC one client held {most:,} sockets to this server, {at_peak:,} of them in "
        f"TIME_WAIT, and ephemeral ports are {ports:,} by default: when none is left, connect() fails with "
        "EADDRNOTAVAIL. Keep connections open and reuse them."
    )
    client = int(traffic.client[conn[0]])
    command = "ss -s; sysctl net.ipv4.ip_local_port_range net.ipv4.tcp_tw_reuse"
    return pattern_of(
        traffic, "port_exhaustion", conn, at=server_of(traffic, conn, client), severity="warning",
        culprit="client", measured=(most, PORTS_IN_USE * ports, "ports in use"), explanation=text,
        check=on_host(traffic.log.host(client), command),
    )  # fmt: skip


def _only(traffic: Traffic, conn: np.ndarray, side: Side) -> np.ndarray:
    chosen = np.zeros((len(traffic.start), 2), bool)
    chosen[conn, side] = True
    return chosen


def idle_timeout_races(traffic: Traffic) -> Iterator[Pattern]:
    """Servers that close idle connections in the moment in which the client uses them again."""
    conn, when, idle = _races(traffic)
    for rows in crowds(traffic.endpoint[conn], RACE_AT_LEAST):
        times = np.sort(idle[rows])
        typical = int(np.median(times))
        # A timeout is a constant; what merely happened to be silent before is not
        alike = np.abs(idle[rows] - typical) <= RACE_SPREAD * typical
        if alike.sum() >= max(RACE_AT_LEAST, len(rows) / 2):
            yield _race(traffic, conn[rows[alike]], when[rows[alike]], typical)


def _races(traffic: Traffic) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connections that the server ended as the client wrote: which, when, and how long idle before (ns)."""
    resets, log = traffic.facts.resets, traffic.log
    resets = resets.where((resets.sender == Side.SERVER) & (resets.while_closing == resets.sender_had_closed))
    said, replied = log.per_side("last_data")[resets.conn].T
    fin = log.sides["fin_time"][2 * resets.conn + 1]
    ended = np.where(resets.sender_had_closed, fin, resets.time)
    wrote_then = (said != NO_TIME) & (replied != NO_TIME) & (replied <= ended)
    wrote_then &= np.where(resets.sender_had_closed, said >= ended, said <= ended)
    wrote_then &= np.abs(np.where(wrote_then, said - ended, 0)) <= RACE_WITHIN
    idle = np.where(wrote_then, np.minimum(said, ended) - replied, 0)
    held = idle >= RACE_IDLE
    return resets.conn[held], ended[held], idle[held]


def _race(traffic: Traffic, conn: np.ndarray, when: np.ndarray, idle: int) -> Pattern:
    text = (
        f"The server ended {len(conn):,} connections after {duration(idle)} without traffic just as the "
        "client used them again, and answered the request with a RST: its idle timeout is shorter than the "
        f"client's. Let the client drop idle connections first, before {duration(idle)}, or repeat such a "
        "request on a new one."
    )
    host = traffic.log.host(traffic.server[conn[0]])
    return pattern_of(
        traffic, "idle_timeout_race", conn, at=server_of(traffic, conn), severity="warning",
        culprit="server", measured=(len(conn), RACE_AT_LEAST, "connections"), explanation=text,
        check=on_host(host, "the keep-alive or idle timeout in the service's configuration"),
        span=(int(when.min()), int(when.max())),
    )  # fmt: skip
