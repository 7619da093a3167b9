"""How connections spread over durations, hosts and time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tcpstates
from logs import LogBuilder, at, leaked, normal_close
from tcpstates.reports.spread import EDGES, durations, heat
from tcpstates.states import State


def test_every_stay_is_counted_once(captures: Path) -> None:
    analysis = tcpstates.analyze(captures / "demo.pcap")
    for one in durations(analysis.log):
        stays = analysis.timeline.query("state == @one.state.name")
        assert one.counts.sum() == stays["end"].notna().sum()
        assert one.lasting == stays["end"].isna().sum()
        ended = (stays["end"] - stays["start"]).dropna()
        if len(ended):
            assert abs(one.median - ended.median().value) <= 1


def test_a_stay_is_in_the_bin_of_its_length() -> None:
    by_state = {one.state: one for one in durations(normal_close(LogBuilder()).log())}
    [time_wait] = np.flatnonzero(by_state[State.TIME_WAIT].counts)
    assert EDGES[time_wait] <= 60 < EDGES[time_wait + 1]


def test_no_connection_has_no_durations_and_no_heat() -> None:
    analysis = LogBuilder().analysis()
    assert durations(analysis.log) == []
    assert heat(analysis.log, analysis.outcomes).hosts == ()


def test_connections_that_went_wrong_are_counted_by_server_and_time() -> None:
    builder = LogBuilder(end=200)
    for number in range(3):
        leaked(builder, endpoints=(f"10.0.0.1:{4000 + number}", "10.0.0.5:80"))
    leaked(builder, endpoints=("10.0.0.1:5000", "10.0.0.6:80"))
    normal_close(builder, endpoints=("10.0.0.1:5001", "10.0.0.7:80"))
    analysis = builder.analysis()
    picture = heat(analysis.log, analysis.outcomes, bins=20)
    assert picture.hosts == ("10.0.0.5", "10.0.0.6")
    assert picture.counts.sum(axis=1).tolist() == [3, 1]
    assert picture.starts[0] == at(0)
    assert picture.counts[:, 0].tolist() == [3, 1]  # all of them began to be stuck after a second


def test_hosts_beyond_the_worst_are_one_row() -> None:
    builder = LogBuilder(end=200)
    for number in range(5):
        leaked(builder, endpoints=("10.0.0.1:4000", f"10.0.0.{5 + number}:80"))
    analysis = builder.analysis()
    picture = heat(analysis.log, analysis.outcomes, hosts=2)
    assert picture.hosts[2:] == ("3 others",)
    assert picture.named == 2
    assert picture.counts.sum(axis=1).tolist() == [1, 1, 3]
