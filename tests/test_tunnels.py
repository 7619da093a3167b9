"""Tunnels over IP and UDP: the segment within, and the key that both directions have in common."""

from __future__ import annotations

import struct

import pytest

from builders import ethernet
from encapsulations import (
    BACK,
    FRAME,
    PACKET,
    PACKET6,
    THERE,
    TUNNELS,
    check,
    gre,
    holds_the_segment,
    said,
    udp,
    udp_header,
)
from frames_of_tests import decoded, decoded_by, dissected, ipv4, ipv6
from tcpstates.capture import layout
from tcpstates.capture.decoder import Decoder
from tcpstates.capture.dissection.ip import IP_PROTOCOLS
from tcpstates.capture.dissection.tunnels import UDP_PORTS
from tcpstates.schema import Mark, TunnelKind

VXLAN = b"\x08\0\0\0\0\0\x64\0"
DEVICE = b"\x0a\0\0\1\x0a\0\0\2"


@pytest.mark.parametrize("name", TUNNELS)
def test_the_segment_within_it_is_read(name: str) -> None:
    check(TUNNELS[name])


@pytest.mark.parametrize("name", ["vxlan", "vxlan of Linux", "geneve", "geneve with options"])
def test_an_overlay_needs_no_dissecting(name: str) -> None:
    decoder = Decoder()
    found = decoded_by(decoder, TUNNELS[name].frame)
    assert said(found) == said(decoded_by(Decoder("dpkt"), TUNNELS[name].frame))
    assert decoder.dissected == 0


def test_the_fast_path_knows_what_to_leave() -> None:
    assert UDP_PORTS.numbers == set(layout.UDP_TUNNELS)
    assert IP_PROTOCOLS.numbers == {*layout.TUNNELS, 1, 6, 17, 51, 58}


@pytest.mark.parametrize("outer", [ipv4, ipv6])
def test_ip_in_ip_of_any_version_in_any(outer: object) -> None:
    for protocol, packet in ((4, PACKET), (41, PACKET6)):
        found = dissected(ethernet(outer(packet, protocol)))  # type: ignore[operator]
        assert holds_the_segment(found)
        assert found["version"] == packet[0] >> 4


@pytest.mark.parametrize("options", [0, 0x8000, 0x2000, 0x1000, 0xB000])
def test_gre_with_every_optional_field(options: int) -> None:
    fields = bytes(4 * options.bit_count())
    for kind, packet in ((0x0800, PACKET), (0x86DD, PACKET6), (0x6558, FRAME)):
        assert holds_the_segment(dissected(gre(kind, packet, options, fields)))


# Keys


def test_a_tunnel_between_two_ends_has_one_key_for_both_directions() -> None:
    there, back, elsewhere = (dissected(gre(0x0800, PACKET, ends=ends)) for ends in (THERE, BACK, DEVICE))
    assert there["tunnel"] == back["tunnel"] != elsewhere["tunnel"]


def test_a_network_is_the_same_behind_whatever_switch() -> None:
    keys = {int(decoded(udp(4789, VXLAN + FRAME, ends=ends))["tunnel"]) for ends in (THERE, BACK, DEVICE)}
    assert keys == {TunnelKind.VXLAN << 56 | 100}


def test_mobiles_and_mirrors_have_no_identifier() -> None:
    for teid, ends in ((1, THERE), (2, BACK), (3, DEVICE)):
        frame = udp(2152, b"\x30\xff" + struct.pack("!HI", len(PACKET), teid) + PACKET, ends=ends)
        assert dissected(frame)["tunnel"] == TunnelKind.GTP_U << 56
        assert dissected(gre(0x88BE, FRAME, ends=ends))["tunnel"] == TunnelKind.ERSPAN << 56


def test_a_relay_of_6to4_is_not_relied_upon() -> None:
    relayed = PACKET6[:8] + b"\x20\x02" + PACKET6[10:]
    keys = {int(dissected(ethernet(ipv4(relayed, 41, ends=ends)))["tunnel"]) for ends in (THERE, DEVICE)}
    assert keys == {TunnelKind.IP_IN_IP << 56}


def test_a_vlan_outside_or_inside_does_not_hide_the_tunnel() -> None:
    inner = struct.pack("!HH", 0, 0x6558) + ethernet(PACKET, (9,))
    found = dissected(ethernet(ipv4(inner, 47), (5,)))
    assert int(found["tunnel"]) >> 56 == TunnelKind.GRE


def test_a_tunnel_without_an_identifier_does_not_hide_one_that_has_it() -> None:
    mobile = ethernet(
        ipv4(
            udp_header(2152, 8 + len(PACKET)) + b"\x30\xff" + struct.pack("!HI", len(PACKET), 9) + PACKET, 17
        )
    )
    found = dissected(udp(4789, VXLAN + mobile))
    assert found["tunnel"] == TunnelKind.VXLAN << 56 | 100


# UDP that is no tunnel, or says too little


@pytest.mark.parametrize("port", [53, 443, 4788, 50_000])
def test_other_udp_is_left_alone(port: int) -> None:
    assert decoded(udp(port, VXLAN + FRAME)) == "not TCP"
    assert decoded(udp(port, PACKET6)) == "not TCP"


@pytest.mark.parametrize("port", sorted(layout.UDP_TUNNELS))
def test_what_only_uses_the_port_of_a_tunnel_is_no_segment(port: int) -> None:
    for payload in (b"", bytes(200), b"\xff" * 200, bytes(range(200))):
        assert isinstance(dissected(udp(port, payload)), str)
        assert isinstance(dissected(udp(53, payload, source=port)), str)


def test_an_answer_comes_from_the_tunnels_port() -> None:
    assert holds_the_segment(dissected(udp(50_001, VXLAN + FRAME, source=4789)))


def test_teredo_on_a_relays_port_is_known_by_its_addresses() -> None:
    prefix = b"\x20\x01\0\0"
    for packet in (PACKET6[:8] + prefix + PACKET6[12:], PACKET6[:24] + prefix + PACKET6[28:]):
        found = dissected(udp(50_001, packet))
        assert (found["payload"], found["tunnel"]) == (5, TunnelKind.TEREDO << 56)
        assert decoded(udp(50_001, b"\x50" + packet[1:])) == "not TCP"


def test_a_segment_that_the_card_is_to_cut_has_its_length_from_the_frame() -> None:
    """Big TCP within a tunnel: all IP lengths are zero, and UDP's is what is left modulo 65,536."""
    inner = ethernet(ipv4(PACKET[20:] + bytes(70_000), total=0))
    outer = ipv4(udp_header(4789, 100) + VXLAN + inner, 17, total=0)
    found = decoded(ethernet(outer))
    assert (found["payload"], found["marks"]) == (70_005, Mark.LENGTH_ZERO)


def test_the_inner_ip_length_outweighs_that_of_udp() -> None:
    short = ethernet(ipv4(udp_header(4789, len(VXLAN + FRAME) - 3) + VXLAN + FRAME, 17))
    found = decoded(short)
    assert (found["payload"], found["marks"]) == (5, Mark.LENGTH_BEYOND)


def test_an_outer_fragment_is_enough_where_the_inner_header_is_in_it() -> None:
    whole = udp_header(4789, len(VXLAN + FRAME)) + VXLAN + FRAME
    first = dissected(ethernet(ipv4(whole[:-5], 17, fragment=0x2000)))
    assert (first["payload"], first["tunnel"]) == (5, TunnelKind.VXLAN << 56 | 100)
    assert decoded(ethernet(ipv4(whole[-5:], 17, fragment=20))) == "not TCP"


def test_tags_without_end() -> None:
    assert dissected(udp(37008, b"\1\0\0\1" + bytes(4000))) == "cut within a header"
    assert (
        dissected(udp(2152, b"\x34\xff\1\0" + bytes(4) + b"\0\0\0\x85" + b"\1\0\0\x85" * 90))
        == "cut within a header"
    )
