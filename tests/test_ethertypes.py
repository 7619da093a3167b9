"""Tags, labels and PPP between a link layer and IP."""

from __future__ import annotations

import struct

import pytest

from builders import ethernet
from encapsulations import ETHER_TYPES, FRAME, LABEL, PACKET, PACKET6, SNAP, check, holds_the_segment
from frames_of_tests import PPP, dissected, ethernet_of
from tcpstates.schema import TunnelKind


@pytest.mark.parametrize("name", ETHER_TYPES)
def test_the_segment_within_it_is_read(name: str) -> None:
    check(ETHER_TYPES[name])


def pppoe(payload: bytes, code: int = 0) -> bytes:
    return ethernet_of(0x8864, struct.pack("!BBHH", 0x11, code, 7, len(payload)) + payload + bytes(9))


def test_pppoe_with_the_protocol_in_one_byte_or_two() -> None:
    for link in (b"\x00\x21", b"\x21"):
        assert holds_the_segment(dissected(pppoe(link + PACKET)))
    assert holds_the_segment(dissected(pppoe(b"\x00\x57" + PACKET6)))
    assert dissected(pppoe(b"\xc0\x21" + bytes(10))) == "not IP"
    assert dissected(pppoe(b"\x00\x21" + PACKET, code=0xA7)) == "not IP"


def test_llc_with_and_without_snap() -> None:
    spanning_tree = b"\x42\x42\x03" + bytes(35)
    assert holds_the_segment(dissected(ethernet_of(len(SNAP + PACKET), SNAP + PACKET + bytes(20))))
    assert dissected(ethernet_of(len(spanning_tree), spanning_tree)) == "not IP"
    assert dissected(ethernet_of(0x2B, b"\xaa\xaa\x03\x00\x00\x0c\x20\x00" + bytes(35))) == "not IP"
    assert holds_the_segment(dissected(bytes(14) + b"\x00\x04" + SNAP + PACKET, 113))


@pytest.mark.parametrize("link", [b"\xff\x03\x00\x21", b"\xff\x03\x21", b"\x00\x21", b"\x0f\x00\x08\x00"])
def test_ppp_and_cisco_hdlc(link: bytes) -> None:
    assert holds_the_segment(dissected(link + PACKET, PPP))
    assert holds_the_segment(dissected(link + PACKET, 50))


def test_ppp_carries_labels_too() -> None:
    assert holds_the_segment(dissected(b"\xff\x03\x02\x81" + LABEL + PACKET, PPP))


def test_more_vlan_tags_than_the_fast_path_follows() -> None:
    found = dissected(ethernet(PACKET, (1, 2, 3, 4)))
    assert holds_the_segment(found)
    assert found["tunnel"] == TunnelKind.VLAN << 56 | 1 << 36 | 2 << 24 | 3 << 12 | 4


def test_tags_on_either_side_of_another() -> None:
    found = dissected(ethernet_of(0x8926, b"\x80\x0a\0\0\x81\0\0\x2a\x08\0" + PACKET))
    assert found["tunnel"] == TunnelKind.VLAN << 56 | 42


def test_labels_and_sessions_are_no_key() -> None:
    """They differ by direction, or are missing in one of the two."""
    for number in (16, 17):
        label = (number << 12 | 0x140).to_bytes(4, "big")
        assert dissected(ethernet_of(0x8847, label + PACKET))["tunnel"] == 0


def test_what_is_encrypted_is_said_to_be() -> None:
    assert dissected(ethernet_of(0x88E5, b"\x0c" + bytes(60))) == "encrypted (MACsec)"


def test_an_unknown_ether_type_is_named() -> None:
    assert dissected(ethernet_of(0x88B5, FRAME)) == "ether type 0x88b5"


def test_a_service_header_of_no_length_ends() -> None:
    assert dissected(ethernet_of(0x894F, b"\0\0\0\4" + bytes(60))) == "malformed"
