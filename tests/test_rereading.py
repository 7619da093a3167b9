"""The segments of a connection, read again from its capture."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pandas as pd
import pytest

import tcpstates
from builders import START, Frame, pcap, tcp_frame
from logs import LogBuilder, leaked
from tcpstates import rereading

CLIENT, SERVER = "10.0.0.1:40000", "10.0.0.2:80"
MS = 1_000_000


@pytest.fixture(scope="session")
def demo(captures: Path) -> tcpstates.Analysis:
    return tcpstates.analyze(captures / "demo.pcap")


def test_every_segment_of_a_capture_is_of_one_connection(demo: tcpstates.Analysis) -> None:
    everything = demo.exchanges(range(len(demo.log.connections)))
    assert sum(len(exchange.segments) for exchange in everything.values()) == demo.counts.segments
    for conn, exchange in everything.items():
        row = demo.log.connections[conn]
        assert exchange.segments["frame"][0] == row["first_frame"]
        assert exchange.segments["frame"][-1] == row["last_frame"]
        for side in (0, 1):
            assert (exchange.sender == side).sum() == demo.log.sides["frames"][2 * conn + side]


def test_retransmissions_are_those_that_were_counted(captures: Path) -> None:
    analysis = tcpstates.analyze(captures / "black_hole.pcap")
    segments = analysis.segments(0)
    assert (segments["fate"] == "retransmission").sum() == analysis.connections["client_retransmits"][0]


def test_states_are_those_just_after_the_segment(captures: Path) -> None:
    segments = tcpstates.analyze(captures / "close_by_client.pcap").segments(0)
    assert segments["client_state"].iloc[[0, 1, -1]].tolist() == ["SYN_SENT", "ESTABLISHED", "TIME_WAIT"]
    assert segments["server_state"].iloc[[0, 1, -1]].tolist() == ["CLOSE", "SYN_RECV", "CLOSE"]


def test_sequence_numbers_count_from_the_initial_ones(captures: Path) -> None:
    segments = tcpstates.analyze(captures / "close_by_client.pcap").segments(0)
    assert segments["seq"].tolist()[:3] == [0, 0, 1]
    assert segments["ack"].tolist()[1:3] == [1, 1]
    assert pd.isna(segments["ack"][0])


def test_numbers_that_wrap_are_counted_on(tmp_path: Path) -> None:
    frames = [
        Frame(START, tcp_frame(CLIENT, SERVER, "S", seq=0xFFFFFFFF)),
        Frame(START + MS, tcp_frame(SERVER, CLIENT, "SA", seq=0xFFFFFFF0, ack=0)),
        Frame(START + 2 * MS, tcp_frame(CLIENT, SERVER, "A", seq=0, ack=0xFFFFFFF1, payload=b"x" * 9)),
    ]
    (tmp_path / "wrap.pcap").write_bytes(pcap(frames))
    segments = tcpstates.analyze(tmp_path / "wrap.pcap").segments(0)
    assert segments["seq"].tolist() == [0, 0, 1]
    assert segments["ack"].fillna(-1).tolist() == [-1, 1, 1]


def test_a_stream_cannot_be_read_twice(captures: Path) -> None:
    analysis = tcpstates.analyze(io.BytesIO((captures / "refused.pcap").read_bytes()))
    with pytest.raises(tcpstates.CaptureError, match="a file object: cannot be read a second time"):
        analysis.segments(0)


def test_a_4_tuple_that_is_used_again_is_told_apart(captures: Path) -> None:
    analysis = tcpstates.analyze(captures / "tuple_reuse.pcap")
    frames = [analysis.segments(conn)["frame"] for conn in range(len(analysis.connections))]
    assert len(frames) > 1
    assert not set(frames[0]) & set(frames[1])


def test_of_a_long_connection_the_beginning_and_what_tells_most_is_kept(
    captures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "MOST_SEGMENTS", 2)
    analysis = tcpstates.analyze(captures / "close_by_client.pcap")
    exchange = analysis.exchange(0)
    assert exchange.omitted > 0
    assert len(exchange.segments) + exchange.omitted == analysis.counts.segments
    assert sum("FIN" in flags for flags in analysis.segments(0)["flags"]) == 2


def test_a_capture_that_is_gone_or_another_one(captures: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    shutil.copy(captures / "demo.pcap", path)
    analysis = tcpstates.analyze(path)
    shutil.copy(captures / "refused.pcap", path)
    with pytest.raises(tcpstates.CaptureError, match="has changed since it was analysed"):
        analysis.segments(200)
    path.unlink()
    with pytest.raises(tcpstates.CaptureError, match="cannot be read a second time"):
        analysis.segments(200)


def test_a_relative_path_is_the_same_file_elsewhere(
    captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(captures)
    analysis = tcpstates.analyze("refused.pcap")
    monkeypatch.chdir(tmp_path)
    assert len(analysis.segments(0)) == 2


def test_several_captures_and_other_options(captures: Path) -> None:
    paths = [captures / "close_wait_leak.pcap", captures / "close_by_client.pcap"]
    analysis = tcpstates.analyze(iter(paths), decoder="dpkt", checksums="verify")
    last = len(analysis.connections) - 1
    assert analysis.segments(last)["file"].nunique() == 1
    assert analysis.segments(last)["frame"].iloc[-1] == analysis.log.connections["last_frame"][last]


def test_a_filter_counts_again(captures: Path) -> None:
    try:
        analysis = tcpstates.analyze(captures / "demo.pcap", filter="port 8080")
    except tcpstates.TcpstatesError as error:
        pytest.skip(str(error))  # no libpcap
    exchanges = analysis.exchanges(range(len(analysis.log.connections)))
    assert sum(len(one.segments) for one in exchanges.values()) == analysis.counts.segments < 3_000


def test_frames_out_of_order_are_sorted_again(tmp_path: Path) -> None:
    frames = [
        Frame(START + MS, tcp_frame(SERVER, CLIENT, "SA", seq=0, ack=1)),
        Frame(START, tcp_frame(CLIENT, SERVER, "S", seq=0)),
        Frame(START + 2 * MS, tcp_frame(CLIENT, SERVER, "A", seq=1, ack=1)),
    ]
    (tmp_path / "a.pcap").write_bytes(pcap(frames))
    segments = tcpstates.analyze(tmp_path / "a.pcap").segments(0)
    assert segments["flags"].tolist() == ["SYN", "SYN ACK", "ACK"]


def test_a_connection_that_there_is_not(demo: tcpstates.Analysis) -> None:
    for ask in (demo.segments, demo.connection, demo.lanes):
        with pytest.raises(tcpstates.UsageError, match="no connection 295; use 0 to 294"):
            ask(295)


def test_a_log_from_elsewhere_has_no_segments() -> None:
    analysis = leaked(LogBuilder()).analysis()
    with pytest.raises(tcpstates.CaptureError, match="no capture to read segments from"):
        analysis.segments(0)
    assert [mark.kind for mark in analysis.lanes(0).marks] == ["SYN", "SYN", "FIN"]
