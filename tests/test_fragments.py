"""Segments in IP fragments: read once, whatever way their pieces come, and never from too little."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from builders import ethernet, tcp_segment
from frames_of_tests import block_of, ipv4, ipv6
from tcpstates.capture.decoder import Decoder
from tcpstates.capture.dissection import fragments
from tcpstates.schema import Checksum, Mark

OPTIONS = bytes.fromhex("020405b4 0402 080a00000001fffffffe 01 030307")
SEGMENT = tcp_segment("10.0.0.1:40000", "10.0.0.2:80", "PA", seq=7, payload=bytes(200), options=OPTIONS)
SEGMENT6 = tcp_segment("[fd00::1]:40000", "[fd00::2]:80", "PA", seq=7, payload=bytes(200), options=OPTIONS)
FRAGMENT_HEADER, DESTINATION = 44, 60
SECOND = 1_000_000_000
FIRST, OTHER = "IP fragment whose rest never came", "IP fragment"


def pieces(segment: bytes, *ends: int) -> list[tuple[int, bytes, bool]]:
    """The segment cut at these places: offset, bytes, whether more follow."""
    edges = [0, *ends, len(segment)]
    return [(start, segment[start:end], end != len(segment)) for start, end in pairwise(edges)]


def frame4(piece: tuple[int, bytes, bool], ends: bytes = b"\x0a\0\0\1\x0a\0\0\2") -> bytes:
    offset, data, more = piece
    return ethernet(ipv4(data, fragment=offset // 8 | more << 13, ends=ends))


def frame6(piece: tuple[int, bytes, bool], following: int = 6) -> bytes:
    offset, data, more = piece
    return ethernet(ipv6(struct.pack("!BBHI", following, 0, offset | more, 99) + data, FRAGMENT_HEADER))


def fed(frames: Sequence[bytes], decoder: Decoder | None = None, seconds: Sequence[int] = ()) -> Any:
    """What comes of frames, a second apart or at given times."""
    block = block_of(frames)
    if seconds:
        block.frames["time"] = [second * SECOND for second in seconds]
    return (decoder or Decoder()).decode(block)


def is_whole(segments: Any, frame: int) -> bool:
    """Whether the one segment was read, with the frame that made it known."""
    assert segments["frame"].tolist() == [frame]
    (segment,) = segments
    assert (segment["src_port"], segment["seq"], segment["payload"]) == (40_000, 7, 200)
    assert (segment["mss"], segment["wscale"], segment["tsval"]) == (1460, 7, 1)
    assert segment["marks"] & Mark.DISSECTED
    return True


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2), (2, 0, 1), (1, 2, 0)], ids=str)
@pytest.mark.parametrize(("frame", "segment"), [(frame4, SEGMENT), (frame6, SEGMENT6)], ids=["IPv4", "IPv6"])
def test_fragments_in_any_order(frame: Any, segment: bytes, order: tuple[int, ...]) -> None:
    """The first and the last of them are what makes the segment known."""
    parts = pieces(segment, 80, 160)
    decoder = Decoder()
    segments = fed([frame(parts[place]) for place in order], decoder)
    assert is_whole(segments, 1 + max(order.index(0), order.index(2)))
    assert decoder.skipped == {OTHER: 2}


def test_a_header_spread_over_tiny_fragments() -> None:
    assert is_whole(fed([frame4(piece) for piece in pieces(SEGMENT, 8, 16, 24, 32, 40, 64)]), 7)
    late = [frame4(piece) for piece in pieces(SEGMENT, 8, 16, 24, 32, 40, 64)][::-1]
    assert is_whole(fed(late), 7)


def test_extension_headers_behind_the_fragment_header() -> None:
    options = bytes([6, 1]) + bytes(14)
    parts = pieces(options + SEGMENT6, 80)
    assert is_whole(fed([frame6(piece, DESTINATION) for piece in parts]), 2)


def test_fragments_in_different_blocks() -> None:
    decoder = Decoder()
    first, last = (frame4(piece) for piece in pieces(SEGMENT, 80))
    assert len(fed([first], decoder)) == 0
    assert decoder.skipped == {FIRST: 1}
    assert is_whole(fed([last], decoder), 1)
    assert decoder.skipped == {OTHER: 1}


def test_the_fast_path_goes_on_around_them() -> None:
    whole = ethernet(ipv4(SEGMENT))
    first, last = (frame4(piece) for piece in pieces(SEGMENT, 80))
    assert fed([whole, first, whole, last, whole])["frame"].tolist() == [1, 3, 4, 5]


def test_a_snap_length_leaves_enough() -> None:
    first, last = (frame4(piece) for piece in pieces(SEGMENT, 160))
    block = block_of([first[: 14 + 20 + 40], last[: 14 + 20 + 8]])
    block.frames["length"] = [len(first), len(last)]
    (segment,) = Decoder().decode(block)
    assert segment["payload"] == 200
    assert segment["checksum"] == Checksum.UNKNOWN


# What never comes together


@pytest.mark.parametrize(
    ("place", "reason"), [(0, FIRST), (1, OTHER), (2, OTHER)], ids=["first", "middle", "last"]
)
def test_a_fragment_alone_is_no_segment(place: int, reason: str) -> None:
    for frame, segment in ((frame4, SEGMENT), (frame6, SEGMENT6)):
        decoder = Decoder()
        assert len(fed([frame(pieces(segment, 80, 160)[place])] * 3, decoder)) == 0
        assert decoder.skipped == {FIRST: 1, OTHER: 2} if reason == FIRST else {OTHER: 3}


def test_fragments_do_not_wait_for_ever() -> None:
    decoder = Decoder()
    first, last = (frame4(piece) for piece in pieces(SEGMENT, 80))
    assert len(fed([first, last], decoder, seconds=[0, 31])) == 0
    assert decoder.skipped == {FIRST: 1, OTHER: 1}
    assert len(fed([first, last], seconds=[0, 29])) == 1


def test_fragments_of_others_are_kept_apart() -> None:
    first, last = pieces(SEGMENT, 80)
    assert len(fed([frame4(first), frame4(last, ends=b"\x0a\0\0\1\x0a\0\0\3")])) == 0
    tagged = ethernet(ipv4(last[1], fragment=last[0] // 8), (5,))
    assert len(fed([frame4(first), tagged])) == 0


# Copies, overlaps, and what is made to confuse


def test_every_fragment_twice_is_one_segment() -> None:
    first, last = (frame4(piece) for piece in pieces(SEGMENT, 80))
    for frames in ([first, first, last, last], [first, last, first, last], [last, last, first, first]):
        decoder = Decoder()
        assert len(fed(frames, decoder)) == 1
        assert decoder.skipped == {OTHER: 3}


def test_an_identification_used_again_is_another_datagram() -> None:
    other = tcp_segment("10.0.0.1:40000", "10.0.0.2:80", "PA", seq=207, payload=bytes(100))
    frames = [frame4(piece) for piece in pieces(SEGMENT, 80) + pieces(other, 80)]
    segments = fed(frames)
    assert segments["seq"].tolist() == [7, 207]
    assert segments["payload"].tolist() == [200, 100]


def test_a_fragment_over_the_header_changes_nothing() -> None:
    """The tiny overlapping fragment that is to turn an ACK into a SYN behind a firewall's back."""
    first, last = (frame4(piece) for piece in pieces(SEGMENT, 80))
    forged = frame4((8, b"\xff" * 72, True))
    for frames in ([first, forged, last], [first, last, forged]):
        (segment,) = fed(frames)
        assert (segment["flags"], segment["payload"]) == (0x18, 200)


def test_a_last_fragment_within_the_first_makes_no_segment_of_negative_length() -> None:
    decoder = Decoder()
    assert len(fed([frame4((0, SEGMENT, True)), frame4((8, bytes(4), False))], decoder)) == 0
    assert decoder.skipped == {OTHER: 1, "malformed": 1}


def test_a_datagram_longer_than_any_can_be() -> None:
    decoder = Decoder()
    first, _last = pieces(SEGMENT, 80)
    assert len(fed([frame4(first), frame4((65_528, bytes(80), False))], decoder)) == 0
    assert decoder.skipped == {FIRST: 1, "malformed": 1}


def test_the_table_is_bounded() -> None:
    decoder = Decoder()
    first, last = pieces(SEGMENT, 80)
    frames = [frame4(first, ends=number.to_bytes(4, "big") * 2) for number in range(5000)]
    fed(frames, decoder, seconds=[0] * 5000)
    table = decoder._dissector._fragments
    assert len(table) == fragments.MOST_DATAGRAMS
    assert decoder.skipped == {FIRST: 5000}
    assert len(fed([frame4(last, ends=(4999).to_bytes(4, "big") * 2)], decoder, seconds=[1])) == 1
    assert len(fed([frame4(last, ends=bytes(8))], decoder, seconds=[1])) == 0


def test_no_more_than_the_beginning_is_kept() -> None:
    decoder = Decoder()
    parts = pieces(SEGMENT[:40] + bytes(60_000), *range(8, 60_000, 8))
    fed([frame4(piece) for piece in parts[:-1]], decoder, seconds=[0] * (len(parts) - 1))
    (datagram,) = decoder._dissector._fragments._datagrams.values()
    assert sum(map(len, datagram.pieces.values())) <= fragments.KEPT
