"""The table of states."""

from __future__ import annotations

import pandas as pd
import pytest

from logs import LogBuilder, leaked, normal_close
from tcpstates.errors import UsageError


def test_a_timeline_reads_as_the_connection_went() -> None:
    timeline = normal_close(LogBuilder()).analysis().timeline
    client = timeline[timeline["side"] == "client"]
    assert list(zip(client["state"], client["cause"], strict=True)) == [
        ("SYN_SENT", "sent_syn"),
        ("ESTABLISHED", "received_syn_ack"),
        ("FIN_WAIT1", "sent_fin"),
        ("FIN_WAIT2", "received_ack_of_fin"),
        ("TIME_WAIT", "received_fin"),
        ("CLOSE", "timer_2msl"),
    ]


def test_no_gap_no_overlap_and_no_end_before_the_capture_s() -> None:
    timeline = leaked(normal_close(LogBuilder())).analysis().timeline
    for _, side in timeline.groupby(["conn", "side"], observed=True):
        assert side["end"].iloc[:-1].tolist() == side["start"].iloc[1:].tolist()
        assert pd.isna(side["end"].iloc[-1])
        assert side["start"].iloc[0] == pd.Timestamp("2023-11-14T22:13:20Z")


def test_an_interval_of_no_length_is_kept() -> None:
    server = "0 CLOSE first_frame, 1 CLOSE_WAIT received_fin, 1 LAST_ACK sent_fin"
    timeline = LogBuilder().connection("0 CLOSE first_frame", server).analysis().timeline
    [row] = timeline[timeline["state"] == "CLOSE_WAIT"].itertuples()
    assert row.start == row.end


def test_each_side_has_its_own_view() -> None:
    timeline = normal_close(LogBuilder()).analysis().timeline
    ends = {
        (row.side, row.local_addr, row.local_port, row.remote_addr, row.remote_port)
        for row in timeline.itertuples()
    }
    assert ends == {
        ("client", "10.0.0.1", 40000, "10.0.0.5", 80),
        ("server", "10.0.0.5", 80, "10.0.0.1", 40000),
    }


def test_one_connection_only() -> None:
    analysis = leaked(normal_close(leaked(LogBuilder()))).analysis()
    table, whole = analysis.table("timeline", conn=1), analysis.timeline
    assert len(table) == (whole["conn"] == 1).sum()
    assert set(table.values["conn"]) == {1}  # type: ignore[arg-type]


@pytest.mark.parametrize("conn", [-1, 2])
def test_no_such_connection(conn: int) -> None:
    with pytest.raises(UsageError, match=f"no connection {conn}; use 0 to 1"):
        leaked(normal_close(LogBuilder())).analysis().table("timeline", conn=conn)


def test_a_file_given_twice_is_one_category() -> None:
    timeline = normal_close(LogBuilder(files=("a.pcap", "a.pcap"))).analysis().timeline
    assert list(timeline["file"].cat.categories) == ["a.pcap"]
