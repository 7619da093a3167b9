"""The same capture as a worse instrument would have taken it."""

from __future__ import annotations

import gzip
import io
import random
import struct
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

_FILE_HEADER, _RECORD = struct.Struct("<IHHiIII"), struct.Struct("<IIII")
_NANOSECOND_MAGIC = 0xA1B23C4D
_ETHERNET, _RAW_IP, _COOKED, _COOKED_2 = 1, 101, 113, 276
_SECOND = 1_000_000_000
#: A second copy of a frame follows the first after so many nanoseconds.
_COPY_DELAY = 10_000
#: Frames further apart do not overtake each other in any capture.
_OVERTAKING = 5_000_000
_SNAP_LENGTH = 60
_VLAN_TAG = b"\x81\x00\x00\x2a"
_UNICAST_TO_US, _SENT_BY_US = 0, 4


class Packet(NamedTuple):
    """A captured packet without its link header."""

    time: int
    ether_type: bytes
    data: bytes
    outgoing: bool


class Frame(NamedTuple):
    """A record to write; ``length`` is that on the wire."""

    time: int
    data: bytes
    length: int
    interface: int = 0


Imperfection = Callable[[list[Packet], random.Random], bytes]


def packets_of(capture: Path) -> list[Packet]:
    """The packets of a compressed pcap with nanoseconds, Ethernet or raw IP.

    Raises
    ------
    ValueError
        If it is something else.
    """
    data = gzip.decompress(capture.read_bytes())
    magic, *_, linktype = _FILE_HEADER.unpack_from(data)
    if magic != _NANOSECOND_MAGIC or linktype not in (_ETHERNET, _RAW_IP):
        raise ValueError(f"{capture}: not a nanosecond pcap of Ethernet or raw IP; record it again")
    packets, position = [], _FILE_HEADER.size
    while position < len(data):
        seconds, nanoseconds, captured, _ = _RECORD.unpack_from(data, position)
        position += _RECORD.size + captured
        frame = data[position - captured : position]
        packets.append(_packet(seconds * _SECOND + nanoseconds, frame, linktype))
    return packets


def _packet(time: int, frame: bytes, linktype: int) -> Packet:
    if linktype == _ETHERNET:
        ether_type, data = frame[12:14], frame[14:]
    else:
        ether_type, data = (b"\x86\xdd" if frame[0] >> 4 == 6 else b"\x08\x00"), frame
    source, destination = (data[8:24], data[24:40]) if data[0] >> 4 == 6 else (data[12:16], data[16:20])
    return Packet(time, ether_type, data, source < destination)


def degraded(capture: Path, imperfection: str) -> io.BytesIO:
    """``capture`` with one of ``IMPERFECTIONS``, the same one each time."""
    seed = random.Random(f"{capture.name} {imperfection}")
    return io.BytesIO(IMPERFECTIONS[imperfection](packets_of(capture), seed))


def _pcap(frames: Iterable[Frame], linktype: int = _ETHERNET) -> bytes:
    header = _FILE_HEADER.pack(_NANOSECOND_MAGIC, 2, 4, 0, 0, 262_144, linktype)
    return header + b"".join(
        _RECORD.pack(*divmod(time, _SECOND), len(data), length) + data for time, data, length, _ in frames
    )


def _ethernet(packet: Packet, tag: bytes = b"") -> Frame:
    hosts = bytes.fromhex("020000000001 020000000002")
    addresses = hosts[6:] + hosts[:6] if packet.outgoing else hosts
    data = addresses + tag + packet.ether_type + packet.data
    return Frame(packet.time, data, len(data))


def _missing(percent: float, packets: list[Packet], seed: random.Random) -> bytes:
    return _pcap(_ethernet(packet) for packet in packets if seed.random() * 100 >= percent)


def _doubled(packets: list[Packet], seed: random.Random) -> bytes:
    copies = [packet._replace(time=packet.time + _COPY_DELAY) for packet in packets]
    both = sorted([*packets, *copies], key=lambda packet: packet.time)
    return _pcap(map(_ethernet, both))


def _swapped(packets: list[Packet], seed: random.Random) -> bytes:
    """Each two neighbours that are close exchange their places; each keeps its time."""
    order, at = list(packets), 0
    while at < len(order) - 1:
        if order[at + 1].time - order[at].time <= _OVERTAKING:
            order[at], order[at + 1] = order[at + 1], order[at]
            at += 1
        at += 1
    return _pcap(map(_ethernet, order))


def _snapped(packets: list[Packet], seed: random.Random) -> bytes:
    frames = map(_ethernet, packets)
    return _pcap(frame._replace(data=frame.data[:_SNAP_LENGTH]) for frame in frames)


def _tagged(packets: list[Packet], seed: random.Random) -> bytes:
    return _pcap(_ethernet(packet, _VLAN_TAG) for packet in packets)


def _cooked(packets: list[Packet], seed: random.Random) -> bytes:
    """Linux cooked: kind of packet, ARPHRD_ETHER, address length and address, ether type."""
    return _pcap(map(_cooked_frame, packets), _COOKED)


def _cooked_frame(packet: Packet) -> Frame:
    kind = _SENT_BY_US if packet.outgoing else _UNICAST_TO_US
    data = struct.pack("!HHHQ", kind, 1, 6, 0x0200_0000_0001_0000) + packet.ether_type + packet.data
    return Frame(packet.time, data, len(data))


def _cooked_2(packets: list[Packet], seed: random.Random) -> bytes:
    """Linux cooked, version 2: ether type, interface, ARPHRD_ETHER, kind, address length and address."""
    return _pcap(map(_cooked_2_frame, packets), _COOKED_2)


def _cooked_2_frame(packet: Packet) -> Frame:
    kind = _SENT_BY_US if packet.outgoing else _UNICAST_TO_US
    address = struct.pack("!HIHBBQ", 0, 2, 1, kind, 6, 0x0200_0000_0001_0000)
    data = packet.ether_type + address + packet.data
    return Frame(packet.time, data, len(data))


def _by_direction(packets: list[Packet], seed: random.Random) -> bytes:
    """A pcapng with an interface for each direction."""
    section = _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    resolution = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # if_tsresol: 10^-9
    interface = _block(1, struct.pack("<HHI", _ETHERNET, 0, 0) + resolution)
    frames = (_ethernet(packet)._replace(interface=int(packet.outgoing)) for packet in packets)
    return section + 2 * interface + b"".join(map(_enhanced_packet, frames))


def _enhanced_packet(frame: Frame) -> bytes:
    time, data, length, interface = frame
    fields = struct.pack("<IIIII", interface, time >> 32, time & 0xFFFF_FFFF, len(data), length)
    return _block(6, fields + data + bytes(-len(data) % 4))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def _cut(packets: list[Packet], seed: random.Random) -> bytes:
    """Two thirds of the frames, the last of them only in part."""
    return _pcap(map(_ethernet, packets[: max(2, len(packets) * 2 // 3)]))[:-7]


IMPERFECTIONS: dict[str, Imperfection] = {
    "0.5 % missing": partial(_missing, 0.5),
    "2 % missing": partial(_missing, 2),
    "10 % missing": partial(_missing, 10),
    "doubled": _doubled,
    "swapped": _swapped,
    "snap length 60": _snapped,
    "VLAN": _tagged,
    "cooked": _cooked,
    "cooked v2": _cooked_2,
    "pcapng, by direction": _by_direction,
    "cut": _cut,
}
