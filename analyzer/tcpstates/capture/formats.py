"""The capture formats: how a file is recognised, and what of it is read outside the kernels.

``FORMATS`` is the list of what is known. A format that can be read names the class of its
``Scanner``; one that cannot says what to do instead. Adding a format is adding an entry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tcpstates.capture.framing import PCAP_HEADER, SNOOP_HEADER
from tcpstates.capture.scanners import PcapngScanner, PcapScanner, Scanner, SnoopScanner
from tcpstates.errors import CaptureError


class Format(NamedTuple):
    """One format, recognised by the first bytes of its files."""

    name: str
    magic: bytes
    scanner: Callable[[bytes], Scanner] | None
    advice: str = ""
    header: int = PCAP_HEADER


#: How many bytes are needed to recognise a format and to read its header: the longest that is read.
HEADER = PCAP_HEADER + 4

_DECOMPRESS = "decompress it first ({} -dc FILE | tcpstates analyze -)"
_CONVERT = "convert it first (editcap -F pcap FILE NEW)"

#: What is known, by the first bytes; compressed captures are opened before they come here.
FORMATS = (
    Format("pcap", b"\xd4\xc3\xb2\xa1", PcapScanner),
    Format("pcap", b"\xa1\xb2\xc3\xd4", PcapScanner),
    Format("pcap", b"\x4d\x3c\xb2\xa1", PcapScanner),
    Format("pcap", b"\xa1\xb2\x3c\x4d", PcapScanner),
    Format("pcapng", b"\x0a\x0d\x0d\x0a", PcapngScanner),
    Format("modified pcap (Kuznetzov)", b"\x34\xcd\xb2\xa1", PcapScanner),
    Format("modified pcap (Kuznetzov)", b"\xa1\xb2\xcd\x34", PcapScanner),
    *(
        Format("modified pcap (IXIA)", magic, PcapScanner, header=HEADER)
        for magic in (b"\x1c\x00\x01\xac", b"\xac\x01\x00\x1c", b"\x1c\x00\x01\xab", b"\xab\x01\x00\x1c")
    ),
    Format("snoop", b"snoop\0\0\0", SnoopScanner, _CONVERT, SNOOP_HEADER),
    Format("modified pcap (Navtel)", b"\x4d\x3c\x2b\xa1", None, _CONVERT),
    Format("modified pcap (Navtel)", b"\xa1\x2b\x3c\x4d", None, _CONVERT),
    Format("Network Monitor", b"RTSS", None, _CONVERT),
    Format("Network Monitor", b"GMBU", None, _CONVERT),
    Format("Sniffer", b"TRSNIFF data    \x1a", None, _CONVERT),
    Format("NetXray", b"XCP\0", None, _CONVERT),
    Format("Observer", b"ObserverPktBuffe", None, _CONVERT),
    Format("Visual Networks", b"\x05VNF", None, _CONVERT),
    Format("InfoVista 5View", b"\xaa\xaa\xaa\xaa", None, _CONVERT),
    Format("Savvius Peek", b"\x7fver", None, _CONVERT),
    Format("AIX iptrace", b"iptrace ", None, _CONVERT),
    Format("HP-UX nettl", b"TR\0d", None, _CONVERT),
    Format("HP-UX nettl", b"TR\0@", None, _CONVERT),
    Format("LANalyzer", b"\x01\x10\x4c\0\x01\x05Trace", None, _CONVERT),
    Format("Bluetooth (btsnoop)", b"btsnoop\0", None, "it holds no TCP"),
    Format("legacy lz4-compressed", b"\x02\x21\x4c\x18", None, _DECOMPRESS.format("lz4")),
    Format("compress-compressed", b"\x1f\x9d", None, _DECOMPRESS.format("gzip")),
    Format("lzip-compressed", b"LZIP", None, _DECOMPRESS.format("lzip")),
    Format("lzma-compressed", b"\x5d\0\0", None, _DECOMPRESS.format("xz")),
    Format("zipped", b"PK\x03\x04", None, "unpack it first (unzip FILE)"),
    Format("7z-packed", b"7z\xbc\xaf\x27\x1c", None, "unpack it first (7z x FILE)"),
    Format("rar-packed", b"Rar!\x1a\x07", None, "unpack it first (unrar x FILE)"),
)  # fmt: skip


def scanner_for(header: bytes, name: str) -> Scanner:
    """The scanner of the file that begins with ``header``.

    Parameters
    ----------
    header : bytes
        The file's first bytes, ``HEADER`` of them, or all that there are; more help to tell variants apart.
    name : str
        What to call it in an error.

    Raises
    ------
    CaptureError
        If it is empty, too short, of a format that is not read, or no capture.
    """
    if not header:
        raise CaptureError(f"{name}: is empty; a capture has at least a header of {PCAP_HEADER} bytes")
    known = next((entry for entry in FORMATS if header.startswith(entry.magic)), None)
    if known is None:
        raise CaptureError(f"{name}: is not a capture: {_looks(header)}; give a pcap or pcapng file")
    if known.scanner is None:
        raise CaptureError(f"{name}: {known.name} capture: not supported yet; {known.advice}")
    if len(header) < known.header:
        there = f"{len(header)} bytes, a header has {known.header}"
        raise CaptureError(f"{name}: is too short to be a capture: {there}; capture it again")
    try:
        return known.scanner(header)
    except ValueError as error:
        raise CaptureError(f"{name}: {known.name} capture {error}: not supported; {known.advice}") from None


def _looks(header: bytes) -> str:
    """What a file that is no capture seems to be."""
    start = header[:16]
    if start.isascii() and all(char.isprintable() or char.isspace() for char in start.decode("ascii")):
        return f"it begins with the text {start.decode('ascii')!r}"
    return f"it begins with the bytes {header[:8].hex(' ')}"
