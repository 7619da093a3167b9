"""What is recognised as a capture, and what is said of everything else."""

from __future__ import annotations

import pytest

import builders
from tcpstates.capture.formats import FORMATS, HEADER, scanner_for
from tcpstates.capture.scanners import PcapngScanner, PcapScanner
from tcpstates.errors import CaptureError, ExitCode


def refusal(header: bytes) -> str:
    with pytest.raises(CaptureError) as caught:
        scanner_for(header, "some.cap")
    assert caught.value.exit_code is ExitCode.UNREADABLE
    return str(caught.value)


@pytest.mark.parametrize("nanoseconds", [False, True])
@pytest.mark.parametrize("big_endian", [False, True])
def test_the_four_kinds_of_pcap_are_recognised(big_endian: bool, nanoseconds: bool) -> None:
    assert isinstance(scanner_for(builders.pcap_header(big_endian, nanoseconds), "x"), PcapScanner)


@pytest.mark.parametrize("big_endian", [False, True])
def test_pcapng_is_recognised(big_endian: bool) -> None:
    assert isinstance(scanner_for(builders.pcapng([], big_endian)[:HEADER], "x"), PcapngScanner)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"", "some.cap: is empty; a capture has at least a header of 24 bytes"),
        (
            b"# Captures from\nother projects",
            "some.cap: is not a capture: it begins with the text '# Captures from\\n'; "
            "give a pcap or pcapng file",
        ),
        (
            b"\x7fELF\x02\x01\x01\x00" + bytes(16),
            "some.cap: is not a capture: it begins with the bytes 7f 45 4c 46 02 01 01 00; "
            "give a pcap or pcapng file",
        ),
        (
            builders.pcap_header()[:23],
            "some.cap: is too short to be a capture: 23 bytes, a header has 24; capture it again",
        ),
        (
            b"snoop\0\0\0" + bytes(3) + b"\x07" + bytes(12),
            "some.cap: snoop capture of version 7: not supported; "
            "convert it first (editcap -F pcap FILE NEW)",
        ),
        (
            builders.snoop([], datalink=99) + bytes(12),
            "some.cap: snoop capture of link layer 99: not supported; "
            "convert it first (editcap -F pcap FILE NEW)",
        ),
        (
            b"GMBU" + bytes(24),
            "some.cap: Network Monitor capture: not supported yet; "
            "convert it first (editcap -F pcap FILE NEW)",
        ),
        (
            b"LZIP" + bytes(24),
            "some.cap: lzip-compressed capture: not supported yet; "
            "decompress it first (lzip -dc FILE | tcpstates analyze -)",
        ),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(header: bytes, expected: str) -> None:
    assert refusal(header) == expected


def test_every_known_format_is_read_or_comes_with_advice() -> None:
    for entry in FORMATS:
        if entry.scanner is None:
            assert entry.name in refusal(entry.magic + bytes(HEADER))
            assert entry.advice


def test_one_magic_number_is_not_the_beginning_of_another() -> None:
    magics = [entry.magic for entry in FORMATS]
    assert not [(a, b) for a in magics for b in magics if a is not b and a.startswith(b)]
