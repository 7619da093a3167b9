"""Ladders: segments between client and server, with the states that they lead to."""

from __future__ import annotations

from pathlib import Path

import tcpstates
from builders import START, Frame, pcap, tcp_frame
from tcpstates.reports.ladder import Ladder, ladder
from tcpstates.states import Side, State

CLIENT, SERVER = "10.0.0.1:40000", "10.0.0.2:80"
MS = 1_000_000


def drawn(path: Path, conn: int = 0, most: int = 60) -> Ladder:
    analysis = tcpstates.analyze(path)
    return ladder(analysis.log, conn, analysis.exchange(conn), most)


def test_a_close_reads_as_in_a_textbook(captures: Path) -> None:
    rungs = drawn(captures / "close_by_client.pcap").rungs
    assert [(rung.sender, rung.text, rung.states) for rung in rungs[:3]] == [
        (Side.CLIENT, "SYN  seq 0", (State.SYN_SENT, State.CLOSE)),
        (Side.SERVER, "SYN ACK  seq 0  ack 1", (State.ESTABLISHED, State.SYN_RECV)),
        (Side.CLIENT, "ACK  seq 1  ack 1", (State.ESTABLISHED, State.ESTABLISHED)),
    ]
    assert rungs[-1].states == (State.TIME_WAIT, State.CLOSE)
    assert rungs[0].changed == (True, True)
    assert rungs[2].changed == (False, True)


def test_a_repeated_segment_says_so(captures: Path) -> None:
    rungs = drawn(captures / "black_hole.pcap").rungs
    assert [rung.fate for rung in rungs] == ["", *["retransmission"] * (len(rungs) - 1)]


def test_of_a_long_connection_runs_are_put_together(tmp_path: Path) -> None:
    frames = [
        tcp_frame(CLIENT, SERVER, "S", seq=0),
        tcp_frame(SERVER, CLIENT, "SA", seq=0, ack=1),
        tcp_frame(CLIENT, SERVER, "A", seq=1, ack=1),
        *(tcp_frame(CLIENT, SERVER, "PA", seq=1 + 10 * n, ack=1, payload=b"x" * 10) for n in range(500)),
        tcp_frame(SERVER, CLIENT, "A", seq=1, ack=5001),
        tcp_frame(CLIENT, SERVER, "FA", seq=5001, ack=1),
    ]
    path = tmp_path / "long.pcap"
    path.write_bytes(pcap([Frame(START + n * MS, data) for n, data in enumerate(frames)]))
    picture = drawn(path, most=30)
    assert len(picture.rungs) <= 20
    assert [rung.text.split("  ")[0] for rung in picture.rungs[:3]] == ["SYN", "SYN ACK", "ACK"]
    assert picture.rungs[-1].text.startswith("FIN ACK")
    [run] = [rung for rung in picture.rungs if rung.sender is None]
    assert run.text.startswith("493 segments: 4,930 bytes to the server, 0 to the client")


def test_every_capture_has_its_ladders(captures: Path) -> None:
    for path in sorted(captures.glob("*.pcap")):
        analysis = tcpstates.analyze(path)
        count = min(len(analysis.log.connections), 5)
        for conn, exchange in analysis.exchanges(range(count)).items():
            rungs = ladder(analysis.log, conn, exchange).rungs
            assert rungs[-1].states == tuple(map(State, analysis.log.final[conn])) or rungs[-1].time
            assert [rung.time for rung in rungs] == sorted(rung.time for rung in rungs)
