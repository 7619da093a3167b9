"""What is copied out of the kernel's ring: frames with their times, and the tags that it took off."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

import tcpstates
from tcpstates.capture.blocks import Block
from tcpstates.capture.ring import copy_block
from tcpstates.capture.writing import Writer
from tcpstates.schema import FRAMES

ETHERNET = bytes.fromhex("020000000002020000000001")
IPV4 = bytes.fromhex("0800") + bytes.fromhex("450000280000000040060000" + 2 * "0a000001") + bytes(20)
HEADER, ADDRESS, FIRST = 48, 20, 64
VLAN_VALID, TPID_VALID = 1 << 4, 1 << 6
HOST, OUTGOING = 0, 4


def ring_of(*frames: tuple[bytes, dict[str, int]]) -> np.ndarray:
    """A block as the kernel fills it (struct tpacket_block_desc, tpacket3_hdr and sockaddr_ll)."""
    memory, at = np.zeros(4096, np.uint8), FIRST
    words, halves = memory.view(np.uint32), memory.view(np.uint16)
    for data, more in frames:
        place = HEADER + ADDRESS + 12
        size = (place + len(data) + 15) & ~15
        words[at // 4 : at // 4 + 6] = size, more.get("seconds", 7), 8, len(data), 1000, more.get("status", 1)
        halves[at // 2 + 12], halves[at // 2 + 16] = place, more.get("tag", 0)
        halves[at // 2 + 18] = more.get("protocol", 0)
        memory[at + HEADER + 10] = more.get("direction", HOST)
        memory[at + place : at + place + len(data)] = list(data)
        at += size
    words[2:6] = 1, len(frames), FIRST, at
    return memory


def copied(memory: np.ndarray, is_loopback: bool = False) -> Block:
    words = memory.view(np.uint32)
    buffer, frames = np.zeros(4096, np.uint8), np.zeros(int(words[3]), FRAMES)
    about = np.array([1, 3, is_loopback], np.int64)
    return Block(buffer, frames[: copy_block(memory, words, 0, about, buffer, frames)])


def data_of(block: Block) -> list[bytes]:
    ends = block.frames["offset"] + block.frames["captured"]
    return [
        block.buffer[start:end].tobytes()
        for start, end in zip(block.frames["offset"].tolist(), ends.tolist(), strict=True)
    ]


def test_frames_come_whole_with_time_length_and_interface() -> None:
    block = copied(ring_of((ETHERNET + IPV4, {}), (b"short", {"seconds": 9})))
    assert data_of(block) == [ETHERNET + IPV4, b"short"]
    assert block.frames["time"].tolist() == [7_000_000_008, 9_000_000_008]
    assert block.frames["length"].tolist() == [1000, 1000]
    assert block.frames["interface"].tolist() == [3, 3]


def test_a_tag_that_the_kernel_took_off_is_put_back() -> None:
    tagged = {"status": 1 | VLAN_VALID, "tag": 5}
    service = {"status": 1 | VLAN_VALID | TPID_VALID, "tag": 0x6007, "protocol": 0x88A8}
    block = copied(ring_of((ETHERNET + IPV4, tagged), (ETHERNET + IPV4, service), (ETHERNET + IPV4, {})))
    assert data_of(block) == [
        ETHERNET + bytes.fromhex("81000005") + IPV4,
        ETHERNET + bytes.fromhex("88a86007") + IPV4,
        ETHERNET + IPV4,
    ]
    assert block.frames["length"].tolist() == [1004, 1004, 1000]


def test_loopback_leaves_out_what_was_sent() -> None:
    """The same frame is received there, too."""
    sent, received = (b"one", {"direction": OUTGOING}), (b"one", {})
    assert data_of(copied(ring_of(sent, received), is_loopback=True)) == [b"one"]
    assert data_of(copied(ring_of(sent, received))) == [b"one", b"one"]


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    block = copied(ring_of((ETHERNET + IPV4, {}), (ETHERNET + IPV4 + b"odd", {"seconds": 9})))
    block.frames["interface"] = [0, 1]
    writer = Writer(path, [("lo", 1), ("eth0", 1)])
    writer.write(block.part(slice(0, 1)))
    writer.write(block.part(slice(1, 2)))
    writer.close()
    analysis = tcpstates.analyze(path)
    assert analysis.damage == ()
    assert analysis.counts.frames == 2
    assert (analysis.log.start, analysis.log.end) == (7_000_000_008, 9_000_000_008)


def test_a_disk_that_is_full_ends_the_file_and_is_said(tmp_path: Path) -> None:
    block, before = copied(ring_of((ETHERNET + IPV4, {}))), resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = Writer(tmp_path / "full.pcapng", [(f"eth{number}", 1) for number in range(4)])
    writer.write(block)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
        writer.write(block)
        writer.write(block)
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert writer.failure == f"{tmp_path}/full.pcapng: File too large; the file ends before the capture does"
    assert tcpstates.analyze(tmp_path / "full.pcapng").counts.frames == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_file_that_cannot_be_begun_is_named() -> None:
    with pytest.raises(OSError, match="/dev/full"):
        Writer(Path("/dev/full"), [("eth0", 1)])
