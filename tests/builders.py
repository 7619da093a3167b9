"""Builds captures and frames byte by byte, independently of the code that reads them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple

#: 2023-11-14 22:13:20.123456 UTC, in nanoseconds: exact in microseconds too.
START = 1_700_000_000_123_456_000
SECOND = 1_000_000_000
MICROSECOND = 1_000

ETHERNET, RAW_IP, LINUX_COOKED = 1, 101, 113


class Frame(NamedTuple):
    """A frame to be written: ``length`` is that on the wire, the data's if not given."""

    time: int
    data: bytes
    length: int | None = None
    interface: int = 0

    @property
    def wire_length(self) -> int:
        return len(self.data) if self.length is None else self.length


def some_frames(count: int, size: int = 60) -> list[Frame]:
    """Frames a millisecond apart, each with other bytes and another length."""
    return [
        Frame(START + number * 1000 * MICROSECOND, bytes([number % 256]) * (size + number % 7))
        for number in range(count)
    ]


# --- classic pcap ------------------------------------------------------------------------------


def pcap_header(
    big_endian: bool = False, nanoseconds: bool = False, linktype: int = ETHERNET, snaplen: int = 262144
) -> bytes:
    """The 24 bytes that a classic pcap file begins with."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    return struct.pack(_order(big_endian) + "IHHiIII", magic, 2, 4, 0, 0, snaplen, linktype)


def pcap_record(frame: Frame, big_endian: bool = False, nanoseconds: bool = False) -> bytes:
    """One record of a classic pcap file."""
    seconds, fraction = divmod(frame.time, SECOND)
    if not nanoseconds:
        fraction //= MICROSECOND
    fields = (seconds, fraction, len(frame.data), frame.wire_length)
    return struct.pack(_order(big_endian) + "IIII", *fields) + frame.data


def pcap(
    frames: Iterable[Frame],
    big_endian: bool = False,
    nanoseconds: bool = False,
    linktype: int = ETHERNET,
    snaplen: int = 262144,
) -> bytes:
    """A classic pcap file."""
    header = pcap_header(big_endian, nanoseconds, linktype, snaplen)
    return header + b"".join(pcap_record(frame, big_endian, nanoseconds) for frame in frames)


def pcap_variant(
    frames: Iterable[Frame],
    magic: int = 0xA1B2C3D4,
    version: tuple[int, int] = (2, 4),
    header: bytes = b"",
    extra: bytes = b"",
    wire_first: bool = False,
    unit: int = MICROSECOND,
    linktype: int = ETHERNET,
    big_endian: bool = False,
) -> bytes:
    """A pcap file of another kind: more bytes in its header or in those of its records, lengths swapped."""
    order = _order(big_endian)
    data = struct.pack(order + "IHHiIII", magic, *version, 0, 0, 262144, linktype) + header
    for frame in frames:
        seconds, fraction = divmod(frame.time, SECOND)
        lengths = (len(frame.data), frame.wire_length)
        fields = (seconds, fraction // unit, *(reversed(lengths) if wire_first else lengths))
        data += struct.pack(order + "IIII", *fields) + extra + frame.data
    return data


def snoop(frames: Iterable[Frame], datalink: int = 4, version: int = 2) -> bytes:
    """A snoop file (RFC 1761), its records padded to 32 bits."""
    data = b"snoop\0\0\0" + struct.pack(">II", version, datalink)
    for frame in frames:
        seconds, fraction = divmod(frame.time, SECOND)
        padded = _padded(frame.data)
        lengths = (frame.wire_length, len(frame.data), 24 + len(padded), 0)
        data += struct.pack(">IIIIII", *lengths, seconds, fraction // MICROSECOND) + padded
    return data


# --- pcapng ------------------------------------------------------------------------------------

END_OF_OPTIONS, IF_NAME, IF_TSRESOL, IF_TSOFFSET = 0, 2, 9, 14


class Section:
    """Writes the blocks of one pcapng section."""

    def __init__(self, big_endian: bool = False) -> None:
        self.order = _order(big_endian)

    def block(self, kind: int, body: bytes) -> bytes:
        """Any block, padded to 32 bits."""
        total = 12 + len(_padded(body))
        return self._pack("II", kind, total) + _padded(body) + self._pack("I", total)

    def header(self, major: int = 1) -> bytes:
        """A Section Header Block of unspecified section length."""
        return self.block(0x0A0D0D0A, self._pack("IHHq", 0x1A2B3C4D, major, 0, -1))

    def interface(
        self,
        linktype: int = ETHERNET,
        snaplen: int = 0,
        tsresol: int | None = None,
        tsoffset: int | None = None,
        name: bytes = b"eth0",
    ) -> bytes:
        """An Interface Description Block."""
        options = self.option(IF_NAME, name)
        if tsresol is not None:
            options += self.option(IF_TSRESOL, bytes([tsresol]))
        if tsoffset is not None:
            options += self.option(IF_TSOFFSET, self._pack("q", tsoffset))
        return self.block(
            1, self._pack("HHI", linktype, 0, snaplen) + options + self.option(END_OF_OPTIONS, b"")
        )

    def option(self, code: int, value: bytes) -> bytes:
        """One option, padded to 32 bits."""
        return self._pack("HH", code, len(value)) + _padded(value)

    def enhanced(self, ticks: int, data: bytes, length: int | None = None, interface: int = 0) -> bytes:
        """An Enhanced Packet Block; ``ticks`` in the interface's resolution."""
        length = len(data) if length is None else length
        fields = (interface, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length)
        return self.block(6, self._pack("IIIII", *fields) + data)

    def obsolete(self, ticks: int, data: bytes, interface: int = 0) -> bytes:
        """An obsolete Packet Block."""
        fields = (interface, 7, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
        return self.block(2, self._pack("HHIIII", *fields) + data)

    def simple(self, data: bytes, length: int | None = None) -> bytes:
        """A Simple Packet Block."""
        return self.block(3, self._pack("I", len(data) if length is None else length) + data)

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)


def pcapng(frames: Iterable[Frame], big_endian: bool = False, linktype: int = ETHERNET) -> bytes:
    """A pcapng file of one section and one interface with nanoseconds."""
    section = Section(big_endian)
    blocks = [section.enhanced(frame.time, frame.data, frame.wire_length) for frame in frames]
    return section.header() + section.interface(linktype, tsresol=9) + b"".join(blocks)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _order(big_endian: bool) -> str:
    return ">" if big_endian else "<"


# --- frames ------------------------------------------------------------------------------------

FLAG_BITS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128, "N": 256}


def tcp_segment(
    source: str,
    destination: str,
    flags: str = "A",
    seq: int = 0,
    ack: int = 0,
    payload: bytes = b"",
    window: int = 65535,
    options: bytes = b"",
) -> bytes:
    """A TCP segment between ``address:port`` and ``address:port``, with a good checksum."""
    (src, src_port), (dst, dst_port) = _endpoint(source), _endpoint(destination)
    bits = sum(FLAG_BITS[flag] for flag in flags)
    words = (20 + len(_padded(options))) // 4
    header = struct.pack("!HHIIHHHH", src_port, dst_port, seq, ack, words << 12 | bits, window, 0, 0)
    segment = header + _padded(options) + payload
    pseudo = src + dst + struct.pack("!II", len(segment), 6)
    return segment[:16] + struct.pack("!H", internet_checksum(pseudo + segment)) + segment[18:]


def ip_packet(source: str, destination: str, protocol: int, payload: bytes, ttl: int = 64) -> bytes:
    """An IPv4 or IPv6 packet, by the addresses' version."""
    src, dst = _endpoint(source)[0], _endpoint(destination)[0]
    if len(src) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl) + src + dst + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, ttl, protocol, 0) + src + dst
    return header[:10] + struct.pack("!H", internet_checksum(header)) + header[12:] + payload


def tcp_packet(source: str, destination: str, flags: str = "A", ttl: int = 64, **fields: object) -> bytes:
    """An IP packet with a TCP segment in it; ``fields`` are those of ``tcp_segment``."""
    segment = tcp_segment(source, destination, flags, **fields)  # type: ignore[arg-type]
    return ip_packet(source, destination, 6, segment, ttl)


def ethernet(packet: bytes, vlans: Sequence[int] = ()) -> bytes:
    """An Ethernet frame around an IP packet, with VLAN tags from the outer to the inner."""
    tags = b"".join(
        struct.pack("!HH", 0x88A8 if outer + 1 < len(vlans) else 0x8100, vlan)
        for outer, vlan in enumerate(vlans)
    )
    ethertype = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return bytes.fromhex("020000000002020000000001") + tags + struct.pack("!H", ethertype) + packet


def tcp_frame(source: str, destination: str, flags: str = "A", **fields: object) -> bytes:
    """An Ethernet frame with a TCP segment: ``tcp_frame("10.0.0.1:4000", "10.0.0.2:80", "S", seq=7)``."""
    return ethernet(tcp_packet(source, destination, flags, **fields))  # type: ignore[arg-type]


def internet_checksum(data: bytes) -> int:
    """The ones' complement of the ones' complement sum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _endpoint(text: str) -> tuple[bytes, int]:
    """``10.0.0.1:80`` or ``[fd00::1]:80``, or an address alone."""
    address, separator, port = text.rpartition(":")
    if not separator or (":" in address and not address.endswith("]")):
        address, port = text, "0"
    return ip_address(address.strip("[]")).packed, int(port)
