"""The fast path: a compiled kernel that turns frames into segments, and leaves what is rare to dpkt.

It walks link layer, VLAN tags, IP with its extension headers and TCP with its options, and makes no
Python object on the way. Each step first checks that the bytes it is about to read were captured.
Through one overlay of a data centre (VXLAN, Geneve) it goes; what it does not know (other tunnels,
labels, other link types) it declines.
"""

# What a kernel's arguments are is numba's to say; annotations would only repeat Any.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import sys

import numpy as np
from dpkt import ethernet, ip, pcap, tcp
from numpy.typing import NDArray

from tcpstates.capture import layout
from tcpstates.capture.layout import Outcome
from tcpstates.compiled import inlined, kernel
from tcpstates.schema import SEGMENTS, Checksum, Mark, TunnelKind

# numba compiles plain integers into the code; of an enumeration it would carry the type along
_SEGMENT, _DECLINED = int(Outcome.SEGMENT), int(Outcome.DECLINED)
_NOT_IP, _NOT_TCP = int(Outcome.NOT_IP), int(Outcome.NOT_TCP)
_CUT, _MALFORMED = int(Outcome.CUT), int(Outcome.MALFORMED)
_UNKNOWN, _GOOD = int(Checksum.UNKNOWN), int(Checksum.GOOD)
_BAD, _OFFLOADED = int(Checksum.BAD), int(Checksum.OFFLOADED)
_MARK_TIMESTAMP, _MARK_SACK = int(Mark.HAS_TIMESTAMP), int(Mark.HAS_SACK)
_MARK_SACK_PERMITTED, _MARK_OPTIONS_CUT = int(Mark.SACK_PERMITTED), int(Mark.OPTIONS_CUT)
_MARK_CUT, _MARK_LENGTH_ZERO = int(Mark.CUT), int(Mark.LENGTH_ZERO)
_MARK_LENGTH_BEYOND = int(Mark.LENGTH_BEYOND)
_TEREDO_PREFIX = int.from_bytes(layout.TEREDO_PREFIX, "big")
_VLAN = int(TunnelKind.VLAN) << 56
_VXLAN, _GENEVE = int(TunnelKind.VXLAN) << 56, int(TunnelKind.GENEVE) << 56
_OVERLAY = -1  # an outcome within this file: UDP that carries frames of their own
_MOST_TAGS = 3
_BIG_ENDIAN = int(sys.byteorder == "big")

#: A frame that the fast path declined: its index, and how many segments came before it.
DECLINED = np.dtype([("frame", "i8"), ("segments", "i8")])


def decode_fast(
    buffer: NDArray[np.uint8], frames: NDArray[np.void], checksums: bool
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.uint8]]:
    """Decode the frames of one block by the compiled kernel alone.

    Parameters
    ----------
    buffer : uint8 array, shape (bytes,)
        The block's bytes; each frame must lie within.
    frames : FRAMES array, shape (frames,)
        Where they lie in it.
    checksums : bool
        Whether to verify TCP checksums; all are ``UNKNOWN`` otherwise.

    Returns
    -------
    segments : SEGMENTS array
        One row per decoded segment, in the order of the frames.
    declined : DECLINED array
        The frames that are left to dpkt, in order.
    outcomes : uint8 array, shape (frames,)
        What became of each frame, an ``Outcome``.
    """
    buffer = _aligned(buffer)
    words = buffer[: len(buffer) & ~3].view(np.uint32)
    segments = np.empty(len(frames), SEGMENTS)
    declined = np.empty(len(frames), DECLINED)
    outcomes = np.empty(len(frames), np.uint8)
    filled, left = decode(buffer, words, frames, checksums, segments, declined, outcomes)
    return segments[:filled], declined[:left], outcomes


def _aligned(buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same bytes as the one type that the kernel is compiled for: aligned, read-only."""
    if buffer.ctypes.data % 4 or not buffer.flags.c_contiguous:
        buffer = buffer.copy()
    view = buffer.view()
    view.flags.writeable = False
    return view


@kernel
def decode(buffer, words, frames, verify, segments, declined, outcomes):
    """Fill one row of ``segments`` or of ``declined`` for each frame, or none, as its outcome says.

    Returns how many rows of both are filled. ``words`` are the same bytes as ``buffer``.
    """
    filled = left = 0
    for index in range(len(frames)):
        row = segments[filled]
        outcome = _frame(buffer, words, frames[index], verify, row)
        outcomes[index] = outcome
        if outcome == _SEGMENT:
            filled += 1
        elif outcome == _DECLINED:
            declined[left]["frame"] = index
            declined[left]["segments"] = filled
            left += 1
    return filled, left


@inlined
def _frame(buffer, words, frame, verify, row):
    """One frame, from its first byte to its segment's row.

    ``edge`` is where its captured bytes end, ``wire`` where those that it had on the wire would.
    """
    start = frame["offset"]
    edge = start + np.int64(frame["captured"])
    wire = max(edge, start + np.int64(frame["length"]))
    is_cut, is_inner = wire > edge, False
    outcome, network, at, tunnel = _link(buffer, start, edge, np.int64(frame["linktype"]))
    if outcome != _SEGMENT:
        return outcome
    while True:
        if network == ethernet.ETH_TYPE_IP:
            outcome, here, end, marks = _ipv4(buffer, at, edge, wire)
            source, destination = at + layout.IP_SRC, at + layout.IP_DST
        else:
            outcome, here, end, marks, source, destination = _ipv6(buffer, at, edge, wire)
        if outcome != _OVERLAY or is_inner:
            break
        wire = _udp_end(buffer, here, end, marks)
        edge, is_inner = min(edge, wire), True
        outcome, network, at, tunnel = _overlay(buffer, here, edge)
        if outcome != _SEGMENT:
            return _DECLINED
    if outcome == _SEGMENT:
        outcome = _tcp(buffer, here, edge, end, row)
    if outcome != _SEGMENT:  # within an overlay dpkt says why
        return _DECLINED if is_inner else outcome
    if is_cut:
        marks |= _MARK_CUT
    row["time"], row["frame"], row["file"] = frame["time"], frame["number"], frame["file"]
    row["interface"], row["tunnel"] = frame["interface"], tunnel
    row["marks"] |= marks
    _network_fields(buffer, at, network, row)
    row["checksum"] = _UNKNOWN
    if verify and end <= edge and destination >= 0 and not marks & _MARK_LENGTH_BEYOND:
        row["checksum"] = _verdict(buffer, words, network, source, destination, here, end, marks)
    return _SEGMENT


# Bytes in network order. All arithmetic is in int64: uint8 << 8 would overflow where the JIT is off,
# and uint64 mixed with int64 would become a float where it is on. Only the index is unsigned: it cannot
# mean an element from the end, and without that case the compiler joins the bytes into one load.


@inlined
def _u8(buffer, at):
    return np.int64(buffer[np.uint64(at)])


@inlined
def _u16(buffer, at):
    return _u8(buffer, at) << 8 | _u8(buffer, at + 1)


@inlined
def _u32(buffer, at):
    return _u8(buffer, at) << 24 | _u8(buffer, at + 1) << 16 | _u8(buffer, at + 2) << 8 | _u8(buffer, at + 3)


@inlined
def _u64(buffer, at):
    return np.uint64(_u32(buffer, at)) << np.uint64(32) | np.uint64(_u32(buffer, at + 4))


# Link layers: (outcome, IPv4's or IPv6's ether-type, where the IP header begins, tunnel key)


@inlined
def _link(buffer, at, edge, linktype):
    """Through the link layer to the IP header."""
    if linktype == pcap.DLT_EN10MB:
        return _ether_type(buffer, at + layout.ETH_TYPE, at + layout.ETH_HEADER, edge)
    if linktype == pcap.DLT_LINUX_SLL:
        return _ether_type(buffer, at + layout.SLL_TYPE, at + layout.SLL_HEADER, edge)
    if linktype == pcap.DLT_LINUX_SLL2:
        return _ether_type(buffer, at + layout.SLL2_TYPE, at + layout.SLL2_HEADER, edge)
    if linktype in layout.LINKTYPES_LOOPBACK:
        return _loopback(buffer, at, edge)
    if linktype in layout.LINKTYPES_RAW:
        return _raw(buffer, at, edge)
    return _DECLINED, 0, at, 0


@inlined
def _ether_type(buffer, type_at, at, edge):
    """From an ether-type through VLAN tags; a tag with VLAN id 0 carries a priority and no VLAN."""
    if edge < at:
        return _CUT, 0, at, 0
    kind = _u16(buffer, type_at)
    tags = vlans = 0
    while kind in layout.ETH_TYPES_VLAN and tags < _MOST_TAGS:
        if edge < at + layout.VLAN_HEADER:
            return _CUT, 0, at, 0
        vlan = _u16(buffer, at + layout.VLAN_ID) & layout.VLAN_MASK
        if vlan:
            vlans = vlans << 12 | vlan
        kind = _u16(buffer, at + layout.VLAN_TYPE)
        at += layout.VLAN_HEADER
        tags += 1
    tunnel = _VLAN | vlans if vlans else 0
    if kind in (ethernet.ETH_TYPE_IP, ethernet.ETH_TYPE_IP6):
        return _SEGMENT, kind, at, tunnel
    return _NOT_IP if kind in layout.ETH_TYPES_WITHOUT_IP else _DECLINED, 0, at, 0


@inlined
def _loopback(buffer, at, edge):
    """BSD loopback: an address family in the byte order of the host that captured it."""
    if edge < at + layout.LOOPBACK_HEADER:
        return _CUT, 0, at, 0
    family = _u32(buffer, at)
    if not family & 0xFFFF:
        family = family >> 24 | (family >> 16 & 0xFF) << 8
    if family == layout.AF_INET:
        return _SEGMENT, ethernet.ETH_TYPE_IP, at + layout.LOOPBACK_HEADER, 0
    if family in layout.AF_INET6:
        return _SEGMENT, ethernet.ETH_TYPE_IP6, at + layout.LOOPBACK_HEADER, 0
    return _DECLINED, 0, at, 0


@inlined
def _raw(buffer, at, edge):
    """No link layer: the IP version says which it is."""
    if edge <= at:
        return _CUT, 0, at, 0
    version = _u8(buffer, at) >> 4
    if version == 4:
        return _SEGMENT, ethernet.ETH_TYPE_IP, at, 0
    if version == 6:
        return _SEGMENT, ethernet.ETH_TYPE_IP6, at, 0
    return _MALFORMED, 0, at, 0


# IP: (outcome, where TCP begins, where the packet ends by its IP length, marks)


@inlined
def _ipv4(buffer, at, edge, wire):
    if edge - at < layout.IP_HEADER:
        return _CUT, at, at, 0
    size = (_u8(buffer, at) & 15) * 4
    length = _u16(buffer, at + layout.IP_LENGTH)
    length, marks = _ip_length(length, wire - at)
    if _u8(buffer, at) >> 4 != 4 or size < layout.IP_HEADER or length < size:
        return _MALFORMED, at, at, 0
    protocol = _u8(buffer, at + layout.IP_PROTOCOL)
    fragment = _u16(buffer, at + layout.IP_FRAGMENT) & layout.IP_FRAGMENT_MASK
    here, end = at + size, at + length
    if fragment == 0:
        outcome = _carried(buffer, here, min(edge, end), protocol, ip.IP_PROTO_ICMP)
    elif protocol == ip.IP_PROTO_TCP:
        outcome = _DECLINED
    else:
        outcome = _piece(buffer, here, min(edge, end), protocol, fragment & layout.IP_OFFSET_MASK)
    return outcome, here, end, marks


@inlined
def _ip_length(length, room):
    """The length that an IP header gives, and what is to be said of it.

    It is believed also where the frame was shorter on the wire: a tap or a switch has sliced it.
    """
    if length == 0:  # segmentation offload: the card would have filled it in
        return room, _MARK_LENGTH_ZERO
    return length, _MARK_LENGTH_BEYOND if length > room else 0


# What IP carries, up to ``edge``: whether it is TCP, dpkt's turn, or neither


@inlined
def _carried(buffer, at, edge, protocol, icmp):
    """By protocol number, and by port or type where the number does not settle it."""
    if protocol == ip.IP_PROTO_TCP:
        return _SEGMENT
    if protocol == ip.IP_PROTO_UDP:
        return _udp(buffer, at, edge)
    if protocol in layout.TUNNELS or protocol == ip.IP_PROTO_AH:
        return _DECLINED
    if protocol == icmp and edge > at:
        return _icmp(_u8(buffer, at), icmp)
    return _NOT_TCP


@inlined
def _icmp(kind, icmp):
    """An error may be about TCP, which dpkt will tell."""
    if icmp == ip.IP_PROTO_ICMP:
        return _DECLINED if kind in layout.ICMP_ERRORS else _NOT_TCP
    return _DECLINED if kind in layout.ICMP6_ERRORS else _NOT_TCP


@inlined
def _piece(buffer, at, edge, protocol, offset):
    """As ``_carried``, of a fragment that does not hold TCP directly."""
    if protocol == ip.IP_PROTO_UDP and offset == 0:
        outcome = _udp(buffer, at, edge)
        return _DECLINED if outcome == _OVERLAY else outcome
    return _DECLINED if protocol in layout.TUNNELS or protocol == ip.IP_PROTO_AH else _NOT_TCP


@inlined
def _udp(buffer, at, edge):
    """Only what comes from a tunnel's port or goes there, or is between Teredo's addresses."""
    packet = at + layout.UDP_HEADER
    if edge < packet:
        return _NOT_TCP
    port = _u16(buffer, at + layout.UDP_DPORT)
    if port in layout.UDP_TUNNELS:
        return _OVERLAY if port in layout.PORTS_OVERLAY else _DECLINED
    if _u16(buffer, at + layout.UDP_SPORT) in layout.UDP_TUNNELS:
        return _DECLINED
    if edge < packet + layout.IP6_HEADER or _u8(buffer, packet) >> 4 != 6:
        return _NOT_TCP
    source, destination = _u32(buffer, packet + layout.IP6_SRC), _u32(buffer, packet + layout.IP6_DST)
    return _DECLINED if source == _TEREDO_PREFIX or destination == _TEREDO_PREFIX else _NOT_TCP


@inlined
def _udp_end(buffer, at, end, marks):
    """Where a UDP datagram ends, in an IP packet that ends at ``end``."""
    length = _u16(buffer, at + layout.UDP_LENGTH)
    if length < layout.UDP_HEADER or marks & _MARK_LENGTH_ZERO:
        return end
    return min(end, at + length)


@inlined
def _overlay(buffer, at, edge):
    """From a UDP header through VXLAN (RFC 7348) or Geneve (RFC 8926) to an IP header, as ``_link``."""
    port, at = _u16(buffer, at + layout.UDP_DPORT), at + layout.UDP_HEADER
    if edge < at + layout.OVERLAY_HEADER:
        return _CUT, 0, at, 0
    flags, network = _u8(buffer, at), _u32(buffer, at + layout.OVERLAY_NETWORK) >> 8
    if port != layout.PORT_GENEVE:
        if not flags & layout.VXLAN_VALID:
            return _DECLINED, 0, at, 0
        at += layout.OVERLAY_HEADER
        outcome, kind, at, _ = _ether_type(buffer, at + layout.ETH_TYPE, at + layout.ETH_HEADER, edge)
        return outcome, kind, at, _VXLAN | network
    if flags >> 6:
        return _DECLINED, 0, at, 0
    kind_at = at + layout.GENEVE_TYPE
    at += layout.OVERLAY_HEADER + 4 * (flags & layout.GENEVE_OPTIONS)
    if _u16(buffer, kind_at) == ethernet.ETH_TYPE_TEB:
        kind_at, at = at + layout.ETH_TYPE, at + layout.ETH_HEADER
    outcome, kind, at, _ = _ether_type(buffer, kind_at, at, edge)
    return outcome, kind, at, _GENEVE | network


@inlined
def _ipv6(buffer, at, edge, wire):
    """As ``_ipv4``, and where the two addresses are that the checksum covers, -1 if it cannot be told."""
    source, destination = at + layout.IP6_SRC, at + layout.IP6_DST
    if edge - at < layout.IP6_HEADER:
        return _CUT, at, at, 0, source, destination
    if _u8(buffer, at) >> 4 != 6:
        return _MALFORMED, at, at, 0, source, destination
    protocol = _u8(buffer, at + layout.IP6_NEXT)
    here = at + layout.IP6_HEADER
    length = _u16(buffer, at + layout.IP6_LENGTH)
    length, marks = _ip_length(length, wire - here)
    end = here + length
    while protocol in layout.EXTENSIONS:
        outcome, size = _extension(buffer, here, edge, end, protocol)
        if outcome != _SEGMENT:
            return outcome, here, end, marks, source, destination
        is_first = here == at + layout.IP6_HEADER
        if marks == _MARK_LENGTH_ZERO and is_first and protocol == ip.IP_PROTO_HOPOPTS:
            option = _find_option(buffer, here, size, layout.OPTION_JUMBO, layout.OPTION_JUMBO_LENGTH)
            length, marks = _ip_length(_u32(buffer, option) if option else 0, wire - here)
            end = here + length
        elif protocol == ip.IP_PROTO_DSTOPTS:
            option = _find_option(buffer, here, size, layout.OPTION_HOME, layout.OPTION_HOME_LENGTH)
            source = option if option else source
        elif protocol == ip.IP_PROTO_ROUTING:
            destination = _final_destination(buffer, here, size, destination)
        protocol = _u8(buffer, here + layout.EXTENSION_NEXT)
        here += size
    outcome = _carried(buffer, here, min(edge, end), protocol, ip.IP_PROTO_ICMP6)
    return outcome, here, end, marks, source, destination


@inlined
def _extension(buffer, here, edge, end, protocol):
    """Whether an extension header can be passed, and its size (RFC 8200, 4; RFC 4302, 2.2)."""
    if end - here < layout.EXTENSION_HEADER:
        return _MALFORMED, 0
    if edge - here < layout.EXTENSION_HEADER:
        return _CUT, 0
    size = layout.EXTENSION_HEADER
    if protocol == ip.IP_PROTO_FRAGMENT:
        if _u16(buffer, here + layout.FRAGMENT_OFFSET) & layout.FRAGMENT_MASK:
            return _fragment_of(buffer, here, min(edge, end)), 0
    elif protocol == ip.IP_PROTO_AH:
        size = (_u8(buffer, here + layout.EXTENSION_LENGTH) + 2) * 4
    else:
        size = (_u8(buffer, here + layout.EXTENSION_LENGTH) + 1) * 8
    if here + size > end:
        return _MALFORMED, 0
    if here + size > edge:
        return _CUT, 0
    return _SEGMENT, size


@inlined
def _fragment_of(buffer, here, edge):
    """Whether a fragment may hold TCP, by its fragment header."""
    protocol = _u8(buffer, here + layout.EXTENSION_NEXT)
    if protocol == ip.IP_PROTO_TCP or protocol in layout.EXTENSIONS:
        return _DECLINED
    offset = _u16(buffer, here + layout.FRAGMENT_OFFSET) & layout.FRAGMENT_OFFSET_MASK
    return _piece(buffer, here + layout.EXTENSION_HEADER, edge, protocol, offset)


@inlined
def _find_option(buffer, here, size, kind, expected):
    """Where an option's value is within a hop-by-hop or destination options header, 0 for nowhere."""
    at, end = here + 2, here + size
    while at + 1 < end:
        if _u8(buffer, at) == layout.OPTION_PAD1:
            at += 1
            continue
        length = _u8(buffer, at + 1)
        if _u8(buffer, at) == kind and length == expected and at + 2 + length <= end:
            return at + 2
        at += 2 + length
    return np.int64(0)


@inlined
def _final_destination(buffer, here, size, destination):
    """Where a routing header keeps the address that the checksum covers (RFC 8200, 8.1)."""
    if _u8(buffer, here + layout.ROUTING_LEFT) == 0:
        return destination
    kind, addresses = _u8(buffer, here + layout.ROUTING_TYPE), (size - layout.ROUTING_HEADER) // 16
    if addresses and (kind == layout.ROUTING_SOURCE or kind == layout.ROUTING_HOME):
        return here + layout.ROUTING_HEADER + (addresses - 1) * 16
    if addresses and kind == layout.ROUTING_SEGMENTS:  # its list is in reverse
        return here + layout.ROUTING_HEADER
    return np.int64(-1)


# TCP


@inlined
def _tcp(buffer, at, edge, end, row):
    """The TCP header's fields; the payload's length is what the IP length leaves for it."""
    if end - at < layout.TCP_HEADER:
        return _MALFORMED
    if edge - at < layout.TCP_HEADER:
        return _CUT
    offset_flags = _u16(buffer, at + layout.TCP_OFFSET_FLAGS)
    size = (offset_flags >> layout.TCP_OFFSET_SHIFT) * 4
    if size < layout.TCP_HEADER or size > end - at:
        return _MALFORMED
    row["src_port"] = _u16(buffer, at + layout.TCP_SPORT)
    row["dst_port"] = _u16(buffer, at + layout.TCP_DPORT)
    row["seq"] = _u32(buffer, at + layout.TCP_SEQ)
    row["ack"] = _u32(buffer, at + layout.TCP_ACK)
    row["flags"] = offset_flags & layout.TCP_FLAGS
    row["window"] = _u16(buffer, at + layout.TCP_WINDOW)
    row["payload"] = end - at - size
    _options(buffer, at + layout.TCP_HEADER, at + size, edge, row)
    return _SEGMENT


@inlined
def _options(buffer, at, end, edge, row):
    """The options that were captured; what is malformed ends the list, or is passed over."""
    row["tsval"] = row["tsecr"] = row["sack_left"] = row["sack_right"] = row["mss"] = 0
    row["wscale"] = -1
    marks = 0
    if end > edge:
        end, marks = edge, _MARK_OPTIONS_CUT
    while at < end and _u8(buffer, at) != tcp.TCP_OPT_EOL:
        if _u8(buffer, at) == tcp.TCP_OPT_NOP:
            at += 1
            continue
        length = _u8(buffer, at + 1) if at + 1 < end else 0
        if length < 2 or at + length > end:
            marks |= _MARK_OPTIONS_CUT
            break
        marks |= _option(buffer, at, length, row)
        at += length
    row["marks"] = marks


@inlined
def _option(buffer, at, length, row):
    """One option's values into the row; the marks that it earns."""
    kind = _u8(buffer, at)
    if kind == tcp.TCP_OPT_TIMESTAMP and length == layout.OPTION_TIMESTAMP_LENGTH:
        row["tsval"], row["tsecr"] = _u32(buffer, at + 2), _u32(buffer, at + 6)
        return _MARK_TIMESTAMP
    if kind == tcp.TCP_OPT_SACK and length >= layout.OPTION_SACK_LENGTH and length % 8 == 2:
        row["sack_left"], row["sack_right"] = _u32(buffer, at + 2), _u32(buffer, at + 6)
        return _MARK_SACK
    if kind == tcp.TCP_OPT_MSS and length == layout.OPTION_MSS_LENGTH:
        row["mss"] = _u16(buffer, at + 2)
        return 0
    if kind == tcp.TCP_OPT_WSCALE and length == layout.OPTION_WSCALE_LENGTH:
        row["wscale"] = min(_u8(buffer, at + 2), layout.WSCALE_MAXIMUM)
        return 0
    if kind == tcp.TCP_OPT_SACKOK and length == layout.OPTION_SACKOK_LENGTH:
        return _MARK_SACK_PERMITTED
    return _MARK_OPTIONS_CUT if kind in layout.OPTIONS_READ else 0  # one of these, of a wrong length


@inlined
def _network_fields(buffer, at, network, row):
    """What the row takes from the IP header."""
    if network == ethernet.ETH_TYPE_IP:
        row["version"], row["ttl"] = 4, _u8(buffer, at + layout.IP_TTL)
        row["ip_id"] = _u16(buffer, at + layout.IP_ID)
        row["src_hi"] = row["dst_hi"] = 0
        row["src_lo"] = layout.IP_MAPPED | _u32(buffer, at + layout.IP_SRC)
        row["dst_lo"] = layout.IP_MAPPED | _u32(buffer, at + layout.IP_DST)
    else:
        row["version"], row["ttl"] = 6, _u8(buffer, at + layout.IP6_HOP_LIMIT)
        row["ip_id"] = 0
        row["src_hi"] = _u64(buffer, at + layout.IP6_SRC)
        row["src_lo"] = _u64(buffer, at + layout.IP6_SRC + 8)
        row["dst_hi"] = _u64(buffer, at + layout.IP6_DST)
        row["dst_lo"] = _u64(buffer, at + layout.IP6_DST + 8)


# The checksum (RFC 1071; RFC 9293, 3.1)


@inlined
def _verdict(buffer, words, network, source, destination, here, end, marks):
    """Whether the checksum is right, wrong, or was left to the network card."""
    size = 1 if network == ethernet.ETH_TYPE_IP else 4
    addresses = _sum32(buffer, source, size) + _sum32(buffer, destination, size)
    without_length = _fold(addresses + ip.IP_PROTO_TCP)
    pseudo_header = _fold(without_length + end - here)
    if not marks & _MARK_LENGTH_ZERO and _fold(pseudo_header + _sum(buffer, words, here, end)) == 0xFFFF:
        return _GOOD
    field = _u16(buffer, here + layout.TCP_CHECKSUM)
    if field in (0, pseudo_header, without_length):
        return _OFFLOADED
    return _UNKNOWN if marks & _MARK_LENGTH_ZERO else _BAD


@inlined
def _sum32(buffer, at, count):
    """The sum of ``count`` 32-bit words: folded, it is that of their 16-bit halves."""
    total = np.int64(0)
    for index in range(count):
        total += _u32(buffer, at + 4 * index)
    return total


@inlined
def _sum(buffer, words, at, end):
    """The folded sum of the 16-bit words in ``buffer[at:end]``, wherever it begins.

    The sum does not depend on the byte order but for a swap of the result (RFC 1071, 2.B), so that
    aligned words of the machine's own can be added, in a loop that the compiler vectorises.
    """
    first, last = min((at + 3) // 4, end // 4), end // 4
    total = np.int64(0)
    for index in range(first, last):
        total += np.int64(words[np.uint64(index)])
    for index in range(at, min(first * 4, end)):
        total += _u8(buffer, index) << 8 * (index & 1 ^ _BIG_ENDIAN)
    for index in range(max(last * 4, at), end):
        total += _u8(buffer, index) << 8 * (index & 1 ^ _BIG_ENDIAN)
    total = _fold(total)
    if at & 1 != _BIG_ENDIAN:
        return total
    return (total & 0xFF) << 8 | total >> 8


@inlined
def _fold(total):
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
