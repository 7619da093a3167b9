"""What stands between a link layer and IP: tags, labels, LLC, PPP, and Ethernet within Ethernet."""

from __future__ import annotations

import struct

import dpkt

from tcpstates.capture import layout
from tcpstates.capture.dissection.ip import VERSIONS, any_version, ipv4, ipv6
from tcpstates.capture.dissection.layers import (
    TUNNEL_SHIFT,
    NoSegmentError,
    Rest,
    Segments,
    Table,
    header_of,
)
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.schema import TunnelKind

_Ethernet = header_of(dpkt.ethernet.Ethernet)
_Vlan = header_of(dpkt.ethernet.VLANtag8021Q)
_Mpls = header_of(dpkt.ethernet.MPLSlabel)
_Llc = header_of(dpkt.llc.LLC)
_Pppoe = header_of(dpkt.pppoe.PPPoE)

_PBB = 0x88E7  # IEEE 802.1ah, provider backbone bridges
_VNTAG = 0x8926
_FABRICPATH = 0x8903
_CISCO_METADATA = 0x8909
_TRILL = 0x22F3
_HSR = 0x892F
_NSH = 0x894F
ETH_TYPE_WCCP = 0x883E
_MACSEC = 0x88E5

_VLAN_IDS = (1 << 44) - 1  # what still fits before another id of 12 bits
_SAP_IP = 0x06
_SNAP_HEADER = 5
_SNAP_ETHERNET = (b"\x00\x00\x00", b"\x00\x00\xf8")  # RFC 1042; IEEE 802.1H's bridge tunnel
_CONTROL_WORD = 4  # of an Ethernet pseudowire (RFC 4448, 4.6)
_PPP_HDLC = b"\xff\x03"
_PPP_MPLS = 0x281
_CISCO_HDLC = (b"\x0f\x00", b"\x8f\x00")  # unicast, broadcast
_CISCO_HDLC_HEADER = 4


def _unknown(kind: int) -> str:
    if kind in layout.ETH_TYPES_WITHOUT_IP or kind < layout.ETH_TYPE_MINIMUM:
        return REASONS[Outcome.NOT_IP]
    return f"ether type 0x{kind:04x}"


#: By Ethernet type.
ETHER_TYPES = Table(_unknown)
#: By PPP protocol number.
PPP_PROTOCOLS = Table(lambda protocol: REASONS[Outcome.NOT_IP])

ETHER_TYPES.reader(dpkt.ethernet.ETH_TYPE_IP)(ipv4)
ETHER_TYPES.reader(dpkt.ethernet.ETH_TYPE_IP6)(ipv6)
PPP_PROTOCOLS.reader(dpkt.ppp.PPP_IP)(ipv4)
PPP_PROTOCOLS.reader(dpkt.ppp.PPP_IP6)(ipv6)


@ETHER_TYPES.reader(dpkt.ethernet.ETH_TYPE_TEB)
def ethernet(rest: Rest) -> Segments:
    """Two addresses and an ether-type, or the length of what follows."""
    header = rest.read(_Ethernet)
    return typed(rest.after(header.__hdr_len__), header.type)


def typed(rest: Rest, kind: int) -> Segments:
    """What follows an Ethernet type field."""
    if kind < layout.ETH_TYPE_MINIMUM:
        return llc(rest.within(kind))
    return ETHER_TYPES.read(rest, kind)


def typed_at(rest: Rest, at: int, size: int) -> Segments:
    """What follows a header of ``size`` bytes that has its ether-type ``at`` bytes from its beginning."""
    rest.take(size)
    return ETHER_TYPES.read(rest.after(size), rest.number(at))


def llc(rest: Rest) -> Segments:
    """IEEE 802.2, with SNAP an ether-type behind an organisation's code (RFC 1042)."""
    header = rest.read(_Llc)
    rest = rest.after(header.__hdr_len__)
    if not header.is_snap:
        if header.dsap == _SAP_IP:
            return ipv4(rest)
        raise NoSegmentError.because(Outcome.NOT_IP)
    organisation, kind = struct.unpack("!3sH", rest.take(_SNAP_HEADER))
    if organisation not in _SNAP_ETHERNET:
        raise NoSegmentError.because(Outcome.NOT_IP)
    return ETHER_TYPES.read(rest.after(_SNAP_HEADER), kind)


# Tags and labels


@ETHER_TYPES.reader(*layout.ETH_TYPES_VLAN)
def _vlan(rest: Rest) -> Segments:
    """One tag; VLAN id 0 carries a priority and no VLAN (IEEE 802.1Q, 9.6)."""
    tag = rest.read(_Vlan)
    return typed(in_vlan(rest, tag.id).after(tag.__hdr_len__), tag.type)


def in_vlan(rest: Rest, vlan: int) -> Rest:
    """The same, within another VLAN."""
    outer = rest.tunnel & _VLAN_IDS if rest.tunnel >> TUNNEL_SHIFT == TunnelKind.VLAN else 0
    return rest.through(TunnelKind.VLAN, outer << 12 | vlan) if vlan else rest


@PPP_PROTOCOLS.reader(_PPP_MPLS)
@ETHER_TYPES.reader(dpkt.ethernet.ETH_TYPE_MPLS, dpkt.ethernet.ETH_TYPE_MPLS_MCAST)
def mpls(rest: Rest) -> Segments:
    """A stack of labels; what follows is told by its first four bits (RFC 4928, 3), as dpkt does."""
    bottom = False
    while not bottom:
        label = rest.read(_Mpls)
        rest, bottom = rest.after(label.__hdr_len__), bool(label.s)
    version = rest.number(0, 1) >> 4
    if version in VERSIONS:
        return any_version(rest)
    return ethernet(rest.after(_CONTROL_WORD) if version == 0 else rest)


@ETHER_TYPES.reader(_VNTAG)
def _vntag(rest: Rest) -> Segments:
    """The virtual interfaces between a switch and what it is extended by (IEEE 802.1BR's forerunner)."""
    return typed_at(rest, 4, 6)


@ETHER_TYPES.reader(_CISCO_METADATA)
def _metadata(rest: Rest) -> Segments:
    """Cisco's security group tag."""
    return typed_at(rest, 6, 8)


@ETHER_TYPES.reader(_HSR)
def _seamless(rest: Rest) -> Segments:
    """High-availability Seamless Redundancy (IEC 62439-3)."""
    return typed_at(rest, 4, 6)


@ETHER_TYPES.reader(_MACSEC)
def _macsec(rest: Rest) -> Segments:
    """A MACsec tag, where it protects integrity only (IEEE 802.1AE, 9.3)."""
    control = rest.number(0, 1)
    if control & 0x0C:
        raise NoSegmentError("encrypted (MACsec)")
    size = 14 if control & 0x20 else 6
    return typed_at(rest, size, size + 2)


# Ethernet within Ethernet


@ETHER_TYPES.reader(_PBB)
def _backbone(rest: Rest) -> Segments:
    """A provider backbone's service, the same in both directions, and the customer's frame."""
    service = rest.number(1, 3)
    return ethernet(rest.after(4).through(TunnelKind.PBB, service))


@ETHER_TYPES.reader(_FABRICPATH)
def _fabricpath(rest: Rest) -> Segments:
    """Cisco FabricPath: a tree and a time to live."""
    return ethernet(rest.after(2))


@ETHER_TYPES.reader(_TRILL)
def _trill(rest: Rest) -> Segments:
    """Routing bridges (RFC 6325, 3.2), options behind the header counted in words of 4 bytes."""
    options = rest.number(0) >> 6 & 0x1F
    return ethernet(rest.after(6 + 4 * options))


# Point to point


@ETHER_TYPES.reader(dpkt.ethernet.ETH_TYPE_PPPoE)
def pppoe(rest: Rest) -> Segments:
    """PPP over Ethernet (RFC 2516)."""
    header = rest.read(_Pppoe)
    if header.code != dpkt.pppoe.PPPoE_SESSION:
        raise NoSegmentError.because(Outcome.NOT_IP)
    return ppp(rest.after(header.__hdr_len__).within(header.len))


@ETHER_TYPES.reader(dpkt.ethernet.ETH_TYPE_PPP)
def ppp(rest: Rest) -> Segments:
    """PPP, with or without the HDLC address and control bytes (RFC 1662, 3.1; RFC 1661, 6.6)."""
    if rest.data[:2] in _CISCO_HDLC:
        return cisco_hdlc(rest)
    if rest.data[:2] == _PPP_HDLC:
        rest = rest.after(2)
    size = 1 if rest.number(0, 1) & dpkt.ppp.PFC_BIT else 2
    return PPP_PROTOCOLS.read(rest.after(size), rest.number(0, size))


def cisco_hdlc(rest: Rest) -> Segments:
    """Address, control, and an ether-type."""
    return typed_at(rest, 2, _CISCO_HDLC_HEADER)


# Services that steer packets


@ETHER_TYPES.reader(_NSH)
def network_service_header(rest: Rest) -> Segments:
    """The path of a packet through services (RFC 8300, 2)."""
    size = (rest.number(0) & 0x3F) * 4
    return next_protocol(rest.after(size), rest.number(3, 1))


def next_protocol(rest: Rest, number: int) -> Segments:
    """What a number of the registry that NSH and VXLAN-GPE have in common stands for."""
    readers = {1: ipv4, 2: ipv6, 3: ethernet, 4: network_service_header, 5: mpls}
    if number not in readers:
        raise NoSegmentError.because(Outcome.NOT_IP)
    return readers[number](rest.deeper())


@ETHER_TYPES.reader(ETH_TYPE_WCCP)
def _redirected(rest: Rest) -> Segments:
    """A web cache's redirection: version 2 has a header of 4 bytes before the packet."""
    return any_version(rest if rest.number(0, 1) >> 4 == 4 else rest.after(4))
