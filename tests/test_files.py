"""Reading captures from files, pipes and objects: the same frames always, and damage told in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import dpkt
import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import builders
from tcpstates.capture import files
from tcpstates.capture.files import BLOCK_FRAMES, CaptureReader, Damage
from tcpstates.errors import CaptureError, CapturePermissionError

FRAMES = builders.some_frames(1000)
LONGER = [frame._replace(length=len(frame.data) + 100) for frame in FRAMES]
PLAIN = builders.pcap(FRAMES)


class Read:
    """What a reader gives of its sources: each frame's fields and bytes, and the damage."""

    def __init__(self, sources: object) -> None:
        self.reader = CaptureReader(sources)  # type: ignore[arg-type]
        self.blocks = list(self.reader.blocks())
        self.data = [
            block.buffer[frame["offset"] :][: frame["captured"]].tobytes()
            for block in self.blocks
            for frame in block.frames
        ]

    def column(self, name: str) -> list[int]:
        return [value for block in self.blocks for value in block.frames[name].tolist()]

    @property
    def damage(self) -> Damage:
        (damage,) = self.reader.damage
        return damage

    def assert_is(self, frames: list[builders.Frame]) -> None:
        assert self.data == [frame.data for frame in frames]
        assert self.column("time") == [frame.time for frame in frames]
        assert self.column("length") == [frame.wire_length for frame in frames]
        assert self.column("number") == list(range(1, len(frames) + 1))


def read_bytes(data: bytes) -> Read:
    return Read(io.BytesIO(data))


# --- every variety gives the same frames --------------------------------------------------------


def multi_section(frames: list[builders.Frame]) -> bytes:
    """Sections in both byte orders, interfaces of different resolutions, obsolete blocks between."""
    data = b""
    for index in range(0, len(frames), 100):
        section = builders.Section(big_endian=index % 200 == 0)
        data += section.header() + section.interface(tsresol=6) + section.block(4, bytes(4))
        for frame in frames[index : index + 50]:
            data += section.obsolete(frame.time // 1000, frame.data)
        data += section.interface(tsresol=9, tsoffset=1_000_000_000) + section.block(5, bytes(12))
        for frame in frames[index + 50 : index + 100]:
            data += section.enhanced(frame.time - 10**18, frame.data, interface=1)
    return data


VARIETIES = {
    "pcap": PLAIN,
    "pcap, big-endian": builders.pcap(FRAMES, big_endian=True),
    "pcap, nanoseconds": builders.pcap(FRAMES, nanoseconds=True),
    "pcap, big-endian, nanoseconds": builders.pcap(FRAMES, big_endian=True, nanoseconds=True),
    **{
        f"pcap, Kuznetzov's, {size} more bytes": builders.pcap_variant(FRAMES, magic, extra=bytes(size))
        for size, magic in ((8, 0xA1B2C3D4), (8, 0xA1B2CD34), (12, 0xA1B2CD34))
    },
    "pcap, Kuznetzov's, big-endian": builders.pcap_variant(
        FRAMES, 0xA1B2CD34, extra=bytes(8), big_endian=True
    ),
    "pcap, Nokia's": builders.pcap_variant(FRAMES, extra=bytes(4)),
    "pcap, IXIA's hardware": builders.pcap_variant(FRAMES, 0x1C0001AC, header=b"size", unit=1),
    "pcap, IXIA's software": builders.pcap_variant(FRAMES, 0x1C0001AB, header=b"size", big_endian=True),
    "pcap 2.1, lengths swapped": builders.pcap_variant(LONGER, version=(2, 1), wire_first=True),
    "pcap 2.3, lengths swapped": builders.pcap_variant(LONGER, version=(2, 3), wire_first=True),
    "pcap 2.3, lengths not swapped": builders.pcap_variant(LONGER, version=(2, 3)),
    "pcap 543.0 (DG/UX)": builders.pcap_variant(LONGER, version=(543, 0), wire_first=True),
    "pcap 2.2 (AIX)": builders.pcap_variant(LONGER, version=(2, 2), wire_first=True, unit=1, linktype=6),
    "snoop": builders.snoop(FRAMES),
    "pcapng": builders.pcapng(FRAMES),
    "pcapng, big-endian": builders.pcapng(FRAMES, big_endian=True),
    "pcapng, many sections": multi_section(FRAMES),
}
STORED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip, two members": lambda data: gzip.compress(data[:777]) + gzip.compress(data[777:]),
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("variety", VARIETIES)
def test_every_variety_gives_the_same_frames(variety: str, stored: str) -> None:
    read = read_bytes(STORED[stored](VARIETIES[variety]))
    read.assert_is(FRAMES if read.column("length")[0] == 60 else LONGER)
    assert set(read.column("linktype")) == {1}
    assert read.reader.damage == []


@pytest.mark.parametrize("stored", STORED)
def test_a_path_gives_the_same_frames_as_the_bytes(tmp_path: Path, stored: str) -> None:
    path = tmp_path / "some.cap"
    path.write_bytes(STORED[stored](PLAIN))
    for source in (path, str(path), [path]):
        read = Read(source)
        read.assert_is(FRAMES)
        assert read.reader.names == [str(path)]
        assert read.reader.bytes_read == read.reader.bytes_total == path.stat().st_size


@pytest.mark.parametrize("stored", STORED)
def test_standard_input_gives_the_same_frames(stored: str) -> None:
    script = (
        "from tcpstates.capture.files import CaptureReader; r = CaptureReader('-');"
        "print(r.names, sum(len(b.frames) for b in r.blocks()), r.bytes_total, r.damage)"
    )
    run = subprocess.run([sys.executable, "-c", script], input=STORED[stored](PLAIN), capture_output=True)
    assert run.stdout.decode() == "['standard input'] 1000 None []\n"


def test_dpkt_reads_the_same_from_the_same_bytes() -> None:
    read = read_bytes(VARIETIES["pcapng"])
    assert read.data == [data for _time, data in dpkt.pcapng.Reader(io.BytesIO(VARIETIES["pcapng"]))]
    assert read.data == [data for _time, data in dpkt.pcap.Reader(io.BytesIO(PLAIN))]


VARIANTS_OF_EDITCAP = ("modpcap", "nokiapcap", "rh6_1pcap", "suse6_3pcap", "snoop")


@pytest.mark.parametrize("variant", VARIANTS_OF_EDITCAP)
def test_what_editcap_writes_is_read_as_it_was(tmp_path: Path, captures: Path, variant: str) -> None:
    if shutil.which("editcap") is None:
        pytest.skip("editcap is not installed")
    path = tmp_path / "some.cap"
    command = ["editcap", "-F", variant, str(captures / "close_by_client.pcap"), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    read, as_it_was = Read(path), Read(captures / "close_by_client.pcap")
    assert read.data == as_it_was.data
    assert read.column("time") == [time // 1000 * 1000 for time in as_it_was.column("time")]
    assert read.reader.damage == []


def test_tshark_reads_the_same_from_pcapng_of_every_kind(tmp_path: Path) -> None:
    """dpkt is wrong here: takes the first interface's resolution for all, and passes over Simple Packets."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    section = builders.Section()
    data = multi_section(FRAMES[:200]) + section.header()
    for tsresol in (None, 0, 3, 9, 0x80 | 10, 0x80 | 20, 0x80 | 30):
        data += section.interface(tsresol=tsresol, snaplen=64)
    for interface in range(7):
        data += section.enhanced(1_000_000_007, b"abcde", length=1500, interface=interface)
    data += section.simple(b"simple") + section.simple(bytes(64), length=99)
    path = tmp_path / "some.pcapng"
    path.write_bytes(data)

    read = Read(path)

    columns = ("number", "captured", "length")
    ours = list(zip(*(read.column(name) for name in columns), read.column("time"), strict=True))
    theirs = tshark_frames(path)
    assert [frame[:3] for frame in ours] == [frame[:3] for frame in theirs]
    assert [frame[3] for frame in ours[:-2]] == [frame[3] for frame in theirs[:-2]]  # simple: no time


def tshark_frames(path: Path) -> list[tuple[int | None, ...]]:
    """Number, captured and wire length, and time of each frame."""
    fields = ("frame.number", "frame.cap_len", "frame.len", "frame.time_epoch")
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *(f"-e{field}" for field in fields)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    return [(*map(int, row[:3]), int(row[3].replace(".", "")) if row[3] else None) for row in rows]


# --- blocks ------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(0, 300), max_size=60), block=st.integers(64, 2000), pcapng=st.booleans())
def test_frames_do_not_depend_on_where_blocks_end(sizes: list[int], block: int, pcapng: bool) -> None:
    written = [builders.Frame(builders.START + n, bytes([n]) * size) for n, size in enumerate(sizes)]
    data = builders.pcapng(written) if pcapng else builders.pcap(written, nanoseconds=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK_SIZE", block)
        patch.setattr(files, "_FIRST_SIZE", 64)
        patch.setattr(files, "_LEAST_ROOM", 16)
        patch.setattr(files, "BLOCK_FRAMES", 7)
        read = read_bytes(data)
    read.assert_is(written)
    assert read.reader.damage == []


def test_blocks_stay_as_they_are_when_the_reader_goes_on(tmp_path: Path) -> None:
    frames = builders.some_frames(20_000, size=200)
    path = tmp_path / "some.pcap"
    path.write_bytes(builders.pcap(frames))
    read = Read(path)  # keeps all blocks, and looks at them in the end
    assert len(read.blocks) > 3
    read.assert_is(frames)


def test_blocks_are_small_and_never_empty() -> None:
    read = read_bytes(builders.pcap([builders.Frame(builders.START, b"")] * (BLOCK_FRAMES + 1)))
    assert [len(block.frames) for block in read.blocks if len(block.frames) > BLOCK_FRAMES] == []
    assert min(len(block.frames) for block in read.blocks) > 0
    assert len(read.data) == BLOCK_FRAMES + 1


def test_a_frame_larger_than_a_block_is_read_whole() -> None:
    large = [
        *builders.some_frames(3),
        builders.Frame(builders.START, bytes(9 << 20)),
        *builders.some_frames(3),
    ]
    read_bytes(builders.pcap(large)).assert_is(large)


def test_a_pipe_is_read_as_it_is_written() -> None:
    reading, writing = os.pipe()
    first, second = builders.pcap(FRAMES[:1]), builders.pcap_record(FRAMES[1])
    os.write(writing, first + second[:10])
    with os.fdopen(reading, "rb") as file:
        blocks = CaptureReader(file).blocks()
        assert len(next(blocks).frames) == 1
        os.write(writing, second[10:])
        assert next(blocks).frames["number"].tolist() == [2]
        os.close(writing)
        assert list(blocks) == []


def test_a_capture_without_frames_is_no_damage() -> None:
    for data in (builders.pcap([]), builders.pcapng([]), builders.Section().header()):
        read = read_bytes(data)
        assert (read.blocks, read.reader.damage) == ([], [])


# --- several sources ---------------------------------------------------------------------------


def test_several_paths_are_read_in_the_order_of_their_first_frames(tmp_path: Path) -> None:
    parts = {"a": FRAMES[600:], "b": FRAMES[:300], "c": FRAMES[300:600], "d": []}
    for name, frames in parts.items():
        (tmp_path / name).write_bytes(builders.pcap(frames))

    read = Read([tmp_path / name for name in parts])

    assert [Path(name).name for name in read.reader.names] == ["b", "c", "a", "d"]
    assert read.data == [frame.data for frame in FRAMES]
    assert read.column("file") == [0] * 300 + [1] * 300 + [2] * 400
    assert read.column("number") == [*range(1, 301), *range(1, 301), *range(1, 401)]
    assert read.reader.bytes_read == read.reader.bytes_total


def test_pipes_and_objects_among_several_sources_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "late").write_bytes(builders.pcap(FRAMES[700:]))
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=[builders.pcap(FRAMES[200:700])])
    writer.start()
    read = Read([tmp_path / "late", str(tmp_path / "fifo"), io.BytesIO(builders.pcapng(FRAMES[:200]))])
    writer.join()
    assert read.data == [frame.data for frame in FRAMES]
    assert read.reader.bytes_total is None


def test_more_files_than_may_be_open_at_once(tmp_path: Path) -> None:
    for index, frame in enumerate(FRAMES[:300]):
        (tmp_path / f"{999 - index}.pcap").write_bytes(builders.pcap([frame]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (120, hard))
    try:
        read = Read(sorted(tmp_path.iterdir()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert read.column("time") == [frame.time for frame in FRAMES[:300]]


def test_one_unreadable_path_of_several_is_named(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(PLAIN)
    with pytest.raises(CaptureError, match="missing: no such file"):
        CaptureReader([tmp_path / "good", tmp_path / "missing"])


def test_damage_in_one_file_does_not_keep_the_next_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(builders.pcap(FRAMES[:3])[:-1])
    (tmp_path / "b").write_bytes(builders.pcap(FRAMES[3:5]))
    read = Read([tmp_path / "a", tmp_path / "b"])
    assert read.data == [frame.data for frame in (*FRAMES[:2], *FRAMES[3:5])]
    assert (read.damage.file, read.damage.frames_before) == (str(tmp_path / "a"), 2)


# --- what cannot be read at all ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"hello, world\n" * 9, "is not a capture: it begins with the text 'hello, world\\nhel'"),
        (PLAIN[:10], "is too short to be a capture: 10 bytes"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (gzip.compress(b"hello", mtime=0), "is not a capture: it begins with the text 'hello'"),
        (gzip.compress(PLAIN, mtime=0)[:5], "the gzip data ends early; nothing of it can be read"),
        (b"\x1f\x8b\x08\x00garbage" * 9, "data is corrupt"),
        (gzip.compress(gzip.compress(PLAIN)), "is not a capture: it begins with the bytes 1f 8b"),
    ],
)
def test_what_is_no_capture_is_refused_in_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "some.cap"
    path.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        CaptureReader(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_source_at_all() -> None:
    with pytest.raises(CaptureError, match="no capture given"):
        CaptureReader([])


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.pcap"
    path.write_bytes(PLAIN)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything, nobody may not
    try:
        with pytest.raises(CapturePermissionError, match="permission denied"):
            CaptureReader(path)
    finally:
        os.seteuid(user)


# --- damage ------------------------------------------------------------------------------------

THREE = FRAMES[:3]
HUGE = b"\0\0\0\x01\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"
PCAPNG_PACKET = builders.Section().enhanced(0, b"four")


@pytest.mark.parametrize(
    ("data", "offset", "what"),
    [
        (
            builders.pcap(THREE) + b"\0" * 7,
            len(builders.pcap(THREE)),
            "cut in the middle of a record header (7 of 16 bytes are there)",
        ),
        (
            builders.pcap(FRAMES[:4])[:-13],
            len(builders.pcap(THREE)),
            "cut in the middle of a record (50 of 63 bytes are there)",
        ),
        (
            builders.pcap(THREE) + HUGE + PLAIN,
            len(builders.pcap(THREE)),
            "a record that claims 4,294,967,295 bytes, more than 67,108,864",
        ),
        (
            builders.pcap(THREE) + bytes(999),
            len(builders.pcap(THREE)),
            "a record of zeros: the file was not written to its end",
        ),
        (
            builders.pcap(THREE) * 2,
            len(builders.pcap(THREE)),
            "another capture's header: files were joined by cat; give them as several paths",
        ),
        (
            builders.snoop(THREE) + bytes(23),
            len(builders.snoop(THREE)),
            "cut in the middle of a record header (23 of 24 bytes are there)",
        ),
        (
            builders.snoop(FRAMES[:4])[:-13],
            len(builders.snoop(THREE)),
            "cut in the middle of a record (75 of 88 bytes are there)",
        ),
        (
            builders.snoop(THREE) + b"\0\0\0\x09" * 3 + bytes(12),
            len(builders.snoop(THREE)),
            "a record of 9 bytes that is shorter than the frame in it",
        ),
        (
            builders.pcapng(THREE) + PCAPNG_PACKET[:9],
            len(builders.pcapng(THREE)),
            "cut in the middle of a pcapng block (9 bytes are there)",
        ),
        (
            builders.pcapng(THREE) + PCAPNG_PACKET[:-1],
            len(builders.pcapng(THREE)),
            "cut in the middle of a pcapng block (35 of 36 bytes are there)",
        ),
        (
            builders.pcapng(THREE) + PCAPNG_PACKET[:-4] + b"oops",
            len(builders.pcapng(THREE)),
            "a pcapng block of type 0x6 whose two lengths differ",
        ),
    ],
)
@pytest.mark.parametrize("stored", STORED)
def test_what_came_before_damage_is_read(data: bytes, offset: int, what: str, stored: str) -> None:
    read = read_bytes(STORED[stored](data))
    read.assert_is(THREE)
    assert read.damage == Damage("a file object", offset, 3, what)


def test_damage_reads_as_one_line() -> None:
    assert str(read_bytes(builders.pcap(THREE)[:-1]).damage) == (
        "a file object: cut in the middle of a record (61 of 62 bytes are there) at byte 177; "
        "the 2 frames before it were read"
    )


@pytest.mark.parametrize("stored", [name for name in STORED if name not in ("plain", "gzip, two members")])
def test_a_compressed_capture_that_ends_early_gives_the_frames_before(stored: str) -> None:
    noise = np.random.default_rng(1).bytes(600_000)
    written = [builders.Frame(builders.START, noise[at : at + 600]) for at in range(0, 600_000, 600)]
    whole = STORED[stored](builders.pcap(written * 3))
    read = read_bytes(whole[: len(whole) * 3 // 4])
    assert read.data == [frame.data for frame in written * 3][: len(read.data)]
    assert read.damage.what.endswith("data ends early")
    assert len(read.data) == read.damage.frames_before > 500


def test_a_disk_that_fails_is_damage() -> None:
    class Failing(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            if self.tell() > 5000:
                raise OSError(5, "Input/output error")
            return super().read1(min(size or 0, 1000))

    read = Read(Failing(PLAIN))
    assert read.damage.what == "cannot be read: input/output error"
    assert read.data == [frame.data for frame in FRAMES][: len(read.data)]
    assert len(read.data) > 60


@pytest.mark.parametrize("record", [HUGE, HUGE[:8] + b"\0\0\0\4" * 2], ids=["4 GB", "64 MB"])
def test_what_a_record_claims_takes_no_memory(record: bytes) -> None:
    script = f"""
import io, resource
from tcpstates.capture.files import CaptureReader
def peak(data):
    list(CaptureReader(io.BytesIO(data)).blocks())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
header, record = {builders.pcap(THREE)!r}, {record!r}
before = peak(header)
print(peak(header + record + bytes(100)) - before)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 10_000  # KB


# --- other projects' captures --------------------------------------------------------------------

#: Where capinfos counts otherwise, and why we do not.
ODD = {
    "tcpdump__bgp_vpn_rt-oobr.pcap": "a fuzzer's: zeros after its first frame, that capinfos takes for frames"
}


def test_capinfos_counts_the_same_frames(captures: Path) -> None:
    assert_counts_as_capinfos(captures)


def test_capinfos_counts_the_same_frames_in_other_projects_captures(other_captures: Path) -> None:
    assert_counts_as_capinfos(other_captures)


def assert_counts_as_capinfos(folder: Path) -> None:
    if shutil.which("capinfos") is None:
        pytest.skip("capinfos is not installed")
    paths = [str(path) for path in sorted(folder.iterdir()) if is_capture(path)]
    command = ["capinfos", "-T", "-M", "-r", "-c", *paths]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    theirs = {path: int(count) for path, count in (line.split("\t") for line in lines)}
    assert set(theirs) == set(paths)
    ours = {path: len(Read(path).data) for path in paths}
    assert {path: ours[path] for path in paths if ours[path] != theirs[path]}.keys() <= {
        str(folder / name) for name in ODD
    }


def is_capture(path: Path) -> bool:
    return any(suffix in (".pcap", ".pcapng", ".cap") for suffix in path.suffixes)
