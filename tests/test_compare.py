"""Where Zeek's and Wireshark's words are not borne out by the evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tcpstates
from tcpstates.analysis import Analysis
from tcpstates.inference.dialects import Dialects
from tcpstates.inference.engine import Engine
from tcpstates.reports.compare import RULES
from tcpstates.reports.log import Log
from tcpstates.schema import DISAGREEMENTS, SEGMENTS, Checksum
from transcripts import Transcript


def compared(talk: Transcript, until: float = 0) -> set[tuple[str, str]]:
    """Whose word is not borne out, and how, where the capture ends so long after the last segment."""
    return {(row.dialect, row.disagreement) for row in table(talk, until).itertuples()}


def table(talk: Transcript, until: float = 0) -> pd.DataFrame:
    segments = np.array(talk.rows, SEGMENTS)
    segments["frame"] = np.arange(1, len(segments) + 1)
    engine, dialects = Engine(seed=1), Dialects()
    dialects.feed(segments, engine.feed(segments), engine.flows)
    end = int(segments["time"].max()) + round(until * 1e9)
    found = engine.finish(end)
    start = int(segments["time"].min())
    parts: Any = (found.connections, found.sides, found.transitions, start, end, ("a.pcap",))
    return Analysis(Log(*parts, found.conduct, found.resets, dialects.finish(found.sides))).compare


def test_a_normal_connection_is_nobodys_disagreement() -> None:
    assert compared(Transcript().opened().closed_by_client(), until=100) == set()


def test_31_of_a_server_stuck_in_close_wait() -> None:
    talk = Transcript().opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    assert compared(talk, until=100) == {("wireshark", "still_open")}


def test_a_normal_end_for_zeek_though_a_fin_was_never_acknowledged() -> None:
    talk = Transcript().opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("FIN ACK seq=1 ack=2")
    assert ("zeek", "unacknowledged_fin") in compared(talk, until=1)
    talk.client("ACK seq=2 ack=2")
    assert compared(talk, until=1) == set()


def test_a_reset_outside_of_the_window_is_believed() -> None:
    talk = Transcript().opened()
    talk.server("RST seq=5000000")
    talk.client("ACK seq=1 ack=1 len=10")
    talk.server("ACK seq=1 ack=11")
    assert compared(talk) == {("zeek", "ignored_reset"), ("wireshark", "ignored_reset")}


def test_a_handshake_that_nobody_completed() -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    talk.server("SYN ACK seq=0 ack=1")
    talk.server("SYN ACK seq=0 ack=1 @1")
    assert compared(talk) == {("zeek", "unfinished_handshake")}


def test_a_fin_that_only_its_acknowledgement_shows() -> None:
    talk = Transcript().opened()
    talk.client("ACK seq=1 ack=2")
    talk.client("FIN ACK seq=1 ack=2")
    talk.server("ACK seq=2 ack=2")
    assert compared(talk) == {("zeek", "missed_fin")}


def test_a_syn_ack_captured_first() -> None:
    talk = Transcript()
    talk.server("SYN ACK seq=0 ack=1")
    talk.client("SYN seq=0")
    talk.client("ACK seq=1 ack=1")
    assert ("wireshark", "missed_syn") in compared(talk)


def test_the_ack_of_a_refusal() -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    talk.server("RST ACK seq=0 ack=1")
    assert compared(talk) == {("wireshark", "refusal_as_ack")}


def test_checksums_left_to_the_network_card() -> None:
    talk = Transcript().opened()
    talk.rows[0]["checksum"] = talk.rows[2]["checksum"] = Checksum.OFFLOADED
    assert ("zeek", "wrong_checksums") in compared(talk)


def test_a_silent_connection_is_split_by_zeek() -> None:
    talk = Transcript().opened()
    talk.client("ACK seq=1 ack=1 len=10 @400")
    talk.server("ACK seq=1 ack=11")
    assert compared(talk) == {("zeek", "split")}


def test_what_they_say_stands_beside_what_was_inferred() -> None:
    talk = Transcript().opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    row = table(talk, until=100).iloc[0]
    assert (row["says"], row["outcome"], row["server_state"]) == ("23", "stuck_close_wait", "CLOSE_WAIT")
    assert "one FIN" in row["explanation"]


def test_every_disagreement_has_a_rule_and_the_other_way_round() -> None:
    assert {rule.name for rule in RULES} == set(DISAGREEMENTS)


def test_without_dialects_there_is_nothing_to_compare(captures: Path) -> None:
    analysis = tcpstates.analyze(captures / "refused.pcap", dialects=False)
    with pytest.raises(tcpstates.UsageError, match="dialects=True"):
        _ = analysis.compare
    row = analysis.connections.iloc[0]
    assert pd.isna(row["completeness"]) and pd.isna(row["conn_state"]) and row["history"] == ""
