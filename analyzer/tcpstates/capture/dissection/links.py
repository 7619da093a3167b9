"""Link layers: the header that each link type's frames begin with, and where it says what follows."""

from __future__ import annotations

from typing import Any, Literal

import dpkt

from tcpstates.capture import layout
from tcpstates.capture.dissection.ethertypes import (
    ETHER_TYPES,
    cisco_hdlc,
    ethernet,
    in_vlan,
    llc,
    ppp,
    pppoe,
    typed,
    typed_at,
)
from tcpstates.capture.dissection.ip import any_version, ipv4, ipv6
from tcpstates.capture.dissection.layers import NoSegmentError, Reader, Rest, Segments, Table, header_of
from tcpstates.capture.dissection.wifi import avs, prism, radiotap, wlan
from tcpstates.capture.layout import Outcome

_Sll = header_of(dpkt.sll.SLL)
_Sll2 = header_of(dpkt.sll2.SLL2)
_Loopback = header_of(dpkt.loopback.Loopback)

#: Names of link types by LINKTYPE_ value: dpkt's, and what it lacks or, at 253, overrides.
_NAMES = {
    number: name.removeprefix("DLT_") for name, number in vars(dpkt.pcap).items() if name.startswith("DLT_")
} | {
    99: "SYMANTEC_FIREWALL",
    106: "LINUX_ATM_CLIP",
    120: "AIRONET_HEADER",
    121: "HHDLC",
    **dict.fromkeys((*range(130, 138), *range(178, 187), 194, 200), "JUNIPER"),
    253: "NETLINK",
    266: "USB_DARWIN",
    268: "SDLC",
    271: "VSOCK",
    283: "WEBSOCKET",
}

#: By LINKTYPE_ value.
LINKS = Table(lambda linktype: f"link type {linktype} ({_NAMES.get(linktype, 'unknown')})")

LINKS.reader(dpkt.pcap.DLT_EN10MB)(ethernet)
LINKS.reader(*layout.LINKTYPES_RAW)(any_version)
LINKS.reader(dpkt.pcap.DLT_PPP, dpkt.pcap.DLT_PPP_SERIAL)(ppp)
LINKS.reader(dpkt.pcap.DLT_PPP_ETHER)(pppoe)
LINKS.reader(dpkt.pcap.DLT_C_HDLC)(cisco_hdlc)
LINKS.reader(dpkt.pcap.DLT_ATM_RFC1483)(llc)
LINKS.reader(dpkt.pcap.DLT_IEEE802_11)(wlan)
LINKS.reader(dpkt.pcap.DLT_IEEE802_11_RADIO)(radiotap)
LINKS.reader(dpkt.pcap.DLT_IEEE802_11_RADIO_AVS)(avs)
LINKS.reader(dpkt.pcap.DLT_PRISM_HEADER)(prism)


def _behind(size: int, reader: Reader) -> Reader:
    """The reader for a header of ``size`` bytes that says nothing which is needed here."""

    def behind(rest: Rest) -> Segments:
        rest.take(size)
        return reader(rest.after(size))

    return behind


LINKS.reader(dpkt.pcap.DLT_SLIP)(_behind(16, any_version))
LINKS.reader(dpkt.pcap.DLT_IPNET)(_behind(24, any_version))
LINKS.reader(dpkt.pcap.DLT_IP_OVER_FC)(_behind(16, llc))
LINKS.reader(dpkt.pcap.DLT_C_HDLC_WITH_DIR)(_behind(1, cisco_hdlc))
LINKS.reader(dpkt.pcap.DLT_NETANALYZER)(_behind(4, ethernet))
LINKS.reader(dpkt.pcap.DLT_NETANALYZER_TRANSPARENT)(_behind(12, ethernet))
LINKS.reader(layout.LINKTYPE_DSA_BRCM_PREPEND)(_behind(4, ethernet))


@LINKS.reader(dpkt.pcap.DLT_APPLE_IP_OVER_IEEE1394)
def _firewire(rest: Rest) -> Segments:
    return typed_at(rest, 16, 18)


@LINKS.reader(dpkt.pcap.DLT_IPOIB)
def _infiniband(rest: Rest) -> Segments:
    """IP over InfiniBand: a global routing header, then 4 bytes (RFC 4391, 6)."""
    return typed_at(rest, 40, 44)


# Loopback and cooked captures


@LINKS.reader(*layout.LINKTYPES_LOOPBACK)
def _loopback(rest: Rest) -> Segments:
    """BSD loopback. dpkt takes what it does not know for Ethernet, and does not know Linux's AF_INET6."""
    family = rest.read(_Loopback).family
    return _of_family(rest.after(layout.LOOPBACK_HEADER), family.to_bytes(4, "big"))


def _of_family(rest: Rest, field: bytes) -> Segments:
    """What an address family names, in whatever byte order its host wrote it."""
    families = {int.from_bytes(field, "big"), int.from_bytes(field, "little")}
    if layout.AF_INET in families:
        return ipv4(rest)
    if families.intersection(layout.AF_INET6):
        return ipv6(rest)
    raise NoSegmentError.because(Outcome.NOT_IP)


@LINKS.reader(layout.LINKTYPE_ENC)
def _enc(rest: Rest) -> Segments:
    """OpenBSD's view of what IPsec carries: a family, an index and flags."""
    return _of_family(rest.after(12), rest.take(12)[:4])


@LINKS.reader(dpkt.pcap.DLT_PFLOG)
def _pflog(rest: Rest) -> Segments:
    """OpenBSD's packet filter log: a header that tells its length, without its padding, and a family."""
    size = (rest.number(0, 1) + 3) // 4 * 4
    return _of_family(rest.after(size), rest.take(max(size, 2))[1:2])


def _cooked(header_class: type[Any]) -> Reader:
    """Linux's cooked capture, of either version."""

    def cooked(rest: Rest) -> Segments:
        header = rest.read(header_class)
        rest = rest.after(header.__hdr_len__)
        return llc(rest) if header.ethtype == _SLL_LLC else ETHER_TYPES.read(rest, header.ethtype)

    return cooked


_SLL_LLC = 4  # LINUX_SLL_P_802_2
LINKS.reader(dpkt.pcap.DLT_LINUX_SLL)(_cooked(_Sll))
LINKS.reader(dpkt.pcap.DLT_LINUX_SLL2)(_cooked(_Sll2))


@LINKS.reader(dpkt.pcap.DLT_NFLOG)
def _nflog(rest: Rest) -> Segments:
    """Linux's netfilter log: a family, then attributes, of which the packet is one."""
    family, order = rest.take(4)[:1], _order_of_attributes(rest.after(4))
    rest = rest.after(4)
    while True:
        size, kind = (int.from_bytes(rest.take(4)[at : at + 2], order) for at in (0, 2))
        if kind & 0x7FFF == _NFULA_PAYLOAD:
            return _of_family(rest.within(size).after(4), family)
        rest = rest.after((max(size, 4) + 3) // 4 * 4)


_NFULA_PAYLOAD = 9


def _order_of_attributes(rest: Rest) -> Literal["little", "big"]:
    """That of the host which captured: an attribute's kind is a small number."""
    return "little" if rest.number(3, 1) <= rest.number(2, 1) else "big"


# Local networks of other kinds


@LINKS.reader(dpkt.pcap.DLT_FDDI)
def _fddi(rest: Rest) -> Segments:
    """Frame control and two addresses."""
    if rest.number(0, 1) & 0x70 != 0x50:
        raise NoSegmentError.because(Outcome.NOT_IP)
    return llc(rest.after(13))


@LINKS.reader(dpkt.pcap.DLT_IEEE802)
def _token_ring(rest: Rest) -> Segments:
    """Two control bytes, two addresses, and the route where the source's first bit announces one."""
    if rest.number(1, 1) >> 6 != 1:
        raise NoSegmentError.because(Outcome.NOT_IP)
    route = rest.number(14, 1) & 0x1F if rest.number(8, 1) & 0x80 else 0
    return llc(rest.after(14 + route))


@LINKS.reader(dpkt.pcap.DLT_ARCNET_LINUX)
def _arcnet_linux(rest: Rest) -> Segments:
    return _arcnet(rest.after(4))


@LINKS.reader(dpkt.pcap.DLT_ARCNET)
def _arcnet_bsd(rest: Rest) -> Segments:
    return _arcnet(rest.after(2))


def _arcnet(rest: Rest) -> Segments:
    """A system code; by RFC 1201 also whether the packet is split, by RFC 1051 not."""
    code = rest.number(0, 1)
    if code == _ARCNET_IP_OLD:
        return ipv4(rest.after(1))
    if code not in _ARCNET_IP:
        raise NoSegmentError.because(Outcome.NOT_IP)
    flag = rest.number(1, 1)
    if flag not in (0, _ARCNET_EXCEPTION):
        raise NoSegmentError("ARCNET fragment")
    return any_version(rest.after(8 if flag else 4))


_ARCNET_IP_OLD, _ARCNET_IP, _ARCNET_EXCEPTION = 240, (212, 196), 0xFF


@LINKS.reader(dpkt.pcap.DLT_SUNATM)
def _sunatm(rest: Rest) -> Segments:
    """Traffic type and circuit; only what is LLC is followed."""
    if rest.number(0, 1) & 0x0F != 2:
        raise NoSegmentError.because(Outcome.NOT_IP)
    return llc(rest.after(4))


# Point to point


@LINKS.reader(dpkt.pcap.DLT_PPP_WITH_DIR, dpkt.pcap.DLT_PPP_PPPD)
def _ppp_with_direction(rest: Rest) -> Segments:
    """A direction before the frame, or in place of its address byte."""
    rest = rest.after(1)
    return ppp(rest.after(1) if rest.data[:1] == b"\x03" else rest)


@LINKS.reader(dpkt.pcap.DLT_FRELAY)
def _frame_relay(rest: Rest) -> Segments:
    """An address whose last byte is odd, then RFC 2427's control and protocol, or Cisco's ether-type."""
    size = 1
    while not rest.number(size - 1, 1) & 1:
        size += 1
    rest = rest.after(size)
    if rest.number(0, 1) != _UNNUMBERED:
        return typed_at(rest, 0, 2)
    rest = rest.after(1 if rest.number(1, 1) else 2)  # a byte of padding
    protocol = rest.number(0, 1)
    if protocol == _NLPID_SNAP:
        return typed_at(rest, 4, 6)
    if protocol not in _NLPID_IP:
        raise NoSegmentError.because(Outcome.NOT_IP)
    return any_version(rest.after(1))


_UNNUMBERED, _NLPID_SNAP, _NLPID_IP = 0x03, 0x80, (0xCC, 0x8E)
LINKS.reader(dpkt.pcap.DLT_FRELAY_WITH_DIR)(_behind(1, _frame_relay))


# Headers of capture tools before another link's


@LINKS.reader(dpkt.pcap.DLT_PPI)
def _ppi(rest: Rest) -> Segments:
    """Per-packet information: its length, and the link type of what follows."""
    header = rest.take(8)
    size, linktype = int.from_bytes(header[2:4], "little"), int.from_bytes(header[4:6], "little")
    return LINKS.read(rest.after(max(size, 8)), linktype)


@LINKS.reader(dpkt.pcap.DLT_PKTAP)
def _pktap(rest: Rest) -> Segments:
    """macOS: the same, with the interface's name and the process's."""
    header = rest.take(12)
    size, linktype = int.from_bytes(header[:4], "little"), int.from_bytes(header[8:10], "little")
    return LINKS.read(rest.after(max(size, 12)), linktype)


@LINKS.reader(dpkt.pcap.DLT_ERF)
def _erf(rest: Rest) -> Segments:
    """Endace's record header, and its extensions as long as their first bit announces another."""
    kind, rest = rest.number(8, 1), rest.after(16)
    more = kind
    while more & 0x80:
        more, rest = rest.number(0, 1), rest.after(8)
    if kind & 0x7F in _ERF_ETHERNET:
        return ethernet(rest.after(2))
    if kind & 0x7F in _ERF_IP:
        return any_version(rest)
    raise NoSegmentError(f"ERF record of type {kind & 0x7F}")


_ERF_ETHERNET, _ERF_IP = (2, 11, 16, 20), (22, 23)


@LINKS.reader(layout.LINKTYPE_JUNIPER_ETHER)
def _juniper(rest: Rest) -> Segments:
    """Juniper's magic number and flags, extensions, and Ethernet, or IP where that was taken off."""
    flags = rest.number(3, 1)
    size = 6 + rest.number(4) if flags & 0x80 else 4
    if flags & 0x02:
        return any_version(rest.after(size + 4))
    return ethernet(rest.after(size))


@LINKS.reader(layout.LINKTYPE_MPACKET)
def _mpacket(rest: Rest) -> Segments:
    """Preamble, delimiter and an Ethernet frame, or the first part of one (IEEE 802.3, 99.3)."""
    preamble, delimiter = rest.take(8)[6:]
    if preamble == _PREAMBLE and delimiter in _MPACKET_BEGINS:
        return ethernet(rest.after(8))
    raise NoSegmentError("Ethernet mPacket without its beginning")


# where a later part has its own delimiter, and behind it a count that may equal one of these
_PREAMBLE, _MPACKET_BEGINS = 0x55, (0xD5, 0xE6, 0x4C, 0x7F, 0xB3)


# Switches' own tags, between the addresses and the ether-type


@LINKS.reader(layout.LINKTYPE_DSA)
def _dsa(rest: Rest) -> Segments:
    return _marvell(rest.after(12))


@LINKS.reader(layout.LINKTYPE_EDSA)
def _edsa(rest: Rest) -> Segments:
    """With an ether-type of its own before it."""
    return _marvell(rest.after(16))


def _marvell(rest: Rest) -> Segments:
    """Marvell's tag: a port, and a VLAN if the frame had a tag of that."""
    tag = rest.number(0, 4)
    rest = in_vlan(rest, tag & layout.VLAN_MASK) if tag >> 29 & 1 else rest
    return typed(rest.after(6), rest.number(4))


@LINKS.reader(layout.LINKTYPE_DSA_BRCM)
def _broadcom(rest: Rest) -> Segments:
    return typed(rest.after(18), rest.number(16))
