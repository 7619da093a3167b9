"""Reading what was just recorded, and the same capture in other clothes (tags, formats, compression)."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import dpkt

from .diag import Endpoint, endpoint

_NANOSECOND_MAGIC = 0xA1B23C4D
_RECORD = struct.Struct("<IIII")
_FILE_HEADER = struct.Struct("<IHHiIII")
_ETHERNET = 1
_SECOND = 1_000_000_000


class Frame(NamedTuple):
    """A captured frame; ``time`` in nanoseconds since the epoch."""

    time: int
    data: bytes


class Segment(NamedTuple):
    """What a check needs of a TCP segment."""

    time: int
    source: Endpoint
    destination: Endpoint
    flags: str  # first letters, in the order FSRPAU
    payload: int


def read_frames(path: Path) -> list[Frame]:
    """The frames of a little-endian Ethernet pcap with nanoseconds, which is what tcpdump wrote."""
    data = path.read_bytes()
    magic, *_, linktype = _FILE_HEADER.unpack_from(data)
    if (magic, linktype) != (_NANOSECOND_MAGIC, _ETHERNET):
        raise ValueError(f"{path}: not a nanosecond Ethernet pcap")
    return list(_records(data))


def _records(data: bytes) -> Iterator[Frame]:
    position = _FILE_HEADER.size
    while position < len(data):
        seconds, nanoseconds, captured, _ = _RECORD.unpack_from(data, position)
        position += _RECORD.size + captured
        yield Frame(seconds * _SECOND + nanoseconds, data[position - captured : position])


def segments(frames: Iterable[Frame]) -> list[Segment]:
    """The TCP segments among ``frames``."""
    return [segment for frame in frames if (segment := segment_of(frame))]


def segment_of(frame: Frame) -> Segment | None:
    """The TCP segment in a frame, if there is one."""
    ip = dpkt.ethernet.Ethernet(frame.data).data
    tcp = getattr(ip, "data", None)
    if not isinstance(tcp, dpkt.tcp.TCP):
        return None
    flags = "".join(letter for bit, letter in enumerate("FSRPAU") if tcp.flags >> bit & 1)
    source, destination = endpoint(ip.src, tcp.sport), endpoint(ip.dst, tcp.dport)
    return Segment(frame.time, source, destination, flags, len(tcp.data))


def write_pcap(path: Path, frames: Iterable[Frame]) -> None:
    """A little-endian Ethernet pcap with nanoseconds."""
    path.write_bytes(_pcap(frames))


def _pcap(frames: Iterable[Frame]) -> bytes:
    header = _FILE_HEADER.pack(_NANOSECOND_MAGIC, 2, 4, 0, 0, 262_144, _ETHERNET)
    return header + b"".join(
        _RECORD.pack(*divmod(time, _SECOND), len(data), len(data)) + data for time, data in frames
    )


def write_gzip(path: Path, frames: Iterable[Frame]) -> None:
    """The same, compressed; without a time stamp, so that equal captures give equal files."""
    path.write_bytes(gzip.compress(_pcap(frames), mtime=0))


def write_pcapng(path: Path, frames: Iterable[Frame]) -> None:
    """One section, one Ethernet interface with nanoseconds, Enhanced Packet Blocks."""
    section = _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    resolution = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # if_tsresol: 10^-9
    interface = _block(1, struct.pack("<HHI", _ETHERNET, 0, 0) + resolution)
    path.write_bytes(section + interface + b"".join(_enhanced_packet(frame) for frame in frames))


def _enhanced_packet(frame: Frame) -> bytes:
    time, data = frame
    size = len(data)
    fields = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFF_FFFF, size, size)
    return _block(6, fields + data + bytes(-size % 4))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def tagged(frames: Iterable[Frame], *tags: tuple[int, int]) -> list[Frame]:
    """``frames`` as on a trunk: each tag is an ether type and a VLAN id, the outer one first."""
    tag = b"".join(struct.pack("!HH", kind, vlan) for kind, vlan in tags)
    return [Frame(time, data[:12] + tag + data[12:]) for time, data in frames]
