"""``analyze()`` and what it returns."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tcpstates
from logs import LogBuilder, leaked, normal_close
from tcpstates.schema import TABLES


@pytest.fixture(scope="session")
def leak(captures: Path) -> tcpstates.Analysis:
    return tcpstates.analyze(captures / "close_wait_leak.pcap")


def test_a_leak_of_close_wait_is_found_with_its_culprit(leak: tcpstates.Analysis) -> None:
    [row] = leak.findings.itertuples()
    assert (row.outcome, row.severity, row.culprit, row.connections) == (
        "stuck_close_wait",
        "error",
        "server",
        6,
    )


def test_a_path_a_list_and_a_file_object_are_read_alike(captures: Path) -> None:
    path = captures / "close_by_client.pcap"
    with path.open("rb") as stream:
        sources = (path, str(path), [path], stream, io.BytesIO(path.read_bytes()))
        tables = [tcpstates.analyze(source).timeline.drop(columns="file") for source in sources]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


@pytest.mark.parametrize("name", TABLES)
def test_every_table_agrees_with_the_others(leak: tcpstates.Analysis, name: str) -> None:
    connections, timeline = leak.connections, leak.timeline
    if name == "timeline":
        last = timeline[timeline["end"].isna()].set_index(["conn", "side"])["state"].unstack()
        assert last["client"].tolist() == connections["client_state"].tolist()
        assert last["server"].tolist() == connections["server_state"].tolist()
    if name == "findings":
        bad = connections[connections["severity"] > "ok"]
        assert leak.findings["connections"].sum() == len(bad)
    if name == "netstat":
        end = leak.netstat(np.datetime64(leak.log.end, "ns"))
        live = timeline[timeline["end"].isna() & ~timeline["state"].isin(["CLOSE", "UNKNOWN"])]
        assert sorted(end.dropna(subset="conn")["conn"]) == sorted(live["conn"])
    if name == "census":
        last_bin = leak.census("1s")["time"].max()
        census = leak.census("1s").query("time == @last_bin").set_index("state")["sockets"]
        assert (
            leak.netstat(last_bin)["state"].value_counts().reindex(census.index).to_dict() == census.to_dict()
        )


def test_tables_are_built_once(leak: tcpstates.Analysis) -> None:
    assert leak.connections is leak.connections


def test_the_counts_add_up(captures: Path) -> None:
    counts = tcpstates.analyze(captures / "demo.pcap").counts
    assert counts.frames == counts.segments + sum(counts.skipped.values()) == 3_734


def test_progress_is_told_from_nothing_to_all(captures: Path) -> None:
    path = captures / "close_by_client.pcap"
    told: list[tuple[int, int | None]] = []
    tcpstates.analyze(path, progress=lambda read, total: told.append((read, total)))
    assert told[0] == (0, path.stat().st_size) or told[0][1] == path.stat().st_size
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


def test_dpkt_gives_the_same_tables(captures: Path, leak: tcpstates.Analysis) -> None:
    slow = tcpstates.analyze(captures / "close_wait_leak.pcap", decoder="dpkt")
    assert slow.counts.dissected == slow.counts.frames
    pd.testing.assert_frame_equal(slow.timeline, leak.timeline)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timers": "vax"}, "no timer profile 'vax'; use one of linux"),
        ({"checksums": "maybe"}, "checksums cannot be 'maybe'; use one of auto, verify, ignore"),
        ({"decoder": "tshark"}, "no decoder 'tshark'; use one of fast, dpkt"),
        ({"stuck_after": "soon"}, "not a duration: 'soon'"),
    ],
)
def test_arguments_that_cannot_be_understood(captures: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(tcpstates.UsageError, match=message):
        tcpstates.analyze(captures / "refused.pcap", **options)


def test_a_table_that_there_is_not() -> None:
    with pytest.raises(
        tcpstates.UsageError, match="table cannot be 'conections'; use one of connections, timeline"
    ):
        LogBuilder().analysis().table("conections")


def test_what_is_no_capture_raises(tmp_path: Path) -> None:
    with pytest.raises(tcpstates.CaptureError, match=r"missing\.pcap"):
        tcpstates.analyze(tmp_path / "missing.pcap")


def test_a_cut_capture_does_not_raise(captures: Path) -> None:
    data = (captures / "close_wait_leak.pcap").read_bytes()
    analysis = tcpstates.analyze(io.BytesIO(data[: len(data) // 2]))
    [damage] = analysis.damage
    assert "\n" not in damage
    assert 0 < len(analysis.connections) <= 20


def test_a_capture_without_a_frame(captures: Path) -> None:
    header = (captures / "refused.pcap").read_bytes()[:24]
    analysis = tcpstates.analyze(io.BytesIO(header))
    for frame in (analysis.connections, analysis.timeline, analysis.findings, analysis.census()):
        assert frame.empty
    assert len(analysis.table("netstat")) == 0
    assert "0 connections" in repr(analysis)
    assert "no frames" in analysis._repr_html_()


def test_repr_is_one_line() -> None:
    builder = leaked(normal_close(LogBuilder(files=("a.pcap",))))
    assert repr(builder.analysis()) == "<Analysis of a.pcap: 2 connections, 1 error>"
    assert repr(builder.analysis(damage=("cut",))) == "<Analysis of a.pcap: 2 connections, 1 error, damaged>"


def test_the_notebook_shows_the_findings() -> None:
    html = leaked(normal_close(LogBuilder())).analysis()._repr_html_()
    assert "text-align:left" in html  # notebooks set tables to the right
    html = html.replace(' style="text-align:left"', "")
    assert "<td>stuck_close_wait</td><td>10.0.0.5:80</td><td>server</td><td>1</td>" in html


def test_the_notebook_escapes_what_comes_from_outside() -> None:
    builder = leaked(LogBuilder(files=("<script>alert(1)</script>.pcap",)))
    html = builder.analysis(damage=("<b>cut</b>",))._repr_html_()
    assert "<script>" not in html
    assert "&lt;b&gt;cut" in html


def test_a_connection_shows_itself(captures: Path) -> None:
    connection = tcpstates.analyze(captures / "demo.pcap").connection(23)
    assert repr(connection) == (
        "<Connection 23: 10.20.0.16:46029 -> 10.20.1.20:8080, stuck_close_wait, server to blame>"
    )
    html = connection._repr_html_()
    assert "<svg" in html
    assert "CLOSE_WAIT from 2026-11-22T" in html
    assert connection.row["outcome"] == "stuck_close_wait"
    assert set(connection.timeline["conn"]) == {23}
    assert len(connection.segments) == 11


def test_help_speaks_of_every_public_name() -> None:
    for name in ("analyze", "Analysis"):
        assert getattr(tcpstates, name).__doc__
    public = [name for name in dir(tcpstates.Analysis) if not name.startswith("_")]
    for name in public:
        if name not in ("counts", "damage", "log", "reading", "stuck_after", "work"):
            assert getattr(tcpstates.Analysis, name).__doc__, name
