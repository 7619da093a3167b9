"""Every link type that carries IP, and the name of what does not."""

from __future__ import annotations

import struct

import pytest

from encapsulations import FRAME, LINKS, PACKET, PACKET6, SEGMENT6, SNAP, check, holds_the_segment
from frames_of_tests import decoded_by, dissected
from tcpstates.capture.decoder import Decoder


@pytest.mark.parametrize("name", LINKS)
def test_the_segment_behind_it_is_read(name: str) -> None:
    check(LINKS[name])


def test_a_link_that_is_none_is_named() -> None:
    assert dissected(FRAME, 187) == "link type 187 (BLUETOOTH_HCI_H4)"
    assert dissected(FRAME, 120) == "link type 120 (AIRONET_HEADER)"
    assert dissected(FRAME, 253) == "link type 253 (NETLINK)"
    assert dissected(FRAME, 60_000) == "link type 60000 (unknown)"


@pytest.mark.parametrize("linktype", [192, 258])
def test_a_header_before_another_link_says_which(linktype: int) -> None:
    inner = 120
    header = struct.pack("<BBHI", 0, 0, 8, inner) if linktype == 192 else struct.pack("<III", 12, 1, inner)
    assert dissected(header + FRAME, linktype) == "link type 120 (AIRONET_HEADER)"
    nested = struct.pack("<BBHI", 0, 0, 8, 192) * 1000
    assert dissected(nested + FRAME, 192) == "malformed"


@pytest.mark.parametrize(
    ("frame", "linktype"),
    [
        (b"\x41" + bytes(40), 10),  # a FDDI station management frame
        (b"\x10\x00" + bytes(40), 6),  # a token ring MAC frame
        (b"\x1c\0\0\0" + bytes(40), 123),  # ATM signalling
        (b"\x18\x41\x03\xcf" + bytes(40), 107),  # PPP in frame relay
        (b"\1\2\0\0\x80" + bytes(40), 129),  # ARCNET diagnostics
        (struct.pack("<III", 99, 7, 0) + bytes(40), 109),
        (b"\x42\x42\x03" + bytes(40), 100),  # spanning tree
    ],
)
def test_what_is_not_ip_is_counted_as_such(frame: bytes, linktype: int) -> None:
    assert dissected(frame, linktype) == "not IP"


def test_pieces_of_link_layers_are_no_segments() -> None:
    assert dissected(b"\1\2\0\0\xd4\5\0\0" + PACKET, 129) == "ARCNET fragment"
    assert dissected(b"\x55" * 6 + b"\x61\xe6" + FRAME, 274) == "Ethernet mPacket without its beginning"
    assert dissected(bytes(8) + b"\5" + bytes(40), 197) == "ERF record of type 5"


def test_ipv6_behind_links_that_name_a_version() -> None:
    frames = {
        109: struct.pack(">III", 24, 7, 0),
        117: bytes([61, 28]) + bytes(62),
        239: b"\x0a\0\0\0" + struct.pack("<HH", 4 + len(PACKET6), 9),
        129: b"\1\2\0\0\xc4\0\0\0",
        107: b"\x18\x41\x03\x8e",
    }
    for linktype, header in frames.items():
        assert holds_the_segment(dissected(header + PACKET6, linktype)), linktype
    assert SEGMENT6 in PACKET6


def test_an_attribute_of_no_length_ends_nothing() -> None:
    frame = b"\2\0\0\0" + bytes(4) * 3 + struct.pack("<HH", 4 + len(PACKET), 9) + PACKET
    assert holds_the_segment(dissected(frame, 239))
    assert dissected(b"\2\0\0\0" + bytes(400), 239) == "cut within a header"


def test_juniper_without_a_link_layer() -> None:
    assert holds_the_segment(dissected(b"MGC\x02" + bytes(4) + PACKET, 178))


def test_all_of_libpcaps_numbers_are_read_or_named() -> None:
    for linktype in range(300):
        found = decoded_by(Decoder("dpkt"), bytes(64), linktype)
        assert isinstance(found, str)
        assert found


def test_fddi_takes_llc_of_every_priority() -> None:
    for control in (b"\x50", b"\x57", b"\xd0"):
        assert holds_the_segment(dissected(control + bytes(12) + SNAP + PACKET, 10))
