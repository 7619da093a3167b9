"""Why a RST was sent: a transcript for each reason, and what must not be taken for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tcpstates.analysis import Analysis
from tcpstates.inference.engine import Engine
from tcpstates.reports.log import Log
from tcpstates.schema import SEGMENTS
from transcripts import SECOND, START, Transcript


def analysed(talk: Transcript, end: float | None = None) -> Analysis:
    """The analysis of a capture with these segments, which lasts until ``end`` seconds."""
    engine = Engine(seed=1)
    segments = np.array(talk.rows, SEGMENTS)
    segments["frame"] = np.arange(1, len(segments) + 1)
    engine.feed(segments)
    until = START + round((talk.clock if end is None else end) * SECOND)
    result = engine.finish(until)
    log = Log(
        result.connections,
        result.sides,
        result.transitions,
        int(segments["time"][0]),
        until,
        ("a.pcap",),
        result.conduct,
        result.resets,
    )
    return Analysis(log=log)


def told(talk: Transcript, **given: Any) -> list[tuple[str, str]]:
    """Who sent a RST, and why, in order of time."""
    table = analysed(talk, **given).resets
    return list(zip(table["side"].astype(str), table["reason"].astype(str), strict=True))


def verdict(talk: Transcript, **given: Any) -> tuple[str, str]:
    """Outcome and culprit of the first connection."""
    row = analysed(talk, **given).connections.iloc[0]
    return row["outcome"], row["culprit"]


def explanation(talk: Transcript) -> str:
    text: str = analysed(talk).resets["explanation"].iloc[0]
    return text


def exchange() -> Transcript:
    """A request of 40 bytes and its answer of 100, both acknowledged."""
    talk = Transcript().opened()
    talk.client("ACK seq=1 ack=1 len=40")
    talk.server("ACK seq=1 ack=41 len=100")
    talk.client("ACK seq=41 ack=101")
    return talk


def test_refused() -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    talk.server("RST ACK seq=-5000 ack=1")
    assert told(talk) == [("server", "refused")]
    assert "(frame 1) after 10 ms: nothing listens on port 80" in explanation(talk)


def test_aborted_by_the_application() -> None:
    talk = exchange()
    talk.client("RST ACK seq=41 ack=101 @3")
    assert told(talk) == [("client", "aborted")]
    assert verdict(talk) == ("reset_by_client", "client")
    assert "the server's last 100 bytes were left unread" in explanation(talk)


def test_a_server_that_never_answered_left_the_request_unread() -> None:
    talk = Transcript().opened()
    talk.client("ACK seq=1 ack=1 len=40")
    talk.server("ACK seq=1 ack=41")
    talk.server("RST ACK seq=1 ack=41 @1")
    assert told(talk) == [("server", "unread_data")]
    assert verdict(talk) == ("reset_by_server", "server")


def test_data_under_way_are_unread() -> None:
    talk = exchange()
    talk.server("ACK seq=101 ack=41 len=1000")
    talk.server("ACK seq=1101 ack=41 len=1000")
    talk.client("RST ACK seq=41 ack=1101")
    assert told(talk) == [("client", "unread_data")]
    assert "1,000 bytes of the server were still under way" in explanation(talk)


def test_late_data_to_a_closed_socket() -> None:
    talk = exchange()
    talk.client("FIN ACK seq=41 ack=101 @1")
    talk.server("ACK seq=101 ack=42")
    talk.server("ACK seq=101 ack=42 len=500 @2")
    talk.client("RST seq=42")
    assert told(talk) == [("client", "late_data")]
    assert verdict(talk) == ("reset_while_closing", "server")
    assert "500 bytes came too late (frame 9)" in explanation(talk)


def test_a_fin_that_comes_when_the_socket_is_gone() -> None:
    talk = exchange()
    talk.client("FIN ACK seq=41 ack=101 @1")
    talk.server("ACK seq=101 ack=42")
    talk.server("FIN ACK seq=101 ack=42 @100")
    talk.client("RST seq=42")
    assert told(talk) == [("client", "late_data")]


def test_who_aborts_after_a_half_close_is_to_blame() -> None:
    """What was sent before the FIN did not come late."""
    talk = exchange()
    talk.client("FIN ACK seq=41 ack=101 @1")
    talk.server("ACK seq=101 ack=42")
    talk.client("RST ACK seq=42 ack=101 @2")
    assert told(talk) == [("client", "aborted")]
    assert verdict(talk) == ("reset_while_closing", "client")


def test_a_stale_connection() -> None:
    talk = exchange()
    talk.client("ACK seq=41 ack=101 len=10 @600")
    talk.server("RST seq=101")
    assert told(talk) == [("server", "stale")]
    assert verdict(talk) == ("reset_stale", "server")
    assert "answers frame 7, which broke a silence of 10 min" in explanation(talk)


def test_a_reset_that_crossed_the_fin_aborts_an_open_connection() -> None:
    talk = exchange()
    talk.client("FIN ACK seq=41 ack=101 @1")
    talk.server("RST ACK seq=101 ack=41 @1.005")
    assert verdict(talk) == ("reset_by_server", "server")


def test_probing_in_vain() -> None:
    talk = exchange()
    for second in (10, 11, 12):
        talk.client(f"ACK seq=40 ack=101 @{second}")
    talk.client("RST ACK seq=41 ack=101 @13")
    assert told(talk) == [("client", "gave_up")]
    assert verdict(talk) == ("timed_out", "network")


def test_a_middlebox_by_its_ttl() -> None:
    talk = exchange()
    for row in talk.rows:
        row["ttl"] = 52
    talk.server("RST ACK seq=101 ack=41")
    talk.rows[-1]["ttl"] = 61
    assert told(talk) == [("server", "middlebox")]
    assert verdict(talk) == ("reset_by_server", "network")
    assert "its TTL is 61, that of the server's other packets 52" in explanation(talk)


def test_a_host_whose_resets_begin_with_another_ttl() -> None:
    """255 - 3 and 64 - 3: as many hops away, so it may well be the host."""
    talk = exchange()
    for row in talk.rows:
        row["ttl"] = 61
    talk.server("RST ACK seq=101 ack=41")
    talk.rows[-1]["ttl"] = 252
    assert told(talk) == [("server", "aborted")]


def test_a_middlebox_by_who_goes_on() -> None:
    talk = exchange()
    talk.client("RST seq=41 @2")
    talk.client("ACK seq=41 ack=101 len=10 @3")
    talk.server("RST seq=101 @3.01")
    assert told(talk) == [("client", "middlebox"), ("server", "stale")]
    assert verdict(talk) == ("reset_by_client", "network")


def test_out_of_window() -> None:
    talk = exchange()
    talk.client("RST seq=9000000 @2")
    talk.client("ACK seq=41 ack=101 len=10 @3")
    talk.server("ACK seq=101 ack=51")
    assert told(talk) == [("client", "ignored")]
    assert verdict(talk)[0] == "open"
    assert "8,999,959 beyond what was expected" in explanation(talk)


def test_a_challenge_ack() -> None:
    talk = exchange()
    talk.client("RST seq=2000 @2")
    talk.server("ACK seq=101 ack=41")
    talk.client("ACK seq=41 ack=101 len=10 @3")
    talk.server("ACK seq=101 ack=51")
    assert told(talk) == [("client", "ignored")]
    assert "frame 8 challenges it" in explanation(talk)


def test_assassination_of_time_wait() -> None:
    talk = exchange()
    talk.client("FIN ACK seq=41 ack=101")
    talk.server("FIN ACK seq=101 ack=42")
    talk.client("ACK seq=42 ack=102")
    talk.server("RST seq=102 @5")
    assert told(talk) == [("server", "assassination")]
    assert verdict(talk)[0] == "closed"


def test_a_reset_after_the_end_changes_nothing() -> None:
    talk = exchange()
    talk.client("FIN ACK seq=41 ack=101")
    talk.server("FIN ACK seq=101 ack=42")
    talk.client("ACK seq=42 ack=102")
    talk.client("RST seq=42 @2")
    assert told(talk) == [("client", "after_close")]


def test_a_lone_reset_tells_nothing() -> None:
    talk = Transcript()
    talk.server("RST ACK seq=101 ack=41")
    assert told(talk) == [("server", "unknown")]
    assert verdict(talk)[0] == "fragment"


def test_peer_vanished() -> None:
    talk = exchange()
    for second in (2, 2.2, 2.6, 3.4, 5, 8.2):
        talk.client(f"ACK seq=41 ack=101 len=10 @{second}")
    assert verdict(talk) == ("peer_vanished", "network")
    assert verdict(talk, end=9) == ("peer_vanished", "network")
    [text] = analysed(talk, end=9).connections["diagnosis"]
    assert "6 times from frame 7 on for 7 s until the capture ended" in text
    assert ":80 is frame 5, 22:13:20.040" in text


def test_a_repeat_that_is_answered_is_no_vanished_peer() -> None:
    talk = exchange()
    for second in (2, 2.2, 2.6, 3.4, 5, 8.2):
        talk.client(f"ACK seq=41 ack=101 len=10 @{second}")
    talk.server("ACK seq=101 ack=51")
    assert verdict(talk)[0] == "open"


@pytest.mark.parametrize("block", [1, 3, 100])
def test_conduct_is_the_same_however_it_is_fed(block: int) -> None:
    talk = exchange()
    talk.client("FIN ACK seq=41 ack=101 @1")
    talk.server("ACK seq=101 ack=42 len=500 @2")
    talk.client("RST seq=42")
    segments = np.array(talk.rows, SEGMENTS)
    whole, parts = Engine(seed=1), Engine(seed=1)
    whole.feed(segments)
    for start in range(0, len(segments), block):
        parts.feed(segments[start : start + block])
    end = int(segments["time"][-1])
    for one, other in zip(whole.finish(end)[-2:], parts.finish(end)[-2:], strict=True):
        assert np.array_equal(one, other)


def test_a_burst_that_is_not_answered_yet_is_no_giving_up() -> None:
    talk = exchange()
    for number in range(5):
        talk.client(f"ACK seq={41 + 100 * number} ack=101 len=100")
    talk.client("RST ACK seq=541 ack=101 @3")
    assert told(talk) == [("client", "aborted")]


def test_of_one_direction_alone_no_silence_is_told() -> None:
    talk = exchange()
    talk.client("ACK seq=41 ack=101 len=10 @1")
    talk.client("ACK seq=41 ack=101 len=10 @2")
    talk.client("RST ACK seq=51 ack=101 @4")
    talk.rows = [row for row in talk.rows if row["src_port"] == 40_000]
    assert told(talk) == [("client", "aborted")]
    [text] = analysed(talk).connections["diagnosis"]
    assert "Nothing of the server was captured: perhaps the capture sees one direction only" in text


def test_a_reset_whose_cause_was_not_captured_blames_nobody() -> None:
    talk = exchange()
    talk.client("FIN ACK seq=41 ack=101 @1")
    talk.server("ACK seq=101 ack=42 len=500 @2")
    talk.client("RST seq=42")
    talk.rows = [row for row in talk.rows if row["src_port"] == 40_000]
    assert told(talk) == [("client", "unknown")]
    assert analysed(talk).connections["culprit"].isna().all()
