"""IPv4 and IPv6 with their extension headers and fragments, whole or as an ICMP error quotes them."""

from __future__ import annotations

from typing import Any

import dpkt

from tcpstates.capture import layout
from tcpstates.capture.dissection.layers import (
    NoSegmentError,
    Packet,
    Reader,
    Rest,
    Segments,
    Table,
    header_of,
)
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.schema import Mark

_Ip = header_of(dpkt.ip.IP)
_Ip6 = header_of(dpkt.ip6.IP6)
_Extension = header_of(dpkt.ip6.IP6OptsHeader)
_Fragment = header_of(dpkt.ip6.IP6FragmentHeader)
_Routing = header_of(dpkt.ip6.IP6RoutingHeader)

#: By IP protocol number.
IP_PROTOCOLS = Table(lambda protocol: REASONS[Outcome.NOT_TCP])


def ipv4(rest: Rest) -> Segments:
    """IPv4 (RFC 791)."""
    header = rest.read(_Ip)
    size = header.hl * 4
    length = header.len or rest.length
    if header.v != 4 or size < header.__hdr_len__ or length < size:
        raise NoSegmentError.because(Outcome.MALFORMED)
    packet = Packet(4, *_ends(header), header.ttl, header.id, _length_mark(header.len, rest.length))
    rest = rest.sized(length).after(size)._replace(packet=packet)
    if header.mf or header.offset:
        return _fragment(rest, header.p, header.id, header.offset * 8, bool(header.mf))
    return IP_PROTOCOLS.read(rest, header.p)


def _length_mark(length: int, room: int) -> Mark:
    """What is to be said of an IP length: 0 where the network card would have filled it in."""
    if length == 0:
        return Mark.LENGTH_ZERO
    return Mark.LENGTH_BEYOND if length > room else Mark(0)


def ipv6(rest: Rest) -> Segments:
    """IPv6 (RFC 8200), also with a length of its own for a jumbogram (RFC 2675)."""
    header = rest.read(_Ip6)
    if header.v != 6:
        raise NoSegmentError.because(Outcome.MALFORMED)
    rest = rest.after(header.__hdr_len__)
    length = header.plen
    if not length and header.nxt == dpkt.ip.IP_PROTO_HOPOPTS:
        length = _jumbo_length(rest)
    packet = Packet(6, *_ends(header), header.hlim, 0, _length_mark(length, rest.length))
    rest = rest.sized(length or rest.length)._replace(packet=packet)
    return behind_extensions(rest, header.nxt)


VERSIONS: dict[int, Reader] = {4: ipv4, 6: ipv6}


def any_version(rest: Rest) -> Segments:
    """IPv4 or IPv6, by the packet's own word."""
    version = rest.number(0, 1) >> 4
    if version not in VERSIONS:
        raise NoSegmentError.because(Outcome.MALFORMED)
    return VERSIONS[version](rest.deeper())


def _ends(header: Any) -> tuple[bytes, bytes, bytes, bytes]:
    """The addresses of an IP header, and as far as it knows also those that the checksum covers."""
    return header.src, header.dst, header.src, header.dst


def behind_extensions(rest: Rest, protocol: int) -> Segments:
    """Past the extension headers to what IP carries."""
    while protocol in layout.EXTENSIONS:
        header, size = _extension(rest, protocol)
        extension, rest = rest.data[:size], rest.after(size)
        if protocol == dpkt.ip.IP_PROTO_FRAGMENT and (header.frag_off or header.m_flag):
            return _fragment(rest, header.nxt, header.id, header.frag_off * 8, bool(header.m_flag))
        rest = rest._replace(packet=_with_ends(rest.packet, protocol, extension))
        protocol = header.nxt
    return IP_PROTOCOLS.read(rest, protocol)


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_AH)
def _authenticated(rest: Rest) -> Segments:
    """An IPv4 authentication header (RFC 4302)."""
    return behind_extensions(rest, dpkt.ip.IP_PROTO_AH)


def _with_ends(packet: Packet, protocol: int, extension: bytes) -> Packet:
    """The packet with the ends that its checksum covers by an extension header."""
    if protocol == dpkt.ip.IP_PROTO_ROUTING:
        return packet._replace(final=_final_destination(extension, packet.final))
    if protocol == dpkt.ip.IP_PROTO_DSTOPTS:
        home = _find_option(extension, layout.OPTION_HOME, layout.OPTION_HOME_LENGTH)
        return packet._replace(home=home or packet.home)
    return packet


def _extension(rest: Rest, protocol: int) -> tuple[Any, int]:
    """An extension header and its size."""
    if rest.length < layout.EXTENSION_HEADER:
        raise NoSegmentError.because(Outcome.MALFORMED)
    rest.take(layout.EXTENSION_HEADER)
    header = rest.read(_Extension)
    size = (header.len + 1) * 8
    if protocol == dpkt.ip.IP_PROTO_AH:
        size = (header.len + 2) * 4
    elif protocol == dpkt.ip.IP_PROTO_FRAGMENT:
        header = rest.read(_Fragment)
        size = header.__hdr_len__
    if size > rest.length:
        raise NoSegmentError.because(Outcome.MALFORMED)
    rest.take(size)
    return header, size


def _jumbo_length(rest: Rest) -> int:
    """The length that a jumbo payload option gives, 0 if there is none (RFC 2675, 2)."""
    _header, size = _extension(rest, dpkt.ip.IP_PROTO_HOPOPTS)
    value = _find_option(rest.data[:size], layout.OPTION_JUMBO, layout.OPTION_JUMBO_LENGTH)
    return int.from_bytes(value, "big")


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


# Fragments


def _fragment(rest: Rest, protocol: int, ident: int, offset: int, more: bool) -> Segments:
    """A piece of a datagram, whose other pieces are in other frames.

    What a tunnel carries says itself how long it is, so the first piece is read at once. What TCP
    carries is known when the last piece has told the length.
    """
    if protocol == dpkt.ip.IP_PROTO_TCP or protocol in _extensions_of(rest.packet):
        whole = rest.context.fragments.add(rest, protocol, ident, offset, more)
        return behind_extensions(whole, protocol)
    if protocol not in IP_PROTOCOLS.numbers or protocol in _WHOLE_ONLY:
        raise NoSegmentError.because(Outcome.NOT_TCP)
    if offset:
        later = Outcome.NOT_TCP if protocol == dpkt.ip.IP_PROTO_UDP else Outcome.FRAGMENT
        raise NoSegmentError.because(later)
    return IP_PROTOCOLS.read(rest._replace(length=layout.IP_MAXIMUM), protocol)


def _extensions_of(packet: Packet) -> tuple[int, ...]:
    """What may stand between IP and TCP within a datagram."""
    return layout.EXTENSIONS if packet.version == 6 else (dpkt.ip.IP_PROTO_AH,)


_WHOLE_ONLY = (dpkt.ip.IP_PROTO_ICMP, dpkt.ip.IP_PROTO_ICMP6)


# Packets that an ICMP error quotes


def quoted_packet(rest: Rest, version: int) -> tuple[int, Rest]:
    """The protocol of a packet of which only the beginning is there, and what there is behind its headers.

    What comes after the packet by its own length is padding or an extension of ICMP (RFC 4884).

    Raises
    ------
    NoSegmentError
        If it is not of that version, is cut within its headers, or is no first fragment.
    """
    if version == 4:
        header = rest.read(_Ip)
        size, whole, protocol, is_later = header.hl * 4, header.len, header.p, bool(header.offset)
    else:
        header = rest.read(_Ip6)
        size, protocol, is_later = header.__hdr_len__, header.nxt, False
        whole = size + header.plen
    if header.v != version or size < header.__hdr_len__ or is_later:
        raise NoSegmentError.because(Outcome.NOT_TCP)
    packet = Packet(version, *_ends(header), 0, 0, Mark(0))
    rest = (rest.within(whole) if whole > size else rest).after(size)._replace(packet=packet)
    return _behind_quoted_extensions(rest, protocol)


def _behind_quoted_extensions(rest: Rest, protocol: int) -> tuple[int, Rest]:
    while protocol in _extensions_of(rest.packet):
        header, size = _extension(rest, protocol)
        if protocol == dpkt.ip.IP_PROTO_FRAGMENT and header.frag_off:
            raise NoSegmentError.because(Outcome.NOT_TCP)
        protocol, rest = header.nxt, rest.after(size)
    return protocol, rest
