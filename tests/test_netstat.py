"""The table that netstat would have printed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, leaked, normal_close
from tcpstates.errors import UsageError


def sockets(builder: LogBuilder, at: Any) -> list[tuple[str, str]]:
    """State and side of each socket but those that listen."""
    frame = builder.analysis().netstat(at)
    frame = frame[frame["state"] != "LISTEN"]
    return list(zip(frame["state"], frame["side"], strict=True))


def listening(builder: LogBuilder, at: Any) -> list[tuple[str, int, float]]:
    """Address, port and since when (in seconds) of each socket that listens."""
    frame = builder.analysis().netstat(at)
    frame = frame[frame["state"] == "LISTEN"]
    since = (frame["since"] - pd.Timestamp("2023-11-14T22:13:20Z")).dt.total_seconds()
    return list(zip(frame["local_addr"], frame["local_port"], since, strict=True))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("+0s", [("SYN_SENT", "client")]),
        ("+0.07s", [("SYN_SENT", "client"), ("SYN_RECV", "server")]),
        ("+0.5s", [("ESTABLISHED", "client"), ("ESTABLISHED", "server")]),
        ("+1.15s", [("FIN_WAIT2", "client"), ("CLOSE_WAIT", "server")]),
        ("+10s", [("TIME_WAIT", "client")]),
        ("+61.2s", []),
        ("+200s", []),
    ],
)
def test_the_sockets_of_an_instant(at: str, expected: list[tuple[str, str]]) -> None:
    assert sockets(normal_close(LogBuilder()), at) == expected


def test_a_state_is_held_from_its_start_until_but_not_at_its_end() -> None:
    builder = normal_close(LogBuilder())
    assert sockets(builder, "+0.099999999s")[0] == ("SYN_SENT", "client")
    assert sockets(builder, "+0.1s")[0] == ("ESTABLISHED", "client")


def test_a_state_of_no_length_is_never_held() -> None:
    server = f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin, 1 LAST_ACK sent_fin"
    assert sockets(LogBuilder().connection(OPENING_CLIENT, server), "+1s")[1] == ("LAST_ACK", "server")


def test_at_the_very_end_of_the_capture() -> None:
    assert sockets(LogBuilder(end=5).connection(OPENING_CLIENT, OPENING_SERVER), "+5s") == [
        ("ESTABLISHED", "client"),
        ("ESTABLISHED", "server"),
    ]


def test_a_connection_that_begins_later_is_not_there_yet() -> None:
    builder = LogBuilder().connection("0 SYN_SENT sent_syn", "0 CLOSE first_frame")
    builder.connection("9 SYN_SENT sent_syn", "9 CLOSE first_frame")
    assert len(sockets(builder, "+5s")) == 1


@pytest.mark.parametrize(
    "at",
    [
        "2023-11-14T22:13:30Z",
        "2023-11-14 22:13:30",
        "2023-11-14T23:13:30+01:00",
        "1700000010",
        1_700_000_010,
        datetime(2023, 11, 14, 22, 13, 30),
        datetime(2023, 11, 14, 22, 13, 30, tzinfo=UTC),
        pd.Timestamp("2023-11-14T22:13:30Z"),
        np.datetime64("2023-11-14T22:13:30"),
        "+10s",
        "+10",
    ],
)
def test_an_instant_can_be_given_in_many_ways(at: Any) -> None:
    assert sockets(normal_close(LogBuilder()), at) == [("TIME_WAIT", "client")]


def test_outside_of_the_capture() -> None:
    with pytest.raises(
        UsageError, match=r"outside of the capture; use a time from 2023-11-14T22:13:20\.0+Z to"
    ):
        normal_close(LogBuilder()).analysis().netstat("2020-01-01")


def test_who_answers_a_syn_listens_from_then_on() -> None:
    builder = normal_close(LogBuilder())
    assert listening(builder, "+0.04s") == []
    assert listening(builder, "+0.05s") == [("10.0.0.5", 80, 0.05)]
    assert listening(builder, "+150s") == [("10.0.0.5", 80, 0.05)]


def test_listen_is_listed_once_per_endpoint_since_its_first_answer() -> None:
    builder = leaked(normal_close(LogBuilder()))
    builder.connection(
        "7 SYN_SENT sent_syn",
        "7 CLOSE first_frame, 8 SYN_RECV sent_syn_ack",
        endpoints=("10.0.0.1:1", "10.0.0.4:90"),
    )
    assert listening(builder, "+100s") == [("10.0.0.4", 90, 8), ("10.0.0.5", 80, 0.05)]


def test_who_refuses_a_syn_listens_no_longer_until_it_answers_again() -> None:
    builder = normal_close(LogBuilder())
    builder.connection("10 SYN_SENT sent_syn, 11 CLOSE received_rst", "10 CLOSE first_frame")
    builder.connection("20 SYN_SENT sent_syn", "20 CLOSE first_frame, 21 SYN_RECV sent_syn_ack")
    assert listening(builder, "+10s") == [("10.0.0.5", 80, 0.05)]
    assert listening(builder, "+11s") == []
    assert listening(builder, "+30s") == [("10.0.0.5", 80, 21)]


def test_who_sent_a_syn_itself_was_not_listening() -> None:
    """A simultaneous open."""
    server = "0 SYN_SENT sent_syn, 0.1 SYN_RECV sent_syn_ack, 0.2 ESTABLISHED received_syn_ack"
    assert listening(LogBuilder().connection(OPENING_CLIENT, server), "+1s") == []


def test_a_listening_row_has_no_peer_and_no_connection() -> None:
    row = next(normal_close(LogBuilder()).analysis().netstat("+1s").itertuples())
    assert (row.state, row.remote_addr, row.remote_port, row.side) == ("LISTEN", "*", 0, "server")
    assert pd.isna(row.conn)


def test_nothing_of_nothing() -> None:
    assert LogBuilder().analysis().netstat("+1s").empty


def test_stepping_over_time() -> None:
    frame = normal_close(LogBuilder(end=90)).analysis().netstat("+0.5s", every="30s")
    seconds = (frame["time"] - pd.Timestamp("2023-11-14T22:13:20Z")).dt.total_seconds()
    assert list(zip(seconds, frame["state"], strict=True)) == [
        (0.5, "LISTEN"),
        (0.5, "ESTABLISHED"),
        (0.5, "ESTABLISHED"),
        (30.5, "LISTEN"),
        (30.5, "TIME_WAIT"),
        (60.5, "LISTEN"),
        (60.5, "TIME_WAIT"),
    ]


def test_each_step_is_what_there_was_at_that_instant() -> None:
    builder = leaked(normal_close(LogBuilder(end=90)))
    builder.connection("10 SYN_SENT sent_syn, 11 CLOSE received_rst", "10 CLOSE first_frame")
    analysis = builder.analysis()
    steps = analysis.netstat(every="1.1s")
    for time, group in steps.groupby("time"):
        alone = analysis.netstat(time)
        assert group.reset_index(drop=True).astype(str).equals(alone.astype(str)), time


def test_stepping_needs_a_step_and_ends_before_memory_does() -> None:
    with pytest.raises(UsageError, match="has no end; use a longer step"):
        normal_close(LogBuilder()).analysis().netstat(every="0s")
    with pytest.raises(UsageError, match="rows, with a step of 1 µs; use a longer one"):
        normal_close(LogBuilder()).analysis().netstat(every="1us")
