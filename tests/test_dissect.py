"""What only dpkt decodes: labels, tunnels, rare links; and where dpkt alone would be wrong."""

from __future__ import annotations

import struct
from typing import Any

import dpkt
import pytest
from builders import ethernet, tcp_segment
from frames_of_tests import LOOPBACK, PPP, decoded, decoded_by, dissected, ethernet_of, ipv4, ipv6
from tcpstates.capture.decoder import Decoder
from tcpstates.schema import Checksum, Mark, TunnelKind

SEGMENT = tcp_segment("10.0.0.1:40000", "10.0.0.2:80", "PA", payload=b"hello")
SEGMENT6 = tcp_segment("[fd00::1]:40000", "[fd00::2]:80", "PA", payload=b"hello")
PACKET, PACKET6 = ipv4(SEGMENT), ipv6(SEGMENT6)
FRAME = ethernet(PACKET)
TO_SERVER, TO_CLIENT = b"\xc0\0\2\1\xc0\0\2\2", b"\xc0\0\2\2\xc0\0\2\1"


def is_the_segment(found: Any) -> bool:
    """Whether it is the one within, wherever it was found."""
    assert not isinstance(found, str), found
    return (found["payload"], found["checksum"], found["src_port"]) == (5, Checksum.GOOD, 40_000) and bool(
        found["marks"] & Mark.DISSECTED
    )


def kind_of(found: Any) -> int:
    return int(found["tunnel"]) >> 56


# Labels and links


def label(value: int, bottom: bool) -> bytes:
    return (value << 12 | bottom << 8 | 64).to_bytes(4, "big")


@pytest.mark.parametrize("kind", [0x8847, 0x8848])
def test_mpls_labels_over_ip(kind: int) -> None:
    for packet in (PACKET, PACKET6):
        assert is_the_segment(dissected(ethernet_of(kind, label(16, False) + label(17, True) + packet)))


def test_an_ethernet_pseudowire() -> None:
    assert is_the_segment(dissected(ethernet_of(0x8847, label(16, True) + bytes(4) + FRAME)))


def pppoe(payload: bytes, code: int = 0) -> bytes:
    return ethernet_of(0x8864, struct.pack("!BBHH", 0x11, code, 7, len(payload)) + payload + bytes(9))


def test_pppoe_with_the_protocol_in_one_byte_or_two() -> None:
    for link in (b"\x00\x21", b"\x21"):
        assert is_the_segment(dissected(pppoe(link + PACKET)))
    assert is_the_segment(dissected(pppoe(b"\x00\x57" + PACKET6)))
    assert dissected(pppoe(b"\xc0\x21" + bytes(10))) == "not IP"
    assert dissected(pppoe(b"\x00\x21" + PACKET, code=0xA7)) == "not IP"


def test_llc_with_and_without_snap() -> None:
    snap = b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + PACKET
    plain = b"\x06\x06\x03" + PACKET
    spanning_tree = b"\x42\x42\x03" + bytes(35)
    assert is_the_segment(dissected(ethernet_of(len(snap), snap)))
    assert is_the_segment(dissected(ethernet_of(len(plain), plain + bytes(20))))
    assert dissected(ethernet_of(len(spanning_tree), spanning_tree)) == "not IP"
    assert is_the_segment(dissected(bytes(14) + b"\x00\x04" + snap, 113))


@pytest.mark.parametrize("link", [b"\xff\x03\x00\x21", b"\xff\x03\x21", b"\x00\x21", b"\x0f\x00\x08\x00"])
def test_ppp_and_cisco_hdlc(link: bytes) -> None:
    assert is_the_segment(dissected(link + PACKET, PPP))
    assert is_the_segment(dissected(link + PACKET, 50))


def test_more_vlan_tags_than_the_fast_path_follows() -> None:
    found = dissected(ethernet(PACKET, (1, 2, 3, 4)))
    assert is_the_segment(found)
    assert found["tunnel"] == TunnelKind.VLAN << 56 | 1 << 36 | 2 << 24 | 3 << 12 | 4


# Tunnels


@pytest.mark.parametrize("outer", [ipv4, ipv6])
def test_ip_in_ip_of_any_version_in_any(outer: Any) -> None:
    for protocol, packet in ((4, PACKET), (41, PACKET6)):
        found = dissected(ethernet(outer(packet, protocol)))
        assert is_the_segment(found)
        assert kind_of(found) == TunnelKind.IP_IN_IP
        assert found["version"] == packet[0] >> 4


@pytest.mark.parametrize("options", [0, 0x8000, 0x2000, 0x1000, 0xB000])
def test_gre_with_every_optional_field(options: int) -> None:
    fields = bytes(4 * options.bit_count())
    for kind, packet in ((0x0800, PACKET), (0x86DD, PACKET6), (0x6558, FRAME)):
        found = dissected(ethernet(ipv4(struct.pack("!HH", options, kind) + fields + packet, 47)))
        assert is_the_segment(found)
        assert kind_of(found) == TunnelKind.GRE


def test_pptp_carries_ppp_in_gre_version_1() -> None:
    gre = struct.pack("!HHHHI", 0x3001, 0x880B, len(PACKET) + 4, 1, 1)
    assert is_the_segment(dissected(ethernet(ipv4(gre + b"\xff\x03\x00\x21" + PACKET, 47))))


def test_a_tunnel_has_one_key_for_both_directions() -> None:
    there = dissected(ethernet(ipv4(PACKET, 4, ends=TO_SERVER)))
    back = dissected(ethernet(ipv4(PACKET, 4, ends=TO_CLIENT)))
    elsewhere = dissected(ethernet(ipv4(PACKET, 4)))
    assert there["tunnel"] == back["tunnel"] != elsewhere["tunnel"]


def test_a_vlan_outside_or_inside_does_not_hide_the_tunnel() -> None:
    gre = struct.pack("!HH", 0, 0x6558)
    found = dissected(ethernet(ipv4(gre + ethernet(PACKET, (9,)), 47), (5,)))
    assert kind_of(found) == TunnelKind.GRE


def test_a_fragment_of_a_tunnel_is_a_fragment() -> None:
    for packet in (ipv4(PACKET, 4, fragment=0x0001), ipv4(ipv4(SEGMENT, fragment=0x0001), 4)):
        assert dissected(ethernet(packet), length=200) == "IP fragment"


def test_an_inner_length_of_zero_takes_what_the_outer_header_leaves() -> None:
    found = dissected(ethernet(ipv4(ipv4(SEGMENT, total=0), 4)) + bytes(30))
    assert (found["payload"], found["marks"]) == (5, Mark.DISSECTED | Mark.LENGTH_ZERO)


def test_an_authentication_header_in_ipv4() -> None:
    header = bytes([6, 4]) + bytes(22)
    assert is_the_segment(dissected(ethernet(ipv4(header + SEGMENT, 51))))


# What cannot be decoded is named


def test_an_unknown_link_type_is_named() -> None:
    assert dissected(FRAME, 187) == "link type 187 (BLUETOOTH_HCI_H4)"
    assert dissected(FRAME, 60_000) == "link type 60000 (unknown)"


def test_an_unknown_ether_type_is_named() -> None:
    assert dissected(ethernet_of(0x88B5, FRAME)) == "ether type 0x88b5"


def test_a_frame_of_nothing_but_headers_ends() -> None:
    tags = ethernet_of(0x8100, b"\x00\x05\x81\x00" * 20_000)
    tunnels = b"".join(ipv4(b"", 4, total=0) for _ in range(3_000))
    assert dissected(tags) == "malformed"
    assert dissected(ethernet(tunnels)) == "malformed"
    assert dissected(ethernet_of(0x8847, label(1, False) * 20_000)) == "cut within a header"


# Where dpkt's own decoding would be wrong: these hold it to what this module says it is


def test_dpkt_alone_takes_a_later_fragment_for_tcp() -> None:
    later = ipv6(bytes([44, 0]) + bytes(6) + struct.pack("!BBHI", 6, 0, 0x0008, 1) + SEGMENT6, 0)
    assert isinstance(dpkt.ip6.IP6(later).data, dpkt.tcp.TCP)
    assert dissected(ethernet(later)) == "IP fragment"


def test_dpkt_alone_cuts_the_payload_with_the_snap_length() -> None:
    assert len(dpkt.ip.IP(PACKET[:42]).data.data) == 2
    assert decoded(FRAME[:56], length=len(FRAME))["payload"] == 5


def test_dpkt_alone_forgets_the_outer_of_three_tags() -> None:
    frame = ethernet(PACKET, (1, 2, 3))
    assert [tag.id for tag in dpkt.ethernet.Ethernet(frame).vlan_tags] != [1, 2, 3]
    assert decoded(frame)["tunnel"] == TunnelKind.VLAN << 56 | 1 << 24 | 2 << 12 | 3


def test_dpkt_alone_takes_an_unknown_loopback_family_for_ethernet() -> None:
    linux = struct.pack("<I", 10) + PACKET6
    assert not isinstance(dpkt.loopback.Loopback(linux).data, dpkt.ip6.IP6)
    assert is_the_segment(decoded_by(Decoder("dpkt"), linux, LOOPBACK))
