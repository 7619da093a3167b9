"""TCP by dpkt's header class, and what the slow path hands from layer to layer on the way there."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import dpkt
import numpy as np

from tcpstates.capture import layout
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.schema import SEGMENTS, Checksum, Mark, TunnelKind

TUNNEL_SHIFT = 56
_MOST_LAYERS = 32


def header_of(packet: type[Any]) -> type[Any]:
    """The dpkt class for that header alone: what follows stays bytes, in ``data``."""
    alone = {"unpack": dpkt.dpkt.Packet.unpack, "_unpack_data": lambda self, data: None}
    return type(packet.__name__, (packet,), alone)


class NoSegmentError(Exception):
    """The frame holds no segment; the argument says why."""


@dataclass(frozen=True)
class Rest:
    """What is left of a frame behind the headers read so far.

    Attributes
    ----------
    data : the bytes that were captured.
    length : how many bytes there are by the enclosing header, or were on the wire.
    checksums : whether to verify the TCP checksum.
    tunnel : the key of the innermost encapsulation.
    layers : how many headers were read.
    """

    data: bytes
    length: int
    checksums: bool
    tunnel: int = 0
    layers: int = 0

    def after(self, size: int) -> Rest:
        """What follows ``size`` more bytes of headers."""
        return replace(self, data=self.data[size:], length=self.length - size)

    def deeper(self) -> Rest:
        """The same, one layer on; a frame of nothing but tags and tunnels ends somewhere."""
        if self.layers == _MOST_LAYERS:
            raise NoSegmentError(REASONS[Outcome.MALFORMED])
        return replace(self, layers=self.layers + 1)

    def within(self, length: int) -> Rest:
        """The same, ended by a length field."""
        return replace(self, data=self.data[:length], length=length)

    def through(self, kind: TunnelKind, identifier: int) -> Rest:
        """The same, inside an encapsulation; a VLAN within a tunnel does not hide the tunnel."""
        if kind == TunnelKind.VLAN and self.tunnel >> TUNNEL_SHIFT > TunnelKind.VLAN:
            return self
        return replace(self, tunnel=kind << TUNNEL_SHIFT | identifier)

    def read(self, header: type[Any]) -> Any:
        """The header that comes next, as dpkt's object."""
        if len(self.data) < header.__hdr_len__:
            raise NoSegmentError(REASONS[Outcome.CUT])
        return header(self.data)


@dataclass(frozen=True)
class Packet:
    """What an IP header says of the packet behind it.

    Attributes
    ----------
    src, dst : the addresses in the header, 4 or 16 bytes.
    home, final : those that the checksum covers instead, where IPv6 extension headers name them
        (RFC 6275, 6.3; RFC 8200, 8.1); ``final`` is empty if it cannot be told.
    """

    version: int
    src: bytes
    dst: bytes
    home: bytes
    final: bytes
    ttl: int
    ip_id: int
    marks: Mark


_Tcp = header_of(dpkt.tcp.TCP)


def dissect_tcp(packet: Packet, rest: Rest) -> np.void:
    """The segment in an IP packet, its time, frame, file and interface left at 0."""
    if rest.length < layout.TCP_HEADER:
        raise NoSegmentError(REASONS[Outcome.MALFORMED])
    header = rest.read(_Tcp)
    size = header.off * 4
    if size < header.__hdr_len__ or size > rest.length:
        raise NoSegmentError(REASONS[Outcome.MALFORMED])
    segment: np.void = np.zeros(1, SEGMENTS)[0]
    segment["src_hi"], segment["src_lo"] = _halves(packet.src)
    segment["dst_hi"], segment["dst_lo"] = _halves(packet.dst)
    segment["version"], segment["ttl"], segment["ip_id"] = packet.version, packet.ttl, packet.ip_id
    segment["src_port"], segment["dst_port"] = header.sport, header.dport
    segment["seq"], segment["ack"] = header.seq, header.ack
    segment["flags"], segment["window"] = header.flags, header.win
    segment["payload"], segment["tunnel"] = rest.length - size, rest.tunnel
    segment["wscale"], segment["marks"] = -1, packet.marks | Mark.DISSECTED
    if len(rest.data) < size:
        segment["marks"] |= Mark.OPTIONS_CUT
    _options(rest.data[header.__hdr_len__ : size], segment)
    if rest.checksums and packet.final and len(rest.data) >= rest.length:
        segment["checksum"] = _verdict(packet, rest.data, header.sum)
    return segment


def _halves(address: bytes) -> tuple[int, int]:
    """An address as two uint64, IPv4 in its mapped form."""
    if len(address) == 4:
        return 0, layout.IP_MAPPED | int.from_bytes(address, "big")
    return int.from_bytes(address[:8], "big"), int.from_bytes(address[8:], "big")


def _options(options: bytes, segment: np.void) -> None:
    """TCP options into the segment. dpkt's ``parse_opts`` goes on after the end-of-options kind."""
    while options and options[0] != dpkt.tcp.TCP_OPT_EOL:
        if options[0] == dpkt.tcp.TCP_OPT_NOP:
            options = options[1:]
            continue
        length = options[1] if len(options) > 1 else 0
        if length < 2 or length > len(options):
            segment["marks"] |= Mark.OPTIONS_CUT
            return
        _option(options[0], options[2:length], segment)
        options = options[length:]


def _option(kind: int, value: bytes, segment: np.void) -> None:
    length = len(value) + 2
    if kind == dpkt.tcp.TCP_OPT_MSS and length == layout.OPTION_MSS_LENGTH:
        segment["mss"] = int.from_bytes(value, "big")
    elif kind == dpkt.tcp.TCP_OPT_WSCALE and length == layout.OPTION_WSCALE_LENGTH:
        segment["wscale"] = min(value[0], layout.WSCALE_MAXIMUM)
    elif kind == dpkt.tcp.TCP_OPT_SACKOK and length == layout.OPTION_SACKOK_LENGTH:
        segment["marks"] |= Mark.SACK_PERMITTED
    elif kind == dpkt.tcp.TCP_OPT_SACK and length >= layout.OPTION_SACK_LENGTH and length % 8 == 2:
        segment["sack_left"], segment["sack_right"] = struct.unpack("!II", value[:8])
        segment["marks"] |= Mark.HAS_SACK
    elif kind == dpkt.tcp.TCP_OPT_TIMESTAMP and length == layout.OPTION_TIMESTAMP_LENGTH:
        segment["tsval"], segment["tsecr"] = struct.unpack("!II", value)
        segment["marks"] |= Mark.HAS_TIMESTAMP
    elif kind in layout.OPTIONS_READ:
        segment["marks"] |= Mark.OPTIONS_CUT


def _verdict(packet: Packet, data: bytes, field: int) -> Checksum:
    """Whether the checksum is right, wrong, or was left to the network card (RFC 9293, 3.1)."""
    without_length = packet.home + packet.final + struct.pack("!HH", dpkt.ip.IP_PROTO_TCP, 0)
    pseudo_header = without_length + struct.pack("!I", len(data))
    if not packet.marks & Mark.LENGTH_ZERO and dpkt.dpkt.in_cksum(pseudo_header + data) == 0:
        return Checksum.GOOD
    left_to_card = (0, *(0xFFFF ^ dpkt.dpkt.in_cksum(part) for part in (pseudo_header, without_length)))
    if field in left_to_card:
        return Checksum.OFFLOADED
    return Checksum.UNKNOWN if packet.marks & Mark.LENGTH_ZERO else Checksum.BAD
