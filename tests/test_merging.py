"""Several captures as one stream in the order of time; a frame that stands in two of them counts once."""

from __future__ import annotations

import random
import resource
from pathlib import Path

import pandas as pd
import pytest

import builders
import tcpstates
from tcpstates.capture import files, merging
from tcpstates.capture.files import CaptureReader

FRAMES = builders.some_frames(2000)


def written(folder: Path, **parts: list[builders.Frame]) -> list[Path]:
    """A file for each part, in the order given."""
    for name, frames in parts.items():
        (folder / name).write_bytes(builders.pcap(frames))
    return [folder / name for name in parts]


class Merged:
    """What a reader gives of several files."""

    def __init__(self, paths: object) -> None:
        self.reader = CaptureReader(paths)  # type: ignore[arg-type]
        self.times, self.data, self.origins = [], [], []
        for block in self.reader.blocks():
            self.times += block.frames["time"].tolist()
            self.origins += list(
                zip(block.frames["file"].tolist(), block.frames["number"].tolist(), strict=True)
            )
            for frame in block.frames:
                self.data.append(block.buffer[frame["offset"] :][: frame["captured"]].tobytes())


@pytest.fixture(params=["as they are", "small blocks"], autouse=True)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "small blocks":
        monkeypatch.setattr(files, "BLOCK_FRAMES", 37)
        monkeypatch.setattr(files, "_FIRST_SIZE", 1 << 12)
        monkeypatch.setattr(files, "BLOCK_SIZE", 1 << 12)
        monkeypatch.setattr(files, "_LEAST_ROOM", 1 << 8)


def test_files_that_overlap_are_merged(tmp_path: Path) -> None:
    chance = random.Random(1)
    owners = [chance.choice("abc") for _ in FRAMES]
    parts = {
        name: [frame for frame, owner in zip(FRAMES, owners, strict=True) if owner == name] for name in "cab"
    }
    merged = Merged(written(tmp_path, **parts))
    assert merged.data == [frame.data for frame in FRAMES]
    assert merged.times == [frame.time for frame in FRAMES]
    names = [Path(name).name for name in merged.reader.names]
    counted = dict.fromkeys("abc", 0)
    for owner, (file, number) in zip(owners, merged.origins, strict=True):
        counted[owner] += 1
        assert (names[file], number) == (owner, counted[owner])


def test_a_frame_in_two_files_counts_once(tmp_path: Path) -> None:
    merged = Merged(written(tmp_path, a=FRAMES[:1200], b=FRAMES[700:]))
    assert merged.data == [frame.data for frame in FRAMES]
    assert merged.reader.copies == 500


def test_a_file_given_twice_counts_once(tmp_path: Path) -> None:
    [path] = written(tmp_path, a=FRAMES)
    merged = Merged([path, path, path])
    assert merged.data == [frame.data for frame in FRAMES]
    assert merged.reader.copies == 4000


def test_a_frame_that_one_file_has_twice_stays_twice(tmp_path: Path) -> None:
    """A capture on a bridge has both; the same stamp is no reason to drop one."""
    twice = [frame for frame in FRAMES[:300] for _ in range(2)]
    merged = Merged(written(tmp_path, a=twice, b=twice, c=FRAMES[:300]))
    assert merged.data == [frame.data for frame in twice]
    assert merged.reader.copies == 900


def test_other_bytes_or_another_stamp_make_another_frame(tmp_path: Path) -> None:
    later = [frame._replace(time=frame.time + 1000) for frame in FRAMES[:9]]
    other = [frame._replace(data=frame.data[:-1] + b"?") for frame in FRAMES[:9]]
    cut = [frame._replace(length=2000) for frame in FRAMES[:9]]
    merged = Merged(written(tmp_path, a=FRAMES[:9], b=later, c=other, d=cut))
    assert (len(merged.data), merged.reader.copies) == (36, 0)
    assert merged.times == sorted(merged.times)


def test_files_that_follow_one_another_are_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_parts: object) -> None:
        raise AssertionError("blocks were joined")

    monkeypatch.setattr(merging, "joined", never)
    merged = Merged(written(tmp_path, b=FRAMES[900:], a=FRAMES[:900]))
    assert merged.data == [frame.data for frame in FRAMES]


def test_a_files_own_order_stays_where_its_stamps_go_back(tmp_path: Path) -> None:
    back = [*FRAMES[500:600], *FRAMES[100:200]]
    merged = Merged(written(tmp_path, a=back, b=FRAMES[550:560]))
    from_a = [number for file, number in merged.origins if merged.reader.names[file].endswith("a")]
    assert from_a == sorted(from_a)


def test_more_overlapping_files_than_may_be_open(tmp_path: Path) -> None:
    paths = written(tmp_path, **{f"{index:03}.pcap": FRAMES[index::200] for index in range(200)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (120, hard))
    try:
        merged = Merged(paths)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert merged.times == [frame.time for frame in FRAMES]


def test_rotated_files_give_the_tables_of_the_whole(tmp_path: Path, captures: Path) -> None:
    """As ``tcpdump -C`` and ``dumpcap -b`` name them, in no order, with an overlap."""
    whole = (captures / "demo.pcap").read_bytes()
    starts, position = [], 24
    while position < len(whole):
        starts.append(position)
        position += 16 + int.from_bytes(whole[position + 8 : position + 12], "little")
    cuts = [*range(0, len(starts), 500), len(starts)]
    for index, first in enumerate(cuts[:-1]):
        last = min(cuts[index + 1] + 30, len(starts) - 1)
        part = whole[:24] + whole[starts[first] : starts[last] if cuts[index + 1] < len(starts) else None]
        (tmp_path / f"capture.pcap{index}").write_bytes(part)
    paths = sorted(tmp_path.iterdir(), reverse=True)

    parts, one = tcpstates.analyze(paths), tcpstates.analyze(captures / "demo.pcap")

    assert parts.counts.copies == 30 * (len(paths) - 1)
    assert parts.counts.frames == one.counts.frames
    without = ["file", "frame"]
    pd.testing.assert_frame_equal(parts.timeline.drop(columns=without), one.timeline.drop(columns=without))
    told = "diagnosis"  # which names frames by their file
    pd.testing.assert_frame_equal(parts.connections.drop(columns=told), one.connections.drop(columns=told))
