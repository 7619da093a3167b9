"""Both decoders together: the same segments from both, in the order of the frames, nothing uncounted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ethernet, tcp_frame, tcp_segment
from encapsulations import EXAMPLES
from frames_of_tests import (
    ETHERNET,
    LINUX_SLL,
    LINUX_SLL2,
    LOOPBACK,
    PPP,
    RAW,
    block_of,
    ethernet_of,
    ipv4,
    ipv6,
    same,
    without_dissected,
)
from tcpstates.capture import layout
from tcpstates.capture.decoder import Decoder
from tcpstates.capture.files import CaptureReader
from tcpstates.errors import CaptureError, UsageError
from tcpstates.schema import NO_TIME, Mark

ROOT = Path(__file__).parent.parent
CAPTURES = sorted((ROOT / "pcaps").glob("*.pcap*"))
CLIENT, SERVER = "10.0.0.1:40000", "10.0.0.2:80"
LABELLED = ethernet_of(0x8847, b"\x00\x01\x01\x40" + ipv4(tcp_segment(CLIENT, SERVER, seq=99)))
ARP, LLDP = ethernet_of(0x0806, bytes(46)), ethernet_of(0x88CC, bytes(46))
UDP, ODD = ethernet(ipv4(bytes(8), 17)), ethernet_of(0x88B5, bytes(46))


def numbered(*seqs: int) -> list[bytes]:
    return [tcp_frame(CLIENT, SERVER, seq=seq) for seq in seqs]


# What it counts


def test_declined_segments_come_back_in_their_place() -> None:
    one, two, three = numbered(1, 2, 3)
    frames = [LABELLED, one, ARP, LABELLED, LABELLED, two, ODD, three, LABELLED]
    decoder = Decoder()
    segments = decoder.decode(block_of(frames))
    assert segments["seq"].tolist() == [99, 1, 99, 99, 2, 3, 99]
    assert segments["frame"].tolist() == [1, 2, 4, 5, 6, 8, 9]
    assert segments["time"].tolist() == [frame * 1_000_000_000 for frame in (1, 2, 4, 5, 6, 8, 9)]
    assert set(segments["file"].tolist()) == {2}
    assert set(segments["interface"].tolist()) == {3}
    assert (segments["marks"] & Mark.DISSECTED > 0).tolist() == [s == 99 for s in segments["seq"].tolist()]
    assert decoder.dissected == 5


def test_every_frame_is_a_segment_or_counted_with_a_reason() -> None:
    decoder = Decoder()
    for frames in ([ARP, UDP, ODD], [*numbered(1), LLDP, UDP[:20]]):
        decoder.decode(block_of(frames))
    assert decoder.frames == 6
    assert decoder.skipped == {"not IP": 2, "not TCP": 1, "ether type 0x88b5": 1, "cut within a header": 1}


def test_the_capture_spans_all_records_of_any_protocol() -> None:
    decoder = Decoder()
    assert (decoder.first_time, decoder.last_time) == (NO_TIME, NO_TIME)
    for times in ([7, 5, 6], [9, 4]):
        block = block_of([ARP] * len(times))
        block.frames["time"] = times
        decoder.decode(block)
    assert (decoder.first_time, decoder.last_time) == (4, 9)


def test_a_block_without_frames_is_no_matter() -> None:
    decoder = Decoder()
    assert len(decoder.decode(block_of([]))) == 0
    assert decoder.first_time == NO_TIME


def test_a_decoder_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no decoder 'scapy'; use one of fast, dpkt"):
        Decoder("scapy")  # type: ignore[arg-type]


def test_checksums_are_left_alone_if_asked() -> None:
    for decoder in (Decoder("fast", checksums=False), Decoder("dpkt", checksums=False)):
        assert decoder.decode(block_of([*numbered(1), LABELLED]))["checksum"].tolist() == [0, 0]


def test_junk_does_not_have_reasons_without_end() -> None:
    decoder = Decoder()
    decoder.decode(block_of([ethernet_of(kind, bytes(46)) for kind in range(0x9300, 0x9400)]))
    assert len(decoder.skipped) == 65
    assert decoder.skipped.total() == 256
    assert decoder.skipped["other reasons"] == 192


# Fast path and dpkt say the same


def agree(blocks: Any) -> None:
    fast, slow = Decoder("fast"), Decoder("dpkt")
    for block in blocks:
        ours, other = fast.decode(block), slow.decode(block)
        assert same(without_dissected(ours), without_dissected(other))
        assert (other["marks"] & Mark.DISSECTED).all()
    assert fast.skipped == slow.skipped
    assert slow.dissected == slow.frames == fast.frames
    assert (fast.first_time, fast.last_time) == (slow.first_time, slow.last_time)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_both_decode_our_captures_alike(path: Path) -> None:
    agree(CaptureReader(path).blocks())


def readable(folder: Path) -> Iterator[Any]:
    """The blocks of every capture that can be read."""
    for path in sorted(folder.glob("*.pcap*")):
        try:
            yield from CaptureReader(path).blocks()
        except CaptureError:
            continue


@pytest.mark.slow_without_jit
def test_both_decode_the_captures_of_other_projects_alike(other_captures: Path) -> None:
    agree(readable(other_captures))


# Generated frames: headers of every kind, in an order that can occur, with values that should not

_bytes = st.binary(max_size=24)
_byte = st.integers(0, 255)


@st.composite
def _options(draw: st.DrawFn) -> bytes:
    """TCP options, as they are sent or not quite."""
    known = st.sampled_from(["020405b4", "030307", "0303ff", "0402", "01", "00", "080a0000000100000002"])
    sack = st.sampled_from(["050a0000000100000002", "0503", "0502", "0200", "020305"])
    parts = draw(st.lists(st.one_of(known.map(bytes.fromhex), sack.map(bytes.fromhex), _bytes), max_size=4))
    joined = b"".join(parts)[:40]
    return joined + bytes(-len(joined) % 4)


@st.composite
def _segments(draw: st.DrawFn, ends: tuple[str, str]) -> bytes:
    segment = tcp_segment(
        f"{ends[0]}:{draw(st.integers(0, 65535))}",
        f"{ends[1]}:{draw(st.integers(0, 65535))}",
        draw(st.text("FSRPAUECN", max_size=9).map(lambda flags: "".join(sorted(set(flags))))),
        seq=draw(st.integers(0, 2**32 - 1)),
        ack=draw(st.integers(0, 2**32 - 1)),
        payload=draw(st.binary(max_size=40)),
        options=draw(_options()),
    )
    if draw(st.integers(0, 4)) == 0:  # another data offset
        segment = segment[:12] + bytes([draw(_byte)]) + segment[13:]
    if draw(st.integers(0, 2)) == 0:
        segment = segment[:16] + draw(st.sampled_from([b"\0\0", b"\xff\xff", b"\x14\x09"])) + segment[18:]
    return segment


@st.composite
def _tunnelled(draw: st.DrawFn, segment: bytes) -> bytes:
    """UDP that may be a tunnel, by one of its ports or by what it carries."""
    port = st.sampled_from([53, 443, 50_000, *layout.UDP_TUNNELS])
    ports = draw(port).to_bytes(2, "big") + draw(port).to_bytes(2, "big")
    header = draw(
        st.sampled_from([b"", b"\x08" + bytes(7), b"\0\0\x65\x58" + bytes(4), b"\x30\xff\0\x50" + bytes(4)])
    )
    teredo = ipv6(segment).replace(
        b"\xfd" + bytes(3), draw(st.sampled_from([b"\xfd" + bytes(3), b"\x20\1\0\0"])), 1
    )
    packet = draw(st.sampled_from([ipv4(segment), teredo, ethernet(ipv4(segment))]))
    length = draw(st.sampled_from([0, 8, 40, 8 + len(header) + len(packet)]))
    return ports + length.to_bytes(2, "big") + bytes(2) + header + packet


@st.composite
def _quoted(draw: st.DrawFn, segment: bytes) -> bytes:
    """What an ICMP error may quote."""
    return draw(st.sampled_from([ipv4(segment), ipv6(segment), ipv4(segment, 17), ipv4(segment)[:28], b""]))


@st.composite
def _ipv4_packets(draw: st.DrawFn) -> bytes:
    segment = draw(_segments(("10.0.0.1", "10.0.0.2")))
    options = draw(_bytes)
    protocol = draw(st.one_of(st.just(6), st.sampled_from([1, 4, 6, 17, 41, 47, 51, 58]), _byte))
    if protocol == 17:
        segment = draw(_tunnelled(segment))
    if protocol in (1, 58):
        segment = bytes([draw(st.integers(0, 13)), 0]) + bytes(6) + draw(_quoted(segment))
    total = draw(st.one_of(st.none(), st.sampled_from([0, 19, 20, 40, 60, 65_535])))
    fragment = draw(st.one_of(st.just(0x4000), st.sampled_from([0, 0x2000, 1, 0x8000])))
    return ipv4(segment, protocol, total, fragment, options + bytes(-len(options) % 4))


@st.composite
def _extensions(draw: st.DrawFn, last: int) -> tuple[int, bytes]:
    """A chain of extension headers up to what IP carries, and the kind of its first."""
    jumbo = st.integers(0, 200).map(lambda length: b"\xc2\x04" + length.to_bytes(4, "big"))
    following, chain = last, b""
    for kind in draw(st.lists(st.sampled_from([0, 43, 44, 51, 60]), max_size=4)):
        size = draw(st.integers(0, 4))
        body = (draw(jumbo) if kind == 0 else draw(_bytes)) + bytes(40)
        if kind == 60 and draw(st.booleans()):
            body = b"\xc9\x10" + bytes(draw(st.integers(0, 2))) + body
        if kind == 43:
            body = bytes([draw(st.sampled_from([0, 2, 3, 4])), draw(st.integers(0, 2))]) + body
        if kind == 44:
            size, body = 0, draw(st.sampled_from([bytes(6), b"\0\1" + bytes(4), b"\0\x08" + bytes(4)]))
        length = (size + 2) * 4 if kind == 51 else (size + 1) * 8
        chain = (bytes([following, size]) + body)[:length] + chain
        following = kind
    return following, chain


@st.composite
def _ipv6_packets(draw: st.DrawFn) -> bytes:
    last = draw(st.one_of(st.just(6), st.sampled_from([1, 4, 6, 17, 58, 59])))
    following, chain = draw(_extensions(last))
    segment = draw(_segments(("[fd00::1]", "[fd00::2]")))
    if last == 17:
        segment = draw(_tunnelled(segment))
    if last in (1, 58):
        segment = bytes([draw(st.integers(0, 5)), 0]) + bytes(6) + draw(_quoted(segment))
    return ipv6(chain + segment, following, draw(st.one_of(st.none(), st.sampled_from([0, 8, 20, 65_535]))))


@st.composite
def _frames(draw: st.DrawFn) -> tuple[bytes, int, int]:
    """A frame as it was captured, its link type, its length on the wire."""
    packet = draw(st.one_of(_ipv4_packets(), _ipv6_packets(), _bytes.map(lambda junk: b"\x45" + junk)))
    is_ipv6 = packet[0] >> 4 == 6
    kind = b"\x86\xdd" if is_ipv6 else b"\x08\x00"
    family = draw(st.sampled_from([10, 24, 28, 30])) if is_ipv6 else 2
    linktype = draw(st.sampled_from([ETHERNET, ETHERNET, LINUX_SLL, LINUX_SLL2, LOOPBACK, RAW, PPP]))
    vlans = draw(st.lists(st.integers(0, 4095), max_size=4))
    frame = {
        ETHERNET: ethernet(packet, vlans),
        LINUX_SLL: bytes(14) + kind + packet,
        LINUX_SLL2: kind + bytes(18) + packet,
        LOOPBACK: family.to_bytes(4, draw(st.sampled_from(["big", "little"]))) + packet,
        RAW: packet,
        PPP: (b"\x57" if is_ipv6 else b"\x21") + packet,
    }[linktype]
    frame += bytes(draw(st.integers(0, 8)))
    captured = draw(st.one_of(st.just(len(frame)), st.integers(0, len(frame))))
    return frame[:captured], linktype, draw(st.sampled_from([len(frame), len(frame), 0, 3000]))


@given(_frames())
def test_both_decode_generated_frames_alike(generated: tuple[bytes, int, int]) -> None:
    frame, linktype, length = generated
    agree([block_of([frame], linktype, length)])


@given(st.binary(max_size=120), st.one_of(st.sampled_from([ETHERNET, RAW, PPP]), st.integers(0, 300)))
def test_both_decode_random_bytes_alike(frame: bytes, linktype: int) -> None:
    agree([block_of([frame], linktype)])


def test_both_decode_mangled_frames_alike() -> None:
    """Valid frames with a few bytes changed get further than random ones do."""
    chance = random.Random(2)
    gre = ethernet(ipv4(bytes.fromhex("20006558 00000007") + numbered(1)[0], 47), (5,))
    frames = []
    for whole in [
        *numbered(1),
        LABELLED,
        gre,
        ethernet(ipv6(bytes([6]) + bytes(7) + numbered(1)[0][34:], 0)),
    ] * 400:
        frame = bytearray(whole)
        for _ in range(chance.randrange(1, 5)):
            frame[chance.randrange(12, len(frame))] = chance.choice(
                [0, 1, 4, 6, 0x45, 255, chance.randrange(256)]
            )
        frames.append(bytes(frame[: chance.randrange(len(frame) + 1)] if chance.random() < 0.2 else frame))
    agree([block_of(frames)])


def test_mangled_encapsulations_are_read_or_counted() -> None:
    """Whatever changes in whatever header, nothing but a segment or a reason comes of it."""
    chance = random.Random(3)
    for example in list(EXAMPLES.values()) * 40:
        frame = bytearray(example.frame)
        for _ in range(chance.randrange(1, 6)):
            frame[chance.randrange(len(frame))] = chance.choice([0, 1, 0x7F, 255, chance.randrange(256)])
        captured = bytes(frame[: chance.randrange(len(frame) + 1)] if chance.random() < 0.3 else frame)
        decoder = Decoder()
        segments = decoder.decode(block_of([captured], example.linktype, len(frame)))
        assert len(segments) or decoder.skipped.total() == 1
        assert (segments["payload"][segments["marks"] & Mark.LENGTH_BEYOND == 0] < len(frame)).all()


def test_many_blocks_at_once_or_one_by_one_give_the_same() -> None:
    frames = [*numbered(*range(50)), LABELLED, ARP, *numbered(*range(50, 60))]
    whole = Decoder().decode(block_of(frames))
    decoder = Decoder()
    parts = [decoder.decode(block_of([frame])) for frame in frames]
    assert np.concatenate(parts)["seq"].tolist() == whole["seq"].tolist()
