"""The scanners: what of each capture format is read outside the kernels.

A scanner keeps where it is in its file and what the file's headers said, has a kernel find the frames
of a block, and says in words what is wrong where that stops.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol, cast

import numpy as np

from tcpstates.capture.framing import (
    CURSOR,
    INTERFACES,
    MAXIMUM_RECORD,
    PCAP_HEADER,
    PCAP_RECORD_HEADER,
    SNOOP_HEADER,
    SNOOP_RECORD_HEADER,
    BlockType,
    Bytes,
    Lengths,
    Records,
    Status,
    scan_pcap,
    scan_pcapng,
    scan_snoop,
)


class Scanner(Protocol):
    """Finds the frames of one file, block after block."""

    #: Where the next record begins in the block; the reader sets it when it moves the bytes.
    position: int

    def scan(self, buffer: Bytes, end: int, frames: Records) -> tuple[int, Status]:
        """Fill ``frames`` from ``buffer[position:end]``; how many there are, and why it stopped."""

    def explain(self, status: Status, buffer: Bytes, end: int) -> str:
        """What is wrong with the record at ``position``, ``INCOMPLETE`` at the end of a file included."""


#: One line for each kind of damage; the fields are those of ``explain``.
_DAMAGE = {
    Status.TOO_LONG: f"a record that claims {{claimed}} bytes, more than {MAXIMUM_RECORD:,}",
    Status.ZEROS: "a record of zeros: the file was not written to its end",
    Status.CONCATENATED: "another capture's header: files were joined by cat; give them as several paths",
    Status.BAD_BLOCK_LENGTH: "a pcapng block of type {kind:#x} with an impossible length of {claimed} bytes",
    Status.LENGTHS_DIFFER: "a pcapng block of type {kind:#x} whose two lengths differ",
    Status.FRAME_BEYOND_BLOCK: "a pcapng block of type {kind:#x} that is shorter than the frame in it",
    Status.NO_SUCH_INTERFACE: "a pcapng packet of an interface that was not declared before it",
    Status.BAD_SECTION: "a pcapng section header with an unknown byte order",
    Status.BAD_VERSION: "a pcapng section of an unknown version",
    Status.BAD_OPTIONS: "a pcapng interface description with malformed options",
    Status.TOO_MANY_INTERFACES: "too many pcapng interface descriptions",
    Status.BAD_RECORD_LENGTH: "a record of {claimed} bytes that is shorter than the frame in it",
}


class _Scanner:
    """What scanners share: the cursor, and how they tell what is wrong."""

    def __init__(self) -> None:
        self.cursor = np.zeros(1, CURSOR)

    @property
    def position(self) -> int:
        """Where the next record begins in the block."""
        return int(self.cursor["position"][0])

    @position.setter
    def position(self, position: int) -> None:
        self.cursor["position"] = position

    @property
    def _order(self) -> str:
        return ">" if self.cursor["big_endian"][0] else "<"

    def _unpack(self, layout: str, buffer: Bytes, at: int) -> tuple[int, ...]:
        """Numbers of the block, in the file's byte order."""
        return struct.unpack_from(self._order + layout, cast(bytearray, buffer), at)


class Pcap(NamedTuple):
    """A kind of pcap: decimals of its seconds, bytes of its header, and of the headers of its records."""

    exponent: int
    header: int
    records: tuple[int, ...]


#: By magic number; where a number is shared, the likeliest first. The extra bytes of Kuznetzov's patches
#: (interface, protocol, direction; 8 or, in one of them, 12) and of Nokia's are not needed.
PCAPS = {
    0xA1B2C3D4: Pcap(6, PCAP_HEADER, (PCAP_RECORD_HEADER, PCAP_RECORD_HEADER + 8, PCAP_RECORD_HEADER + 4)),
    0xA1B23C4D: Pcap(9, PCAP_HEADER, (PCAP_RECORD_HEADER,)),
    0xA1B2CD34: Pcap(6, PCAP_HEADER, (PCAP_RECORD_HEADER + 8, PCAP_RECORD_HEADER + 12)),
    0x1C0001AC: Pcap(9, PCAP_HEADER + 4, (PCAP_RECORD_HEADER,)),  # IXIA, hardware: the header ends with
    0x1C0001AB: Pcap(6, PCAP_HEADER + 4, (PCAP_RECORD_HEADER,)),  # a length of all records; software
}
#: AIX writes version 2.2, nanoseconds, and the interface types of RFC 1573 for link types.
_AIX_LINKTYPES = {6: 1, 9: 6, 15: 10, 24: 0}
_AIX, _NOW, _DGUX = (2, 2), (2, 4), (543, 0)


class PcapScanner(_Scanner):
    """Classic pcap (draft-ietf-opsawg-pcap): one header, one interface, then records.

    Parameters
    ----------
    head : bytes
        The file's first bytes: its header at least, better some records, which tell variants apart.
    """

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self.cursor["big_endian"] = head[0] in (0xA1, 0x1C)
        (magic,) = struct.unpack_from(self._order + "I", head)
        version = struct.unpack_from(self._order + "HH", head, 4)
        snaplen, linktype = struct.unpack_from(self._order + "II", head, 16)
        kind = PCAPS[magic]
        exponent = kind.exponent
        if version == _AIX and linktype in _AIX_LINKTYPES:
            exponent, linktype = 9, _AIX_LINKTYPES[linktype]
        self.position = kind.header
        self.cursor["lengths"] = _lengths(version)
        self.cursor["record_header"] = (
            self._record_header(kind, head) if version == _NOW else PCAP_RECORD_HEADER
        )
        # The upper half of the link type says whether, and how long, a frame check sequence follows
        self.interfaces = _interface(linktype & 0xFFFF, snaplen, exponent)

    def scan(self, buffer: Bytes, end: int, frames: Records) -> tuple[int, Status]:
        """Fill ``frames`` from ``buffer[position:end]``."""
        count, status = scan_pcap(buffer, end, self.cursor, self.interfaces, frames)
        return count, Status(status)

    def explain(self, status: Status, buffer: Bytes, end: int) -> str:
        """What is wrong with the record at ``position``."""
        there, header = end - self.position, int(self.cursor["record_header"][0])
        if there < header:
            return f"cut in the middle of a record header ({there} of {header} bytes are there)"
        lengths = self._unpack("II", buffer, self.position + 8)
        order = self.cursor["lengths"][0]
        claimed = min(lengths) if order == Lengths.SMALLER_IS_CAPTURED else lengths[order]
        if status is Status.INCOMPLETE:
            return f"cut in the middle of a record ({there - header:,} of {claimed:,} bytes are there)"
        return _DAMAGE[status].format(claimed=f"{claimed:,}")

    def _record_header(self, kind: Pcap, head: bytes) -> int:
        """How long the headers of the records are: another length only if it fits and the first does not."""
        first = kind.records[0]
        if self._fits(head, kind.header, first, enough=0):
            return first
        fitting = (size for size in kind.records[1:] if self._fits(head, kind.header, size, enough=2))
        return next(fitting, first)

    def _fits(self, head: bytes, at: int, size: int, enough: int) -> bool:
        """Whether the first records, if their headers have ``size`` bytes, make sense, and are ``enough``."""
        tried, first = 0, None
        while at + size <= len(head) and tried < _RECORDS_TRIED:
            seconds, fraction, captured, length = struct.unpack_from(self._order + "IIII", head, at)
            first = seconds if first is None else first
            if (
                fraction >= 1_000_000
                or captured > min(length, MAXIMUM_RECORD)
                or abs(seconds - first) > _YEAR
            ):
                return False
            tried, at = tried + 1, at + size + captured
        return tried >= enough or at == len(head)


_RECORDS_TRIED = 4
_YEAR = 366 * 86_400


def _lengths(version: tuple[int, ...]) -> Lengths:
    if version < (2, 3) or version == _DGUX:
        return Lengths.WIRE_FIRST
    return Lengths.SMALLER_IS_CAPTURED if version == (2, 3) else Lengths.CAPTURED_FIRST


class SnoopScanner(_Scanner):
    """Solaris' snoop (RFC 1761): one header, one interface, then padded records, all big-endian.

    Parameters
    ----------
    head : bytes
        The file's first bytes, its header at least.

    Raises
    ------
    ValueError
        If it is of another version, or of a link layer without a LINKTYPE_ value.
    """

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self.cursor["big_endian"] = 1
        self.position = SNOOP_HEADER
        version, datalink = struct.unpack_from(">II", head, 8)
        if version != 2:
            raise ValueError(f"of version {version}")
        if datalink not in _SNOOP_LINKTYPES:
            raise ValueError(f"of link layer {datalink}")
        self.interfaces = _interface(_SNOOP_LINKTYPES[datalink], 0, 6)

    def scan(self, buffer: Bytes, end: int, frames: Records) -> tuple[int, Status]:
        """Fill ``frames`` from ``buffer[position:end]``."""
        count, status = scan_snoop(buffer, end, self.cursor, self.interfaces, frames)
        return count, Status(status)

    def explain(self, status: Status, buffer: Bytes, end: int) -> str:
        """What is wrong with the record at ``position``."""
        there = end - self.position
        if there < SNOOP_RECORD_HEADER:
            return f"cut in the middle of a record header ({there} of {SNOOP_RECORD_HEADER} bytes are there)"
        (claimed,) = self._unpack("I", buffer, self.position + 8)
        if status is Status.INCOMPLETE:
            return f"cut in the middle of a record ({there:,} of {claimed:,} bytes are there)"
        return _DAMAGE[status].format(claimed=f"{claimed:,}")


#: 802.3, Token Ring, Ethernet, FDDI, ATM, IPNET
_SNOOP_LINKTYPES = {0: 1, 2: 6, 4: 1, 8: 10, 18: 123, 26: 226}


class PcapngScanner(_Scanner):
    """pcapng (draft-ietf-opsawg-pcapng): sections, each with its own byte order and interfaces.

    Interfaces are numbered through the file, those of a later section after those of the earlier
    ones, so that a number means one interface. (Wireshark begins anew in each section.)
    """

    #: A file that declares more is made to exhaust memory.
    MAXIMUM_INTERFACES = 1 << 16

    def __init__(self, header: bytes) -> None:
        super().__init__()
        self._interfaces = np.zeros(8, INTERFACES)
        self._declared = 0  # in this section

    def scan(self, buffer: Bytes, end: int, frames: Records) -> tuple[int, Status]:
        """Fill ``frames`` from ``buffer[position:end]``, over any number of sections."""
        count = 0
        while True:
            interfaces = self._interfaces[: self._declared]
            found, code = scan_pcapng(buffer, end, self.cursor, interfaces, frames[count:])
            count, status = count + found, Status(code)
            if status is Status.CONTEXT:
                status = self._enter(buffer, end)
            if status is not Status.SOUND:
                return count, status

    def explain(self, status: Status, buffer: Bytes, end: int) -> str:
        """What is wrong with the block at ``position``."""
        there = end - self.position
        if there < 12:
            return f"cut in the middle of a pcapng block ({there} bytes are there)"
        kind, claimed = self._unpack("II", buffer, self.position)
        if status is Status.INCOMPLETE:
            return f"cut in the middle of a pcapng block ({there:,} of {claimed:,} bytes are there)"
        return _DAMAGE[status].format(kind=kind, claimed=f"{claimed:,}")

    def _enter(self, buffer: Bytes, end: int) -> Status:
        """Read the Section Header or Interface Description Block at ``position``."""
        (kind,) = self._unpack("I", buffer, self.position)
        status, total = (
            self._section(buffer, end) if kind == BlockType.SECTION_HEADER else self._interface(buffer)
        )
        if status is Status.SOUND:
            self.position += total
        return status

    def _section(self, buffer: Bytes, end: int) -> tuple[Status, int]:
        """Begin a section (4.1): its byte order holds from its own length on."""
        at = self.position
        magic = bytes(buffer[at + 8 : at + 12])
        if magic not in _BYTE_ORDER_MAGICS:
            return Status.BAD_SECTION, 0
        self.cursor["big_endian"] = magic == _BYTE_ORDER_MAGICS[1]
        if end - at < 28:
            return Status.INCOMPLETE, 0
        (total,), (major,) = self._unpack("I", buffer, at + 4), self._unpack("H", buffer, at + 12)
        status = self._check(buffer, end, total)
        if status is Status.SOUND and major != 1:
            status = Status.BAD_VERSION
        if status is Status.SOUND:
            self.cursor["first_interface"] += self._declared
            self._declared = 0
        return status, total

    def _check(self, buffer: Bytes, end: int, total: int) -> Status:
        """Whether a section header's length can be believed, and all of it is there."""
        if total < 28 or total % 4:
            return Status.BAD_BLOCK_LENGTH
        if total > MAXIMUM_RECORD:
            return Status.TOO_LONG
        if end - self.position < total:
            return Status.INCOMPLETE
        (trailer,) = self._unpack("I", buffer, self.position + total - 4)
        return Status.SOUND if trailer == total else Status.LENGTHS_DIFFER

    def _interface(self, buffer: Bytes) -> tuple[Status, int]:
        """Declare an interface (4.2); the kernel has seen that the whole block is there."""
        at = self.position
        (total,) = self._unpack("I", buffer, at + 4)
        if total < 20:
            return Status.BAD_BLOCK_LENGTH, 0
        if self.cursor["first_interface"][0] + self._declared >= self.MAXIMUM_INTERFACES:
            return Status.TOO_MANY_INTERFACES, 0
        linktype, _reserved, snaplen = self._unpack("HHI", buffer, at + 8)
        options = self._options(bytes(buffer[at + 16 : at + total - 4]))
        if options is None:
            return Status.BAD_OPTIONS, 0
        self._declare(_interface(linktype, snaplen, *options))
        return Status.SOUND, total

    def _declare(self, interface: Records) -> None:
        if self._declared == len(self._interfaces):
            self._interfaces = np.concatenate([self._interfaces, np.zeros_like(self._interfaces)])
        self._interfaces[self._declared] = interface[0]
        self._declared += 1

    def _options(self, data: bytes) -> tuple[int, bool, int] | None:
        """if_tsresol's exponent, whether it is of two, and if_tsoffset in seconds; None if malformed."""
        exponent, is_binary, offset = 6, False, 0
        while len(data) >= 4:
            code, length = struct.unpack_from(self._order + "HH", data)
            value, data = data[4 : 4 + length], data[4 + (length + 3 & ~3) :]
            if code == _END_OF_OPTIONS:
                break
            if len(value) < length:
                return None
            if code == _IF_TSRESOL and length == 1:
                exponent, is_binary = value[0] & 0x7F, value[0] > 0x7F
            elif code == _IF_TSOFFSET and length == 8:
                (offset,) = struct.unpack(self._order + "q", value)
        return exponent, is_binary, offset


_BYTE_ORDER_MAGICS = (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d")
_END_OF_OPTIONS, _IF_TSRESOL, _IF_TSOFFSET = 0, 9, 14
_SECOND = 1_000_000_000
_LATEST = int(np.iinfo(np.int64).max)
#: The finest decimal resolution whose divisor fits 64 bits; a 64-bit count of finer ticks is no nanosecond.
_FINEST = 28


def _interface(
    linktype: int, snaplen: int, exponent: int, is_binary: bool = False, offset: int = 0
) -> Records:
    """One ``INTERFACES``: ticks of ``10**-exponent`` or ``2**-exponent`` s, ``offset`` seconds late."""
    interface = np.zeros(1, INTERFACES)
    interface["linktype"], interface["snaplen"] = linktype, snaplen
    interface["binary"] = exponent if is_binary else 0
    digits = 0 if is_binary else exponent
    multiplier = 10 ** max(9 - digits, 0) if digits <= _FINEST else 0
    interface["multiplier"] = multiplier
    interface["divisor"] = 10 ** max(digits - 9, 0) if digits <= _FINEST else 1
    interface["largest"] = _LATEST // multiplier if digits <= 9 else np.iinfo(np.uint64).max
    interface["offset"] = max(-_LATEST // 2, min(offset * _SECOND, _LATEST))
    return interface
