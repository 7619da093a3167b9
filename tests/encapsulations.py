"""One TCP segment in every encapsulation and behind every link layer, built byte by byte."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from builders import ethernet, tcp_segment
from frames_of_tests import ETHERNET, decoded_by, ethernet_of, ipv4, ipv6, without_dissected
from tcpstates.capture.decoder import Decoder
from tcpstates.schema import Checksum, Mark, TunnelKind

SEGMENT = tcp_segment("10.0.0.1:40000", "10.0.0.2:80", "PA", payload=b"hello")
SEGMENT6 = tcp_segment("[fd00::1]:40000", "[fd00::2]:80", "PA", payload=b"hello")
PACKET, PACKET6 = ipv4(SEGMENT), ipv6(SEGMENT6)
FRAME = ethernet(PACKET)
ADDRESSES = FRAME[:12]
SNAP = b"\xaa\xaa\x03\0\0\0\x08\0"
#: The outer addresses of tunnels, in either direction.
THERE, BACK = b"\xc0\0\2\1\xc0\0\2\2", b"\xc0\0\2\2\xc0\0\2\1"


class Example(NamedTuple):
    """A frame that holds ``PACKET``, or ``PACKET6``, and the encapsulation key that it has to get."""

    frame: bytes
    linktype: int = ETHERNET
    kind: TunnelKind = TunnelKind.NONE
    identifier: int | None = 0  # None: a digest of the outer addresses


def udp(port: int, payload: bytes, source: int = 50_000, ends: bytes = THERE) -> bytes:
    """An Ethernet frame with UDP to that port."""
    return ethernet(ipv4(udp_header(port, len(payload), source) + payload, 17, ends=ends))


def udp_header(port: int, size: int, source: int = 50_000) -> bytes:
    return struct.pack("!HHHH", source, port, 8 + size, 0)


def gre(kind: int, payload: bytes, flags: int = 0, fields: bytes = b"", ends: bytes = THERE) -> bytes:
    """An Ethernet frame with GRE."""
    return ethernet(ipv4(struct.pack("!HH", flags, kind) + fields + payload, 47, ends=ends))


def wifi(body: bytes, control: bytes = b"\x08\x01", size: int = 24) -> bytes:
    """A data frame, by default from a station to an access point."""
    return control + bytes(size - 2) + body


WIFI = wifi(SNAP + PACKET)
LABEL = b"\x00\x01\x01\x40"


def subframe(body: bytes) -> bytes:
    """One of an A-MSDU."""
    whole = ADDRESSES + len(body).to_bytes(2, "big") + body
    return whole + bytes(-len(whole) % 4)


def radiotap(present: int, fields: bytes) -> bytes:
    """Its header, with one word of what is present."""
    return struct.pack("<BBHI", 0, 0, 8 + len(fields), present) + fields


def nflog(order: str) -> bytes:
    """With a prefix attribute of odd length before the packet."""
    prefix = struct.pack(order + "HH", 5 + 4, 10) + b"drop\0" + bytes(3)
    return b"\2\0\0\7" + prefix + struct.pack(order + "HH", 4 + len(PACKET), 9) + PACKET


def pktap(linktype: int) -> bytes:
    return struct.pack("<III", 108, 1, linktype) + bytes(96)


_PPP = b"\xff\x03\x00\x21"
_JUNIPER = b"MGC"
_PRISM = struct.pack(">II", 0x44, 144) + bytes(136)
_AVS = struct.pack(">II", 0x80211001, 64) + bytes(56)
_PREAMBLE = b"\x55" * 7

LINKS = {
    "arcnet, BSD": Example(b"\1\2\xd4\0\0\0" + PACKET, 7),
    "slip": Example(bytes(16) + PACKET, 8),
    "fddi": Example(b"\x50" + ADDRESSES + SNAP + PACKET, 10),
    "token ring": Example(b"\x10\x40" + ADDRESSES + SNAP + PACKET, 6),
    "token ring, routed": Example(
        b"\x10\x40" + ADDRESSES[:6] + b"\x82" + ADDRESSES[7:] + b"\x06\x10\0\x11\0\x20" + SNAP + PACKET, 6
    ),
    "atm, llc": Example(SNAP + PACKET, 100),
    "sunatm": Example(b"\x82\0\0\x20" + SNAP + PACKET, 123),
    "cisco hdlc": Example(b"\x0f\0\x08\0" + PACKET, 104),
    "cisco hdlc with direction": Example(b"\1\x0f\0\x08\0" + PACKET, 205),
    "802.11": Example(WIFI, 105),
    "802.11 with radiotap": Example(radiotap(0, b"") + WIFI, 127),
    "802.11 with prism": Example(_PRISM + WIFI, 119),
    "802.11 with avs": Example(_AVS + WIFI, 163),
    "802.11 with avs as prism": Example(_AVS + WIFI, 119),
    "802.11 with ppi": Example(struct.pack("<BBHI", 0, 0, 8, 105) + WIFI, 192),
    "frame relay, ietf": Example(b"\x18\x41\x03\xcc" + PACKET, 107),
    "frame relay, ietf, padded": Example(b"\x18\x41\x03\0\xcc" + PACKET, 107),
    "frame relay, snap": Example(b"\x18\x41\x03\0\x80\0\0\0\x08\0" + PACKET, 107),
    "frame relay, cisco": Example(b"\x18\x41\x08\0" + PACKET, 107),
    "frame relay with direction": Example(b"\1\x18\x41\x03\xcc" + PACKET, 206),
    "enc": Example(struct.pack("<III", 2, 7, 0) + PACKET, 109),
    "pflog": Example(bytes([61, 2]) + bytes(62) + PACKET, 117),
    "ip over fibre channel": Example(bytes(16) + SNAP + PACKET, 122),
    "arcnet, Linux, rfc 1201": Example(b"\1\2\0\0\xd4\0\0\0" + PACKET, 129),
    "arcnet, Linux, rfc 1051": Example(b"\1\2\0\0\xf0" + PACKET, 129),
    "ip over firewire": Example(bytes(16) + b"\x08\0" + PACKET, 138),
    "ppp, pppd": Example(b"\0\x03\x00\x21" + PACKET, 166),
    "ppp with direction": Example(b"\1" + _PPP + PACKET, 204),
    "juniper ethernet": Example(_JUNIPER + b"\1" + FRAME, 178),
    "juniper ethernet with extensions": Example(_JUNIPER + b"\x81\0\x03\1\1\4" + FRAME, 178),
    "erf": Example(
        bytes(8) + struct.pack("!BBHHH", 2, 4, 18 + len(FRAME), 0, len(FRAME)) + b"\0\0" + FRAME, 197
    ),
    "erf with an extension": Example(
        bytes(8) + struct.pack("!BBHHH", 0x82, 4, 26 + len(FRAME), 0, len(FRAME)) + b"\3" + bytes(9) + FRAME,
        197,
    ),
    "ipnet": Example(b"\1\2\0\0" + bytes(20) + PACKET, 226),
    "netfilter log": Example(nflog("<"), 239),
    "netfilter log, big-endian": Example(nflog(">"), 239),
    "netanalyzer": Example(bytes(4) + FRAME + bytes(4), 240),
    "netanalyzer, transparent": Example(bytes(4) + _PREAMBLE + b"\xd5" + FRAME + bytes(4), 241),
    "ip over infiniband": Example(bytes(40) + b"\x08\0\0\0" + PACKET, 242),
    "pktap": Example(pktap(1) + FRAME, 258),
    "mpacket, express": Example(_PREAMBLE + b"\xd5" + FRAME + bytes(4), 274),
    "mpacket, preemptable": Example(_PREAMBLE + b"\xe6" + FRAME + bytes(4), 274),
    "broadcom tag": Example(ADDRESSES + b"\x20\0\0\5" + FRAME[12:], 281),
    "broadcom tag before": Example(b"\x20\0\0\5" + FRAME, 282),
    "marvell tag": Example(ADDRESSES + b"\xc0\x10\0\0" + FRAME[12:], 284),
    "marvell tag with vlan": Example(ADDRESSES + b"\xe0\x10\0\x2a" + FRAME[12:], 284, TunnelKind.VLAN, 42),
    "marvell ether-type tag": Example(ADDRESSES + b"\xda\xda\0\0\xc0\x10\0\0" + FRAME[12:], 285),
}

ETHER_TYPES = {
    "mpls": Example(ethernet_of(0x8847, LABEL + PACKET)),
    "mpls, two labels": Example(ethernet_of(0x8847, b"\x00\x01\x00\x40" + LABEL + PACKET6)),
    "mpls, multicast": Example(ethernet_of(0x8848, LABEL + PACKET)),
    "ethernet pseudowire": Example(ethernet_of(0x8847, LABEL + bytes(4) + FRAME)),
    "pppoe": Example(
        ethernet_of(0x8864, struct.pack("!BBHH", 0x11, 0, 7, 2 + len(PACKET)) + b"\0\x21" + PACKET)
    ),
    "llc": Example(ethernet_of(3 + len(PACKET), b"\x06\x06\x03" + PACKET)),
    "snap": Example(ethernet_of(8 + len(PACKET), SNAP + PACKET)),
    "provider backbone": Example(
        ethernet_of(0x88E7, b"\0\0\1\2" + FRAME), kind=TunnelKind.PBB, identifier=0x102
    ),
    "vn-tag": Example(ethernet_of(0x8926, b"\x80\x0a\0\0\x08\0" + PACKET)),
    "cisco metadata": Example(ethernet_of(0x8909, b"\1\1\0\1\0\4\x08\0" + PACKET)),
    "fabricpath": Example(ethernet_of(0x8903, b"\x04\x60" + FRAME)),
    "trill": Example(ethernet_of(0x22F3, b"\0\x0f\0\1\0\2" + FRAME)),
    "hsr": Example(ethernet_of(0x892F, b"\0\x40\0\1\x08\0" + PACKET)),
    "macsec without encryption": Example(ethernet_of(0x88E5, b"\0\0\0\0\0\1\x08\0" + PACKET + bytes(16))),
    "macsec with a channel id": Example(
        ethernet_of(0x88E5, b"\x20\0\0\0\0\1" + bytes(8) + b"\x08\0" + PACKET + bytes(16))
    ),
    "nsh": Example(ethernet_of(0x894F, b"\x0f\xc6\1\3" + bytes(20) + FRAME)),
}

_GTP_EXTENDED = b"\x34\xff" + struct.pack("!HI", len(PACKET) + 8, 9) + b"\0\0\0\x85\1\0\1\0"
_TEREDO_AUTHENTICATION = b"\0\1\0\0" + bytes(9)
_TEREDO_ORIGIN = b"\0\0" + bytes(6)

TUNNELS = {
    "ip in ip": Example(ethernet(ipv4(PACKET, 4, ends=THERE)), kind=TunnelKind.IP_IN_IP, identifier=None),
    "6in4": Example(ethernet(ipv4(PACKET6, 41, ends=THERE)), kind=TunnelKind.IP_IN_IP, identifier=None),
    "4in6": Example(ethernet(ipv6(PACKET, 4)), kind=TunnelKind.IP_IN_IP, identifier=None),
    "etherip": Example(
        ethernet(ipv4(b"\x30\0" + FRAME, 97, ends=THERE)), kind=TunnelKind.IP_IN_IP, identifier=None
    ),
    "mpls in ip": Example(ethernet(ipv4(LABEL + PACKET, 137))),
    "gre": Example(gre(0x0800, PACKET), kind=TunnelKind.GRE, identifier=None),
    "gre, ethernet": Example(gre(0x6558, FRAME), kind=TunnelKind.GRE, identifier=None),
    "gre, every field": Example(gre(0x0800, PACKET, 0xB000, bytes(12)), kind=TunnelKind.GRE, identifier=None),
    "pptp": Example(
        gre(0x880B, b"\xff\x03\x00\x21" + PACKET, 0x3001, struct.pack("!HHI", len(PACKET) + 4, 1, 1)),
        kind=TunnelKind.GRE,
        identifier=None,
    ),
    "wccp": Example(gre(0x883E, PACKET), kind=TunnelKind.GRE),
    "wccp, version 2": Example(gre(0x883E, bytes(4) + PACKET), kind=TunnelKind.GRE),
    "aruba": Example(gre(0x8200, WIFI), kind=TunnelKind.GRE, identifier=None),
    "erspan I": Example(gre(0x88BE, FRAME), kind=TunnelKind.ERSPAN),
    "erspan II": Example(
        gre(0x88BE, b"\x10\x64\0\1\0\0\0\0" + FRAME, 0x1000, bytes(4)), kind=TunnelKind.ERSPAN
    ),
    "erspan III": Example(
        gre(0x22EB, b"\x20\x64\0\1" + bytes(8) + FRAME, 0x1000, bytes(4)), kind=TunnelKind.ERSPAN
    ),
    "erspan III with a subheader": Example(
        gre(0x22EB, b"\x20\x64\0\1" + bytes(7) + b"\1" + bytes(8) + FRAME, 0x1000, bytes(4)),
        kind=TunnelKind.ERSPAN,
    ),
    "vxlan": Example(udp(4789, b"\x08\0\0\0\0\0\x64\0" + FRAME), kind=TunnelKind.VXLAN, identifier=100),
    "vxlan of Linux": Example(
        udp(8472, b"\x08\0\0\0\0\0\x64\0" + FRAME), kind=TunnelKind.VXLAN, identifier=100
    ),
    "vxlan-gpe": Example(udp(4790, b"\x0c\0\0\1\0\0\x64\0" + PACKET), kind=TunnelKind.VXLAN, identifier=100),
    "vxlan-gpe with nsh": Example(
        udp(4790, b"\x0c\0\0\4\0\0\x64\0" + b"\x0f\xc6\1\3" + bytes(20) + FRAME),
        kind=TunnelKind.VXLAN,
        identifier=100,
    ),
    "geneve": Example(udp(6081, b"\0\0\x65\x58\0\0\x64\0" + FRAME), kind=TunnelKind.GENEVE, identifier=100),
    "geneve with options": Example(
        udp(6081, b"\2\0\x08\0\0\0\x64\0" + bytes(8) + PACKET), kind=TunnelKind.GENEVE, identifier=100
    ),
    "gtp-u": Example(
        udp(2152, b"\x30\xff" + struct.pack("!HI", len(PACKET), 9) + PACKET), kind=TunnelKind.GTP_U
    ),
    "gtp-u with an extension": Example(udp(2152, _GTP_EXTENDED + PACKET), kind=TunnelKind.GTP_U),
    "teredo": Example(udp(3544, PACKET6), kind=TunnelKind.TEREDO),
    "teredo, with authentication and origin": Example(
        udp(3544, _TEREDO_AUTHENTICATION + _TEREDO_ORIGIN + PACKET6), kind=TunnelKind.TEREDO
    ),
    "ayiya": Example(udp(5072, b"\x41\x52\x11\x29" + bytes(40) + PACKET6), kind=TunnelKind.AYIYA),
    "gre in udp": Example(udp(4754, b"\0\0\x08\0" + PACKET), kind=TunnelKind.GRE, identifier=None),
    "mpls in udp": Example(udp(6635, LABEL + PACKET)),
    "lisp": Example(udp(4341, b"\x80\0\0\1\0\0\0\1" + PACKET), kind=TunnelKind.LISP),
    "lisp with an instance": Example(
        udp(4341, b"\x88\0\0\1\0\0\x64\1" + PACKET), kind=TunnelKind.LISP, identifier=100
    ),
    "l2tp": Example(
        udp(1701, b"\0\2\0\7\0\x09\xff\x03\0\x21" + PACKET), kind=TunnelKind.L2TP, identifier=None
    ),
    "l2tp with length and numbers": Example(
        udp(1701, struct.pack("!HHHHHH", 0x4802, 16 + len(PACKET), 7, 9, 1, 1) + _PPP + PACKET),
        kind=TunnelKind.L2TP,
        identifier=None,
    ),
    "tzsp": Example(udp(37008, b"\1\0\0\1\0\x0a\1\xd0\1" + FRAME), kind=TunnelKind.TZSP),
}

WIFI_FRAMES = {
    "between access points": Example(wifi(SNAP + PACKET, b"\x08\x03", 30), 105),
    "with quality of service": Example(wifi(SNAP + PACKET, b"\x88\x01", 26), 105),
    "with everything": Example(wifi(SNAP + PACKET, b"\x88\x83", 36), 105),
    "decrypted, but still flagged": Example(wifi(SNAP + PACKET, b"\x08\x41"), 105),
    "padded to a multiple of four": Example(
        radiotap(2, b"\x20") + wifi(bytes(2) + SNAP + PACKET, b"\x88\x01", 26), 127
    ),
    "padded, with a timestamp": Example(
        radiotap(3, bytes(8) + b"\x20") + wifi(bytes(2) + SNAP + PACKET, b"\x88\x01", 26), 127
    ),
}

EXAMPLES = LINKS | ETHER_TYPES | TUNNELS | WIFI_FRAMES


def tunnel_key(example: Example) -> int | None:
    """The key that its segment has to get; None where that is a digest."""
    return None if example.identifier is None else example.kind << 56 | example.identifier


def holds_the_segment(found: Any) -> bool:
    """Whether it is the one within, read by the slow path."""
    assert not isinstance(found, str), found
    read = (found["src_port"], found["dst_port"], found["payload"], found["checksum"])
    return read == (40_000, 80, 5, Checksum.GOOD) and bool(found["marks"] & Mark.DISSECTED)


def check(example: Example) -> None:
    """Decode it, as it is and with every byte of it missing in turn; the fast path must say the same."""
    found = decoded_by(Decoder("dpkt"), example.frame, example.linktype)
    assert holds_the_segment(found)
    assert int(found["tunnel"]) >> 56 == example.kind
    assert tunnel_key(example) in (None, found["tunnel"])
    whole = len(example.frame)
    for captured in range(whole):
        found, fast = (
            decoded_by(Decoder(way), example.frame[:captured], example.linktype, whole)  # type: ignore[arg-type]
            for way in ("dpkt", "fast")
        )
        assert isinstance(found, str) or found["payload"] == 5, f"cut to {captured} bytes"
        assert said(fast) == said(found), f"cut to {captured} bytes"


def said(found: Any) -> str:
    """What a decoder says of a frame, but for which decoder that is."""
    return found if isinstance(found, str) else str(without_dissected(found))
