"""The recorder's own reasoning: which it must get right, as its truth judges the analysis."""

from __future__ import annotations

import csv
import gzip
import json
import struct
import sys
from collections import Counter, defaultdict
from pathlib import Path
from socket import AF_INET, IPPROTO_TCP, inet_aton

import numpy as np
import pytest

PCAPS = Path(__file__).parent.parent / "pcaps"
sys.path.insert(0, str(PCAPS))

from recorder.btf import KernelTypes  # noqa: E402
from recorder.diag import STATES, Endpoint  # noqa: E402
from recorder.forge import continued  # noqa: E402
from recorder.link import Loss, sent_by  # noqa: E402
from recorder.minisockets import MiniSpan, Word, spans_of  # noqa: E402
from recorder.packets import Frame, Segment, read_frames, segment_of, segments  # noqa: E402
from recorder.probes import Hit, Probe, hits_of  # noqa: E402
from recorder.recording import connections_of, endings_of  # noqa: E402
from recorder.spans import Span, contradictions, resolved, write_spans  # noqa: E402
from recorder.trace import Event, _hits  # noqa: E402
from recorder.truth import Look, Row, Sample, merged, rows_of  # noqa: E402

CLIENT, SERVER = Endpoint("10.0.0.1", 40_000), Endpoint("10.0.0.2", 8080)
NOBODY = Endpoint("0.0.0.0", 0)
CAPTURES = sorted(PCAPS.glob("*.truth.csv"))
PROOFS = sorted((PCAPS / "kernel").glob("*.json"))
MILLISECOND = 1_000_000
_A_LOOK = 50 * MILLISECOND  # that long it may take
_NEVER = "2200-01-01T00:00:00Z"


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


def test_copies_in_the_probes_ring_buffer_are_read_one_by_one() -> None:
    probe = Probe("timer_start", 0, 160, 24, 8, 0)
    first, second = (struct.pack("<QQQ", time, 0, 0xABC) + b"mini-socket" for time in (7, 9))
    discarded = struct.pack("<II", 1 << 30 | 8, 0) + bytes(8)
    records = [struct.pack("<II", len(data), 0) + data.ljust(40, b"\0") for data in (first, second)]
    assert list(hits_of(records[0] + discarded + records[1], (probe,))) == [
        Hit(7, probe, 0xABC, b"mini-socket"),
        Hit(9, probe, 0xABC, b"mini-socket"),
    ]


def test_the_kernels_types_tell_where_a_member_of_a_nameless_part_is(tmp_path: Path) -> None:
    strings = b"\0int\0sock\0first\0second\0"
    integer = struct.pack("<III", 1, 1 << 24, 4) + bytes(4)
    nameless = struct.pack("<III", 0, 4 << 24 | 1, 8) + struct.pack("<III", 16, 1, 32)
    named = struct.pack("<III", 5, 4 << 24 | 2, 16) + struct.pack("<IIIIII", 10, 1, 0, 0, 2, 64)
    types = integer + nameless + named
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    (tmp_path / "vmlinux").write_bytes(header + types + strings)
    kernel = KernelTypes(tmp_path / "vmlinux")
    assert (kernel.offset("sock", "first"), kernel.offset("sock", "second")) == (0, 12)
    with pytest.raises(OSError, match="no member third"):
        kernel.offset("sock", "third")


def word(time: int, tracepoint: str, state: str, local: Endpoint = CLIENT) -> Word:
    return Word(time * MILLISECOND, tracepoint, local, SERVER, state)


def lives(*words: Word) -> list[tuple[str, int, int | None]]:
    return [
        (span.state, span.start // MILLISECOND, None if span.end is None else span.end // MILLISECOND)
        for span in spans_of(words)
    ]


def test_a_mini_socket_lives_from_its_timers_start_until_it_is_cancelled_for_good() -> None:
    assert lives(
        word(0, "timer_start", "SYN_RECV"),
        word(1000, "timer_cancel", "SYN_RECV"),
        word(1001, "timer_start", "SYN_RECV"),
        word(2500, "timer_cancel", "SYN_RECV"),
        word(2500, "timer_cancel", "SYN_RECV"),
        word(9000, "timer_start", "TIME_WAIT", NOBODY),
    ) == [("SYN_RECV", 0, 2500), ("TIME_WAIT", 9000, None)]


def test_a_mini_socket_changes_with_the_segment_that_it_drops_though_its_timer_goes_on() -> None:
    assert lives(
        word(0, "timer_start", "FIN_WAIT2"),
        word(70, "kfree_skb", "TIME_WAIT"),
        word(60_000, "timer_cancel", "TIME_WAIT"),
    ) == [("FIN_WAIT2", 0, 70), ("TIME_WAIT", 70, 60_000)]


def test_the_segment_that_ends_a_mini_socket_does_not_bring_it_back() -> None:
    assert lives(
        word(0, "timer_start", "FIN_WAIT2"),
        word(50, "timer_cancel", "FIN_WAIT2"),
        word(51, "kfree_skb", "FIN_WAIT2"),
    ) == [("FIN_WAIT2", 0, 50)]


def test_a_mini_socket_whose_begin_nobody_watched_is_not_told_of() -> None:
    assert lives(word(50, "timer_cancel", "TIME_WAIT"), word(50, "timer_cancel", "TIME_WAIT")) == []


def states(spans: list[Span]) -> list[str]:
    return [f"{span.start} {span.end} {span.side} {span.state} {span.source}" for span in spans]


def test_mini_sockets_and_sockets_of_one_4_tuple_make_one_life() -> None:
    changes_of_client = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE"]
    rows = [
        Row(10 * number, "", CLIENT, SERVER, "", state, "tracepoint")
        for number, state in enumerate(changes_of_client)
    ]
    minis = [MiniSpan(38, 60, CLIENT, SERVER, "FIN_WAIT2"), MiniSpan(60, 900, CLIENT, SERVER, "TIME_WAIT")]
    assert states(resolved(rows, minis, {CLIENT.address: "client"}, end=500)) == [
        "0 10 client SYN_SENT tracepoint",
        "10 20 client ESTABLISHED tracepoint",
        "20 30 client FIN_WAIT1 tracepoint",
        "30 60 client FIN_WAIT2 tracepoint",
        "60 None client TIME_WAIT timer",
    ]


def test_a_request_socket_ends_in_the_socket_that_takes_its_place() -> None:
    rows = [
        Row(50, "", SERVER, CLIENT, "LISTEN", "SYN_RECV", "tracepoint"),
        Row(52, "", SERVER, CLIENT, "SYN_RECV", "ESTABLISHED", "tracepoint"),
    ]
    minis = [MiniSpan(7, 51, SERVER, CLIENT, "SYN_RECV")]
    assert states(resolved(rows, minis, {SERVER.address: "server"}, end=500)) == [
        "7 52 server SYN_RECV timer",
        "52 None server ESTABLISHED tracepoint",
    ]


def test_a_look_at_the_socket_tables_that_shows_something_else_is_a_contradiction() -> None:
    second = 1000 * MILLISECOND
    spans = [Span(second, 2 * second, "client", CLIENT, SERVER, "FIN_WAIT2", "timer")]
    look = Look(
        second + 100 * MILLISECOND, second + 101 * MILLISECOND, "client", {(CLIENT, SERVER): "FIN_WAIT2"}
    )
    gone, crossed = look._replace(table={}), look._replace(after=3 * second, table={})
    assert contradictions(spans, [look, crossed]) == []
    assert len(contradictions(spans, [gone])) == 1


def test_what_is_resolved_is_written_as_a_table(tmp_path: Path) -> None:
    spans = [Span(1_500_000_000, None, "client", CLIENT, SERVER, "TIME_WAIT", "timer")]
    write_spans(tmp_path / "truth.csv.gz", spans)
    assert gzip.decompress((tmp_path / "truth.csv.gz").read_bytes()).decode().splitlines() == [
        "side,local,remote,state,start,end,source",
        "client,10.0.0.1:40000,10.0.0.2:8080,TIME_WAIT,1970-01-01T00:00:01.500000000Z,,timer",
    ]


def test_a_loss_takes_what_is_meant_so_often_or_until_it_is_mended() -> None:
    def takes(loss: Loss, *flags: str) -> list[bool]:
        return [loss.takes("client", Segment(0, CLIENT, SERVER, one, 0)) for one in flags]

    once = Loss(sent_by("client", "FA"), 1)
    assert takes(once, "A", "FA", "FA") == [False, True, False]
    always = Loss(sent_by("client", "A"), None)
    assert takes(always, "A", "PA", "FA") == [True, True, False]
    always.mend()
    assert takes(always, "A") == [False]
    assert not Loss(sent_by("server"), None).takes("client", Segment(0, CLIENT, SERVER, "A", 0))


def test_a_forged_segment_follows_the_one_that_was_seen() -> None:
    seen = next(
        frame for frame in read_frames(PCAPS / "close_by_client.pcap") if "F" in segment_of(frame).flags
    )
    forged = continued(seen.data, "R", 7)
    before, after = (struct.unpack_from("!HHI", data, 34) for data in (seen.data, forged))
    assert after == (*before[:2], before[2] + 1 + 7)
    assert segment_of(Frame(0, forged)).flags == "R"


@pytest.mark.parametrize("facts", PROOFS, ids=lambda path: path.stem)
def test_a_recording_for_proof_is_whole_and_its_two_truths_agree(facts: Path) -> None:
    about, stem = json.loads(facts.read_text()), facts.parent / facts.stem
    truth, samples = (_table(Path(f"{stem}.{kind}.csv.gz")) for kind in ("truth", "ss"))
    assert about["quality"] in ("clean", "impaired")
    assert all(row["start"] < (row["end"] or "9") for row in truth)
    lives: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for row in truth:
        lives[_whose(row)].append((_nanoseconds(row["start"]), _nanoseconds(row["end"] or _NEVER)))
    for sample in samples:
        time = _nanoseconds(sample["time"])
        assert any(start - _A_LOOK <= time <= end + _A_LOOK for start, end in lives[_whose(sample)]), sample
    for side in ("client", "server"):
        times = about["captures"][side]
        assert times["begin"] < times["end"]
    assert f"`{facts.stem}`" in (facts.parent / "README.md").read_text()


def _table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()))


def _whose(row: dict[str, str]) -> tuple[str, ...]:
    return row["side"], row["local"], row["remote"], row["state"]


def _nanoseconds(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "ns"))


@pytest.mark.parametrize("truth", CAPTURES, ids=lambda path: path.name.split(".")[0])
def test_every_connection_of_a_capture_has_its_ending_beside_it(truth: Path) -> None:
    name = truth.name.split(".")[0]
    expected = json.loads((PCAPS / "expected.json").read_text())[name]
    captured = connections_of(segments(read_frames(PCAPS / f"{name}.pcap")))
    listed = Counter((ending["client"], ending["server"]) for ending in expected)
    assert listed <= Counter((str(client), str(server)) for client, server in captured)
    assert len(captured) - len(expected) <= len(captured) // 50
    assert f"`{name}.pcap`" in (PCAPS / "README.md").read_text()
