"""The table of connections."""

from __future__ import annotations

import pandas as pd

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, leaked, normal_close


def test_a_connection_in_full() -> None:
    client = {"frames": 6, "bytes": 150, "retransmits": 1, "duplicates": 2, "fin_time": 1, "fins": 1}
    builder = normal_close(LogBuilder(), client_side=client, server_side={"frames": 4, "bytes": 91})
    [row] = builder.analysis().connections.to_dict("records")
    assert row == {
        "conn": 0,
        "client_addr": "10.0.0.1",
        "client_port": 40000,
        "server_addr": "10.0.0.5",
        "server_port": 80,
        "tunnel": row["tunnel"],
        "start": pd.Timestamp("2023-11-14T22:13:20Z"),
        "end": pd.Timestamp("2023-11-14T22:13:21.25Z"),
        "duration": pd.Timedelta("1.25s"),
        "client_state": "CLOSE",
        "server_state": "CLOSE",
        "first_closer": "client",
        "outcome": "closed",
        "culprit": row["culprit"],
        "severity": "ok",
        "client_frames": 6,
        "server_frames": 4,
        "client_bytes": 150,
        "server_bytes": 91,
        "client_retransmits": 1,
        "server_retransmits": 0,
        "client_duplicates": 2,
        "server_duplicates": 0,
        "conn_state": "OTH",
        "history": "",
        "completeness": 0,
        "community_id": "1:cWrqqJFnNPCxYtd8etE7cpxK87s=",
        "diagnosis": "The client closed, then the server; both FINs were acknowledged.",
    }
    assert pd.isna(row["culprit"])


def test_ipv6_addresses_are_written_short() -> None:
    ends = ("[2001:db8::1]:40000", "[2001:db8:0:0:1:0:0:2]:80")
    [row] = (
        LogBuilder()
        .connection(OPENING_CLIENT, OPENING_SERVER, endpoints=ends)
        .analysis()
        .connections.itertuples()
    )
    assert (row.client_addr, row.server_addr) == ("2001:db8::1", "2001:db8::1:0:0:2")


def test_ipv4_and_ipv6_in_one_table() -> None:
    builder = LogBuilder().connection(OPENING_CLIENT, OPENING_SERVER)
    builder.connection(OPENING_CLIENT, OPENING_SERVER, endpoints=("[fe80::1]:1", "[fe80::2]:2"))
    assert builder.analysis().connections["server_addr"].tolist() == ["10.0.0.5", "fe80::2"]


def test_states_are_those_at_the_end_of_the_capture() -> None:
    builder = LogBuilder().connection(f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin", OPENING_SERVER)
    [row] = builder.analysis().connections.itertuples()
    assert (row.client_state, row.server_state) == ("FIN_WAIT1", "ESTABLISHED")


def test_severity_can_be_compared() -> None:
    frame = leaked(normal_close(LogBuilder())).analysis().connections
    assert frame[frame["severity"] >= "warning"]["conn"].tolist() == [1]
