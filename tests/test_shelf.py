"""What is over leaves the engine while a file is read: the same is said of all, in less memory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builders import Frame, pcap, tcp_frame
from streams import ACK, RST, SECOND, START, SYN, Sent, any_streams, as_errors, as_segments, stretched
from tcpstates import inferring, shelf
from tcpstates.analysis import Analysis, analyze
from tcpstates.inference.dialects import Dialects
from tcpstates.inference.engine import Engine, Inference
from tcpstates.shelf import Shelf, TimeWentBack

Words = "np.ndarray[tuple[int], np.dtype[np.void]]"


@contextmanager
def eager(many: int = 0, slack: int = 0) -> Iterator[None]:
    """Whatever is over is set aside at once."""
    with patch.multiple(shelf, MANY=many, MANY_FOR_A_FOLDER=many, MORE=0.0, SHARE=0.0, SLACK=slack):
        yield


def told(stream: list[Sent], sets_aside: bool, folder: Path | None = None) -> tuple[Inference, Words | None]:
    """What is said of the connections of a stream, and by the dialects, fed one by one."""
    engine, others = Engine(seed=5), Dialects()
    segments, errors = as_segments(stream), as_errors(stream)
    kept, taken = Shelf(engine, others, folder), 0
    for place in range(len(segments)):
        part = segments[place : place + 1]
        due = int(np.searchsorted(errors["time"], part["time"][0]))
        kept.check(part["time"])
        others.feed(part, engine.feed(part, errors[taken:due]), engine.flows)
        taken = due
        if sets_aside:
            kept.set_aside()
    engine.feed(segments[:0], errors[taken:])
    return kept.close(START + sum(sent.gap for sent in stream))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what need not fit in memory."""
    return tmp_path_factory.mktemp("folder")


@given(
    stream=any_streams(),
    gaps=st.lists(st.sampled_from([0, 0, 0, 61 * SECOND, 241 * SECOND]), max_size=30),
    in_files=st.booleans(),
)
@pytest.mark.slow_without_jit
def test_it_makes_no_difference(folder: Path, stream: list[Sent], gaps: list[int], in_files: bool) -> None:
    stream = stretched(stream, gaps)
    assume((np.diff(as_errors(stream)["time"]) >= 0).all())
    expected, said = told(stream, sets_aside=False)
    with eager():
        try:
            found, told_aside = told(stream, sets_aside=True, folder=folder if in_files else None)
        except TimeWentBack:
            return
    for name in ("connections", "sides", "transitions", "conduct", "resets"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist(), name
    assert (found.bad_checksums, found.stray_errors) == (expected.bad_checksums, expected.stray_errors)
    assert said is not None
    assert told_aside is not None
    assert told_aside.tolist() == said.tolist()


def lives(count: int, gap: int, first: int = 0) -> Iterator[Frame]:
    """Connections from as many ports, each of which opens and is closed by RST, so far apart."""
    for number in range(first, first + count):
        time = START + number * gap
        client, server = f"10.0.0.1:{1024 + number % 60_000}", "10.0.0.2:80"
        yield Frame(time, tcp_frame(client, server, "S", seq=number))
        yield Frame(time + 1000, tcp_frame(server, client, "SA", seq=7, ack=number + 1))
        yield Frame(time + 2000, tcp_frame(client, server, "RA", seq=number + 1, ack=8))


def logs(analysis: Analysis) -> list[list[object]]:
    log = analysis.log
    assert log.dialects is not None
    arrays = (log.connections, log.sides, log.transitions, log.conduct, log.resets, log.dialects)
    return [array.tolist() for array in arrays]


def test_a_file_says_the_same(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.pcap" for number in range(10)]
    for number, file in enumerate(files):
        file.write_bytes(pcap(lives(30, 5 * SECOND, first=30 * number)))
    expected = analyze(files)
    with eager(many=20), patch.object(Shelf, "_take", autospec=True, side_effect=Shelf._take) as taken:
        assert logs(analyze(files, threads=1)) == logs(expected)
        assert logs(analyze(files, threads=2)) == logs(expected)
        assert taken.call_count > 4
        kept = analyze(files, workdir=tmp_path / "made" / "for it")
        assert logs(kept) == logs(expected)
    assert all(
        rests_on_a_file(array) for array in (kept.log.connections, kept.log.sides, kept.log.transitions)
    )
    assert list((tmp_path / "made" / "for it").iterdir()) == []


def rests_on_a_file(array: np.ndarray[tuple[int], np.dtype[np.void]]) -> bool:
    """Whether its memory can be written out and read again."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return isinstance(array, (mmap, memoryview))


def test_a_folder_without_room_is_an_error_in_time(tmp_path: Path) -> None:
    """Not a signal when memory without a page behind it is written to."""
    path, small = tmp_path / "many.pcap", tmp_path / "small"
    path.write_bytes(pcap(lives(600, 2 * SECOND)))
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system that is full takes root's rights")
    try:
        with eager(many=100), pytest.raises(OSError, match="No space left on device") as caught:
            analyze(path, workdir=small)
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)
    assert caught.value.filename == str(small)


def test_a_clock_that_was_set_back_has_the_file_read_again(tmp_path: Path) -> None:
    """A connection that was over when the clock went back may go on then, by its stamps."""
    again = [Frame(START + SECOND, tcp_frame("10.0.0.1:1024", "10.0.0.2:80", "A", seq=1, ack=8))]
    path = tmp_path / "back.pcap"
    path.write_bytes(pcap([*lives(300, 5 * SECOND), *again]))
    expected = analyze(path)
    assert expected.log.sides["frames"][0] == 3
    with (
        eager(many=20),
        patch.object(inferring._Run, "__call__", autospec=True, side_effect=inferring._Run.__call__) as read,
    ):
        assert logs(analyze(path)) == logs(expected)
        assert [call.kwargs["sets_aside"] for call in read.call_args_list] == [True, False]


def refused(clients: range) -> Iterator[Sent]:
    """Attempts of as many hosts, one a second."""
    for number in clients:
        yield Sent(gap=SECOND // 2, client=number, flags=SYN, seq=number)
        yield Sent(gap=SECOND // 2, client=number, from_client=False, flags=RST | ACK, ack=number + 1)


def test_the_engine_stays_small() -> None:
    """However long a capture goes on, it holds what may go on."""
    engine, most = Engine(), 0
    with eager(many=200):
        kept = Shelf(engine, None)
        for start in range(0, 5_000, 100):
            both = as_segments(refused(range(start, start + 100)))
            both["time"] += start * SECOND
            kept.check(both["time"])
            engine.feed(both)
            kept.set_aside()
            most = max(most, len(engine))
        assert most < 1_000
        assert len(kept.close(START + 6_000 * SECOND)[0].connections) == 5_000
