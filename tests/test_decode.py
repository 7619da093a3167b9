"""The fast path, link by link and field by field; dpkt must say the same of every frame here."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders import ethernet, tcp_frame, tcp_packet, tcp_segment
from frames_of_tests import (
    ETHERNET,
    IPV6_ENDS,
    LINUX_SLL,
    LINUX_SLL2,
    LOOPBACK,
    RAW,
    block_of,
    decoded,
    dissected,
    ethernet_of,
    ipv4,
    ipv6,
)
from tcpstates.capture.decode import decode, decode_fast
from tcpstates.schema import Checksum, Mark, TunnelKind

CLIENT, SERVER = "10.0.0.1:40000", "10.0.0.2:80"
CLIENT6, SERVER6 = "[fd00::1]:40000", "[fd00::2]:80"
SEGMENT = tcp_segment(CLIENT, SERVER, "PA", seq=7, ack=9, payload=b"hello")
SEGMENT6 = tcp_segment(CLIENT6, SERVER6, "PA", seq=7, ack=9, payload=b"hello")
PACKET, PACKET6 = ipv4(SEGMENT), ipv6(SEGMENT6)
TCP, HOP_BY_HOP, ROUTING, FRAGMENT, AH, DESTINATION = 6, 0, 43, 44, 51, 60
MAPPED = 0xFFFF << 32


def vlan_key(*vlans: int) -> int:
    key = 0
    for vlan in vlans:
        key = key << 12 | vlan
    return TunnelKind.VLAN << 56 | key


# Fields


def test_every_field_of_an_ipv4_segment() -> None:
    segment = decoded(ethernet(PACKET))
    assert (segment["src_hi"], segment["src_lo"]) == (0, MAPPED | 0x0A000001)
    assert (segment["dst_hi"], segment["dst_lo"]) == (0, MAPPED | 0x0A000002)
    assert (segment["src_port"], segment["dst_port"]) == (40_000, 80)
    assert (segment["seq"], segment["ack"], segment["payload"]) == (7, 9, 5)
    assert (segment["flags"], segment["window"]) == (0x18, 65_535)
    assert (segment["version"], segment["ttl"], segment["ip_id"]) == (4, 61, 0x1234)
    assert (segment["time"], segment["frame"]) == (1_000_000_000, 1)
    assert (segment["file"], segment["interface"], segment["tunnel"]) == (2, 3, 0)
    assert (segment["mss"], segment["wscale"], segment["marks"]) == (0, -1, 0)
    assert segment["checksum"] == Checksum.GOOD


def test_every_field_of_an_ipv6_segment() -> None:
    segment = decoded(ethernet(PACKET6))
    assert (segment["src_hi"], segment["src_lo"]) == (0xFD00 << 48, 1)
    assert (segment["dst_hi"], segment["dst_lo"]) == (0xFD00 << 48, 2)
    assert (segment["version"], segment["ttl"], segment["ip_id"]) == (6, 59, 0)
    assert (segment["payload"], segment["checksum"]) == (5, Checksum.GOOD)


@pytest.mark.parametrize(("flags", "bits"), [("S", 2), ("SA", 0x12), ("NCEUAPRSF", 0x1FF), ("", 0)])
def test_all_nine_flags_are_kept(flags: str, bits: int) -> None:
    assert decoded(tcp_frame(CLIENT, SERVER, flags))["flags"] == bits


# Link layers


@pytest.mark.parametrize(
    ("linktype", "link4", "link6"),
    [
        (LINUX_SLL, bytes(14) + b"\x08\x00", bytes(14) + b"\x86\xdd"),
        (LINUX_SLL2, b"\x08\x00" + bytes(18), b"\x86\xdd" + bytes(18)),
        (RAW, b"", b""),
        (12, b"", b""),
        (14, b"", b""),
        *[
            (linktype, struct.pack(order, 2), struct.pack(order, family))
            for linktype in (LOOPBACK, 108)
            for order in ("<I", ">I")
            for family in (10, 24, 28, 30)
        ],
    ],
)
def test_link_layers_hold_the_same_segment(linktype: int, link4: bytes, link6: bytes) -> None:
    for link, packet in ((link4, PACKET), (link6, PACKET6)):
        segment, plain = decoded(link + packet, linktype), decoded(ethernet(packet))
        assert str(segment) == str(plain)


def test_raw_links_of_one_ip_version() -> None:
    assert decoded(PACKET, 228)["version"] == 4
    assert decoded(PACKET6, 229)["version"] == 6
    assert decoded(b"\x50" + PACKET[1:], 228) == "malformed"


@pytest.mark.parametrize(
    ("vlans", "key"),
    [
        ((), 0),
        ((5,), vlan_key(5)),
        ((5, 6), vlan_key(5, 6)),
        ((5, 6, 7), vlan_key(5, 6, 7)),
        ((0,), 0),
        ((0, 6), vlan_key(6)),
        ((5, 0), vlan_key(5)),
        ((0xFFF, 0xFFE), vlan_key(0xFFF, 0xFFE)),
    ],
)
def test_vlan_tags_become_the_tunnel_key(vlans: tuple[int, ...], key: int) -> None:
    assert decoded(ethernet(PACKET, vlans))["tunnel"] == key


@pytest.mark.parametrize("kind", [0x8100, 0x88A8, 0x9100, 0x9200])
def test_vlan_tags_of_every_kind(kind: int) -> None:
    tagged = ethernet_of(kind, b"\xe0\x05\x08\x00" + PACKET)  # with a priority in the upper bits
    assert decoded(tagged)["tunnel"] == vlan_key(5)


@pytest.mark.parametrize("kind", [0x0806, 0x88CC, 0x888E])
def test_what_is_not_ip_is_counted_as_such(kind: int) -> None:
    assert decoded(ethernet_of(kind, bytes(46))) == "not IP"


@pytest.mark.parametrize("protocol", [1, 2, 17, 50, 58, 89, 132])
def test_what_is_not_tcp_is_counted_as_such(protocol: int) -> None:
    assert decoded(ethernet(ipv4(SEGMENT, protocol))) == "not TCP"
    assert decoded(ethernet(ipv6(SEGMENT6, protocol))) == "not TCP"


# Lengths


def test_padding_is_no_payload() -> None:
    frame = tcp_frame(CLIENT, SERVER, "A")
    padded = decoded(frame + bytes(60 - len(frame)))
    assert (padded["payload"], padded["checksum"]) == (0, Checksum.GOOD)


@pytest.mark.parametrize(("packet", "ip_header"), [(PACKET, 20), (PACKET6, 40)])
def test_a_snap_length_does_not_shorten_the_payload(packet: bytes, ip_header: int) -> None:
    frame = ethernet(packet)
    segment = decoded(frame[: 14 + ip_header + 20], length=len(frame))
    assert segment["payload"] == 5
    assert segment["marks"] == Mark.CUT
    assert segment["checksum"] == Checksum.UNKNOWN


@pytest.mark.parametrize("packet", [PACKET, PACKET6])
def test_a_cut_within_any_header_is_said_to_be_one(packet: bytes) -> None:
    frame = ethernet(packet)
    for captured in range(len(frame) - 5):
        assert decoded(frame[:captured], length=len(frame)) == "cut within a header"


@pytest.mark.parametrize("linktype", [LINUX_SLL, LINUX_SLL2, LOOPBACK, RAW, ETHERNET])
def test_an_empty_frame_is_cut(linktype: int) -> None:
    assert decoded(b"", linktype) == "cut within a header"


def test_options_cut_by_the_snap_length_are_read_as_far_as_they_go() -> None:
    options = b"\x02\x04\x05\xb4\x01\x03\x03\x07\x01\x01\x08\x0a" + bytes(8)
    frame = tcp_frame(CLIENT, SERVER, "S", options=options)
    segment = decoded(frame[:-10], length=len(frame))
    assert (segment["mss"], segment["wscale"]) == (1460, 7)
    assert segment["marks"] == Mark.CUT | Mark.OPTIONS_CUT


def test_the_ip_length_of_a_sliced_frame_is_believed() -> None:
    """A tap that slices frames leaves the sliced length as that on the wire."""
    frame = tcp_frame(CLIENT, SERVER, "A", payload=bytes(1000))
    segment = decoded(frame[:96], length=96)
    assert (segment["payload"], segment["checksum"]) == (1000, Checksum.UNKNOWN)
    assert segment["marks"] & Mark.LENGTH_BEYOND


def test_ip_length_zero_takes_the_length_on_the_wire() -> None:
    large = tcp_segment(CLIENT, SERVER, "A", payload=bytes(3000))
    segment = decoded(ethernet(ipv4(large, total=0))[:100], length=14 + 20 + 20 + 3000)
    assert segment["payload"] == 3000
    assert segment["marks"] == Mark.LENGTH_ZERO | Mark.CUT


def test_ipv6_length_zero_without_a_jumbo_option_takes_the_length_on_the_wire() -> None:
    segment = decoded(ethernet(ipv6(SEGMENT6, length=0)))
    assert (segment["payload"], segment["marks"]) == (5, Mark.LENGTH_ZERO)


def test_a_jumbogram_says_its_length_itself() -> None:
    large = tcp_segment(CLIENT6, SERVER6, "A", payload=bytes(70_000))
    hop_by_hop = b"\x06\x00\xc2\x04" + struct.pack("!I", 8 + len(large))
    frame = ethernet(ipv6(hop_by_hop + large, HOP_BY_HOP, length=0)) + bytes(9)
    segment = decoded(frame)
    assert (segment["payload"], segment["marks"]) == (70_000, 0)
    assert segment["checksum"] == Checksum.GOOD


# Malformed headers


@pytest.mark.parametrize(
    "packet",
    [
        b"\x55" + PACKET[1:],  # neither IPv4 nor IPv6 by its version
        b"\x44" + PACKET[1:],  # a header of 16 bytes
        ipv4(SEGMENT, total=19),
        ipv4(SEGMENT, total=39),  # no room for a TCP header
        ipv4(SEGMENT[:12] + b"\x40" + SEGMENT[13:]),  # a data offset of 16 bytes
        ipv4(SEGMENT[:12] + b"\xf0" + SEGMENT[13:]),  # a data offset beyond the packet
    ],
)
def test_malformed_ipv4_is_counted_as_such(packet: bytes) -> None:
    assert decoded(ethernet_of(0x0800, packet)) == "malformed"


@pytest.mark.parametrize(
    "packet",
    [
        b"\x40" + PACKET6[1:],
        ipv6(SEGMENT6, length=19),
        ipv6(b"\x06\xff" + bytes(6) + SEGMENT6, HOP_BY_HOP),  # an extension beyond the packet
    ],
)
def test_malformed_ipv6_is_counted_as_such(packet: bytes) -> None:
    assert decoded(ethernet_of(0x86DD, packet)) == "malformed"


# IPv4 options, IPv6 extension headers, fragments


def test_ipv4_options_are_passed() -> None:
    segment = decoded(ethernet(ipv4(SEGMENT, options=b"\x94\x04\x00\x00" + b"\x01" * 36)))
    assert (segment["payload"], segment["checksum"]) == (5, Checksum.GOOD)


def chain(*kinds: int) -> bytes:
    """An IPv6 packet with these extension headers, each 24 bytes long but for fragment headers."""
    headers = b""
    for _kind, following in zip(kinds, (*kinds[1:], TCP), strict=True):
        if _kind == FRAGMENT:
            headers += bytes([following, 0, 0, 0, 0, 0, 0, 1])
        else:
            headers += bytes([following, 4 if _kind == AH else 2]) + b"\x00\x00" + bytes(20)
    return ipv6(headers + SEGMENT6, kinds[0])


@pytest.mark.parametrize(
    "kinds",
    [
        *[(kind,) for kind in (HOP_BY_HOP, DESTINATION, ROUTING, AH, FRAGMENT)],
        (HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT, AH, DESTINATION),
        (DESTINATION,) * 40,
    ],
)
def test_extension_headers_are_passed(kinds: tuple[int, ...]) -> None:
    segment = decoded(ethernet(chain(*kinds)))
    assert (segment["payload"], segment["checksum"]) == (5, Checksum.GOOD)


FIRST, LATER = "IP fragment whose rest never came", "IP fragment"


@pytest.mark.parametrize(("fragment", "reason"), [(0x2000, FIRST), (0x0001, LATER), (0x2010, LATER)])
def test_fragments_are_never_phantom_segments(fragment: int, reason: str) -> None:
    assert dissected(ethernet(ipv4(SEGMENT, fragment=fragment))) == reason
    assert decoded(ethernet(ipv4(SEGMENT, protocol=17, fragment=fragment))) == "not TCP"


@pytest.mark.parametrize(("field", "reason"), [(0x0001, FIRST), (0x0008, LATER), (0x0009, LATER)])
@pytest.mark.parametrize("before", [b"", bytes([FRAGMENT, 0]) + bytes(6)])
def test_ipv6_fragments_are_never_phantom_segments(before: bytes, field: int, reason: str) -> None:
    fields = struct.pack("!HI", field, 1)
    kind = HOP_BY_HOP if before else FRAGMENT
    for following in (TCP, DESTINATION):
        packet = ipv6(before + bytes([following, 0]) + fields + SEGMENT6, kind)
        assert dissected(ethernet(packet)) == reason
    assert decoded(ethernet(ipv6(before + b"\x11\0" + fields + SEGMENT6, kind))) == "not TCP"


def test_the_bit_that_forbids_fragments_makes_none() -> None:
    assert decoded(ethernet(ipv4(SEGMENT, fragment=0x4000)))["payload"] == 5


# TCP options


def test_the_usual_options() -> None:
    options = bytes.fromhex("020405b4 0402 080a00000001fffffffe 01 03030e")
    segment = decoded(tcp_frame(CLIENT, SERVER, "S", options=options))
    assert (segment["mss"], segment["wscale"]) == (1460, 14)
    assert (segment["tsval"], segment["tsecr"]) == (1, 0xFFFFFFFE)
    assert segment["marks"] == Mark.HAS_TIMESTAMP | Mark.SACK_PERMITTED


def test_the_first_sack_block() -> None:
    options = bytes.fromhex("0101 0512 fffffff0 00000010 00000020 00000030")
    segment = decoded(tcp_frame(CLIENT, SERVER, "A", options=options))
    assert (segment["sack_left"], segment["sack_right"]) == (0xFFFFFFF0, 0x10)
    assert segment["marks"] == Mark.HAS_SACK


def test_a_window_scale_above_14_counts_as_14() -> None:
    assert decoded(tcp_frame(CLIENT, SERVER, "S", options=b"\x03\x03\xff\x00"))["wscale"] == 14


@pytest.mark.parametrize(
    ("options", "marks"),
    [
        ("02000000", Mark.OPTIONS_CUT),  # a length of zero
        ("01010102", Mark.OPTIONS_CUT),  # no length
        ("030a0000", Mark.OPTIONS_CUT),  # beyond the options
        ("02030501", Mark.OPTIONS_CUT),  # a maximum segment size of one byte
        ("0506 00000001 0000", Mark.OPTIONS_CUT),  # half a SACK block
        ("1e04 0000", 0),  # well-formed, but not one that is read
        ("00 02 00 00", 0),  # what follows the end of the options
    ],
)
def test_malformed_options_are_marked_and_harmless(options: str, marks: Mark) -> None:
    segment = decoded(tcp_frame(CLIENT, SERVER, "S", options=bytes.fromhex(options)))
    assert segment["marks"] == marks
    assert (segment["mss"], segment["wscale"], segment["sack_left"]) == (0, -1, 0)


def test_a_segment_without_options_keeps_nothing_of_the_one_before() -> None:
    options = bytes.fromhex("020405b4 0402 080a00000001fffffffe 01 03030e")
    frames = [tcp_frame(CLIENT, SERVER, "S", options=options), ethernet(ipv4(b"", 17)), ethernet(PACKET)]
    block = block_of([frames[0] + b"\0", frames[1], frames[2]])
    segments, _declined, _skipped = decode_fast(block.buffer, block.frames, True)
    fields = ("mss", "wscale", "tsval", "tsecr", "sack_left", "sack_right", "marks")
    assert [int(segments[1][field]) for field in fields] == [0, -1, 0, 0, 0, 0, 0]


# Checksums


def with_checksum(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + value.to_bytes(2, "big") + frame[at + 2 :]


@pytest.mark.parametrize(("packet", "at"), [(PACKET, 14 + 36), (PACKET6, 14 + 56)])
def test_checksum_verdicts(packet: bytes, at: int) -> None:
    frame = ethernet(packet)
    addresses = packet[12:20] if at == 50 else IPV6_ENDS
    without_length = sum(struct.unpack(f"!{len(addresses) // 2}H", addresses)) + TCP
    pseudo_header = without_length + 25
    folded = [(total & 0xFFFF) + (total >> 16) for total in (pseudo_header, without_length)]
    assert decoded(frame)["checksum"] == Checksum.GOOD
    assert decoded(frame[:-1] + b"x")["checksum"] == Checksum.BAD
    for left in (0, *folded):
        assert decoded(with_checksum(frame, at, left))["checksum"] == Checksum.OFFLOADED
    assert decoded(frame, checksums=False)["checksum"] == Checksum.UNKNOWN
    assert decoded(frame[:-1], length=len(frame))["checksum"] == Checksum.UNKNOWN


@pytest.mark.parametrize("size", range(12))
@pytest.mark.parametrize("skew", range(4))
def test_checksums_of_any_length_at_any_place(size: int, skew: int) -> None:
    packet = tcp_packet(CLIENT, SERVER, "PA", payload=bytes(range(200, 200 + size)))
    block = block_of([bytes(skew), packet, packet[:-1] + bytes([packet[-1] ^ 1])], RAW)
    segments, _declined, _skipped = decode_fast(block.buffer, block.frames, True)
    assert segments["checksum"].tolist() == [Checksum.GOOD, Checksum.BAD]


def test_with_an_ip_length_of_zero_a_checksum_is_offloaded_or_unknown() -> None:
    frame = ethernet(ipv4(SEGMENT, total=0))
    assert decoded(frame)["checksum"] == Checksum.UNKNOWN
    assert decoded(with_checksum(frame, 50, 0))["checksum"] == Checksum.OFFLOADED


@pytest.mark.parametrize(("kind", "final_first"), [(0, False), (2, False), (4, True)])
def test_a_routing_header_leads_to_the_address_that_the_checksum_covers(kind: int, final_first: bool) -> None:
    final, between = bytes.fromhex("fd" + "00" * 14 + "99"), bytes(16)
    addresses = [final] if kind == 2 else [final, between] if final_first else [between, final]
    routing = bytes([TCP, 2 * len(addresses), kind, 1, 0, 0, 0, 0]) + b"".join(addresses)
    segment = decoded(ethernet(ipv6(routing + tcp_segment(CLIENT6, "[fd00::99]:80", "A"), ROUTING)))
    assert segment["checksum"] == Checksum.GOOD
    assert segment["dst_lo"] == 2, "the connection is that of the header's own destination"


def test_a_mobile_node_sums_its_home_address() -> None:
    home = bytes.fromhex("fd" + "00" * 14 + "99")
    options = bytes([TCP, 2, 1, 2, 0, 0, 0xC9, 16]) + home
    segment = decoded(ethernet(ipv6(options + tcp_segment("[fd00::99]:40000", SERVER6, "A"), DESTINATION)))
    assert segment["checksum"] == Checksum.GOOD
    assert segment["src_lo"] == 1, "the connection is that of the header's own source"


def test_an_unknown_routing_header_leaves_the_checksum_unknown() -> None:
    routing = bytes([TCP, 2, 99, 1, 0, 0, 0, 0]) + bytes(16)
    assert decoded(ethernet(ipv6(routing + SEGMENT6, ROUTING)))["checksum"] == Checksum.UNKNOWN


# The kernel itself


def test_buffers_of_every_kind_are_decoded_by_one_signature() -> None:
    block = block_of([ethernet(PACKET)])
    writable = block.buffer.copy()
    shifted = np.zeros(len(writable) + 1, np.uint8)
    shifted[1:] = writable
    strided = np.repeat(writable, 2)[::2]
    for buffer in (block.buffer, writable, shifted[1:], strided):
        segments, _declined, _skipped = decode_fast(buffer, block.frames, True)
        assert segments["payload"].tolist() == [5]
    assert len(getattr(decode, "signatures", [1])) == 1


@pytest.mark.slow_without_jit
def test_no_byte_beyond_a_frame_is_read() -> None:
    """Random and mangled frames, each at the very end of its buffer, with numba's bounds checked."""
    script = Path(__file__).parent / "mangled_frames.py"
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "frames decoded" in ended.stdout
