"""The slow path: any frame, decoded by dpkt's header classes, one Python object per header.

It decodes what the fast path declines (labels, tunnels, rare links) and is the oracle that the fast
path is tested against. dpkt reads every header here, but does not choose what comes next. Left to
itself, dpkt 1.9.8 takes a later IPv6 fragment for TCP where another extension header comes first,
forgets the outer of three VLAN tags, takes Linux's loopback IPv6 for Ethernet, counts as payload what
the snap length left of it, and padding where the IP length is zero or a jumbogram's. So each function
below reads one header and calls the next.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dpkt
import numpy as np

from tcpstates.capture import layout
from tcpstates.capture.dissect_tcp import (
    TUNNEL_SHIFT,
    NoSegmentError,
    Packet,
    Rest,
    dissect_tcp,
    header_of,
)
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.schema import Mark, TunnelKind

_Ethernet = header_of(dpkt.ethernet.Ethernet)
_Vlan = header_of(dpkt.ethernet.VLANtag8021Q)
_Mpls = header_of(dpkt.ethernet.MPLSlabel)
_Llc = header_of(dpkt.llc.LLC)
_Pppoe = header_of(dpkt.pppoe.PPPoE)
_Sll = header_of(dpkt.sll.SLL)
_Sll2 = header_of(dpkt.sll2.SLL2)
_Loopback = header_of(dpkt.loopback.Loopback)
_Gre = header_of(dpkt.gre.GRE)
_Ip = header_of(dpkt.ip.IP)
_Ip6 = header_of(dpkt.ip6.IP6)
_Extension = header_of(dpkt.ip6.IP6OptsHeader)
_Fragment = header_of(dpkt.ip6.IP6FragmentHeader)
_Routing = header_of(dpkt.ip6.IP6RoutingHeader)


def dissect(data: bytes, linktype: int, length: int, checksums: bool = True) -> np.void | str:
    """Decode one frame.

    Parameters
    ----------
    data : bytes
        What was captured of it.
    linktype : int
        The LINKTYPE_ value of its interface.
    length : int
        How many bytes it had on the wire.
    checksums : bool
        Whether to verify the TCP checksum.

    Returns
    -------
    numpy.void or str
        Its innermost segment as a record of ``SEGMENTS``, with ``Mark.DISSECTED``; the time, the frame's
        and the file's number and the interface are left at 0. Or why there is none, as people read it.
    """
    rest = Rest(data, max(length, len(data)), checksums)
    try:
        segment = _link(rest, linktype)
    except NoSegmentError as skipped:
        return str(skipped)
    except (dpkt.Error, struct.error, IndexError):
        return REASONS[Outcome.UNDECODED]
    if len(data) < length:
        segment["marks"] |= Mark.CUT
    return segment


# Link layers: each reads its header and calls what follows


def _link(rest: Rest, linktype: int) -> np.void:
    if linktype not in _LINKS:
        raise NoSegmentError(f"link type {linktype} ({_LINK_NAMES.get(linktype, 'unknown')})")
    return _LINKS[linktype](rest)


def _ethernet(rest: Rest) -> np.void:
    header = rest.read(_Ethernet)
    rest = rest.after(header.__hdr_len__)
    if header.type < layout.ETH_TYPE_MINIMUM:
        return _llc(rest.within(min(header.type, rest.length)))
    return _ether_type(rest, header.type)


def _cooked(header_class: type[Any]) -> Callable[[Rest], np.void]:
    """Linux's cooked capture, of either version."""

    def cooked(rest: Rest) -> np.void:
        header = rest.read(header_class)
        rest = rest.after(header.__hdr_len__)
        return _llc(rest) if header.ethtype == _SLL_LLC else _ether_type(rest, header.ethtype)

    return cooked


def _loopback(rest: Rest) -> np.void:
    """BSD loopback. dpkt takes what it does not know for Ethernet, and does not know Linux's AF_INET6."""
    family = rest.read(_Loopback).family
    families = {family, int.from_bytes(family.to_bytes(4, "big"), "little")}
    rest = rest.after(layout.LOOPBACK_HEADER)
    if layout.AF_INET in families:
        return _ipv4(rest)
    if families.intersection(layout.AF_INET6):
        return _ipv6(rest)
    raise NoSegmentError(REASONS[Outcome.NOT_IP])


def _raw(rest: Rest) -> np.void:
    """No link layer: the IP version says which it is."""
    if not rest.data:
        raise NoSegmentError(REASONS[Outcome.CUT])
    version = rest.data[0] >> 4
    if version not in _VERSIONS:
        raise NoSegmentError(REASONS[Outcome.MALFORMED])
    return _VERSIONS[version](rest)


def _ppp(rest: Rest) -> np.void:
    """PPP, with or without the HDLC address and control bytes (RFC 1662, 3.1; RFC 1661, 6.6)."""
    if rest.data[:2] in _CISCO_HDLC:
        return _cisco_hdlc(rest)
    if rest.data[:2] == _PPP_HDLC:
        rest = rest.after(2)
    if not rest.data:
        raise NoSegmentError(REASONS[Outcome.CUT])
    size = 1 if rest.data[0] & dpkt.ppp.PFC_BIT else 2
    protocol = int.from_bytes(rest.data[:size], "big")
    if protocol not in _PPP_PROTOCOLS:
        raise NoSegmentError(REASONS[Outcome.NOT_IP])
    return _PPP_PROTOCOLS[protocol](rest.after(size))


def _cisco_hdlc(rest: Rest) -> np.void:
    """Address, control, and an ether-type."""
    if len(rest.data) < _CISCO_HDLC_HEADER:
        raise NoSegmentError(REASONS[Outcome.CUT])
    return _ether_type(rest.after(_CISCO_HDLC_HEADER), int.from_bytes(rest.data[2:4], "big"))


# Between link layer and IP


def _ether_type(rest: Rest, kind: int) -> np.void:
    rest = rest.deeper()
    if kind in layout.ETH_TYPES_VLAN:
        return _vlan(rest)
    if kind in _ETHER_TYPES:
        return _ETHER_TYPES[kind](rest)
    if kind in layout.ETH_TYPES_WITHOUT_IP or kind < layout.ETH_TYPE_MINIMUM:
        raise NoSegmentError(REASONS[Outcome.NOT_IP])
    raise NoSegmentError(f"ether type 0x{kind:04x}")


def _vlan(rest: Rest) -> np.void:
    """One tag; VLAN id 0 carries a priority and no VLAN (IEEE 802.1Q, 9.6)."""
    tag = rest.read(_Vlan)
    if tag.id:
        outer = rest.tunnel & _VLAN_IDS if rest.tunnel >> TUNNEL_SHIFT == TunnelKind.VLAN else 0
        rest = rest.through(TunnelKind.VLAN, outer << 12 | tag.id)
    return _ether_type(rest.after(tag.__hdr_len__), tag.type)


def _llc(rest: Rest) -> np.void:
    """IEEE 802.2, with SNAP an ether-type behind an organisation's code (RFC 1042)."""
    header = rest.read(_Llc)
    rest = rest.after(header.__hdr_len__)
    if not header.is_snap:
        if header.dsap == _SAP_IP:
            return _ipv4(rest)
        raise NoSegmentError(REASONS[Outcome.NOT_IP])
    if len(rest.data) < _SNAP_HEADER:
        raise NoSegmentError(REASONS[Outcome.CUT])
    organisation, kind = struct.unpack("!3sH", rest.data[:_SNAP_HEADER])
    if organisation not in _SNAP_ETHERNET:
        raise NoSegmentError(REASONS[Outcome.NOT_IP])
    return _ether_type(rest.after(_SNAP_HEADER), kind)


def _mpls(rest: Rest) -> np.void:
    """A stack of labels; what follows is told by its first four bits (RFC 4928, 3), as dpkt does."""
    bottom = False
    while not bottom:
        label = rest.read(_Mpls)
        rest, bottom = rest.after(label.__hdr_len__), bool(label.s)
    version = rest.data[0] >> 4 if rest.data else 0
    if version in _VERSIONS:
        return _VERSIONS[version](rest)
    return _ethernet(rest.after(_CONTROL_WORD) if version == 0 else rest)


def _pppoe(rest: Rest) -> np.void:
    header = rest.read(_Pppoe)
    if header.code != dpkt.pppoe.PPPoE_SESSION:
        raise NoSegmentError(REASONS[Outcome.NOT_IP])
    rest = rest.after(header.__hdr_len__)
    return _ppp(rest.within(min(header.len, rest.length)))


# IP


def _ipv4(rest: Rest) -> np.void:
    rest = rest.deeper()
    header = rest.read(_Ip)
    size = header.hl * 4
    length = header.len or rest.length  # 0: segmentation offload, the card would have filled it in
    if header.v != 4 or size < header.__hdr_len__ or length < size:
        raise NoSegmentError(REASONS[Outcome.MALFORMED])
    if header.p not in _PROTOCOLS:
        raise NoSegmentError(REASONS[Outcome.NOT_TCP])
    if header.mf or header.offset:
        raise NoSegmentError(REASONS[Outcome.FRAGMENT])
    marks = Mark(0) if header.len else Mark.LENGTH_ZERO
    packet = Packet(4, *_ends(header), header.ttl, header.id, marks)
    return _PROTOCOLS[header.p](packet, rest.within(length).after(size))


def _ipv6(rest: Rest) -> np.void:
    rest = rest.deeper()
    header = rest.read(_Ip6)
    if header.v != 6:
        raise NoSegmentError(REASONS[Outcome.MALFORMED])
    marks = Mark(0) if header.plen else Mark.LENGTH_ZERO
    packet = Packet(6, *_ends(header), header.hlim, 0, marks)
    rest = rest.after(header.__hdr_len__)
    if header.plen:
        rest = rest.within(header.plen)
    elif header.nxt == dpkt.ip.IP_PROTO_HOPOPTS:
        packet, rest = _jumbogram(packet, rest)
    return _behind_extensions(packet, rest, header.nxt)


def _ends(header: Any) -> tuple[bytes, bytes, bytes, bytes]:
    """The addresses of an IP header, and as far as it knows also those that the checksum covers."""
    return header.src, header.dst, header.src, header.dst


def _behind_extensions(packet: Packet, rest: Rest, protocol: int) -> np.void:
    """Past the extension headers to what IP carries."""
    while protocol in layout.EXTENSIONS:
        header, size = _extension(rest, protocol)
        if protocol == dpkt.ip.IP_PROTO_ROUTING:
            packet = replace(packet, final=_final_destination(rest.data[:size], packet.final))
        elif protocol == dpkt.ip.IP_PROTO_DSTOPTS:
            home = _find_option(rest.data[:size], layout.OPTION_HOME, layout.OPTION_HOME_LENGTH)
            packet = replace(packet, home=home or packet.home)
        protocol, rest = header.nxt, rest.after(size)
    if protocol not in _PROTOCOLS:
        raise NoSegmentError(REASONS[Outcome.NOT_TCP])
    return _PROTOCOLS[protocol](packet, rest)


def _extension(rest: Rest, protocol: int) -> tuple[Any, int]:
    """An extension header and its size. A fragment with offset 0 and no more to come is whole (RFC 6946)."""
    if rest.length < layout.EXTENSION_HEADER:
        raise NoSegmentError(REASONS[Outcome.MALFORMED])
    if len(rest.data) < layout.EXTENSION_HEADER:
        raise NoSegmentError(REASONS[Outcome.CUT])
    header = rest.read(_Extension)
    size = (header.len + 1) * 8
    if protocol == dpkt.ip.IP_PROTO_AH:
        size = (header.len + 2) * 4
    elif protocol == dpkt.ip.IP_PROTO_FRAGMENT:
        header = rest.read(_Fragment)
        size = header.__hdr_len__
        if header.frag_off or header.m_flag:
            holds_tcp = header.nxt in layout.EXTENSIONS or header.nxt in _PROTOCOLS
            raise NoSegmentError(REASONS[Outcome.FRAGMENT if holds_tcp else Outcome.NOT_TCP])
    if size > rest.length:
        raise NoSegmentError(REASONS[Outcome.MALFORMED])
    if size > len(rest.data):
        raise NoSegmentError(REASONS[Outcome.CUT])
    return header, size


def _jumbogram(packet: Packet, rest: Rest) -> tuple[Packet, Rest]:
    """With the length that a jumbo payload option gives, if there is one (RFC 2675, 2)."""
    _header, size = _extension(rest, dpkt.ip.IP_PROTO_HOPOPTS)
    value = _find_option(rest.data[:size], layout.OPTION_JUMBO, layout.OPTION_JUMBO_LENGTH)
    length = int.from_bytes(value, "big")
    return (replace(packet, marks=Mark(0)), rest.within(length)) if length else (packet, rest)


def _find_option(header: bytes, kind: int, length: int) -> bytes:
    """An option's value in a hop-by-hop or destination options header, empty for none."""
    options = header[layout.EXTENSION_LENGTH + 1 :]
    while len(options) > 1:
        if options[0] == layout.OPTION_PAD1:
            options = options[1:]
            continue
        value = options[2 : 2 + options[1]]
        if options[0] == kind and len(value) == options[1] == length:
            return value
        options = options[2 + options[1] :]
    return b""


def _final_destination(header: bytes, destination: bytes) -> bytes:
    """The address that a routing header leads to, by its type; empty where that is not known."""
    routing = _Routing(header)
    addresses = header[routing.__hdr_len__ :]
    if not routing.segs_left:
        return destination
    if routing.type in (layout.ROUTING_SOURCE, layout.ROUTING_HOME):
        end = len(addresses) // 16 * 16
        return addresses[max(end - 16, 0) : end]
    return addresses[:16] if routing.type == layout.ROUTING_SEGMENTS and len(addresses) >= 16 else b""


# What IP carries


def _authenticated(packet: Packet, rest: Rest) -> np.void:
    """An IPv4 authentication header (RFC 4302)."""
    return _behind_extensions(packet, rest, dpkt.ip.IP_PROTO_AH)


def _ip_in_ip(inner: Callable[[Rest], np.void]) -> Callable[[Packet, Rest], np.void]:
    """IPv4 or IPv6 in IP of either version (RFC 2003, RFC 2473, RFC 4213)."""

    def tunnelled(packet: Packet, rest: Rest) -> np.void:
        return inner(rest.through(TunnelKind.IP_IN_IP, _tunnel_of(packet)))

    return tunnelled


def _gre(packet: Packet, rest: Rest) -> np.void:
    """GRE (RFC 2784, RFC 2890), and PPTP's version 1 of it (RFC 2637, 4.1)."""
    header = rest.read(_Gre)
    if header.flags & dpkt.gre.GRE_RP:
        raise NoSegmentError("GRE with routing")
    _fields, formats = header.opt_fields_fmts()
    size = header.__hdr_len__ + struct.calcsize("!" + "".join(formats))
    rest = rest.after(size).through(TunnelKind.GRE, _tunnel_of(packet))
    return _ether_type(rest, header.p)


def _tunnel_of(packet: Packet) -> int:
    """The same 56 bits for both directions between two tunnel ends."""
    ends = b"".join(sorted((packet.src, packet.dst)))
    return int.from_bytes(hashlib.blake2b(ends, digest_size=7).digest(), "big")


_SLL_LLC = 4  # LINUX_SLL_P_802_2
_SAP_IP = 0x06
_SNAP_HEADER = 5
_SNAP_ETHERNET = (b"\x00\x00\x00", b"\x00\x00\xf8")  # RFC 1042; IEEE 802.1H's bridge tunnel
_CONTROL_WORD = 4  # of an Ethernet pseudowire (RFC 4448, 4.6)
_VLAN_IDS = (1 << 44) - 1  # what still fits before another id of 12 bits
_PPP_HDLC = b"\xff\x03"
_PPP_MPLS = 0x281
_CISCO_HDLC = (b"\x0f\x00", b"\x8f\x00")  # unicast, broadcast
_CISCO_HDLC_HEADER = 4

_VERSIONS: dict[int, Callable[[Rest], np.void]] = {4: _ipv4, 6: _ipv6}

_ETHER_TYPES: dict[int, Callable[[Rest], np.void]] = {
    dpkt.ethernet.ETH_TYPE_IP: _ipv4,
    dpkt.ethernet.ETH_TYPE_IP6: _ipv6,
    dpkt.ethernet.ETH_TYPE_MPLS: _mpls,
    dpkt.ethernet.ETH_TYPE_MPLS_MCAST: _mpls,
    dpkt.ethernet.ETH_TYPE_PPPoE: _pppoe,
    dpkt.ethernet.ETH_TYPE_PPP: _ppp,
    dpkt.ethernet.ETH_TYPE_TEB: _ethernet,
}

_PPP_PROTOCOLS: dict[int, Callable[[Rest], np.void]] = {
    dpkt.ppp.PPP_IP: _ipv4,
    dpkt.ppp.PPP_IP6: _ipv6,
    _PPP_MPLS: _mpls,
}

_PROTOCOLS: dict[int, Callable[[Packet, Rest], np.void]] = {
    dpkt.ip.IP_PROTO_TCP: dissect_tcp,
    dpkt.ip.IP_PROTO_AH: _authenticated,
    dpkt.ip.IP_PROTO_IPIP: _ip_in_ip(_ipv4),
    dpkt.ip.IP_PROTO_IP6: _ip_in_ip(_ipv6),
    dpkt.ip.IP_PROTO_GRE: _gre,
}

_LINKS: dict[int, Callable[[Rest], np.void]] = {
    dpkt.pcap.DLT_EN10MB: _ethernet,
    dpkt.pcap.DLT_LINUX_SLL: _cooked(_Sll),
    dpkt.pcap.DLT_LINUX_SLL2: _cooked(_Sll2),
    dpkt.pcap.DLT_PPP: _ppp,
    dpkt.pcap.DLT_PPP_SERIAL: _ppp,
    dpkt.pcap.DLT_PPP_ETHER: _pppoe,
    dpkt.pcap.DLT_C_HDLC: _cisco_hdlc,
    **dict.fromkeys(layout.LINKTYPES_LOOPBACK, _loopback),
    **dict.fromkeys(layout.LINKTYPES_RAW, _raw),
}

_LINK_NAMES = {
    number: name.removeprefix("DLT_") for name, number in vars(dpkt.pcap).items() if name.startswith("DLT_")
}
