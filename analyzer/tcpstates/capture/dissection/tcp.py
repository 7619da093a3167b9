"""TCP: the segment itself, at the end of every reader's way."""

from __future__ import annotations

import struct

import dpkt
import numpy as np

from tcpstates.capture import layout
from tcpstates.capture.dissection.ip import IP_PROTOCOLS
from tcpstates.capture.dissection.layers import NoSegmentError, Packet, Rest, Segments, halves, header_of
from tcpstates.capture.layout import Outcome
from tcpstates.schema import SEGMENTS, Checksum, Mark

_Tcp = header_of(dpkt.tcp.TCP)


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_TCP)
def dissect_tcp(rest: Rest) -> Segments:
    """The segment in an IP packet, its time, frame, file and interface left at 0."""
    if rest.length < layout.TCP_HEADER:
        raise NoSegmentError.because(Outcome.MALFORMED)
    header = rest.read(_Tcp)
    size = header.off * 4
    if size < header.__hdr_len__ or size > rest.length:
        raise NoSegmentError.because(Outcome.MALFORMED)
    segment: np.void = np.zeros(1, SEGMENTS)[0]
    _of_packet(rest.packet, segment)
    segment["src_port"], segment["dst_port"] = header.sport, header.dport
    segment["seq"], segment["ack"] = header.seq, header.ack
    segment["flags"], segment["window"] = header.flags, header.win
    segment["payload"], segment["tunnel"] = rest.length - size, rest.tunnel
    segment["wscale"] = -1
    if len(rest.data) < size:
        segment["marks"] |= Mark.OPTIONS_CUT
    _options(rest.data[header.__hdr_len__ : size], segment)
    if _can_verify(rest):
        segment["checksum"] = _verdict(rest.packet, rest.data, header.sum)
    return [segment]


def _of_packet(packet: Packet, segment: np.void) -> None:
    """What the segment takes from the IP header."""
    segment["src_hi"], segment["src_lo"] = halves(packet.src)
    segment["dst_hi"], segment["dst_lo"] = halves(packet.dst)
    segment["version"], segment["ttl"], segment["ip_id"] = packet.version, packet.ttl, packet.ip_id
    segment["marks"] = packet.marks | Mark.DISSECTED


def _can_verify(rest: Rest) -> bool:
    """Whether the whole segment and the addresses that its checksum covers are there."""
    whole = len(rest.data) >= rest.length and not rest.packet.marks & Mark.LENGTH_BEYOND
    return bool(rest.context.checksums and rest.packet.final and whole)


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
