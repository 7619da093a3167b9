"""Work shared out: whatever the captures are and however cut into files, the tables are one process's.

Here the workers' tasks are done one after the other in this process; ``test_cluster`` has real workers.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import builders
import frames_of_tests
import tcpstates
from builders import MICROSECOND, SECOND, START, Frame, ethernet, tcp_frame, tcp_segment
from tcpstates.distributed import plan
from tcpstates.distributed.driver import Run, run
from tcpstates.rereading import Reading
from tcpstates.show.export import write_csv

pytestmark = pytest.mark.slow_without_jit

TABLES = ("connections", "timeline", "findings", "resets", "patterns", "compare", "census")


class OneAfterTheOther:
    """Stands for a cluster, and does all work itself."""

    workers = 1

    def map(self, work: Callable[..., Any], given: Sequence[Any], *same: Any, note: Any) -> list[Any]:
        results = []
        for place, one in enumerate(given):
            results.append(work(one, *same))
            note(place, results[-1])
        return results

    def map_shared(
        self, work: Callable[..., Any], shared: Any, given: Sequence[Any], *same: Any, note: Any
    ) -> list[Any]:
        return self.map(lambda one, *rest: work(shared, one, *rest), given, *same, note=note)


def shared_out(paths: Sequence[Path], folder: Path | None = None, **options: Any) -> Run:
    """What a cluster finds."""
    reading = Reading.of(
        paths,
        "linux",
        options.get("checksums", "auto"),
        options.get("decoder", "fast"),
        options.get("filter"),
    )
    return run(list(paths), reading, True, OneAfterTheOther(), folder, lambda _read, _total: None)  # type: ignore[arg-type]


def text_of(analysis: tcpstates.Analysis, name: str) -> list[str]:
    """A table as CSV, line by line."""
    stream = io.StringIO()
    write_csv(analysis.table(name), stream)
    return stream.getvalue().splitlines()


def assert_same(paths: Sequence[Path], folder: Path | None = None, **options: Any) -> Run:
    """That both find the same; what a cluster found."""
    one, found = tcpstates.analyze(list(paths), **options), shared_out(paths, folder, **options)
    many = tcpstates.Analysis(found.log, found.counts, found.damage)
    assert many.counts == one.counts
    assert many.damage == one.damage
    assert (many.log.start, many.log.end, many.log.files) == (one.log.start, one.log.end, one.log.files)
    for name in ("connections", "sides", "transitions", "conduct", "resets", "dialects"):
        np.testing.assert_array_equal(getattr(many.log, name), getattr(one.log, name), name)
    for name in TABLES if len(one.log.connections) else ():
        assert text_of(many, name) == text_of(one, name)
    return found


@pytest.fixture(autouse=True)
def one_file_in_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TOGETHER", 0)


class Traffic:
    """Conversations of a few hosts with all that goes wrong, in the order of time."""

    def __init__(self, seed: int, length: int = 400) -> None:
        self.chance = random.Random(seed)
        self.frames: list[Frame] = []
        while len(self.frames) < length:
            self._talk(self.chance.random() * 30)
        self.frames.sort(key=lambda frame: frame.time)

    def _at(self, seconds: float, data: bytes) -> None:
        """A frame, whose stamp is often that of another: they are as coarse as some clocks are."""
        step = 20_000 * MICROSECOND
        time = START + round(seconds * SECOND) // step * step
        self.frames.append(Frame(time, data))

    def _talk(self, start: float) -> None:
        chance = self.chance
        client = f"10.0.0.{chance.randrange(1, 6)}:{chance.randrange(40_000, 40_040)}"
        server = f"10.0.1.{chance.randrange(1, 4)}:{chance.choice([80, 443])}"
        kind = chance.random()
        if kind < 0.15:
            self._at(start, ethernet(builders.ip_packet(client, server, 17, bytes(chance.randrange(8, 40)))))
        elif kind < 0.3:
            self._unreachable(start, client, server)
        elif kind < 0.4:
            self._fragments(start)
        else:
            self._connection(start, client, server)

    def _unreachable(self, start: float, client: str, server: str) -> None:
        first = self.chance.randrange(1 << 32)
        syn = tcp_segment(client, server, "S", seq=first)
        quoted = builders.ip_packet(client, server, 6, syn)[:28]
        body = bytes([3, 1, 0, 0, 0, 0, 0, 0]) + quoted
        body = body[:2] + builders.internet_checksum(body).to_bytes(2, "big") + body[4:]
        self._at(start, tcp_frame(client, server, "S", seq=first))
        error = ethernet(builders.ip_packet("10.0.0.254", client.split(":")[0], 1, body))
        self._at(start + self.chance.choice([0, 0.1, 2]), error)

    def _fragments(self, start: float) -> None:
        ends = bytes([10, 0, 0, self.chance.randrange(1, 6), 10, 0, 1, 1])
        port = self.chance.randrange(50_000, 50_020)
        source = ".".join(map(str, ends[:4]))
        whole = tcp_segment(f"{source}:{port}", "10.0.1.1:80", "PA", seq=1, ack=1, payload=bytes(56))
        pieces = [(0x2000, whole[:40]), (0x2005, whole[40:64]), (0x0008, whole[64:])]
        self.chance.shuffle(pieces)
        for place, data in pieces[: self.chance.choice([1, 3, 3, 3])]:
            frame = ethernet(frames_of_tests.ipv4(data, fragment=place, ends=ends))
            self._at(start, frame)
            start += self.chance.choice([0, 0.2, 3])

    def _connection(self, start: float, client: str, server: str) -> None:
        chance = self.chance
        x, y = chance.randrange(1 << 32), chance.randrange(1 << 32)
        steps = [
            (client, server, "S", x, 0, b""),
            (server, client, "SA", y, x + 1, b""),
            (client, server, "A", x + 1, y + 1, b""),
            (client, server, "PA", x + 1, y + 1, b"x" * 9),
            (server, client, "PA", y + 1, x + 10, b"y" * 90),
            (client, server, "FA", x + 10, y + 91, b""),
            (server, client, chance.choice(["A", "FA", "R"]), y + 91, x + 11, b""),
            (client, server, chance.choice(["A", "RA"]), x + 11, y + 92, b""),
        ]
        vlans = chance.choice([(), (), (7,)])
        for source, target, flags, seq, ack, payload in steps[: chance.randrange(1, 9)]:
            packet = builders.tcp_packet(
                source, target, flags, seq=seq % (1 << 32), ack=ack % (1 << 32), payload=payload
            )
            for _ in range(chance.choice([1, 1, 1, 1, 2])):
                self._at(start, ethernet(packet, vlans))
            start += chance.choice([0, 0.001, 0.1, 1, 9])


def cut(frames: Sequence[Frame], folder: Path, ends: Sequence[int], overlap: int = 0) -> list[Path]:
    """A file for what lies between each end and the next, with some of what comes before."""
    paths = []
    for number, (start, end) in enumerate(zip([0, *ends], [*ends, len(frames)], strict=True)):
        path = folder / f"{(number * 7) % 31:02}-{number}.pcap"
        path.write_bytes(builders.pcap(frames[max(start - overlap, 0) : end]))
        paths.append(path)
    return sorted(paths)


@pytest.mark.parametrize("seed", range(6))
def test_files_that_follow_each_other(tmp_path: Path, seed: int) -> None:
    frames = Traffic(seed).frames
    assert_same(cut(frames, tmp_path, range(50, 400, 50)))


@pytest.mark.parametrize("seed", range(6))
def test_files_that_overlap_and_share_frames(tmp_path: Path, seed: int) -> None:
    frames = Traffic(seed).frames
    found = assert_same(cut(frames, tmp_path, range(50, 400, 50), overlap=20))
    assert found.counts.copies > 0
    assert not found.work.together


@pytest.mark.parametrize("seed", range(6))
def test_captures_of_several_hosts(tmp_path: Path, seed: int) -> None:
    """Each frame is in one to three of the files, which last as long as the whole."""
    traffic = Traffic(seed)
    kept = [traffic.chance.sample(range(3), traffic.chance.randrange(1, 4)) for _ in traffic.frames]
    paths = [tmp_path / f"{host}.pcap" for host in range(3)]
    for host, path in enumerate(paths):
        here = [frame for frame, hosts in zip(traffic.frames, kept, strict=True) if host in hosts]
        path.write_bytes(builders.pcap(here))
    assert_same(paths)


@pytest.mark.parametrize("overlap", [0, 20])
@pytest.mark.parametrize("late", [0.01, 0.05, 0.3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_frames_out_of_order(tmp_path: Path, seed: int, late: float, overlap: int) -> None:
    """Merely late ones, and such as a clock that is set back gives; within a file and across two."""
    traffic = Traffic(seed)
    delays = [
        traffic.chance.random() * late * SECOND * (traffic.chance.random() < 0.1) for _ in traffic.frames
    ]
    order = sorted(range(len(delays)), key=lambda row: traffic.frames[row].time + delays[row])
    frames = [traffic.frames[row] for row in order]
    assert_same(cut(frames, tmp_path, range(50, 400, 50), overlap))


@pytest.mark.parametrize("seed", range(3))
def test_small_files_together_in_one_task(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = cut(Traffic(seed).frames, tmp_path, range(20, 400, 20), overlap=5)
    monkeypatch.setattr(plan, "TOGETHER", sum(path.stat().st_size for path in paths) // 4)
    found = assert_same(paths)
    assert found.work.stages[0].tasks < len(paths) // 2


@pytest.mark.parametrize(
    "options", [{"filter": "tcp port 80 or icmp"}, {"decoder": "dpkt"}, {"checksums": "verify"}]
)
def test_options_mean_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    assert_same(cut(Traffic(1).frames, tmp_path, range(50, 400, 50), overlap=20), **options)
