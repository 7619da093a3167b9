"""The score's own reasoning: what it counts as right, wrong, missed or invented."""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import tcpstates
from tcpstates.reports.log import Log
from tcpstates.states import State

PCAPS = Path(__file__).parent.parent / "pcaps"
sys.path.insert(0, str(PCAPS))

from scoring.agreement import pieces  # noqa: E402
from scoring.imperfect import IMPERFECTIONS, degraded, packets_of  # noqa: E402
from scoring.inferred import Claim, Inferred, inferred  # noqa: E402
from scoring.lives import FOREVER, Ends, Life, Span  # noqa: E402
from scoring.matching import matched  # noqa: E402
from scoring.recordings import Recording, recordings  # noqa: E402
from scoring.score import scored  # noqa: E402
from scoring.sequence import verdict  # noqa: E402
from scoring.tally import Tally  # noqa: E402

ENDS = Ends("10.0.0.1:40000", "10.0.0.2:80")
MARGIN = 10
BOUNDS = (0, 1000)


def life(text: str) -> Life:
    """``"SYN_SENT 0 ESTABLISHED 20 CLOSE 500"``: states and when each begins; a last CLOSE only ends it."""
    words = text.split()
    states, starts = [State[name] for name in words[::2]], [int(start) for start in words[1::2]]
    ends = [*starts[1:], FOREVER]
    spans = [Span(*span) for span in zip(states, starts, ends, strict=True)]
    return Life(ENDS, "client", tuple(spans[:-1] if states[-1] == State.CLOSE else spans))


def claim(text: str, last: int = BOUNDS[1]) -> Claim:
    """A side that says so, with frames from its first span until ``last``."""
    words = text.split()
    said = life(text)
    if words[-2] == "CLOSE":  # a timeline goes on after a socket's end
        said = said._replace(spans=(*said.spans, Span(State.CLOSE, int(words[-1]), FOREVER)))
    return Claim(said, 0, said.spans[0].start, last)


def time(truth: str, said: str) -> dict[str, int]:
    """How much time is of which kind."""
    found: Counter[str] = Counter()
    for piece in pieces(life(truth), claim(said).life, BOUNDS, MARGIN):
        found[piece.kind] += piece.length
    return {kind: length for kind, length in found.items() if length}


def test_time_around_true_changes_does_not_count() -> None:
    assert time("SYN_SENT 100 ESTABLISHED 200", "SYN_SENT 100 ESTABLISHED 200") == {"right": 80 + 790}


def test_a_change_noticed_within_the_margin_is_right() -> None:
    assert time("SYN_SENT 100 ESTABLISHED 200", "SYN_SENT 109 ESTABLISHED 191") == {"right": 870}


def test_a_change_noticed_later_is_wrong_for_the_rest() -> None:
    assert time("SYN_SENT 100 ESTABLISHED 200", "SYN_SENT 100 ESTABLISHED 250") == {"right": 830, "wrong": 40}


def test_a_side_that_outlives_its_socket_is_wrong() -> None:
    assert time("SYN_SENT 100 CLOSE 200", "SYN_SENT 100") == {"right": 80, "wrong": 790}


def test_a_socket_that_is_thought_gone_is_wrong() -> None:
    assert time("SYN_SENT 100", "SYN_SENT 100 CLOSE 200") == {"right": 90, "wrong": 800}


def test_unknown_is_not_wrong_and_nothing_of_a_socket_that_is_gone() -> None:
    assert time("ESTABLISHED 100 CLOSE 500", "UNKNOWN 100") == {"unknown": 380}


def test_nothing_is_said_before_the_first_frame() -> None:
    assert time("ESTABLISHED 0", "ESTABLISHED 400") == {"silent": 390, "right": 600}


def judged(truth: str, said: str) -> tuple[bool, bool]:
    return tuple(verdict(life(truth), claim(said), BOUNDS, MARGIN))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("truth", "said", "exact", "lenient"),
    [
        ("SYN_SENT 100 ESTABLISHED 200", "SYN_SENT 100 ESTABLISHED 900", True, True),
        ("SYN_SENT 100 ESTABLISHED 200", "CLOSE 50 SYN_SENT 100 ESTABLISHED 200", True, True),
        ("SYN_SENT 100 ESTABLISHED 200 CLOSE 300", "SYN_SENT 100 ESTABLISHED 200", False, False),
        ("FIN_WAIT1 100 FIN_WAIT2 200 TIME_WAIT 205", "FIN_WAIT1 100 TIME_WAIT 200", False, True),
        ("FIN_WAIT1 100 FIN_WAIT2 200 TIME_WAIT 250", "FIN_WAIT1 100 TIME_WAIT 200", False, False),
        ("FIN_WAIT1 100 TIME_WAIT 200", "FIN_WAIT1 100 CLOSING 200 TIME_WAIT 205", False, True),
        ("FIN_WAIT1 100 TIME_WAIT 200", "FIN_WAIT1 100 CLOSING 200 TIME_WAIT 250", False, False),
        ("FIN_WAIT1 100 FIN_WAIT2 200", "FIN_WAIT1 100 UNKNOWN 200", False, False),
    ],
)
def test_sequences_are_exact_or_lenient(truth: str, said: str, exact: bool, lenient: bool) -> None:
    assert judged(truth, said) == (exact, lenient)


def test_what_changes_as_the_capture_ends_may_be_seen_or_not() -> None:
    assert judged("ESTABLISHED 100 FIN_WAIT1 995", "ESTABLISHED 100") == (True, True)
    assert judged("ESTABLISHED 100 FIN_WAIT1 1005", "ESTABLISHED 100 FIN_WAIT1 1000") == (True, True)
    assert judged("ESTABLISHED 100 FIN_WAIT1 980", "ESTABLISHED 100") == (False, False)


def test_of_a_socket_older_than_the_capture_only_the_rest_is_asked_for() -> None:
    truth = "SYN_SENT -900 ESTABLISHED -800 FIN_WAIT1 500"
    assert judged(truth, "ESTABLISHED 300 FIN_WAIT1 500") == (True, True)
    assert judged(truth, "SYN_SENT 300 ESTABLISHED 320 FIN_WAIT1 500") == (False, False)


def pairing(lives: list[str], claims: list[Claim]) -> list[list[int]]:
    """Which life goes with which claim; who is missed, unseen and invented, by number."""
    truths = [life(text) for text in lives]
    log = Log(None, None, None, *BOUNDS)  # type: ignore[arg-type]
    found = matched(truths, Inferred(log, claims), MARGIN)
    return [
        [10 * truths.index(truth) + claims.index(one) for truth, one in found.pairs],
        [truths.index(one) for one in found.missed],
        [truths.index(one) for one in found.unseen],
        [claims.index(one) for one in found.invented],
    ]


def test_two_sockets_of_one_4_tuple_are_told_apart_by_their_time() -> None:
    lives = ["TIME_WAIT 0 CLOSE 500", "SYN_RECV 500 ESTABLISHED 520"]
    claims = [claim("SYN_RECV 498 ESTABLISHED 520"), claim("TIME_WAIT 3 CLOSE 498", 3)]
    assert pairing(lives, claims) == [[10, 1], [], [], []]


def test_a_connection_that_covers_two_sockets_misses_one() -> None:
    lives = ["TIME_WAIT 0 CLOSE 600", "SYN_RECV 600 ESTABLISHED 620"]
    assert pairing(lives, [claim("TIME_WAIT 3")]) == [[0], [1], [], []]


def test_a_socket_that_is_split_in_two_makes_one_invented() -> None:
    claims = [claim("ESTABLISHED 10 CLOSE 700"), claim("SYN_RECV 700")]
    assert pairing(["ESTABLISHED 10"], claims) == [[0], [], [], [1]]


def test_a_socket_without_a_frame_is_unseen() -> None:
    assert pairing(["SYN_SENT 10 CLOSE 200"], [claim("SYN_SENT 700")]) == [[], [], [0], [0]]


def test_a_side_that_never_had_a_socket_claims_none() -> None:
    assert pairing([], [claim("CLOSE 10")]) == [[], [], [], []]


CAPTURE = "close_by_client"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording whose truth is what the analysis says."""
    for vantage in ("client", "server"):
        name = f"{CAPTURE}.{vantage}.pcap.gz"
        (tmp_path / name).write_bytes(gzip.compress((PCAPS / f"{CAPTURE}.pcap").read_bytes()))
    (tmp_path / f"{CAPTURE}.json").write_text(
        json.dumps({"quality": "clean", "link": {"rtt": 0.0, "jitter": 0.0}})
    )
    timeline = tcpstates.analyze(PCAPS / f"{CAPTURE}.pcap").timeline
    write_truth(tmp_path, timeline[timeline["state"] != "CLOSE"])
    return tmp_path


def write_truth(folder: Path, timeline: object) -> None:
    truth = ["side,local,remote,state,start,end,source"]
    for row in timeline.itertuples():  # type: ignore[attr-defined]
        ends = f"{row.local_addr}:{row.local_port},{row.remote_addr}:{row.remote_port}"
        start, end = (f"{time.isoformat()[:29]}Z" if time == time else "" for time in (row.start, row.end))
        truth.append(f"{row.side},{ends},{row.state},{start},{end},tracepoint")
    write(folder, "truth", truth)
    write_look(folder)


def write_look(folder: Path, *sockets: tuple[str, ...]) -> None:
    """One look, in the middle of the client's ESTABLISHED."""
    spans = only_recording(folder).lives[0].spans
    (start, end) = next((span.start, span.end) for span in spans if span.state == State.ESTABLISHED)
    time = f"{np.datetime64((start + end) // 2, 'ns')}Z"
    write(folder, "ss", ["time,side,local,remote,state", *(",".join((time, *row)) for row in sockets)])


def write(folder: Path, name: str, lines: list[str]) -> None:
    (folder / f"{CAPTURE}.{name}.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def only_recording(folder: Path) -> Recording:
    (recording,) = recordings(folder)
    return recording


def test_an_analysis_agrees_with_itself(folder: Path) -> None:
    tally = scored(only_recording(folder), "server").tally
    assert (tally.sockets, tally.unseen, tally.missed, tally.invented) == (2, 0, 0, 0)
    assert (tally.exact, tally.share("right"), tally.share("wrong")) == (2, 100, 0)


def test_the_near_and_the_far_side_are_all_there_is(folder: Path) -> None:
    score = scored(only_recording(folder), "server")
    near, far = score.of_side(near=True), score.of_side(near=False)
    assert (near.sockets, far.sockets) == (1, 1)
    assert near.right + far.right == score.tally.right


def test_a_row_that_the_kernel_has_otherwise_is_ours_and_theirs(folder: Path) -> None:
    assert (rows(folder, "ESTABLISHED").equal, rows(folder, "ESTABLISHED").ours) == (1, 0)
    wrong = rows(folder, "CLOSE_WAIT")
    assert (wrong.equal, wrong.ours, wrong.theirs) == (0, 1, 1)


def test_a_listener_that_is_bound_to_any_address_is_the_one_that_answered(folder: Path) -> None:
    client = only_recording(folder).lives[0].ends
    port = client.remote.rpartition(":")[2]
    listener = ("server", f"0.0.0.0:{port}", "0.0.0.0:0", "LISTEN")
    silent = ("server", "0.0.0.0:1", "0.0.0.0:0", "LISTEN")
    write_look(folder, listener, silent)
    tally = scored(only_recording(folder), "server").tally
    assert (tally.listening, tally.ours_listening, tally.theirs_listening) == (1, 0, 1)


def rows(folder: Path, state: str) -> Tally:
    """What comes of one look at the client's table, in the middle of the capture."""
    client = only_recording(folder).lives[0].ends
    write_look(folder, ("client", *client, state))
    return scored(only_recording(folder), "server").tally


@pytest.mark.parametrize(
    "imperfection", ["snap length 60", "VLAN", "cooked", "cooked v2", "pcapng, by direction"]
)
def test_the_same_capture_in_other_clothes_says_the_same(folder: Path, imperfection: str) -> None:
    capture = only_recording(folder).capture("client")
    other, plain = inferred(degraded(capture, imperfection)), inferred(capture)
    assert [one.life.spans for one in other.claims] == [one.life.spans for one in plain.claims]


def test_imperfect_captures_are_as_imperfect_as_they_say(folder: Path) -> None:
    capture = only_recording(folder).capture("client")
    frames = len(packets_of(capture))
    read = {name: tcpstates.analyze(degraded(capture, name)) for name in IMPERFECTIONS}
    assert read["doubled"].counts.frames == 2 * frames
    assert read["swapped"].counts.frames == frames
    assert read["10 % missing"].counts.frames <= frames
    assert read["cut"].counts.frames < frames and read["cut"].damage


def test_imperfections_are_the_same_each_time(folder: Path) -> None:
    capture = only_recording(folder).capture("client")
    for name in IMPERFECTIONS:
        assert degraded(capture, name).getvalue() == degraded(capture, name).getvalue()
