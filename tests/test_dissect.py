"""What the slow path does by itself, and where dpkt alone would be wrong."""

from __future__ import annotations

import struct

import dpkt
import pytest

from builders import ethernet
from encapsulations import FRAME, PACKET, PACKET6, SEGMENT, SEGMENT6, holds_the_segment
from frames_of_tests import LOOPBACK, decoded, decoded_by, dissected, ethernet_of, ipv4, ipv6
from tcpstates.capture.decoder import Decoder
from tcpstates.schema import Checksum, Mark, TunnelKind

# Within tunnels


def test_a_fragment_of_a_tunnel_is_a_fragment() -> None:
    for packet in (ipv4(PACKET, 4, fragment=0x0001), ipv4(ipv4(SEGMENT, fragment=0x0001), 4)):
        assert dissected(ethernet(packet), length=200) == "IP fragment"


def test_an_inner_length_of_zero_takes_what_the_outer_header_leaves() -> None:
    found = dissected(ethernet(ipv4(ipv4(SEGMENT, total=0), 4)) + bytes(30))
    assert (found["payload"], found["marks"]) == (5, Mark.DISSECTED | Mark.LENGTH_ZERO)


def test_the_ip_length_of_a_sliced_frame_is_believed() -> None:
    """A tap that slices frames leaves the sliced length as that on the wire; only IP knows the whole."""
    found = dissected(ethernet(ipv4(ipv4(SEGMENT, total=3000), 4)) + bytes(30))
    marks = Mark.DISSECTED | Mark.LENGTH_BEYOND
    header = 20 + len(SEGMENT) - 5
    assert (found["payload"], found["marks"], found["checksum"]) == (3000 - header, marks, Checksum.UNKNOWN)


def test_an_authentication_header_in_ipv4() -> None:
    header = bytes([6, 4]) + bytes(22)
    assert holds_the_segment(dissected(ethernet(ipv4(header + SEGMENT, 51))))


# ICMP's errors


def icmp(kind: int, quoted: bytes, protocol: int = 1) -> bytes:
    header = bytes([kind, 1]) + bytes(6)
    outer = ipv4 if protocol == 1 else ipv6
    return ethernet(outer(header + quoted, protocol))


@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
def test_an_icmp_error_about_tcp_is_counted_as_such(kind: int) -> None:
    for quoted in (PACKET, PACKET[:28], PACKET[:20]):
        assert dissected(icmp(kind, quoted)) == "ICMP error about TCP"
    assert dissected(icmp(kind, ipv4(SEGMENT, 17))) == "not TCP"
    assert dissected(icmp(kind, b"")) == "not TCP"


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_an_icmpv6_error_about_tcp_is_counted_as_such(kind: int) -> None:
    for quoted in (PACKET6, PACKET6[:48]):
        assert dissected(icmp(kind, quoted, 58)) == "ICMP error about TCP"
    assert dissected(icmp(kind, ipv6(SEGMENT6, 17), 58)) == "not TCP"


def test_other_icmp_is_left_alone() -> None:
    for kind, protocol in ((0, 1), (8, 1), (128, 58), (135, 58)):
        assert decoded(icmp(kind, PACKET, protocol)) == "not TCP"
    assert decoded(ethernet(ipv4(bytes([3]) + bytes(7) + PACKET, 58))) == "not TCP"
    assert decoded(ethernet(ipv4(b"", 1))) == "not TCP"


# Frames without end


def test_a_frame_of_nothing_but_headers_ends() -> None:
    tags = ethernet_of(0x8100, b"\x00\x05\x81\x00" * 20_000)
    tunnels = b"".join(ipv4(b"", 4, total=0) for _ in range(3_000))
    assert dissected(tags) == "malformed"
    assert dissected(ethernet(tunnels)) == "malformed"
    assert dissected(ethernet_of(0x8847, b"\0\0\x10\x40" * 20_000)) == "cut within a header"


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
    assert holds_the_segment(decoded_by(Decoder("dpkt"), linux, LOOPBACK))
