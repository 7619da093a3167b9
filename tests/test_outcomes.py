"""What became of each connection: one transcript per rule, and what the rules must not claim."""

from __future__ import annotations

from typing import Any

import pytest

from logs import OPENING_CLIENT, OPENING_SERVER, SERVER, LogBuilder, leaked, normal_close
from tcpstates.reports.facts import Facts
from tcpstates.reports.outcomes import RULES, SEVERITY, outcomes
from tcpstates.reports.thresholds import stuck_thresholds
from tcpstates.schema import CULPRITS, OUTCOMES, SEVERITIES, Known, TunnelKind

SILENT: dict[str, Any] = {"frames": 0}


def judged(builder: LogBuilder, stuck_after: Any = None) -> list[tuple[str, str]]:
    """Outcome and culprit of each connection."""
    result = outcomes(Facts(builder.log(), stuck_thresholds(stuck_after)))
    names = (*CULPRITS, "")
    return [(OUTCOMES[o], names[c]) for o, c in zip(result.outcome, result.culprit, strict=True)]


def one(
    client: str, server: str, *, stuck_after: Any = None, end: float = 200, **given: Any
) -> tuple[str, str]:
    """Outcome and culprit of a capture's only connection."""
    [result] = judged(LogBuilder(end=end).connection(client, server, **given), stuck_after)
    return result


def test_closed_by_both_sides() -> None:
    assert judged(normal_close(LogBuilder())) == [("closed", "")]


def test_closed_while_time_wait_lasts() -> None:
    """TIME_WAIT is done, however long it lasts."""
    assert judged(normal_close(LogBuilder(end=61)), stuck_after="1s") != [("closing", "")]
    assert judged(normal_close(LogBuilder(end=61))) == [("closed", "")]


def test_open() -> None:
    assert one(OPENING_CLIENT, OPENING_SERVER) == ("open", "")


def test_opening_is_open_until_it_takes_too_long() -> None:
    assert one("0 SYN_SENT sent_syn", "0 UNKNOWN first_frame", end=2.9, server_side=SILENT) == ("open", "")


def test_closing_is_under_way() -> None:
    client = f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin"
    server = f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin"
    assert one(client, server, end=2) == ("closing", "")


def test_scan_is_a_probe() -> None:
    assert one("0 CLOSE first_frame", "0 CLOSE first_frame", probe=1) == ("scan", "client")


def test_refused() -> None:
    client = "0 SYN_SENT sent_syn, 0.1 CLOSE received_rst"
    assert one(client, "0 UNKNOWN first_frame, 0.1 CLOSE sent_rst") == ("refused", "server")


def test_unreachable() -> None:
    client = "0 SYN_SENT sent_syn, 0.1 CLOSE received_icmp_error"
    assert one(client, "0 UNKNOWN first_frame", server_side=SILENT) == ("unreachable", "network")


@pytest.mark.parametrize(
    ("end", "syns", "expected"),
    [(3, 1, "no_answer"), (2.9, 1, "open"), (1.1, 2, "no_answer")],
    ids=["after three seconds", "too early to say", "SYN repeated"],
)
def test_no_answer(end: float, syns: int, expected: str) -> None:
    given = {"client_side": {"syns": syns}, "server_side": SILENT}
    assert one("0 SYN_SENT sent_syn", "0 UNKNOWN first_frame", end=end, **given)[0] == expected


def test_no_answer_blames_the_network() -> None:
    assert one("0 SYN_SENT sent_syn", "0 UNKNOWN first_frame", server_side=SILENT) == ("no_answer", "network")


def test_a_late_answer_is_an_answer() -> None:
    client = "0 SYN_SENT sent_syn, 7.1 ESTABLISHED received_syn_ack"
    server = "0 UNKNOWN first_frame, 7 SYN_RECV sent_syn_ack, 7.2 ESTABLISHED received_ack_of_syn"
    assert one(client, server, client_side={"syns": 4}) == ("open", "")


@pytest.mark.parametrize(
    ("end", "syn_acks", "expected"),
    [(5.05, 1, "half_open"), (5, 1, "open"), (1.1, 2, "half_open")],
    ids=["after five seconds", "too early to say", "SYN-ACK repeated"],
)
def test_half_open(end: float, syn_acks: int, expected: str) -> None:
    server = "0 UNKNOWN first_frame, 0.05 SYN_RECV sent_syn_ack"
    given = {"server_side": {"syn_acks": syn_acks}}
    assert (
        one("0 SYN_SENT sent_syn, 0.1 ESTABLISHED received_syn_ack", server, end=end, **given)[0] == expected
    )


def test_half_open_blames_the_client() -> None:
    server = "0 UNKNOWN first_frame, 0.05 SYN_RECV sent_syn_ack, 63 CLOSE timer_retransmission"
    assert one("0 SYN_SENT sent_syn", server) == ("half_open", "client")


def test_a_handshake_completed_late_is_not_half_open() -> None:
    server = "0 UNKNOWN first_frame, 0.05 SYN_RECV sent_syn_ack, 9 ESTABLISHED received_ack_of_syn"
    assert one(OPENING_CLIENT, server, server_side={"syn_acks": 3}) == ("open", "")


@pytest.mark.parametrize(("tunnel", "culprit"), [(0, "server"), (TunnelKind.VXLAN << 56, "network")])
def test_a_full_queue_explains_unanswered_syns_to_that_listener_alone(tunnel: int, culprit: str) -> None:
    """Equal inner addresses of another tunnel are another host's."""
    waiting = "0 UNKNOWN first_frame, 0.05 SYN_RECV sent_syn_ack"
    builder = LogBuilder().connection(OPENING_CLIENT, waiting, client_side={"known": Known.ACK})
    builder.connection(
        "0 SYN_SENT sent_syn",
        "0 UNKNOWN first_frame",
        endpoints=("10.0.0.1:40001", SERVER),
        client_side={"syns": 3, "tunnel": tunnel},
        server_side={**SILENT, "tunnel": tunnel},
    )
    assert judged(builder) == [("half_open", "server"), ("no_answer", culprit)]


def test_timed_out() -> None:
    client = f"{OPENING_CLIENT}, 100 CLOSE timer_retransmission"
    assert one(client, OPENING_SERVER) == ("timed_out", "network")


def test_stuck_close_wait_even_if_fin_wait2_is_stuck_too() -> None:
    """The outcome is that of the side which has to act."""
    assert judged(leaked(LogBuilder())) == [("stuck_close_wait", "server")]


def test_stuck_close_wait_of_the_client() -> None:
    client = f"{OPENING_CLIENT}, 1 CLOSE_WAIT received_fin"
    server = f"{OPENING_SERVER}, 1 FIN_WAIT1 sent_fin, 1.1 FIN_WAIT2 received_ack_of_fin"
    assert one(client, server) == ("stuck_close_wait", "client")


def test_stuck_close_wait_although_it_ended_later() -> None:
    server = f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin, 90 LAST_ACK sent_fin, 90.1 CLOSE received_rst"
    client = f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.1 CLOSE timer_fin_wait2"
    assert one(client, server) == ("stuck_close_wait", "server")


@pytest.mark.parametrize(("end", "expected"), [(61, "closing"), (61.001, "stuck_close_wait")])
def test_stuck_is_longer_than_the_threshold(end: float, expected: str) -> None:
    client = f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.1 FIN_WAIT2 received_ack_of_fin"
    assert one(client, f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin", end=end)[0] == expected


def test_who_still_sends_data_is_not_stuck() -> None:
    """A half-close: the server answers for three minutes before it closes."""
    client = f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.1 FIN_WAIT2 received_ack_of_fin"
    server = f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin"
    assert one(client, server, server_side={"last_data": 180})[0] == "closing"
    assert one(client, server, server_side={"last_data": 130})[0] == "stuck_close_wait"


@pytest.mark.parametrize(
    ("state", "expected"),
    [("FIN_WAIT1", "stuck_fin_wait1"), ("CLOSING", "stuck_closing"), ("LAST_ACK", "stuck_last_ack")],
)
def test_stuck_for_want_of_an_acknowledgement(state: str, expected: str) -> None:
    """After 30 s; the side that owes the ACK is to blame."""
    client = f"{OPENING_CLIENT}, 1 {state} sent_fin"
    assert one(client, OPENING_SERVER, end=31) != (expected, "server")
    assert one(client, OPENING_SERVER, end=32) == (expected, "server")


def test_stuck_fin_wait2_blames_the_peer() -> None:
    client = f"{OPENING_CLIENT}, 1 FIN_WAIT2 received_ack_of_fin"
    assert one(client, OPENING_SERVER) == ("stuck_fin_wait2", "server")


@pytest.mark.parametrize("state", ["FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK"])
def test_a_direction_that_was_not_captured_is_not_missing(state: str) -> None:
    client = f"{OPENING_CLIENT}, 1 {state} sent_fin"
    assert one(client, "0 UNKNOWN first_frame", server_side=SILENT) == ("closing", "")


def test_a_silent_side_is_not_blamed_for_close_wait() -> None:
    server = "0 ESTABLISHED first_frame, 1 CLOSE_WAIT received_fin"
    assert one("0 CLOSE first_frame", server, server_side=SILENT) == ("closing", "")


def test_stuck_after_can_be_set_for_one_state() -> None:
    assert judged(leaked(LogBuilder(end=20)), stuck_after="FIN_WAIT2=10s") == [("stuck_fin_wait2", "server")]
    assert judged(leaked(LogBuilder(end=20)), stuck_after="10s") == [("stuck_close_wait", "server")]


@pytest.mark.parametrize(("sender", "expected"), [(0, "client"), (1, "server")])
def test_reset_by_either_side(sender: int, expected: str) -> None:
    sides = [OPENING_CLIENT, OPENING_SERVER]
    sides[sender] += ", 5 CLOSE sent_rst"
    sides[1 - sender] += ", 5 CLOSE received_rst"
    assert one(*sides) == (f"reset_by_{expected}", expected)


def test_a_reset_that_did_not_arrive_still_names_its_sender() -> None:
    assert one(OPENING_CLIENT, f"{OPENING_SERVER}, 5 CLOSE sent_rst") == ("reset_by_server", "server")


def test_reset_while_closing_blames_who_sent_late() -> None:
    client = f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.1 FIN_WAIT2 received_ack_of_fin, 2 CLOSE sent_rst"
    server = f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin, 2 CLOSE received_rst"
    late = {"waited": 1000, "peer_pending": 500}
    assert one(client, server, client_side={"fin_time": 1}, reset=late) == ("reset_while_closing", "server")


def test_reset_while_closing_blames_who_lost_patience() -> None:
    client = f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.1 FIN_WAIT2 received_ack_of_fin, 2 CLOSE sent_rst"
    server = f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin, 2 CLOSE received_rst"
    assert one(client, server, client_side={"fin_time": 1}) == ("reset_while_closing", "client")


def test_reset_while_closing_blames_who_left_data_unread() -> None:
    client = (
        f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.1 FIN_WAIT2 received_ack_of_fin, 2 CLOSE received_rst"
    )
    server = f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin, 2 CLOSE sent_rst"
    assert one(client, server, client_side={"fin_time": 1}) == ("reset_while_closing", "server")


def test_a_reset_of_time_wait_changes_nothing() -> None:
    client = f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.2 TIME_WAIT received_fin, 2 CLOSE received_rst"
    server = f"{OPENING_SERVER}, 1 LAST_ACK sent_fin, 1.2 CLOSE received_ack_of_fin"
    assert one(client, server, client_side={"fin_time": 1}) == ("closed", "")


def test_fragment_where_nothing_is_known() -> None:
    assert one("0 UNKNOWN first_frame", "0 UNKNOWN first_frame") == ("fragment", "")


def test_a_lone_reset_is_a_fragment() -> None:
    """It ended something, but nothing was seen of it."""
    assert one("0 CLOSE sent_rst", "0 CLOSE received_rst") == ("fragment", "")


def test_an_open_connection_whose_ports_are_reused_is_not_closed() -> None:
    client = f"{OPENING_CLIENT}, 9 CLOSE reused"
    assert one(client, f"{OPENING_SERVER}, 9 CLOSE reused") == ("fragment", "")


def test_each_connection_is_judged_by_itself() -> None:
    builder = LogBuilder()
    leaked(builder)
    builder.connection(OPENING_CLIENT, OPENING_SERVER)
    normal_close(builder)
    leaked(builder)
    assert [outcome for outcome, _ in judged(builder)] == [
        "stuck_close_wait",
        "open",
        "closed",
        "stuck_close_wait",
    ]


def test_no_connections() -> None:
    assert judged(LogBuilder()) == []


def test_rules_are_in_the_order_of_the_schema() -> None:
    order = [OUTCOMES.index(name) for name, _ in RULES]
    assert order == sorted(order)


def test_every_outcome_has_a_severity() -> None:
    assert set(SEVERITY) == set(OUTCOMES)
    assert set(SEVERITY.values()) <= set(SEVERITIES)


def test_who_vanished_is_told_connection_by_connection() -> None:
    """Silence to one is the network's fault, silence to several the host's; whichever began first."""
    builder = LogBuilder()
    for number, server in enumerate(("10.0.0.6:80", "10.0.0.5:80", "10.0.0.5:80"), 1):
        asking = {"unanswered": 3, "unanswered_since": number, "last": 100}
        endpoints = f"10.0.1.{number}:4000", server
        builder.connection(OPENING_CLIENT, OPENING_SERVER, endpoints=endpoints, client_side=asking)
    vanished = "peer_vanished"
    assert judged(builder) == [(vanished, "network"), (vanished, "server"), (vanished, "server")]
