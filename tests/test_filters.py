"""Filters on files: they choose what tcpdump itself chooses; where one is wrong, libpcap says so."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import builders
import tcpstates
from builders import tcp_frame
from frames_of_tests import LINUX_SLL, RAW, block_of, ipv6
from tcpstates.capture import filters
from tcpstates.capture.blocks import Block
from tcpstates.capture.files import CaptureReader
from tcpstates.capture.filters import INSTRUCTION, Filter, run
from tcpstates.errors import TcpstatesError, UsageError

pytest.importorskip("scapy.libs.winpcapy", reason="libpcap is not installed", exc_type=OSError)

EXPRESSIONS = (
    "tcp port 8080",
    "host 10.20.1.20 and not port 5432",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "greater 100",
    "less 66",
    "ip6 or arp",
    "tcp[((tcp[12] & 0xf0) >> 2):2] = 0x4745",
    "ip[8] * 3 > 190 or ip[2:2] % 7 = 1 or len / 5 - 4 < 12",
    "src net 10.20.0.0/16 and dst portrange 8000-9000",
    "vlan 5 and tcp",
    "ip proto \\tcp and ip[0] & 0xf != 5 or tcp[4:4] & 0xff00 > 0x7f00",
    "(-ip[0] ^ 3) != 0 or 1 << ip[8] > 4",
    "ether[6] & 1 = 0 and not ip6 protochain 6",
)


def chosen(path: Path, expression: str) -> list[int]:
    """The numbers of the frames that our filter accepts."""
    made = Filter(expression)
    return [
        number
        for block in CaptureReader(path).blocks()
        for number in block.frames["number"][made.accepted(block)].tolist()
    ]


def chosen_by_tcpdump(path: Path, expression: str, folder: Path) -> int:
    """How many frames tcpdump accepts."""
    command = ["tcpdump", "-r", str(path), "-w", str(folder / "chosen.pcap"), expression]
    subprocess.run(command, check=True, capture_output=True)
    return sum(len(block.frames) for block in CaptureReader(folder / "chosen.pcap").blocks())


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_tcpdump_chooses_as_many(tmp_path: Path, captures: Path, expression: str) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    ours = chosen(captures / "demo.pcap", expression)
    assert len(ours) == chosen_by_tcpdump(captures / "demo.pcap", expression, tmp_path)


@pytest.mark.soak
def test_tcpdump_chooses_as_many_in_other_captures(tmp_path: Path, other_captures: Path) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    for path in sorted(other_captures.glob("*.pcap")):
        try:
            theirs = chosen_by_tcpdump(path, "ip and (len > 60 or ip[8] & 3 = 1)", tmp_path)
        except subprocess.CalledProcessError:
            continue  # a damaged capture, or a link type without IP
        assert len(chosen(path, "ip and (len > 60 or ip[8] & 3 = 1)")) == theirs, path.name


def test_each_link_type_has_a_program_of_its_own() -> None:
    packet = builders.tcp_packet("10.0.0.1:4000", "10.0.0.2:80")
    cooked = bytes(14) + b"\x08\x00" + packet
    ends = [block_of([frame], linktype) for frame, linktype in (
        (builders.ethernet(packet), 1), (packet, RAW), (cooked, LINUX_SLL), (ipv6(packet[20:]), RAW)
    )]  # fmt: skip
    made = Filter("dst port 80 and ip")
    assert [made.accepted(Block(*block)).tolist() for block in ends] == [[True], [True], [True], [False]]


def test_a_load_beyond_the_frame_accepts_nothing() -> None:
    block = Block(*block_of([bytes(range(20)), bytes(range(40))]))
    assert Filter("ether[25] = 25").accepted(block).tolist() == [False, True]
    assert Filter("not ether[25] = 25").accepted(block).tolist() == [False, False]


def program(*instructions: tuple[int, int, int, int]) -> np.ndarray:
    made = np.array(list(instructions), INSTRUCTION)
    made.flags.writeable = False
    return made


@pytest.mark.parametrize(
    "instructions",
    [
        [],
        [(0x05, 0, 0, 0xFFFF_FFFF)],  # jumps to itself for ever
        [(0x05, 0, 0, 7)],  # jumps beyond the end
        [(0x15, 200, 200, 0), (0x06, 0, 0, 1)],
        [(0x34, 0, 0, 0), (0x06, 0, 0, 1)],  # divides by 0
        [(0x20, 0, 0, 0xFFFF_FFFF), (0x06, 0, 0, 1)],  # loads from far away
        [(0x00, 0, 0, 5)],  # ends without a word
    ],
)
def test_a_program_that_is_wrong_accepts_nothing_and_ends(
    instructions: list[tuple[int, int, int, int]],
) -> None:
    block, accepted = block_of([bytes(60)]), np.zeros(1, np.bool_)
    run(block.buffer, block.frames, 1, program(*instructions), np.zeros(16, np.int64), accepted)
    assert not accepted.any()


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("tcp prot 80", "syntax error"),
        ("port nowhere-at-all", "unknown port"),
        ("host 300.1.2.3.4", ""),
        ("wlan addr1 0:1:2:3:4:5", "802.11"),
    ],
)
def test_a_wrong_expression_is_told_in_libpcaps_words(captures: Path, expression: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        tcpstates.analyze(captures / "close_by_client.pcap", filter=expression)
    assert str(caught.value).startswith(f"filter {expression!r}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_libpcap_one_line_says_what_to_install(
    captures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scapy.libs.winpcapy", None)
    with pytest.raises(TcpstatesError, match="a filter needs libpcap, which is not there; install it"):
        filters.compile_filter("tcp", 1)


def test_what_is_left_out_is_counted_and_the_captures_bounds_stay(captures: Path) -> None:
    whole = tcpstates.analyze(captures / "demo.pcap")
    part = tcpstates.analyze(captures / "demo.pcap", filter="port 8080")
    assert part.counts.frames == whole.counts.frames
    assert (
        part.counts.filtered + part.counts.segments + sum(part.counts.skipped.values()) == part.counts.frames
    )
    assert (part.log.start, part.log.end) == (whole.log.start, whole.log.end)
    assert set(part.connections["server_port"]) == {8080}
    of_port = whole.connections.query("server_port == 8080").drop(columns="conn").reset_index(drop=True)
    assert len(of_port) == len(part.connections)
    assert of_port["outcome"].tolist() == part.connections["outcome"].tolist()


def test_a_filter_that_leaves_nothing_is_no_error() -> None:
    import io

    capture = builders.pcap([builders.Frame(builders.START, tcp_frame("10.0.0.1:1", "10.0.0.2:2", "S"))])
    analysis = tcpstates.analyze(io.BytesIO(capture), filter="udp")
    assert (analysis.counts.filtered, len(analysis.connections)) == (1, 0)
