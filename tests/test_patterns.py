"""Patterns over many connections: named when the evidence is there, and not otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tcpstates
from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, at, normal_close
from tcpstates.reports.pattern import Pattern, peak
from tcpstates.schema import TunnelKind

PCAPS = Path(__file__).parent.parent / "pcaps"


def found(builder: LogBuilder) -> list[Pattern]:
    return [*builder.analysis().found_patterns]


def names(builder: LogBuilder) -> list[str]:
    return [pattern.pattern for pattern in found(builder)]


def between(number: int, server: str = "10.0.0.5:80") -> dict[str, tuple[str, str]]:
    """Client ``number``, each with a port of its own."""
    return {"endpoints": (f"10.0.{number // 250}.{number % 250 + 1}:{40_000 + number % 20_000}", server)}


# ---- leaks


def closed_by_client(builder: LogBuilder, number: int, since: float, closed_after: float | None) -> None:
    """A connection that its client closes at ``since``; the server does so later, or never."""
    server = f"{OPENING_SERVER}, {since} CLOSE_WAIT received_fin"
    client = f"{OPENING_CLIENT}, {since} FIN_WAIT1 sent_fin, {since + 0.1} FIN_WAIT2 received_ack_of_fin"
    if closed_after is not None:
        server += f", {since + closed_after} LAST_ACK sent_fin"
        client += f", {since + closed_after} TIME_WAIT received_fin"
    builder.connection(client, server, **between(number))


def test_a_leak_is_named_with_the_side_the_start_and_the_rate() -> None:
    builder = LogBuilder(end=300)
    for number in range(30):
        closed_by_client(builder, number, 10 + 4 * number, None)
        closed_by_client(builder, number + 100, 10 + 4 * number, 0.5)
    [leak] = found(builder)
    assert (leak.pattern, leak.severity, leak.culprit) == ("leak", "error", "server")
    assert (leak.connections, leak.clients, leak.measured) == (30, 30, 30)
    assert (leak.first, leak.last) == (at(10), at(126))
    assert "15 a minute, and not one was closed." in leak.explanation
    assert leak.check == "on 10.0.0.5: ss -tanp state close-wait 'sport = :80'"


def test_a_leak_that_goes_on_has_a_projection_and_one_that_ended_has_none() -> None:
    for end, told in ((135, "1,024 descriptors, a usual limit, are used up by"), (900, "None was added")):
        builder = LogBuilder(end=end)
        for number in range(30):
            closed_by_client(builder, number, 10 + 4 * number, None)
        [leak] = found(builder)
        assert told in leak.explanation


@pytest.mark.parametrize(
    ("why", "starts", "closed_after"),
    [
        ("an application that closes after 90 s", np.arange(0, 150, 2), 90),
        ("it is closed at once", np.arange(0, 150, 2), 0.2),
        ("all clients left together", np.full(50, 20), None),
        ("too few", np.arange(0, 90, 10), None),
        ("not for long yet", np.arange(250, 300, 2), None),
    ],
)
def test_what_is_no_leak(why: str, starts: np.ndarray, closed_after: float | None) -> None:
    builder = LogBuilder(end=300)
    for number, start in enumerate(starts.tolist()):
        closed_by_client(builder, number, start + 1, closed_after)
    assert names(builder) == [], why


def test_late_closes_that_the_capture_just_shows_explain_those_that_it_does_not() -> None:
    """Each is closed after 90 s, but the capture lasts 95 s: the first closes are all that is to be seen."""
    builder = LogBuilder(end=95)
    for number in range(40):
        start = 1 + number * 0.9
        closed_by_client(builder, number, start, 90 if start < 5 else None)
    assert names(builder) == []


def test_a_leak_of_clients_is_told_from_one_of_the_server() -> None:
    builder = LogBuilder(end=300)
    for number in range(30):
        since = 10 + 4 * number
        builder.connection(
            f"{OPENING_CLIENT}, {since} CLOSE_WAIT received_fin",
            f"{OPENING_SERVER}, {since} FIN_WAIT1 sent_fin, {since + 0.1} FIN_WAIT2 received_ack_of_fin",
            **between(number),
        )
    [leak] = found(builder)
    assert leak.culprit == "client"
    assert leak.check == "on the client: ss -tanp state close-wait 'dport = :80'"


# ---- floods


def lone_syn(builder: LogBuilder, number: int, start: float, *, answered: bool = True) -> None:
    server = f"{start} SYN_RECV sent_syn_ack" if answered else f"{start} CLOSE first_frame"
    builder.connection(
        f"{start} SYN_SENT sent_syn",
        server,
        **between(number),
        client_side={"frames": 1, "syns": 1},
        server_side={"frames": 3, "syn_acks": 3} if answered else {"frames": 0},
    )


def opened(builder: LogBuilder, number: int, start: float, **sides: int) -> None:
    builder.connection(
        f"{start} SYN_SENT sent_syn, {start + 0.1} ESTABLISHED received_syn_ack",
        f"{start} SYN_RECV sent_syn_ack, {start + 0.1} ESTABLISHED received_ack_of_syn",
        **between(number),
        client_side={"frames": 20, "syns": 1} | sides,
        server_side={"frames": 20, "syn_acks": 1},
    )


def test_a_flood_has_its_rate_and_the_spread_of_its_sources() -> None:
    builder = LogBuilder(end=60)
    for number in range(200):
        lone_syn(builder, number, 5 + number * 0.1)
    opened(builder, 300, 10)
    [flood] = found(builder)
    assert (flood.pattern, flood.culprit, flood.connections, flood.clients) == (
        "syn_flood", "client", 200, 200,
    )  # fmt: skip
    assert flood.measured == 100
    assert "from 200 addresses, 0.5 % from the busiest; 1 other connection was" in flood.explanation


def test_a_busy_server_is_not_flooded() -> None:
    """Its clients that are just connecting are half open as well."""
    builder = LogBuilder(end=10)
    for number in range(200):
        opened(builder, number, 1 + number * 0.02)
    for number in range(60):
        lone_syn(builder, 300 + number, 1 + number * 0.05)
    assert names(builder) == []


def test_syns_that_nothing_answers_are_no_flood() -> None:
    builder = LogBuilder(end=60)
    for number in range(200):
        lone_syn(builder, number, 5 + number * 0.01, answered=False)
    assert names(builder) == []


# ---- full queues


def ignored_at_first(builder: LogBuilder, number: int, start: float, **sides: int) -> None:
    builder.connection(
        f"{start} SYN_SENT sent_syn, {start + 1.1} ESTABLISHED received_syn_ack",
        f"{start} CLOSE first_frame, {start + 1} SYN_RECV sent_syn_ack, "
        f"{start + 1.1} ESTABLISHED received_ack_of_syn",
        **between(number),
        client_side={"frames": 20, "syns": 2, "retransmits": 1} | sides,
        server_side={"frames": 20, "syn_acks": 1},
    )


def test_a_listener_that_ignores_syns_while_it_accepts_others() -> None:
    builder = LogBuilder(end=60)
    for number in range(40):
        opened(builder, number, 1 + number * 0.1)
    for number in range(10):
        ignored_at_first(builder, 100 + number, 2 + number * 0.1)
    [overflow] = found(builder)
    assert (overflow.pattern, overflow.culprit, overflow.connections) == ("backlog_overflow", "server", 10)
    assert "the listener's queue was full" in overflow.explanation


def test_where_everything_is_lost_now_and_then_no_queue_is_full() -> None:
    builder = LogBuilder(end=60)
    for number in range(40):
        ignored_at_first(builder, number, 1 + number * 0.1, retransmits=6)
        opened(builder, 100 + number, 1 + number * 0.1, retransmits=5)
    assert names(builder) == []


def test_where_nothing_is_accepted_no_queue_is_full() -> None:
    builder = LogBuilder(end=60)
    for number in range(20):
        builder.connection(
            "1 SYN_SENT sent_syn",
            "1 CLOSE first_frame",
            **between(number),
            client_side={"frames": 4, "syns": 4},
            server_side={"frames": 0},
        )
    assert names(builder) == []


# ---- ports


@pytest.mark.parametrize(("port", "named"), [(33_000, False), (49_152, True)])
def test_ports_that_run_out_are_counted_against_the_range_that_is_used(port: int, named: bool) -> None:
    """8,500 ports are half of Windows's range, and a third of Linux's."""
    builder = LogBuilder(end=30)
    for number in range(8_500):
        start, end = 1 + number / 1_000, 1.0005 + number / 1_000
        builder.connection(
            f"{start} ESTABLISHED picked_up, {end} TIME_WAIT received_fin",
            f"{start} ESTABLISHED picked_up, {end} CLOSE received_ack_of_fin",
            endpoints=(f"10.0.0.1:{port + number}", "10.0.0.5:80"),
        )
    patterns = found(builder)
    assert [pattern.pattern for pattern in patterns] == ["port_exhaustion"] * named
    for pattern in patterns:
        assert (pattern.measured, pattern.threshold) == (8_500, 8_192)
        assert "8,499 of them in TIME_WAIT" in pattern.explanation


def test_the_peak_of_intervals() -> None:
    starts, ends = np.array([0, 1, 2, 5]), np.array([3, 2, 4, 6])
    assert peak(starts, ends) == (2, 1)


# ---- idle timeouts


def raced(builder: LogBuilder, number: int, idle: float) -> None:
    """The server closes after ``idle``; the client's request crosses the FIN and draws a RST."""
    ended = 2 + idle
    builder.connection(
        f"{OPENING_CLIENT}, {ended + 0.01} CLOSE_WAIT received_fin, {ended + 0.02} CLOSE received_rst",
        f"{OPENING_SERVER}, {ended} FIN_WAIT1 sent_fin, {ended + 0.02} CLOSE sent_rst",
        **between(number),
        client_side={"last_data": ended + 0.01, "bytes": 100},
        server_side={"last_data": 2, "fin_time": ended, "fins": 1, "rsts": 1, "bytes": 100},
    )


def test_requests_that_cross_the_close_of_an_idle_connection() -> None:
    builder = LogBuilder(end=100)
    for number in range(6):
        raced(builder, number, 60 + number * 0.01)
    [race] = found(builder)
    assert (race.pattern, race.culprit, race.connections) == ("idle_timeout_race", "server", 6)
    assert "after 1 min without traffic" in race.explanation


def test_silences_of_any_length_are_no_timeout() -> None:
    builder = LogBuilder(end=100)
    for number in range(10):
        raced(builder, number, 2.0 + 1.7**number / 4)
    assert names(builder) == []


# ---- one direction


def test_one_direction_only() -> None:
    builder = LogBuilder()
    builder.connection(OPENING_CLIENT, OPENING_SERVER, server_side={"frames": 0}, client_side={"frames": 9})
    [pattern] = found(builder)
    assert pattern.pattern == "one_way_capture"
    assert "one direction only of 1 of 1 connection: the server's frames are missing" in pattern.explanation


def test_a_single_frame_is_no_one_way_capture() -> None:
    builder = LogBuilder()
    builder.connection(OPENING_CLIENT, OPENING_SERVER, server_side={"frames": 0}, client_side={"frames": 2})
    assert names(builder) == []


# ---- scans


def tried(builder: LogBuilder, target: str, syns: int = 1, refused: bool = True) -> None:
    states = "1 SYN_SENT sent_syn, 1.1 CLOSE received_rst" if refused else "1 SYN_SENT sent_syn"
    builder.connection(
        states,
        "1 CLOSE first_frame",
        endpoints=("10.0.0.1:40000", target),
        client_side={"frames": syns, "syns": syns},
        server_side={"frames": int(refused), "rsts": int(refused)},
    )


def test_a_scan_of_ports_and_one_of_hosts() -> None:
    for targets, name in (
        ([f"10.0.0.5:{port}" for port in range(1, 31)], "port_scan"),
        ([f"10.0.0.{host}:22" for host in range(5, 35)], "host_scan"),
    ):
        builder = LogBuilder()
        for target in targets:
            tried(builder, target)
        [scan] = found(builder)
        assert (scan.pattern, scan.severity, scan.measured) == (name, "note", 30)
        assert "0 accepted, 30 refused, 0 gave no answer" in scan.explanation


def test_hosts_of_equal_addresses_in_different_tunnels_are_different_ones() -> None:
    builder = LogBuilder()
    for port in range(1, 31):
        vxlan = TunnelKind.VXLAN << 56 | port % 2
        builder.connection(
            "1 SYN_SENT sent_syn, 1.1 CLOSE received_rst",
            "1 CLOSE first_frame",
            endpoints=("10.0.0.1:40000", f"10.0.0.5:{port}"),
            client_side={"syns": 1, "tunnel": vxlan},
            server_side={"rsts": 1, "tunnel": vxlan},
        )
    assert names(builder) == []


def test_a_client_whose_servers_are_down_is_no_scanner() -> None:
    """It means to connect, and so repeats its SYNs."""
    builder = LogBuilder()
    for host in range(5, 35):
        tried(builder, f"10.0.0.{host}:443", syns=4, refused=False)
    assert names(builder) == []


def test_a_client_that_gets_what_it_came_for_is_no_scanner() -> None:
    builder = LogBuilder()
    for port in range(1, 31):
        normal_close(builder, endpoints=("10.0.0.1:40000", f"10.0.0.5:{port}"))
        if port % 2:
            tried(builder, f"10.0.0.5:{port}")
    assert names(builder) == []


# ---- all together


def test_patterns_count_for_fail_on() -> None:
    builder = LogBuilder()
    for port in range(1, 31):
        tried(builder, f"10.0.0.5:{port}")
    assert builder.analysis().has_findings("note")
    assert not builder.analysis().has_findings("error")


def test_the_table_has_missing_values_where_it_is_not_one_host_or_port() -> None:
    builder = LogBuilder()
    for port in range(1, 31):
        tried(builder, f"10.0.0.5:{port}")
    [row] = builder.analysis().patterns.itertuples()
    assert (row.pattern, row.client_addr, row.server_addr) == ("port_scan", "10.0.0.1", "10.0.0.5")
    assert row.server_port is pd.NA
    assert row.threshold == 20


#: What the recordings show; in all others there is none.
SHOWN = {"demo": {"leak"}, "half_open_flood": {"syn_flood"}}


@pytest.mark.parametrize("folder", [".", "kernel"])
def test_nothing_is_named_in_recordings_that_do_not_show_it(folder: str) -> None:
    for path in sorted((PCAPS / folder).glob("*.pcap*")):
        expected = SHOWN.get(path.name.split(".")[0], set())
        assert {p.pattern for p in tcpstates.analyze(path).found_patterns} == expected, path.name


#: Looked at one by one: each has what is said of it.
ELSEWHERE = {
    "tcpdump__ipoib.pcap": {"one_way_capture"},
    "tcpdump__ldp-common-session.pcap": {"one_way_capture"},
    "zeek__echo-connections.pcap.gz": {"backlog_overflow"},  # 500 clients at once, a queue of 128
    "zeek__ldap__ldap-max-recursion.pcap": {"leak"},  # made by a program: no server ever closes
    "zeek__mixed-vlan-mpls.pcap": {"one_way_capture"},
    "zeek__raw_packets.pcap": {"one_way_capture"},
    "zeek__smtp-attachment-msg.pcap": {"one_way_capture"},
    "zeek__smtp-one-side-only.pcap": {"one_way_capture"},
    "zeek__ssh__ssh.client-side-half-duplex.pcap": {"one_way_capture"},
    "zeek__ssh__ssh.server-side-half-duplex.pcap": {"one_way_capture"},
    "zeek__tunnels__gre-aruba.pcap": {"one_way_capture"},
    "zeek__tunnels__tunnel-direct-bypass.pcap": {"one_way_capture"},
}


@pytest.mark.slow_without_jit
def test_no_false_alarm_in_other_projects_captures(other_captures: Path) -> None:
    alarms = {}
    for path in sorted(other_captures.iterdir()):
        try:
            patterns = {p.pattern for p in tcpstates.analyze(path).found_patterns}
        except tcpstates.CaptureError:
            continue
        if patterns:
            alarms[path.name] = patterns
    assert alarms == ELSEWHERE
