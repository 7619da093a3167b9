"""The table of findings."""

from __future__ import annotations

import re

import pandas as pd

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, leaked, normal_close
from tcpstates.reports.checks import check
from tcpstates.reports.sentences import _SENTENCES
from tcpstates.schema import OUTCOMES

REFUSED = ("0 SYN_SENT sent_syn, 0.1 CLOSE received_rst", "0 CLOSE first_frame")


def from_client(number: int, server: str = "10.0.0.5:80") -> dict[str, tuple[str, str]]:
    return {"endpoints": (f"10.0.0.{number}:4{number:04}", server)}


def test_one_row_per_server_outcome_and_culprit() -> None:
    builder = LogBuilder()
    for number in (1, 2, 2):
        leaked(builder, **from_client(number))
    leaked(builder, **from_client(3, "10.0.0.5:81"))
    normal_close(builder)
    findings = builder.analysis().findings
    assert findings["server_port"].tolist() == [80, 81]
    assert findings["connections"].tolist() == [3, 1]
    assert findings["clients"].tolist() == [2, 1]


def test_worst_first_then_most() -> None:
    builder = LogBuilder()
    for number in (1, 2):
        builder.connection(*REFUSED, **from_client(number))
    leaked(builder)
    builder.connection("0 CLOSE first_frame", "0 CLOSE first_frame", probe=1)
    for number in (1, 2, 3):
        builder.connection(*REFUSED, **from_client(number, "10.0.0.5:81"))
    findings = builder.analysis().findings
    assert findings["outcome"].tolist() == ["stuck_close_wait", "refused", "refused", "scan"]
    assert findings["severity"].tolist() == ["error", "warning", "warning", "note"]
    assert findings["connections"].tolist() == [1, 3, 2, 1]


def test_what_is_ok_is_no_finding() -> None:
    builder = normal_close(LogBuilder()).connection(OPENING_CLIENT, OPENING_SERVER)
    assert builder.analysis().findings.empty


def test_since_when_and_for_how_long() -> None:
    [row] = leaked(leaked(LogBuilder(end=101))).analysis().findings.itertuples()
    assert row.first == row.last == pd.Timestamp("2023-11-14T22:13:21Z")
    assert row.longest == pd.Timedelta("100s")


def test_the_median_and_the_95th_percentile() -> None:
    """Of 40 connections 20 last no longer than the median, and 38 no longer than the percentile."""
    builder = LogBuilder(end=200)
    for seconds in range(101, 141):
        builder.connection(OPENING_CLIENT, f"{OPENING_SERVER}, {200 - seconds} CLOSE_WAIT received_fin")
    [row] = builder.analysis().findings.itertuples()
    assert (row.median, row.p95, row.longest) == tuple(
        pd.Timedelta(seconds=seconds) for seconds in (120, 138, 140)
    )


def test_of_one_connection_all_durations_are_the_same() -> None:
    [row] = leaked(LogBuilder(end=101)).analysis().findings.itertuples()
    assert row.median == row.p95 == row.longest


def test_the_clients_involved_are_named_by_how_often() -> None:
    builder = LogBuilder()
    for number in (5, 7, 7, 7, 8, 8, 9, 10):
        leaked(builder, **from_client(number))
    leaked(builder, **from_client(1, "10.0.0.5:81"))
    assert builder.analysis().findings["top_clients"].tolist() == [
        "10.0.0.7 (3), 10.0.0.8 (2), 10.0.0.5 and 2 more",
        "10.0.0.1",
    ]


def test_what_to_check_names_the_host_and_the_port() -> None:
    builder = leaked(LogBuilder())
    for number in (1, 2):
        builder.connection(*REFUSED, **from_client(number, "10.0.0.6:81"))
    assert builder.analysis().findings["check"].tolist() == [
        "on 10.0.0.5: ss -tanp state close-wait 'sport = :80'",
        "on 10.0.0.6: ss -ltnp 'sport = :81'",
    ]


def test_every_outcome_that_can_be_a_finding_has_its_check() -> None:
    for outcome in _SENTENCES:
        for culprit in ("client", "server", "network", ""):
            assert "{" not in check(outcome, culprit, "10.0.0.5", 80)


def test_the_example_is_the_one_that_lasted_longest() -> None:
    builder = LogBuilder()
    builder.connection(OPENING_CLIENT, f"{OPENING_SERVER}, 100 CLOSE_WAIT received_fin")
    builder.connection(OPENING_CLIENT, f"{OPENING_SERVER}, 20 CLOSE_WAIT received_fin")
    builder.connection(OPENING_CLIENT, f"{OPENING_SERVER}, 50 CLOSE_WAIT received_fin")
    [row] = builder.analysis().findings.itertuples()
    assert row.example == 1


def test_the_explanation_is_a_sentence_with_figures() -> None:
    builder = LogBuilder(end=313)
    for number in (1, 2, 2):
        leaked(builder, **from_client(number))
    [explanation] = builder.analysis().findings["explanation"]
    assert explanation == (
        "3 connections from 2 clients sat in CLOSE_WAIT for up to 5 min 12 s, to the end of the capture: "
        "the client has closed, the server's application does not close its socket."
    )


def test_the_explanation_of_one_connection_is_in_the_singular() -> None:
    server = f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin, 91 CLOSE sent_fin"
    [explanation] = LogBuilder().connection(OPENING_CLIENT, server).analysis().findings["explanation"]
    assert explanation.startswith("1 connection from 1 client sat in CLOSE_WAIT for 1 min 30 s: the client")


def test_every_outcome_that_can_be_a_finding_has_its_sentence() -> None:
    assert set(_SENTENCES) == set(OUTCOMES) - {"closed", "closing", "open"}


def test_the_filter_holds_the_4_tuple_and_the_range_of_frames() -> None:
    builder = normal_close(LogBuilder())
    leaked(builder)
    assert builder.analysis().findings["wireshark_filter"].tolist() == [
        "ip.addr==10.0.0.1 && ip.addr==10.0.0.5 && tcp.port==40000 && tcp.port==80"
        " && frame.number>=11 && frame.number<=20"
    ]


def test_the_filter_for_ipv6() -> None:
    builder = leaked(LogBuilder(), endpoints=("[2001:db8::1]:40000", "[2001:db8::2]:80"))
    [text] = builder.analysis().findings["wireshark_filter"]
    assert text.startswith("ipv6.addr==2001:db8::1 && ipv6.addr==2001:db8::2 && tcp.port==40000")


def test_the_filter_has_no_range_across_files() -> None:
    """Frames are numbered anew in each file."""
    [text] = leaked(LogBuilder(), last_file=1).analysis().findings["wireshark_filter"]
    assert not re.search("frame", text)


def test_nothing_found_in_nothing() -> None:
    assert LogBuilder().analysis().findings.empty
