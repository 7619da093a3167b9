"""Where the frames lie in a block of captured bytes: the kernels for pcap, pcapng and snoop.

A kernel walks over the records of a block, writes one row of ``schema.FRAMES`` for each frame (all
but ``file``, which it cannot know) and stops at what it cannot pass: the end of the block, the end
of ``frames``, a pcapng block that changes what the following ones mean, or damage. It says why by a
``Status`` and leaves ``cursor`` at the record where it stopped, so that the next call goes on there.

Sources: draft-ietf-opsawg-pcap (classic pcap), draft-ietf-opsawg-pcapng (pcapng), RFC 1761 (snoop).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from tcpstates.compiled import inlined, kernel

Bytes = npt.NDArray[np.uint8]
Records = npt.NDArray[np.void]

#: No record or block may claim more. tcpdump's limit is 262,144 bytes; others write larger frames
#: (segmentation offload, USB) and long blocks of names and keys, none of them nearly this long.
MAXIMUM_RECORD = 64 << 20

PCAP_HEADER = 24
PCAP_RECORD_HEADER = 16
SNOOP_HEADER = 16
SNOOP_RECORD_HEADER = 24


class Status(IntEnum):
    """Why a scan stopped."""

    INCOMPLETE = 0  # the rest of the block is less than a record
    FULL = 1  # no more room in ``frames``
    CONTEXT = 2  # a Section Header or Interface Description Block, for the caller to read
    SOUND = 3  # nothing stands in the way: said of one record, never of a scan
    # All that follow are damage
    TOO_LONG = 4
    ZEROS = 5
    CONCATENATED = 6
    BAD_BLOCK_LENGTH = 7
    LENGTHS_DIFFER = 8
    FRAME_BEYOND_BLOCK = 9
    NO_SUCH_INTERFACE = 10
    BAD_SECTION = 11
    BAD_VERSION = 12
    BAD_OPTIONS = 13
    TOO_MANY_INTERFACES = 14
    BAD_RECORD_LENGTH = 15

    @property
    def is_damage(self) -> bool:
        """Whether nothing after this place can be read."""
        return self >= Status.TOO_LONG


class Lengths(IntEnum):
    """In which order a pcap record says its two lengths."""

    CAPTURED_FIRST = 0
    WIRE_FIRST = 1  # before version 2.3
    SMALLER_IS_CAPTURED = 2  # version 2.3, which was written in either order


class BlockType(IntEnum):
    """The pcapng blocks that are read; all others are skipped."""

    INTERFACE_DESCRIPTION = 1
    PACKET = 2  # obsolete
    SIMPLE_PACKET = 3
    ENHANCED_PACKET = 6
    SECTION_HEADER = 0x0A0D0D0A


#: How frames of one interface are to be read.
INTERFACES = np.dtype(
    [
        ("offset", "i8"),  # nanoseconds to be added to each time
        ("multiplier", "u8"),  # of a decimal resolution: nanoseconds = raw * multiplier // divisor
        ("divisor", "u8"),  # one of the two is 1
        ("largest", "u8"),  # raw time that can be multiplied
        ("linktype", "u4"),
        ("snaplen", "u4"),  # 0 for no limit
        ("binary", "u4"),  # bits behind the point of a binary resolution (2^-n s), 0 for a decimal one
    ],
    align=True,
)

#: Where a scan stands.
CURSOR = np.dtype(
    [
        ("position", "i8"),  # of the next record, from the beginning of the block
        ("time", "i8"),  # of the last frame, for those that have none of their own
        ("number", "u4"),  # of the last frame
        ("first_interface", "i4"),  # of this section, counted over the file
        ("record_header", "i4"),  # bytes, of a pcap record
        ("lengths", "u1"),  # Lengths
        ("big_endian", "u1"),
    ],
    align=True,
)

_SECOND = np.uint64(1_000_000_000)
_LATEST = np.uint64(np.iinfo(np.int64).max)
_U32 = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFF_FFFF)
_ZERO, _ONE = np.uint64(0), np.uint64(1)

# The magic number of microsecond and of nanosecond pcap, and version 2.4 as two 16-bit fields
_MICROSECOND_MAGIC, _NANOSECOND_MAGIC = 0xA1B2C3D4, 0xA1B23C4D
_VERSION_LITTLE, _VERSION_BIG = 0x0004_0002, 0x0002_0004

_WIRE_FIRST, _EITHER = Lengths.WIRE_FIRST.value, Lengths.SMALLER_IS_CAPTURED.value

_HEADER_AND_TRAILER = 12  # type, total length; total length again
_ENHANCED_FIELDS = 20  # EPB and PB: interface, time in two halves, captured, original length
_SIMPLE_FIELDS = 4  # SPB: original length


@inlined
def _uint32(buffer: Bytes, at: Any, big_endian: bool) -> Any:
    """The 32-bit number there; int64, so that sums and comparisons stay signed."""
    a, b = np.int64(buffer[at]), np.int64(buffer[at + 1])
    c, d = np.int64(buffer[at + 2]), np.int64(buffer[at + 3])
    if big_endian:
        return a << 24 | b << 16 | c << 8 | d
    return d << 24 | c << 16 | b << 8 | a


@inlined
def _uint16(buffer: Bytes, at: Any, big_endian: bool) -> Any:
    a, b = np.int64(buffer[at]), np.int64(buffer[at + 1])
    if big_endian:
        return a << 8 | b
    return b << 8 | a


@inlined
def _check_record(seconds: int, fraction: int, captured: int, length: int, room: Any) -> Any:
    """Whether a record's header can be believed, and all of its bytes are there."""
    if captured == 0 and length == 0:
        if seconds == 0 and fraction == 0:
            return Status.ZEROS.value
        is_magic = seconds in (_MICROSECOND_MAGIC, _NANOSECOND_MAGIC)
        if is_magic and fraction in (_VERSION_LITTLE, _VERSION_BIG):
            return Status.CONCATENATED.value
    if captured > MAXIMUM_RECORD:
        return Status.TOO_LONG.value
    return Status.SOUND.value if captured <= room else Status.INCOMPLETE.value


@kernel
def scan_pcap(buffer: Bytes, end: int, cursor: Records, interfaces: Records, frames: Records) -> Any:
    """Find the frames of a classic pcap file.

    Parameters
    ----------
    buffer : numpy.ndarray
        uint8: the block. Bytes from ``cursor['position']`` up to ``end`` are read.
    end : int
        Where the block's bytes end.
    cursor : numpy.ndarray
        One ``CURSOR``, moved forward.
    interfaces : numpy.ndarray
        One ``INTERFACES``: the file's link type, and its nanoseconds per unit in ``multiplier``.
    frames : numpy.ndarray
        ``FRAMES``, to be filled from the first on.

    Returns
    -------
    count : int
        How many frames were found.
    status : int
        The ``Status``.
    """
    state, interface = cursor[0], interfaces[0]
    big_endian, order = state["big_endian"] != 0, state["lengths"]
    position, number = np.int64(state["position"]), np.int64(state["number"])
    header, unit = np.int64(state["record_header"]), np.int64(interface["multiplier"])
    count, status = 0, Status.SOUND.value
    while end - position >= header:
        if count == len(frames):
            status = Status.FULL.value
            break
        seconds = _uint32(buffer, position, big_endian)
        fraction = _uint32(buffer, position + 4, big_endian)
        captured = _uint32(buffer, position + 8, big_endian)
        length = _uint32(buffer, position + 12, big_endian)
        if order == _WIRE_FIRST or (order == _EITHER and captured > length):
            captured, length = length, captured
        status = _check_record(seconds, fraction, captured, length, end - position - header)
        if status != Status.SOUND.value:
            break
        number += 1
        frame = frames[count]
        frame["time"] = seconds * 1_000_000_000 + fraction * unit
        frame["offset"] = position + header
        frame["captured"] = captured
        frame["length"] = length
        frame["number"] = number
        frame["interface"] = 0
        frame["linktype"] = interface["linktype"]
        count += 1
        position += header + captured
    state["position"] = position
    state["number"] = number
    return count, Status.INCOMPLETE.value if status == Status.SOUND.value else status


@kernel
def scan_snoop(buffer: Bytes, end: int, cursor: Records, interfaces: Records, frames: Records) -> Any:
    """Find the frames of a snoop file (RFC 1761); takes and returns what ``scan_pcap`` does."""
    state, interface = cursor[0], interfaces[0]
    position, number = np.int64(state["position"]), np.int64(state["number"])
    count, status = 0, Status.SOUND.value
    while end - position >= SNOOP_RECORD_HEADER:
        if count == len(frames):
            status = Status.FULL.value
            break
        captured = _uint32(buffer, position + 4, True)
        total = _uint32(buffer, position + 8, True)
        status = _check_snoop(captured, total, end - position)
        if status != Status.SOUND.value:
            break
        number += 1
        frame = frames[count]
        seconds, fraction = _uint32(buffer, position + 16, True), _uint32(buffer, position + 20, True)
        frame["time"] = seconds * 1_000_000_000 + fraction * 1_000
        frame["offset"] = position + SNOOP_RECORD_HEADER
        frame["captured"] = captured
        frame["length"] = _uint32(buffer, position, True)
        frame["number"] = number
        frame["interface"] = 0
        frame["linktype"] = interface["linktype"]
        count += 1
        position += total
    state["position"] = position
    state["number"] = number
    return count, Status.INCOMPLETE.value if status == Status.SOUND.value else status


@inlined
def _check_snoop(captured: int, total: int, room: Any) -> Any:
    """Whether a record's lengths, the padded one included, can be believed, and all of it is there."""
    if total > MAXIMUM_RECORD:
        return Status.TOO_LONG.value
    if total < SNOOP_RECORD_HEADER + captured:
        return Status.ZEROS.value if total == 0 and captured == 0 else Status.BAD_RECORD_LENGTH.value
    return Status.SOUND.value if total <= room else Status.INCOMPLETE.value


@inlined
def _nanoseconds(interface: Any, high: int, low: int) -> Any:
    """The time of a raw 64-bit count, exact; the latest there is where it does not fit."""
    raw = np.uint64(high) << _U32 | np.uint64(low)
    if interface["binary"] != 0:
        time = _binary_nanoseconds(raw, np.uint64(interface["binary"]))
    elif raw > np.uint64(interface["largest"]):
        time = _LATEST
    elif interface["divisor"] != _ONE:
        time = raw // np.uint64(interface["divisor"])
    else:
        time = raw * np.uint64(interface["multiplier"])
    offset = np.int64(interface["offset"])
    if offset > 0 and time > _LATEST - np.uint64(offset):
        return np.int64(_LATEST)
    return np.int64(time) + offset


@inlined
def _binary_nanoseconds(raw: Any, bits: Any) -> Any:
    """``raw * 10^9 >> bits`` without a 128-bit product, rounded down."""
    whole = raw >> bits if bits < np.uint64(64) else _ZERO
    if whole >= _LATEST // _SECOND:
        return _LATEST
    fraction = raw - (whole << bits) if bits < np.uint64(64) else raw
    if bits <= _U32:
        return whole * _SECOND + (fraction * _SECOND >> bits)
    # The product of the upper half, carried over by that of the lower, has 32 bits fewer behind the point
    upper = (fraction >> _U32) * _SECOND + ((fraction & _LOW_HALF) * _SECOND >> _U32)
    shift = bits - _U32
    return whole * _SECOND + (upper >> shift if shift < np.uint64(64) else _ZERO)


@inlined
def _read_enhanced(buffer: Bytes, at: Any, kind: int, state: Any, interfaces: Records, frame: Any) -> Any:
    """Read an Enhanced or an obsolete Packet Block whose fields begin at ``at``."""
    big_endian = state["big_endian"] != 0
    if kind == BlockType.PACKET.value:
        index = _uint16(buffer, at, big_endian)
    else:
        index = _uint32(buffer, at, big_endian)
    if index >= len(interfaces):
        return Status.NO_SUCH_INTERFACE.value
    high, low = _uint32(buffer, at + 4, big_endian), _uint32(buffer, at + 8, big_endian)
    frame["time"] = _nanoseconds(interfaces[index], high, low)
    frame["offset"] = at + _ENHANCED_FIELDS
    frame["captured"] = _uint32(buffer, at + 12, big_endian)
    frame["length"] = _uint32(buffer, at + 16, big_endian)
    frame["interface"] = state["first_interface"] + index
    frame["linktype"] = interfaces[index]["linktype"]
    return Status.SOUND.value


@inlined
def _read_simple(buffer: Bytes, at: Any, state: Any, interfaces: Records, frame: Any) -> Any:
    """Read a Simple Packet Block: the first interface's, without a time or a captured length of its own."""
    if len(interfaces) == 0:
        return Status.NO_SUCH_INTERFACE.value
    length = _uint32(buffer, at, state["big_endian"] != 0)
    snaplen = np.int64(interfaces[0]["snaplen"])
    frame["time"] = state["time"]
    frame["offset"] = at + _SIMPLE_FIELDS
    frame["captured"] = min(length, snaplen) if snaplen != 0 else length
    frame["length"] = length
    frame["interface"] = state["first_interface"]
    frame["linktype"] = interfaces[0]["linktype"]
    return Status.SOUND.value


@inlined
def _read_packet(
    buffer: Bytes, at: Any, total: int, kind: int, state: Any, interfaces: Records, frame: Any
) -> Any:
    """Read a packet block of ``total`` bytes into ``frame``; SOUND, or what is wrong with it."""
    simple = kind == BlockType.SIMPLE_PACKET.value
    if total < _HEADER_AND_TRAILER + (_SIMPLE_FIELDS if simple else _ENHANCED_FIELDS):
        return Status.BAD_BLOCK_LENGTH.value
    if simple:
        status = _read_simple(buffer, at + 8, state, interfaces, frame)
    else:
        status = _read_enhanced(buffer, at + 8, kind, state, interfaces, frame)
    if status != Status.SOUND.value:
        return status
    if np.int64(frame["captured"]) > at + total - 4 - frame["offset"]:
        return Status.FRAME_BEYOND_BLOCK.value
    state["time"] = frame["time"]
    state["number"] += np.uint32(1)
    frame["number"] = state["number"]
    return status


@inlined
def _check_block(buffer: Bytes, at: Any, end: int, total: int, big_endian: bool) -> Any:
    """Whether a block's length can be believed, and all of its bytes are there."""
    if total < _HEADER_AND_TRAILER or total % 4 != 0:
        return Status.BAD_BLOCK_LENGTH.value
    if total > MAXIMUM_RECORD:
        return Status.TOO_LONG.value
    if end - at < total:
        return Status.INCOMPLETE.value
    if _uint32(buffer, at + total - 4, big_endian) != total:
        return Status.LENGTHS_DIFFER.value
    return Status.SOUND.value


@kernel
def scan_pcapng(buffer: Bytes, end: int, cursor: Records, interfaces: Records, frames: Records) -> Any:
    """Find the frames of a pcapng section, up to its next Section Header or Interface Description Block.

    Takes and returns what ``scan_pcap`` does; ``interfaces`` are those that the section has declared
    so far, in order. Blocks that hold no packet are passed over. Simple Packet Blocks have no time
    and are given that of the frame before them, 1970 if there is none.
    """
    state = cursor[0]
    big_endian = state["big_endian"] != 0
    position = np.int64(state["position"])
    count, status = 0, Status.SOUND.value
    while end - position >= _HEADER_AND_TRAILER:
        if count == len(frames):
            status = Status.FULL.value
            break
        kind = _uint32(buffer, position, big_endian)
        total = _uint32(buffer, position + 4, big_endian)
        if kind == BlockType.SECTION_HEADER.value:  # its length is in its own byte order
            status = Status.CONTEXT.value
            break
        status = _check_block(buffer, position, end, total, big_endian)
        if status == Status.SOUND.value and kind == BlockType.INTERFACE_DESCRIPTION.value:
            status = Status.CONTEXT.value
        if status != Status.SOUND.value:
            break
        if kind in (BlockType.ENHANCED_PACKET.value, BlockType.SIMPLE_PACKET.value, BlockType.PACKET.value):
            status = _read_packet(buffer, position, total, kind, state, interfaces, frames[count])
            if status != Status.SOUND.value:
                break
            count += 1
        position += total
    state["position"] = position
    return count, Status.INCOMPLETE.value if status == Status.SOUND.value else status
