"""What carries packets over IP: IP itself, GRE, and tunnels over UDP.

Of each, the key keeps what is the same in both directions and nothing else. A network's identifier
(VXLAN, Geneve) is enough by itself: its outer addresses may be one of several that a switch or a pair
of switches answers to. GRE and IP-in-IP have nothing but their ends, in whatever order. Where neither
is to be relied upon, the key names the kind alone, and inner addresses are told apart by themselves:
GTP's TEIDs differ by direction and its ends with each cell, mirrors (ERSPAN, TZSP) copy the two
directions at different places, cache redirection goes one way only, and the relays of Teredo, AYIYA
and 6to4 come and go between addresses that are unique worldwide.
"""

from __future__ import annotations

import hashlib
import struct

import dpkt

from tcpstates.capture import layout
from tcpstates.capture.dissection.ethertypes import (
    ETH_TYPE_WCCP,
    ETHER_TYPES,
    ethernet,
    mpls,
    next_protocol,
    ppp,
)
from tcpstates.capture.dissection.ip import IP_PROTOCOLS, any_version, ipv4, ipv6
from tcpstates.capture.dissection.layers import (
    NoSegmentError,
    Packet,
    Reader,
    Rest,
    Segments,
    Table,
    header_of,
)
from tcpstates.capture.dissection.wifi import wlan
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.schema import Mark, TunnelKind

_Gre = header_of(dpkt.gre.GRE)
_Udp = header_of(dpkt.udp.UDP)

_SIX_TO_FOUR = b"\x20\x02"  # RFC 3056, 2
_ERSPAN = 0x88BE  # types I and II
_ERSPAN_3 = 0x22EB
_ARUBA = range(0x8200, 0x8380)

#: By UDP port; the fast path has to know them too.
UDP_PORTS = Table(lambda port: REASONS[Outcome.NOT_TCP])


def _ends_of(packet: Packet) -> int:
    """The same 56 bits for both directions between two tunnel ends."""
    ends = b"".join(sorted((packet.src, packet.dst)))
    return int.from_bytes(hashlib.blake2b(ends, digest_size=7).digest(), "big")


# Straight over IP


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_IPIP)
def _ipv4_in_ip(rest: Rest) -> Segments:
    """IPv4 in IP of either version (RFC 2003, RFC 2473)."""
    return ipv4(rest.through(TunnelKind.IP_IN_IP, _ends_of(rest.packet)))


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_IP6)
def _ipv6_in_ip(rest: Rest) -> Segments:
    """IPv6 in IP of either version (RFC 4213, RFC 2473); 6to4's packets may return by another relay."""
    inner = rest.data[layout.IP6_SRC : layout.IP6_DST + 2]
    is_6to4 = _SIX_TO_FOUR in (inner[:2], inner[16:])
    return ipv6(rest.through(TunnelKind.IP_IN_IP, 0 if is_6to4 else _ends_of(rest.packet)))


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_ETHERIP)
def _etherip(rest: Rest) -> Segments:
    """Ethernet in IP (RFC 3378)."""
    return ethernet(rest.after(2).through(TunnelKind.IP_IN_IP, _ends_of(rest.packet)))


@IP_PROTOCOLS.reader(layout.IP_PROTO_MPLS)
def _mpls_in_ip(rest: Rest) -> Segments:
    """MPLS in IP (RFC 4023), a path of one direction."""
    return mpls(rest)


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_GRE)
def _gre(rest: Rest) -> Segments:
    """GRE (RFC 2784, RFC 2890), and PPTP's version 1 of it (RFC 2637, 4.1)."""
    header = rest.read(_Gre)
    if header.flags & dpkt.gre.GRE_RP:
        raise NoSegmentError("GRE with routing")
    _fields, formats = header.opt_fields_fmts()
    size = header.__hdr_len__ + struct.calcsize("!" + "".join(formats))
    rest.take(size)
    return _in_gre(rest.after(size), header.p, bool(header.flags & dpkt.gre.GRE_SP))


def _in_gre(rest: Rest, kind: int, is_numbered: bool) -> Segments:
    if kind == _ERSPAN:  # type I has neither sequence number nor a header of its own
        return ethernet(rest.after(8 if is_numbered else 0).through(TunnelKind.ERSPAN))
    if kind == _ERSPAN_3:
        return _erspan_3(rest.through(TunnelKind.ERSPAN))
    if kind == ETH_TYPE_WCCP:
        return ETHER_TYPES.read(rest.through(TunnelKind.GRE), kind)
    rest = rest.through(TunnelKind.GRE, _ends_of(rest.packet))
    return wlan(rest) if kind in _ARUBA else ETHER_TYPES.read(rest, kind)


def _erspan_3(rest: Rest) -> Segments:
    """ERSPAN's type III: the header's last fields say what follows, and whether a subheader comes first."""
    fields = rest.number(10)
    rest = rest.after(20 if fields & 1 else 12)
    return any_version(rest) if fields >> 10 & 0x1F == 2 else ethernet(rest)


# Over UDP


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_UDP)
def _udp(rest: Rest) -> Segments:
    """UDP to or from the port of a tunnel, or that is Teredo by what it carries."""
    if len(rest.data) < layout.UDP_HEADER:
        raise NoSegmentError.because(Outcome.NOT_TCP)
    header = rest.read(_Udp)
    rest = rest.after(layout.UDP_HEADER)
    if header.ulen >= layout.UDP_HEADER and not rest.packet.marks & Mark.LENGTH_ZERO:
        rest = rest.within(header.ulen - layout.UDP_HEADER)
    port = header.dport if header.dport in UDP_PORTS.numbers else header.sport
    if port not in UDP_PORTS.numbers and _is_teredo(rest.data):
        return _teredo(rest)
    return UDP_PORTS.read(rest, port)


@UDP_PORTS.reader(*layout.PORTS_VXLAN)
def _vxlan(rest: Rest) -> Segments:
    """VXLAN (RFC 7348, 5), on its own port or that of Linux's first implementation."""
    flags, network = rest.number(0, 1), rest.number(4, 3)
    if not flags & 0x08:
        raise NoSegmentError.because(Outcome.NOT_TCP)
    return ethernet(rest.after(8).through(TunnelKind.VXLAN, network))


@UDP_PORTS.reader(layout.PORT_VXLAN_GPE)
def _vxlan_gpe(rest: Rest) -> Segments:
    """VXLAN with a number for what it carries (draft-ietf-nvo3-vxlan-gpe)."""
    flags, network = rest.number(0, 1), rest.number(4, 3)
    protocol = rest.number(3, 1) if flags & 0x04 else 3
    return next_protocol(rest.after(8).through(TunnelKind.VXLAN, network), protocol)


@UDP_PORTS.reader(layout.PORT_GENEVE)
def _geneve(rest: Rest) -> Segments:
    """Geneve (RFC 8926, 3.4)."""
    first, kind, network = rest.number(0, 1), rest.number(2), rest.number(4, 3)
    if first >> 6:
        raise NoSegmentError.because(Outcome.NOT_TCP)
    rest = rest.after(8 + 4 * (first & 0x3F)).through(TunnelKind.GENEVE, network)
    return ETHER_TYPES.read(rest, kind)


@UDP_PORTS.reader(layout.PORT_GTP_U)
def _gtp(rest: Rest) -> Segments:
    """A mobile's packet (3GPP TS 29.281, 5.1); other messages are the network's own."""
    flags, kind, length = rest.number(0, 1), rest.number(1, 1), rest.number(2)
    if flags >> 4 != 3 or kind != 255:
        raise NoSegmentError.because(Outcome.NOT_TCP)
    rest = rest.after(8).within(length)
    if flags & 7:
        following, rest = rest.number(3, 1), rest.after(4)
        while following:
            size = 4 * max(rest.number(0, 1), 1)
            following, rest = rest.number(size - 1, 1), rest.after(size)
    return any_version(rest.through(TunnelKind.GTP_U))


@UDP_PORTS.reader(layout.PORT_TEREDO)
def _teredo(rest: Rest) -> Segments:
    """IPv6 over NATs, with an authentication and an origin before it or without (RFC 4380, 5.1.1)."""
    if rest.number(0) == 1:
        rest = rest.after(13 + rest.number(2, 1) + rest.number(3, 1))
    if rest.number(0) == 0:
        rest = rest.after(8)
    return ipv6(rest.through(TunnelKind.TEREDO))


def _is_teredo(data: bytes) -> bool:
    """Whether an IPv6 packet with one of Teredo's addresses is in it, on whatever port of a relay."""
    ends = data[layout.IP6_SRC : layout.IP6_SRC + 4], data[layout.IP6_DST : layout.IP6_DST + 4]
    return len(data) >= layout.IP6_HEADER and data[0] >> 4 == 6 and layout.TEREDO_PREFIX in ends


@UDP_PORTS.reader(layout.PORT_AYIYA)
def _ayiya(rest: Rest) -> Segments:
    """Anything in anything (draft-massar-v6ops-ayiya): an identity and a signature before the packet."""
    identity, signature = rest.number(0, 1) >> 4, rest.number(1, 1) >> 4
    return any_version(rest.after(8 + (1 << identity) + 4 * signature).through(TunnelKind.AYIYA))


@UDP_PORTS.reader(layout.PORT_GRE)
def _gre_in_udp(rest: Rest) -> Segments:
    """GRE in UDP (RFC 8086)."""
    return _gre(rest)


@UDP_PORTS.reader(layout.PORT_MPLS)
def _mpls_in_udp(rest: Rest) -> Segments:
    """MPLS in UDP (RFC 7510)."""
    return mpls(rest)


@UDP_PORTS.reader(layout.PORT_LISP)
def _lisp(rest: Rest) -> Segments:
    """LISP (RFC 9300, 5.1), with the instance where there is one."""
    instance = rest.number(4, 3) if rest.number(0, 1) & 0x08 else 0
    return any_version(rest.after(8).through(TunnelKind.LISP, instance))


@UDP_PORTS.reader(layout.PORT_L2TP)
def _l2tp(rest: Rest) -> Segments:
    """A data message of L2TP (RFC 2661, 3.1), whose optional fields its flags announce."""
    flags = rest.number(0)
    if flags & 0x8000 or flags & 0xF != 2:
        raise NoSegmentError.because(Outcome.NOT_TCP)
    size = 6 + (2 if flags & 0x4000 else 0) + (4 if flags & 0x0800 else 0)
    if flags & 0x0200:
        size += 2 + rest.number(size)
    return ppp(rest.after(size).through(TunnelKind.L2TP, _ends_of(rest.packet)))


@UDP_PORTS.reader(layout.PORT_TZSP)
def _tzsp(rest: Rest) -> Segments:
    """TaZmen Sniffer Protocol, the way that some routers and access points mirror what they see."""
    protocol, rest = rest.number(2), rest.after(4)
    tag = rest.number(0, 1)
    while tag != _TZSP_END:
        rest = rest.after(1 if tag == _TZSP_PADDING else 2 + rest.number(1, 1))
        tag = rest.number(0, 1)
    if protocol not in _TZSP_PROTOCOLS:
        raise NoSegmentError.because(Outcome.NOT_TCP)
    return _TZSP_PROTOCOLS[protocol](rest.after(1).through(TunnelKind.TZSP))


_TZSP_PADDING, _TZSP_END = 0, 1
_TZSP_PROTOCOLS: dict[int, Reader] = {1: ethernet, 18: wlan}
