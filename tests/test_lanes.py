"""Lanes: what every drawing of a connection is made of, and their twin in characters."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import tcpstates
from logs import LogBuilder, at, leaked, normal_close
from tcpstates.reports.lanes import Scale, lanes
from tcpstates.show.lanes import print_lanes
from tcpstates.states import Evidence, Side, State


def printed(analysis: tcpstates.Analysis, conn: int = 0, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_lanes(analysis.lanes(conn), Console(file=stream, width=width))
    stream.seek(0)
    return stream.read()


def test_spans_are_the_timeline_without_gap_or_overlap() -> None:
    picture = normal_close(LogBuilder()).analysis().lanes(0)
    for spans in picture.spans:
        assert all(before.end == after.start for before, after in pairwise(spans))
    assert [span.state for span in picture.spans[Side.SERVER]][-2:] == [State.LAST_ACK, State.CLOSE]


def test_what_is_over_is_not_drawn_to_the_end_of_the_capture() -> None:
    picture = normal_close(LogBuilder(end=1e6)).analysis().lanes(0)
    assert at(61.2) < picture.end < at(70)
    assert max(span.end for side in picture.spans for span in side) == picture.end


def test_what_is_stuck_is_drawn_to_the_end_of_the_capture() -> None:
    picture = leaked(LogBuilder(end=200)).analysis().lanes(0)
    assert picture.end == at(200)
    assert picture.spans[Side.SERVER][-1].lasts


def test_retransmissions_are_marked_where_segments_are_there(captures: Path) -> None:
    analysis = tcpstates.analyze(captures / "black_hole.pcap")
    kinds = [mark.kind for mark in analysis.lanes(0).marks]
    assert kinds == ["SYN"] + ["retransmission"] * (len(kinds) - 1)
    assert len(kinds) > 2
    assert [mark.kind for mark in lanes(analysis.log, 0).marks] == ["SYN"]


def test_a_stretched_axis_keeps_the_order_and_the_ends() -> None:
    picture = normal_close(LogBuilder()).analysis().lanes(0)
    for linear in (False, True):
        scale = Scale(picture, linear)
        places = [scale.place(time) for time in np.linspace(picture.start, picture.end, 50).astype(np.int64)]
        assert places == sorted(places)
        assert (places[0], places[-1]) == (0, 1)
    assert Scale(picture).place(at(0.1)) > 20 * Scale(picture, linear=True).place(at(0.1))


def test_a_connection_of_one_instant_has_an_axis() -> None:
    picture = LogBuilder(end=0).connection("0 SYN_SENT sent_syn", "0 CLOSE first_frame").analysis().lanes(0)
    assert Scale(picture).place(picture.start) == 0
    assert len(Scale(picture).ticks(0.1)) == 1


def test_both_sides_are_drawn_in_characters(captures: Path) -> None:
    text = printed(tcpstates.analyze(captures / "close_by_client.pcap"))
    lines = text.splitlines()
    assert lines[1] == "client  10.21.0.1:36735"
    assert "│FIN_WAIT1" in lines[3]
    assert "│CLOSE_WAIT" in lines[6]
    assert lines[2].split() == ["S", "F"]
    assert "S SYN   F FIN" in text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(captures: Path, width: int) -> None:
    analysis = tcpstates.analyze(captures / "demo.pcap")
    drawn = [line for conn in range(0, 295, 20) for line in printed(analysis, conn, width).splitlines()[2:]]
    bars = [line for line in drawn if "│" in line]
    assert max(map(len, bars)) <= max(width, 28)
    assert not any(line.endswith(" ") for line in drawn)


def test_the_evidence_is_told_by_the_line(captures: Path) -> None:
    text = printed(leaked(LogBuilder()).analysis())
    assert "── observed" in text
    assert "assumed" not in text  # LogBuilder's rows are all observed
    demo = printed(tcpstates.analyze(captures / "demo.pcap"), 23)
    assert "│CLOSE┈┈" in demo
    assert "┈┈ assumed" in demo


def test_ascii_where_there_is_nothing_else() -> None:
    text = printed(leaked(LogBuilder()).analysis(), encoding="ascii")
    assert "|CLOSE_WAIT-----" in text
    assert text.isascii()


def test_evidence_has_a_line_each() -> None:
    from tcpstates.show import lanes as shown

    assert set(shown._FILL) == set(shown._ASCII_FILL) == set(Evidence)
    assert set(shown._SHORT) == set(State)
    assert len(set(shown._SHORT.values())) == len(State)
