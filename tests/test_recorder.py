"""The recorder's own reasoning: which it must get right, as its truth judges the analysis."""

from __future__ import annotations

import json
import struct
import sys
from collections import Counter
from pathlib import Path
from socket import AF_INET, IPPROTO_TCP, inet_aton

import pytest

PCAPS = Path(__file__).parent.parent / "pcaps"
sys.path.insert(0, str(PCAPS))

from recorder.diag import STATES, Endpoint  # noqa: E402
from recorder.packets import read_frames, segments  # noqa: E402
from recorder.recording import connections_of, endings_of  # noqa: E402
from recorder.trace import Event, _hits  # noqa: E402
from recorder.truth import Row, Sample, merged, rows_of  # noqa: E402

CLIENT, SERVER = Endpoint("10.0.0.1", 40_000), Endpoint("10.0.0.2", 8080)
NOBODY = Endpoint("0.0.0.0", 0)
CAPTURES = sorted(PCAPS.glob("*.truth.csv"))


def event(time: int, socket: bytes, change: str, local: Endpoint, remote: Endpoint) -> Event:
    old, new = (STATES.index(state) for state in change.split())
    numbers = {"sport": local.port, "dport": remote.port, "family": AF_INET, "protocol": IPPROTO_TCP}
    fields = {name: struct.pack("<H", number) for name, number in numbers.items()}
    addresses = {"saddr": inet_aton(local.address), "daddr": inet_aton(remote.address), "skaddr": socket}
    return Event(time, fields | addresses | {"oldstate": bytes([old]), "newstate": bytes([new])})


def changes(rows: list[Row]) -> list[str]:
    return [f"{row.time} {row.local} {row.remote} {row.old} {row.new} {row.source}" for row in rows]


def test_a_connecting_socket_gets_the_port_that_its_next_event_knows() -> None:
    rows = rows_of(
        [
            event(1, b"A", "CLOSE SYN_SENT", CLIENT._replace(port=0), SERVER),
            event(2, b"A", "SYN_SENT ESTABLISHED", CLIENT, SERVER),
        ]
    )
    assert [row.local for row in rows] == [CLIENT, CLIENT]


def test_a_socket_whose_memory_another_one_had_before_gets_nothing_from_it() -> None:
    rows = rows_of(
        [
            event(1, b"A", "CLOSE LISTEN", SERVER, NOBODY),
            event(2, b"A", "LISTEN CLOSE", SERVER, NOBODY),
            event(3, b"A", "CLOSE SYN_SENT", CLIENT._replace(port=0), SERVER),
            event(4, b"A", "SYN_SENT CLOSE", CLIENT, SERVER),
        ]
    )
    assert [row.local for row in rows] == [SERVER, SERVER, CLIENT, CLIENT]


def test_a_sample_adds_the_mini_socket_that_the_tracepoint_calls_closed() -> None:
    row = Row(10, "client", CLIENT, SERVER, "FIN_WAIT2", "CLOSE", "tracepoint")
    sample = Sample(20, 21, "client", (CLIENT, SERVER), "TIME_WAIT")
    assert changes(merged([row], [sample])) == [
        "10 10.0.0.1:40000 10.0.0.2:8080 FIN_WAIT2 CLOSE tracepoint",
        "20 10.0.0.1:40000 10.0.0.2:8080 CLOSE TIME_WAIT ss",
    ]


@pytest.mark.parametrize(
    ("before", "after", "state"), [(11, 12, "CLOSE_WAIT"), (9, 11, "ESTABLISHED")], ids=["known", "crossed"]
)
def test_a_sample_that_says_nothing_new_is_left_out(before: int, after: int, state: str) -> None:
    row = Row(10, "server", SERVER, CLIENT, "ESTABLISHED", "CLOSE_WAIT", "tracepoint")
    assert merged([row], [Sample(before, after, "server", (SERVER, CLIENT), state)]) == [row]


def test_a_page_of_the_kernels_ring_buffer_is_read_event_by_event() -> None:
    short = struct.pack("<I", 2 | 5 << 5) + b"8 bytes."
    extend = struct.pack("<II", 30 | 1 << 5, 2)  # 2 << 27 and 1 nanoseconds more
    long = struct.pack("<II", 0 | 7 << 5, 8) + b"four"
    data = short + extend + long
    page = struct.pack("<QQ", 1000, len(data)) + data + bytes(64)
    assert list(_hits(page)) == [(1005, b"8 bytes."), (1005 + (2 << 27) + 1 + 7, b"four")]


def test_a_connection_that_changed_while_the_capture_ended_has_no_known_ending() -> None:
    capture = segments(read_frames(PCAPS / "close_by_client.pcap"))
    ((client, server),) = connections_of(capture)
    closing, closed = (
        {"client": {(client, server): state}, "server": {}} for state in ("CLOSING", "TIME_WAIT")
    )
    assert endings_of(capture, [closing, closed], ()) == []
    assert endings_of(capture, [closed, closed], ())[0].client_state == "TIME_WAIT"


@pytest.mark.parametrize("truth", CAPTURES, ids=lambda path: path.name.split(".")[0])
def test_every_connection_of_a_capture_has_its_ending_beside_it(truth: Path) -> None:
    name = truth.name.split(".")[0]
    expected = json.loads((PCAPS / "expected.json").read_text())[name]
    captured = connections_of(segments(read_frames(PCAPS / f"{name}.pcap")))
    listed = Counter((ending["client"], ending["server"]) for ending in expected)
    assert listed <= Counter((str(client), str(server)) for client, server in captured)
    assert len(captured) - len(expected) <= len(captured) // 50
    assert f"`{name}.pcap`" in (PCAPS / "README.md").read_text()
