"""Frames that the kernel dropped: what rests on nothing having been seen since is no verdict."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tcpstates
from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, at
from tcpstates.capture import ring
from tcpstates.drops import Drops, doubted
from tcpstates.reports.facts import Facts
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import outcomes
from tcpstates.reports.patterns import find_patterns
from tcpstates.reports.thresholds import stuck_thresholds
from tcpstates.schema import LOSSES, OUTCOMES
from tcpstates.states import Evidence
from wires import Wire, syn

SILENT: dict[str, Any] = {"frames": 0}
HALF_CLOSED = f"{OPENING_CLIENT}, 10 FIN_WAIT1 sent_fin, 10 FIN_WAIT2 received_ack_of_fin"
CLOSE_WAIT = f"{OPENING_SERVER}, 10 CLOSE_WAIT received_fin"


def lossy(builder: LogBuilder, *losses: tuple[float, float], frames: int = 5) -> Log:
    """The log of a capture that lost frames from when to when, in seconds."""
    rows = np.array([(at(start), at(end), frames) for start, end in losses], LOSSES)
    return replace(builder.log(), losses=rows)


def judged(log: Log) -> list[str]:
    return [OUTCOMES[code] for code in outcomes(Facts(log, stuck_thresholds(None))).outcome]


def half_closed(last: float = 10, end: float = 200) -> LogBuilder:
    return LogBuilder(end=end).connection(HALF_CLOSED, CLOSE_WAIT, last=last)


def test_a_loss_may_hide_what_ended_the_wait() -> None:
    assert judged(half_closed().log()) == ["stuck_close_wait"]
    assert judged(lossy(half_closed(), (40, 41))) == ["closing"]


def test_what_was_stuck_before_the_loss_was() -> None:
    log = lossy(half_closed(), (100, 101))
    found = outcomes(Facts(log, stuck_thresholds(None)))
    assert judged(log) == ["stuck_close_wait"]
    assert found.lasted[0] == at(100) - at(10)
    assert not found.lasts[0]


def test_what_is_seen_after_the_loss_settles_it() -> None:
    """A keep-alive, say: its numbers tell whether a FIN was missed."""
    assert judged(lossy(half_closed(last=50), (40, 41))) == ["stuck_close_wait"]


def test_a_loss_before_the_wait_or_after_the_end_of_it_does_not_matter() -> None:
    assert judged(lossy(half_closed(), (5, 6))) == ["stuck_close_wait"]
    closed = LogBuilder(end=300).connection(
        f"{HALF_CLOSED}, 190 TIME_WAIT received_fin, 250 CLOSE timer_2msl",
        f"{CLOSE_WAIT}, 190 LAST_ACK sent_fin, 190 CLOSE received_ack_of_fin",
        last=190,
    )
    assert judged(lossy(closed, (280, 281))) == ["stuck_close_wait"]


@pytest.mark.parametrize(
    ("client", "server", "sides", "without"),
    [
        ("0 SYN_SENT sent_syn", "0 UNKNOWN first_frame", {"server_side": SILENT}, "no_answer"),
        ("0 SYN_SENT sent_syn, 100 CLOSE timer_retransmission", "0 UNKNOWN first_frame",
         {"server_side": SILENT, "client_side": {"syns": 6}}, "no_answer"),
        ("0 SYN_SENT sent_syn", "0 SYN_RECV sent_syn_ack", {"server_side": {"syn_acks": 2}}, "half_open"),
        (f"{OPENING_CLIENT}, 100 CLOSE timer_retransmission", OPENING_SERVER, {}, "timed_out"),
        (OPENING_CLIENT, OPENING_SERVER, {"client_side": {"unanswered": 3, "unanswered_since": 0.1}},
         "peer_vanished"),
    ],
)  # fmt: skip
def test_no_verdict_on_an_answer_that_may_have_been_dropped(
    client: str, server: str, sides: dict[str, Any], without: str
) -> None:
    builder = LogBuilder().connection(client, server, last=0.2, **sides)
    assert judged(builder.log()) == [without]
    assert judged(lossy(builder, (1, 2)))[0] in ("open", "fragment")


def test_no_leak_of_sockets_that_may_have_been_closed() -> None:
    builder = LogBuilder(end=300)
    for number in range(30):
        since = 10 + 4 * number
        client = f"{OPENING_CLIENT}, {since} FIN_WAIT1 sent_fin, {since} FIN_WAIT2 received_ack_of_fin"
        builder.connection(client, f"{OPENING_SERVER}, {since} CLOSE_WAIT received_fin", last=since)
    assert [leak.pattern for leak in find_patterns(Facts(builder.log(), stuck_thresholds(None)))] == ["leak"]
    assert not find_patterns(Facts(lossy(builder, (130, 131)), stuck_thresholds(None)))


@pytest.mark.parametrize(("frames", "count"), [(10, 1), (90, 0)])
def test_a_flood_larger_than_the_loss_is_one(frames: int, count: int) -> None:
    """Each frame that was dropped completed one connection at most."""
    builder = LogBuilder(end=60)
    for number in range(100):
        start = f"{number / 100} SYN_SENT sent_syn", f"{number / 100} SYN_RECV sent_syn_ack"
        once = {"frames": 1, "syns": 1}, {"frames": 1, "syn_acks": 1}
        endpoints = f"10.7.0.{number + 1}:4000", "10.0.0.5:80"
        builder.connection(*start, endpoints=endpoints, client_side=once[0], server_side=once[1])
    log = lossy(builder, (0.5, 2), frames=frames)
    found = [pattern.pattern for pattern in find_patterns(Facts(log, stuck_thresholds(None)))]
    assert found.count("syn_flood") == count


def test_states_since_before_a_loss_are_only_assumed() -> None:
    log = lossy(half_closed(), (40, 41))
    finally_observed = log.transitions["evidence"][log.last_rows] == Evidence.OBSERVED
    assert finally_observed.all()
    now = doubted(log).transitions["evidence"][log.last_rows]
    assert (now == Evidence.ASSUMED).all()
    later = doubted(lossy(half_closed(last=50), (40, 41)))
    assert (later.transitions["evidence"][later.last_rows] == Evidence.OBSERVED).all()


def test_losses_are_told_apart_and_said() -> None:
    drops = Drops()
    drops.note({"eth0": 0, "lo": 0}, at(0))
    assert not drops.words(half_closed().log())
    drops.note({"eth0": 3, "lo": 0}, at(1))
    drops.note({"eth0": 5, "lo": 0}, at(2))  # goes on
    drops.note({"eth0": 5, "lo": 0}, at(3))
    drops.note({"eth0": 5, "lo": 1}, at(40))
    assert drops.losses.tolist() == [(at(0), at(2), 5), (at(3), at(40), 1)]
    first, second, doubt = drops.words(replace(half_closed().log(), losses=drops.losses))
    assert first.startswith("eth0: the kernel dropped 5 frames between 2023-")
    assert second.startswith("lo: the kernel dropped 1 frame between")
    assert doubt.startswith("1 connection showed nothing since")


def test_losses_are_bounded() -> None:
    drops = Drops()
    for number in range(20_000):
        drops.note({"eth0": number // 2}, at(number))
    assert len(drops.losses) < 5_000
    assert drops.losses["frames"].sum() == 9_999
    assert (drops.losses["start"][1:] >= drops.losses["end"][:-1]).all()


def ring_of(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    monkeypatch.setattr(ring, "BLOCKS", blocks)


@pytest.mark.slow_without_jit
def test_a_fin_that_the_kernel_drops_makes_nobody_guilty(
    hosts: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The ring is full while the server closes: it looks like CLOSE_WAIT for good, and is not called so."""
    ring_of(monkeypatch, 2)
    listener, gate = hosts.listen(8080), threading.Event()
    gate.set()
    with hosts.client.entered():
        live = tcpstates.live("eth0", stuck_after="5s", write=tmp_path / "live.pcapng")
    read = live._source.read
    monkeypatch.setattr(live._source, "read", lambda timeout: (gate.wait(), read(timeout))[1])
    with live:
        client, server = hosts.connect(listener)
        client.close()
        time.sleep(0.5)
        assert states(live) == {"FIN_WAIT2", "CLOSE_WAIT"}
        gate.clear()
        time.sleep(0.2)
        sender = hosts.raw()
        for number in range(10_000):
            sender.send(syn(number))
        sender.close()
        server.close()
        time.sleep(0.3)
        gate.set()
        time.sleep(7)
        assert live.snapshot.dropped["eth0"] > 1_000
        assert states(live) == {"FIN_WAIT2", "CLOSE_WAIT"}  # as far as was seen
        assert not len(live.findings)
        assert not len(live.analysis.patterns)
    notes = " ".join(live.snapshot.notes)
    assert "eth0: the kernel dropped" in notes
    assert "not called stuck or unanswered" in notes
    assert "live.pcapng does not say which frames were dropped" in notes
    rows = live.connections.query("server_port == 8080")
    assert rows["outcome"].tolist() == ["closing"]
    evidence = live.analysis.timeline.query("local_port == 8080 and state == 'CLOSE_WAIT'")["evidence"]
    assert evidence.tolist() == ["assumed"]


def states(live: tcpstates.Live) -> set[str]:
    """Those of the connections to port 8080."""
    rows = live.netstat().query("local_port == 8080 or remote_port == 8080")
    return set(rows["state"]) - {"LISTEN"}
