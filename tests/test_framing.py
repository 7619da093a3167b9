"""The kernels that find frames in a block: every time resolution exact, every limit kept."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import builders
from tcpstates import schema
from tcpstates.capture import framing
from tcpstates.capture.formats import PcapngScanner, PcapScanner, Scanner
from tcpstates.capture.framing import MAXIMUM_RECORD, Status

LATEST = np.iinfo(np.int64).max


def scan(data: bytes, room: int = 100) -> tuple[Scanner, np.ndarray, Status]:
    """The scanner of a whole file in one block, the frames that it found, why it stopped."""
    scanner = PcapngScanner(data) if data.startswith(b"\n\r\r\n") else PcapScanner(data)
    frames = np.zeros(room, schema.FRAMES)
    count, status = scanner.scan(np.frombuffer(bytearray(data), np.uint8), len(data), frames)
    return scanner, frames[:count], status


@pytest.mark.parametrize("nanoseconds", [False, True])
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_pcap_of_any_variant_gives_times_lengths_and_places(big_endian: bool, nanoseconds: bool) -> None:
    written = [*builders.some_frames(5), builders.Frame(builders.START + 7_000, b"cut", length=1500)]
    data = builders.pcap(written, big_endian, nanoseconds, linktype=113)

    _scanner, frames, status = scan(data)

    assert status is Status.INCOMPLETE
    assert frames["time"].tolist() == [frame.time for frame in written]
    assert frames["length"].tolist() == [frame.wire_length for frame in written]
    assert [data[f["offset"] : f["offset"] + f["captured"]] for f in frames] == [f.data for f in written]
    assert frames["number"].tolist() == [1, 2, 3, 4, 5, 6]
    assert set(frames["linktype"]) == {113}


def test_the_link_type_is_read_without_the_bits_of_the_frame_check_sequence() -> None:
    _scanner, frames, _status = scan(builders.pcap(builders.some_frames(1), linktype=0x2400_0001))
    assert frames["linktype"].tolist() == [1]


def test_times_up_to_the_last_second_of_an_unsigned_header_are_right() -> None:
    time = 0xFFFF_FFFF * builders.SECOND + 999_999_999
    _scanner, frames, _status = scan(builders.pcap([builders.Frame(time, b"x")], nanoseconds=True))
    assert frames["time"].tolist() == [time]


def test_a_full_array_is_gone_on_with_by_the_next_scan() -> None:
    data = builders.pcap(builders.some_frames(5))
    scanner, frames, status = scan(data, room=3)
    assert (len(frames), status) == (3, Status.FULL)

    rest = np.zeros(3, schema.FRAMES)
    count, status = scanner.scan(np.frombuffer(bytearray(data), np.uint8), len(data), rest)

    assert (count, status) == (2, Status.INCOMPLETE)
    assert rest["number"][:2].tolist() == [4, 5]


@pytest.mark.parametrize("write", [builders.pcap, builders.pcapng])
def test_a_file_cut_at_any_byte_gives_the_frames_that_are_whole(write) -> None:
    written = builders.some_frames(3, size=10)
    whole = [len(write(written[:count])) for count in range(4)]
    data = write(written)
    for end in range(whole[0], len(data)):
        scanner, frames, status = scan(data[:end])
        assert status is Status.INCOMPLETE
        assert len(frames) == sum(end >= length for length in whole[1:])
        assert scanner.position == max(length for length in whole if length <= end)


@pytest.mark.parametrize("claimed", [MAXIMUM_RECORD + 1, 0x8000_0000, 0xFFFF_FFFF])
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_record_that_claims_too_much_is_damage(claimed: int, big_endian: bool) -> None:
    order = "big" if big_endian else "little"
    record = bytearray(builders.pcap_record(builders.some_frames(1)[0], big_endian))
    record[8:12] = claimed.to_bytes(4, order)
    _scanner, frames, status = scan(builders.pcap(builders.some_frames(2), big_endian) + bytes(record))
    assert (len(frames), status) == (2, Status.TOO_LONG)


def test_a_frame_without_bytes_is_a_frame_but_a_record_of_zeros_is_damage() -> None:
    empty = builders.pcap([builders.Frame(builders.START, b"")])
    assert scan(empty)[2] is Status.INCOMPLETE
    _scanner, frames, status = scan(empty + bytes(100))
    assert (len(frames), status) == (1, Status.ZEROS)


def test_a_second_header_in_a_pcap_is_told() -> None:
    one = builders.pcap(builders.some_frames(2))
    _scanner, frames, status = scan(one + one)
    assert (len(frames), status) == (2, Status.CONCATENATED)


# --- pcapng ------------------------------------------------------------------------------------


def scan_time(ticks: int, tsresol: int | None, tsoffset: int | None = None, big_endian: bool = False) -> int:
    """What nanoseconds a pcapng frame has with these ticks, resolution and offset."""
    section = builders.Section(big_endian)
    interface = section.interface(tsresol=tsresol, tsoffset=tsoffset)
    _scanner, frames, _status = scan(section.header() + interface + section.enhanced(ticks, b"x"))
    return int(frames["time"][0])


def exact_time(ticks: int, tsresol: int, tsoffset: int = 0) -> int:
    """The same by exact fractions, kept within what 64 bits hold."""
    unit = Fraction(1, 2 ** (tsresol & 0x7F) if tsresol & 0x80 else 10**tsresol)
    nanoseconds = int(ticks * unit * builders.SECOND)  # towards zero, and none is negative
    return min(min(nanoseconds, LATEST) + tsoffset * builders.SECOND, LATEST)


def test_microseconds_are_the_resolution_if_none_is_given() -> None:
    assert scan_time(builders.START // 1000, None) == builders.START


@example(ticks=2**63 - 1, tsresol=28, tsoffset=0, big_endian=False)
@example(ticks=2**64 - 1, tsresol=29, tsoffset=0, big_endian=False)
@given(
    ticks=st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2**32)),
    tsresol=st.integers(0, 255),
    tsoffset=st.integers(-(2**31), 2**31),
    big_endian=st.booleans(),
)
def test_every_resolution_is_exact(ticks: int, tsresol: int, tsoffset: int, big_endian: bool) -> None:
    assert scan_time(ticks, tsresol, tsoffset, big_endian) == exact_time(ticks, tsresol, tsoffset)


def test_an_absurd_offset_is_kept_within_what_a_time_can_be() -> None:
    assert scan_time(2**63, 9, 2**62) == LATEST
    assert scan_time(0, 9, -(2**62)) > schema.NO_TIME


def test_interfaces_have_their_own_link_type_and_may_be_declared_late() -> None:
    section = builders.Section()
    data = section.header() + section.interface(linktype=1) + section.enhanced(1, b"a")
    data += section.interface(linktype=113, tsresol=9)
    data += section.enhanced(2, b"b", interface=1) + section.enhanced(3, b"c", interface=0)

    _scanner, frames, status = scan(data)

    assert status is Status.INCOMPLETE
    assert frames["linktype"].tolist() == [1, 113, 1]
    assert frames["interface"].tolist() == [0, 1, 0]
    assert frames["time"].tolist() == [1000, 2, 3000]


def test_many_interfaces_are_kept() -> None:
    section = builders.Section()
    data = section.header() + b"".join(section.interface(linktype=index) for index in range(100))
    data += b"".join(section.enhanced(0, b"x", interface=index) for index in range(100))
    _scanner, frames, _status = scan(data)
    assert frames["linktype"].tolist() == list(range(100))


def test_each_section_has_its_own_byte_order_and_interfaces() -> None:
    little, big = builders.Section(), builders.Section(big_endian=True)
    data = little.header() + little.interface(linktype=1) + little.interface(linktype=113)
    data += little.enhanced(1, b"a") + little.enhanced(2, b"b", interface=1)
    data += big.header() + big.interface(linktype=101) + big.enhanced(3, b"c")

    _scanner, frames, status = scan(data)

    assert status is Status.INCOMPLETE
    assert frames["linktype"].tolist() == [1, 113, 101]
    assert frames["interface"].tolist() == [0, 1, 2]  # counted on through the file
    assert frames["number"].tolist() == [1, 2, 3]


def test_simple_packets_are_cut_by_the_snap_length_and_take_the_time_before_them() -> None:
    section = builders.Section()
    data = section.header() + section.interface(snaplen=4)
    data += section.simple(b"abcd", length=9) + section.enhanced(5, b"e") + section.simple(b"fg")

    _scanner, frames, _status = scan(data)

    assert frames["time"].tolist() == [0, 5000, 5000]
    assert frames["captured"].tolist() == [4, 1, 2]
    assert frames["length"].tolist() == [9, 1, 2]
    assert [data[f["offset"] : f["offset"] + f["captured"]] for f in frames] == [b"abcd", b"e", b"fg"]


@pytest.mark.parametrize("big_endian", [False, True])
def test_obsolete_packets_are_read_as_enhanced_ones(big_endian: bool) -> None:
    section = builders.Section(big_endian)
    data = section.header() + section.interface() + section.interface(linktype=101)
    data += section.obsolete(builders.START // 1000, b"abc", interface=1)

    _scanner, frames, _status = scan(data)

    assert frames["time"].tolist() == [builders.START]
    assert frames["linktype"].tolist() == [101]
    assert bytes(data[frames["offset"][0] :][:3]) == b"abc"


@pytest.mark.parametrize("kind", [0, 4, 5, 0xBAD, 0x4000_0BAD, 0xFFFF_FFFF])
def test_blocks_without_packets_are_passed_over(kind: int) -> None:
    section = builders.Section()
    data = section.header() + section.interface()
    data += section.enhanced(1, b"a") + section.block(kind, b"anything") + section.enhanced(2, b"b")
    _scanner, frames, status = scan(data)
    assert (frames["number"].tolist(), status) == ([1, 2], Status.INCOMPLETE)


SECTION = builders.Section()
GOOD = SECTION.enhanced(1, b"good")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (SECTION.block(5, b"")[:4] + b"\x08\0\0\0" + bytes(8), Status.BAD_BLOCK_LENGTH),
        (SECTION.block(5, b"")[:4] + b"\x0e\0\0\0" + bytes(8), Status.BAD_BLOCK_LENGTH),
        (SECTION.block(5, b"")[:4] + b"\xf0\xff\xff\xff" + bytes(8), Status.TOO_LONG),
        (GOOD[:-4] + bytes(4), Status.LENGTHS_DIFFER),
        (SECTION.block(6, bytes(16)), Status.BAD_BLOCK_LENGTH),
        (SECTION.block(3, b""), Status.BAD_BLOCK_LENGTH),
        (SECTION.enhanced(1, b"x", interface=1), Status.NO_SUCH_INTERFACE),
        (SECTION.block(6, bytes(12) + b"\x05\0\0\0" * 2 + b"four"), Status.FRAME_BEYOND_BLOCK),
        (SECTION.block(6, bytes(12) + b"\xff\xff\xff\xff" * 2 + b"four"), Status.FRAME_BEYOND_BLOCK),
        (SECTION.simple(b"four", length=5), Status.FRAME_BEYOND_BLOCK),
        (SECTION.block(1, b"four"), Status.BAD_BLOCK_LENGTH),
        (SECTION.block(1, bytes(8) + b"\x09\0\x40\0four"), Status.BAD_OPTIONS),
        (SECTION.header(major=2), Status.BAD_VERSION),
        (SECTION.block(0x0A0D0D0A, b"????" + bytes(12)), Status.BAD_SECTION),
        (SECTION.header()[:4] + b"\x10\0\0\0" + SECTION.header()[8:], Status.BAD_BLOCK_LENGTH),
        (SECTION.header()[:4] + b"\xf0\xff\xff\xff" + SECTION.header()[8:], Status.TOO_LONG),
        (SECTION.header()[:-4] + bytes(4), Status.LENGTHS_DIFFER),
    ],
)
def test_a_malformed_block_stops_the_scan_where_it_is(block: bytes, expected: Status) -> None:
    before = SECTION.header() + SECTION.interface() + GOOD
    scanner, frames, status = scan(before + block + GOOD)
    assert (len(frames), status, scanner.position) == (1, expected, len(before))
    assert status.is_damage


def test_a_packet_before_any_interface_is_damage() -> None:
    assert scan(SECTION.header() + SECTION.simple(b"x"))[2] is Status.NO_SUCH_INTERFACE
    assert scan(SECTION.header() + GOOD)[2] is Status.NO_SUCH_INTERFACE


def test_a_file_cannot_declare_interfaces_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PcapngScanner, "MAXIMUM_INTERFACES", 3)
    data = SECTION.header() + SECTION.interface() * 2 + SECTION.header() + SECTION.interface() * 2
    assert scan(data)[2] is Status.TOO_MANY_INTERFACES


# --- hostile bytes -----------------------------------------------------------------------------


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A sound file in which some bytes were changed."""
    write = draw(st.sampled_from([builders.pcap, builders.pcapng]))
    data = bytearray(write(builders.some_frames(4, size=8), draw(st.booleans())))
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(24, len(data) - 1))] = draw(st.sampled_from([0, 1, 3, 6, 10, 127, 255]))
    return bytes(data[: draw(st.integers(24, len(data)))])


@given(damaged_files())
def test_no_damage_leads_beyond_the_block(data: bytes) -> None:
    scanner, frames, status = scan(data)
    assert (frames["offset"] + frames["captured"] <= len(data)).all()
    assert (frames["offset"] >= 24).all()
    assert 24 <= scanner.position <= len(data) or data.startswith(b"\n")
    if status.is_damage or scanner.position < len(data):
        assert "\n" not in scanner.explain(status, np.frombuffer(data, np.uint8), len(data))


def test_the_kernels_keep_within_their_arrays() -> None:
    """The same tests once more, compiled with bounds checks."""
    if framing.scan_pcap.__class__.__name__ == "function":
        pytest.skip("the JIT is off: Python checks bounds itself")
    if os.environ.get("NUMBA_BOUNDSCHECK"):
        pytest.skip("this is the run with bounds checks")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", __file__]
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stdout


def test_each_kernel_is_compiled_once() -> None:
    scan(builders.pcap(builders.some_frames(1)))
    scan(builders.pcapng(builders.some_frames(1)))
    for kernel in (framing.scan_pcap, framing.scan_pcapng):
        if hasattr(kernel, "signatures"):
            assert len(kernel.signatures) == 1
