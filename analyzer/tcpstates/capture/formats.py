"""The capture formats: how a file is recognised, and what of it is read outside the kernels.

``FORMATS`` is the list of what is known. A format that can be read names the class of its
``Scanner``; one that cannot says what to do instead. Adding a format is adding an entry.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

import numpy as np

from tcpstates.capture.framing import (
    CURSOR,
    INTERFACES,
    MAXIMUM_RECORD,
    PCAP_HEADER,
    PCAP_RECORD_HEADER,
    BlockType,
    Bytes,
    Records,
    Status,
    scan_pcap,
    scan_pcapng,
)
from tcpstates.errors import CaptureError


class Scanner(Protocol):
    """Finds the frames of one file, block after block."""

    #: Where the next record begins in the block; the reader sets it when it moves the bytes.
    position: int

    def scan(self, buffer: Bytes, end: int, frames: Records) -> tuple[int, Status]:
        """Fill ``frames`` from ``buffer[position:end]``; how many there are, and why it stopped."""

    def explain(self, status: Status, buffer: Bytes, end: int) -> str:
        """What is wrong with the record at ``position``, ``INCOMPLETE`` at the end of a file included."""


class Format(NamedTuple):
    """One format, recognised by the first bytes of its files."""

    name: str
    magic: bytes
    scanner: Callable[[bytes], Scanner] | None
    advice: str = ""


#: How many bytes are needed to recognise a format: the shortest header of those that are read.
HEADER = PCAP_HEADER

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


class PcapScanner(_Scanner):
    """Classic pcap (draft-ietf-opsawg-pcap): one header, one interface, then records.

    Parameters
    ----------
    header : bytes
        The file's first 24 bytes.
    """

    def __init__(self, header: bytes) -> None:
        super().__init__()
        self.cursor["big_endian"] = header[0] == 0xA1
        self.position = PCAP_HEADER
        nanoseconds = b"\x3c" in header[:4]
        snaplen, linktype = struct.unpack_from(self._order + "II", header, 16)
        # The upper half of the link type says whether, and how long, a frame check sequence follows
        self.interfaces = _interface(linktype & 0xFFFF, snaplen, exponent=9 if nanoseconds else 6)

    def scan(self, buffer: Bytes, end: int, frames: Records) -> tuple[int, Status]:
        """Fill ``frames`` from ``buffer[position:end]``."""
        count, status = scan_pcap(buffer, end, self.cursor, self.interfaces, frames)
        return count, Status(status)

    def explain(self, status: Status, buffer: Bytes, end: int) -> str:
        """What is wrong with the record at ``position``."""
        there = end - self.position
        if there < PCAP_RECORD_HEADER:
            return f"cut in the middle of a record header ({there} of {PCAP_RECORD_HEADER} bytes are there)"
        (claimed,) = self._unpack("I", buffer, self.position + 8)
        if status is Status.INCOMPLETE:
            there -= PCAP_RECORD_HEADER
            return f"cut in the middle of a record ({there:,} of {claimed:,} bytes are there)"
        return _DAMAGE[status].format(claimed=f"{claimed:,}")


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


_DECOMPRESS = "decompress it first ({} -dc FILE | tcpstates analyze -)"
_CONVERT = "convert it first (editcap -F pcap FILE NEW)"

#: What is known, by the first bytes; compressed captures are opened before they come here.
FORMATS = (
    Format("pcap", b"\xd4\xc3\xb2\xa1", PcapScanner),
    Format("pcap", b"\xa1\xb2\xc3\xd4", PcapScanner),
    Format("pcap", b"\x4d\x3c\xb2\xa1", PcapScanner),
    Format("pcap", b"\xa1\xb2\x3c\x4d", PcapScanner),
    Format("pcapng", b"\x0a\x0d\x0d\x0a", PcapngScanner),
    Format("modified pcap (Kuznetzov)", b"\x34\xcd\xb2\xa1", None, _CONVERT),
    Format("modified pcap (Kuznetzov)", b"\xa1\xb2\xcd\x34", None, _CONVERT),
    Format("modified pcap (IXIA)", b"\x1c\x00\x01\xac", None, _CONVERT),
    Format("modified pcap (IXIA)", b"\xac\x01\x00\x1c", None, _CONVERT),
    Format("snoop", b"snoop\0\0\0", None, _CONVERT),
    Format("Network Monitor", b"RTSS", None, _CONVERT),
    Format("Network Monitor", b"GMBU", None, _CONVERT),
    Format("Sniffer", b"TRSNIFF data    \x1a", None, _CONVERT),
    Format("NetXray", b"XCP\0", None, _CONVERT),
    Format("xz-compressed", b"\xfd7zXZ\0", None, _DECOMPRESS.format("xz")),
    Format("lz4-compressed", b"\x04\x22\x4d\x18", None, _DECOMPRESS.format("lz4")),
    Format("bzip2-compressed", b"BZh", None, _DECOMPRESS.format("bzip2")),
    Format("zipped", b"PK\x03\x04", None, "unpack it first (unzip FILE)"),
)  # fmt: skip


def scanner_for(header: bytes, name: str) -> Scanner:
    """The scanner of the file that begins with ``header``.

    Parameters
    ----------
    header : bytes
        The file's first bytes, ``HEADER`` of them or all that there are.
    name : str
        What to call it in an error.

    Raises
    ------
    CaptureError
        If it is empty, too short, of a format that is not read, or no capture.
    """
    if not header:
        raise CaptureError(f"{name}: is empty; a capture has at least a header of {HEADER} bytes")
    known = next((entry for entry in FORMATS if header.startswith(entry.magic)), None)
    if known is None:
        raise CaptureError(f"{name}: is not a capture: {_looks(header)}; give a pcap or pcapng file")
    if known.scanner is None:
        raise CaptureError(f"{name}: {known.name} capture: not supported yet; {known.advice}")
    if len(header) < HEADER:
        there = f"{len(header)} bytes, a header has {HEADER}"
        raise CaptureError(f"{name}: is too short to be a capture: {there}; capture it again")
    return known.scanner(header)


def _looks(header: bytes) -> str:
    """What a file that is no capture seems to be."""
    start = header[:16]
    if start.isascii() and all(char.isprintable() or char.isspace() for char in start.decode("ascii")):
        return f"it begins with the text {start.decode('ascii')!r}"
    return f"it begins with the bytes {header[:8].hex(' ')}"
