"""Transitions of a capture that goes on: each is told once, corrections too; as lines and on the screen."""

from __future__ import annotations

import io
import json
import re
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import tcpstates
from streams import ACK, FIN, SECOND, START, SYN, Sent, as_segments
from tcpstates.inference.engine import Engine
from tcpstates.reports.changes import Change, Changes
from tcpstates.reports.log import Log
from tcpstates.session import Snapshot
from tcpstates.show.lines import write_heading, write_json_lines, write_lines
from tcpstates.show.screen import History, Screen, sparkline

OPENING = (
    Sent(flags=SYN, seq=100),
    Sent(from_client=False, flags=SYN | ACK, seq=500, ack=101),
    Sent(seq=101, ack=501),
)
CLOSING = (
    Sent(flags=FIN | ACK, seq=101, ack=501),
    Sent(from_client=False, flags=FIN | ACK, seq=501, ack=102),
    Sent(seq=102, ack=502),
)


def log_of(engine: Engine, now: int) -> Log:
    result = engine.finish(now)
    return Log(result.connections, result.sides, result.transitions, START, now)


def told(stream: tuple[Sent, ...], *ends: int) -> list[list[str]]:
    """What is told when the stream is fed up to these places."""
    engine, changes, found = Engine(seed=1), Changes(), []
    segments = as_segments(stream)
    start = 0
    for end in ends:
        engine.feed(segments[start:end])
        log, start = log_of(engine, int(segments["time"][end - 1])), end
        found.append([f"{c.side} {c.old} {c.new}" for c in changes.since(log, engine.numbers)[0]])
    return found


def test_each_change_is_told_once() -> None:
    """What happens at the same nanosecond on both sides is in no order."""
    assert [sorted(changes) for changes in told(OPENING + CLOSING, 1, 3, 3, 6)] == [
        ["client CLOSE SYN_SENT"],
        ["client SYN_SENT ESTABLISHED", "server CLOSE SYN_RECV", "server SYN_RECV ESTABLISHED"],
        [],
        [
            "client ESTABLISHED FIN_WAIT1", "client FIN_WAIT1 FIN_WAIT2", "client FIN_WAIT2 TIME_WAIT",
            "server CLOSE_WAIT LAST_ACK", "server ESTABLISHED CLOSE_WAIT", "server LAST_ACK CLOSE",
        ],
    ]  # fmt: skip


def test_a_correction_is_told_as_one_more_change() -> None:
    """The SYN-ACK is repeated: the third ACK did not count."""
    repeat = Sent(gap=SECOND, from_client=False, flags=SYN | ACK, seq=500, ack=101)
    assert told((*OPENING, repeat), 3, 4)[1] == ["server ESTABLISHED SYN_RECV"]


def test_connections_keep_their_numbers_when_older_ones_are_forgotten() -> None:
    engine, changes = Engine(seed=1), Changes()
    second = [sent._replace(client=2) for sent in OPENING]
    segments = as_segments([*OPENING, *CLOSING, second[0]._replace(gap=300 * SECOND), *second[1:]])
    engine.feed(segments[:7])
    changes.since(log_of(engine, int(segments["time"][6])), engine.numbers)
    assert engine.retire(int(segments["time"][6])).numbers.tolist() == [0]
    engine.feed(segments[7:])
    found, _more = changes.since(log_of(engine, int(segments["time"][-1])), engine.numbers)
    assert sorted((c.conn, c.side, c.new) for c in found) == [
        (1, "client", "ESTABLISHED"), (1, "server", "ESTABLISHED"), (1, "server", "SYN_RECV"),
    ]  # fmt: skip


def test_what_is_too_much_to_tell_is_counted() -> None:
    engine, changes = Engine(seed=1), Changes()
    engine.feed(as_segments(OPENING))
    found, more = changes.since(log_of(engine, START + SECOND), engine.numbers, most=3)
    assert (len(found), more) == (3, 1)


CHANGE = Change(
    START, 7, "client", "10.0.0.1", 40_000, "10.0.0.2", 80, "SYN_SENT", "ESTABLISHED", 1_500_000,
    "observed", "received_syn_ack",
)  # fmt: skip


def test_lines_have_the_columns_of_bcc() -> None:
    out = io.StringIO()
    write_heading(out)
    write_lines([CHANGE], out)
    heading, line = out.getvalue().splitlines()
    assert heading.split() == ["LADDR", "LPORT", "RADDR", "RPORT", "OLDSTATE", "->", "NEWSTATE", "MS"]
    assert line.split() == ["10.0.0.1", "40000", "10.0.0.2", "80", "SYN_SENT", "->", "ESTABLISHED", "1.500"]


def test_what_is_over_and_was_left_out_is_not_told_again() -> None:
    """As when the report at the end takes in what had been put aside."""
    engine, changes = Engine(seed=1), Changes()
    engine.feed(as_segments(OPENING + CLOSING))
    numbers = np.array([0])
    log = log_of(engine, START + SECOND)
    assert len(changes.since(log, numbers)[0]) > 5
    assert not changes.since(log_of(Engine(seed=1), START + SECOND), np.zeros(0, np.int64))[0]
    assert not changes.since(log, numbers)[0]
    assert len(changes.since(log, numbers + 1)[0]) > 5


def test_json_lines() -> None:
    out = io.StringIO()
    write_json_lines([CHANGE, CHANGE._replace(lasted=-1)], out)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["time"] == "2023-11-14T22:13:20.000000000Z"
    assert (first["conn"], first["new"], first["lasted"]) == (7, "ESTABLISHED", 0.0015)
    assert second["lasted"] is None


@pytest.fixture
def demo(captures: Any) -> Snapshot:
    analysis = tcpstates.analyze(captures / "demo.pcap", dialects=False)
    numbers = np.arange(len(analysis.log.connections))
    return Snapshot(analysis.log.end, analysis, numbers, {"eth0": 3}, notes=("eth0: dropped",))


def drawn(screen: Screen, snapshot: Snapshot, width: int = 140, height: int = 50) -> str:
    out = io.StringIO()
    screen._console = Console(file=out, width=width, height=height)
    screen.note(snapshot)
    screen._console.print(screen.draw(snapshot))
    return out.getvalue()


def test_the_screen_shows_states_news_and_the_worst_connections(demo: Snapshot) -> None:
    text = drawn(Screen(io.StringIO()), demo)
    assert "3 dropped" in text
    assert "stuck_close_wait  10.20.1.20:8080  17 connections in CLOSE_WAIT for 1 min 11 s" in text
    assert text.index("reset_by_server \n") < text.index(" stuck_close_wait\n") < text.index("s sort")
    lines = [line.split() for line in text.splitlines()]
    assert ["CLOSE_WAIT", "17"] in [words[:2] for words in lines]


@pytest.mark.parametrize(("width", "height"), [(60, 12), (80, 24), (100, 30), (120, 40), (200, 70)])
def test_the_screen_is_as_large_as_the_terminal(demo: Snapshot, width: int, height: int) -> None:
    """Nothing is folded, the keys are always in view, and so is the filter while it is typed."""
    screen = Screen(io.StringIO())
    notes = ("eth0: the kernel dropped 3 frames between this and that, which makes all of it doubtful " * 2,)
    lines = drawn(screen, replace(demo, notes=notes), width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "3 dropped" in lines[0]
    assert lines[-1].strip().startswith("s sort")
    assert any(line.startswith("CLOSE_WAIT") for line in lines)
    rows = [line.split() for line in lines if line.startswith(("10.", "…"))]
    assert len(rows) >= min(height // 4, 20)
    assert all(re.search(r"\d$", word) for row in rows for word in row[:2])  # the ports are whole
    screen.take("/5432")
    assert drawn(screen, demo, width, height).splitlines()[-1].startswith("filter: 5432_")


def test_news_are_told_once(demo: Snapshot) -> None:
    screen = Screen(io.StringIO())
    drawn(screen, demo)
    assert drawn(screen, demo).count("reset_by_client  10.20.1.30:5432") == 1


def test_keys_sort_and_filter(demo: Snapshot) -> None:
    screen = Screen(io.StringIO())
    screen.take("s/5432\r")
    text = drawn(screen, demo)
    assert "Connections, oldest first, with '5432'" in text
    rows = [line for line in text.splitlines() if line.startswith("10.")]
    assert rows
    assert all("5432" in row for row in rows)
    screen.take("/\x1bp")
    assert (screen.wanted, screen.is_paused) == ("", True)
    screen.take("q")
    assert screen.is_over


def test_sparklines_are_as_high_as_their_highest() -> None:
    assert sparkline(deque([0, 4, 8])).strip() == "▄█"
    assert sparkline(deque([0, 0])).strip() == ""


def test_the_history_goes_on_while_nothing_changes(demo: Snapshot) -> None:
    history = History()
    log = demo.analysis.log
    for second in range(0, 31):
        history.note(demo.time + second * SECOND, log)
    assert list(history.counts["CLOSE_WAIT"]) == [17] * 11
