"""ICMP and ICMPv6: the errors that quote the beginning of a TCP segment.

An error carries no segment, so the frame counts as one without. What it says of the one that it quotes
is entered into ``Context.errors``: eight bytes of TCP are enough (RFC 792), its ports and its number.
"""

from __future__ import annotations

import struct

import dpkt
import numpy as np

from tcpstates.capture import layout
from tcpstates.capture.dissection.ip import IP_PROTOCOLS, quoted_packet
from tcpstates.capture.dissection.layers import NoSegmentError, Rest, Segments, halves
from tcpstates.capture.layout import Outcome
from tcpstates.schema import ICMP_ERRORS, Checksum

_PORTS_AND_SEQ = 8  # bytes: all of TCP that an error has to quote


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_ICMP)
def _icmp(rest: Rest) -> Segments:
    """ICMP (RFC 792)."""
    raise _about(rest, 4, layout.ICMP_ERRORS)


@IP_PROTOCOLS.reader(dpkt.ip.IP_PROTO_ICMP6)
def _icmp6(rest: Rest) -> Segments:
    """ICMPv6 (RFC 4443)."""
    raise _about(rest, 6, layout.ICMP6_ERRORS)


def _about(rest: Rest, version: int, errors: tuple[int, ...]) -> NoSegmentError:
    """Why there is no segment; an error about TCP is entered where such are collected."""
    kind = int.from_bytes(rest.data[:1], "big")
    if rest.packet.version != version or kind not in errors:
        return NoSegmentError.because(Outcome.NOT_TCP)
    try:
        protocol, quoted = quoted_packet(rest.after(layout.ICMP_HEADER), version)
    except (NoSegmentError, dpkt.Error):
        return NoSegmentError.because(Outcome.NOT_TCP)
    if protocol != dpkt.ip.IP_PROTO_TCP:
        return NoSegmentError.because(Outcome.NOT_TCP)
    if len(quoted.data) >= _PORTS_AND_SEQ:
        rest.context.errors.append(_error(rest, quoted))
    return NoSegmentError.because(Outcome.QUOTED)


def _error(rest: Rest, quoted: Rest) -> np.void:
    """What an ICMP message says, its time, frame and file left at 0."""
    error: np.void = np.zeros(1, ICMP_ERRORS)[0]
    packet, tcp = quoted.packet, quoted.data
    error["src_hi"], error["src_lo"] = halves(packet.src)
    error["dst_hi"], error["dst_lo"] = halves(packet.dst)
    error["router_hi"], error["router_lo"] = halves(rest.packet.src)
    error["version"], error["tunnel"] = packet.version, rest.tunnel
    error["type"], error["code"] = rest.data[0], rest.data[1]
    error["src_port"], error["dst_port"], error["seq"] = struct.unpack("!HHI", tcp[:_PORTS_AND_SEQ])
    if len(tcp) >= layout.TCP_OFFSET_FLAGS + 2:
        error["ack"], flags = struct.unpack("!IH", tcp[layout.TCP_ACK : layout.TCP_OFFSET_FLAGS + 2])
        error["flags"] = flags & layout.TCP_FLAGS
    error["mtu"] = _next_hop_mtu(packet.version, rest.data)
    error["checksum"] = _verdict(rest)
    return error


def _next_hop_mtu(version: int, message: bytes) -> int:
    """What a router can pass on (RFC 1191, 4; RFC 4443, 3.2), 0 where the message is about something else."""
    if version == 4 and tuple(message[:2]) == (dpkt.icmp.ICMP_UNREACH, dpkt.icmp.ICMP_UNREACH_NEEDFRAG):
        return int.from_bytes(message[6:8], "big")
    if version == 6 and message[0] == dpkt.icmp6.ICMP6_PACKET_TOO_BIG:
        return int.from_bytes(message[4:8], "big")
    return 0


def _verdict(rest: Rest) -> Checksum:
    """Whether the message's own checksum is right (RFC 4443, 2.3 adds a pseudo-header)."""
    packet, data = rest.packet, rest.data
    if not rest.context.checksums or len(data) < rest.length or not packet.final:
        return Checksum.UNKNOWN
    pseudo_header = b""
    if packet.version == 6:
        pseudo_header = packet.home + packet.final + struct.pack("!II", len(data), dpkt.ip.IP_PROTO_ICMP6)
    return Checksum.BAD if dpkt.dpkt.in_cksum(pseudo_header + data) else Checksum.GOOD
