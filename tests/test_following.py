"""Captures that are still being written: followed files, rotation, pipes, and Ctrl-C with a report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import builders
import tcpstates
from builders import Frame, tcp_frame
from tcpstates.capture.files import CaptureReader
from tcpstates.capture.watching import Watch
from tcpstates.errors import UsageError

FRAMES = builders.some_frames(30)


class Reader:
    """Reads a followed capture in a thread; ``until`` waits for what it has read."""

    def __init__(self, path: Path) -> None:
        self.stop, self.times = threading.Event(), []
        self.reader = CaptureReader(path, Watch(True, self.stop.is_set))
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        for block in self.reader.blocks():
            self.times += block.frames["time"].tolist()

    def until(self, count: int) -> None:
        while len(self.times) < count and self.thread.is_alive():
            time.sleep(0.01)

    def end(self) -> list[int]:
        self.stop.set()
        self.thread.join()
        return self.times


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "growing.pcap"
    path.write_bytes(builders.pcap(FRAMES[:10]))
    return path


def stamps(frames: list[Frame]) -> list[int]:
    return [frame.time for frame in frames]


def test_a_file_that_grows_is_read_on(path: Path) -> None:
    reader = Reader(path)
    reader.until(10)
    rest = b"".join(map(builders.pcap_record, FRAMES[10:20]))
    with path.open("ab") as file:
        for at in range(0, len(rest), 300):
            file.write(rest[at : at + 300])
            file.flush()
    reader.until(20)
    assert reader.end() == stamps(FRAMES[:20])
    assert reader.reader.damage == []


def test_a_record_that_is_being_written_is_no_damage(path: Path) -> None:
    with path.open("ab") as file:
        file.write(builders.pcap_record(FRAMES[10])[:-5])
    reader = Reader(path)
    reader.until(10)
    assert reader.end() == stamps(FRAMES[:10])
    assert reader.reader.damage == []


@pytest.mark.parametrize("way", ["moved away", "cut"])
def test_what_takes_its_place_is_read_from_the_beginning(path: Path, way: str) -> None:
    reader = Reader(path)
    reader.until(10)
    if way == "moved away":
        path.rename(path.with_suffix(".1"))
    path.write_bytes(builders.pcap(FRAMES[10:15]))
    reader.until(15)
    assert reader.end() == stamps(FRAMES[:15])


def test_only_one_file_can_be_followed(path: Path) -> None:
    with pytest.raises(UsageError, match="one capture can be followed, not 2; give the one that grows"):
        tcpstates.analyze([path, path], follow=True)


# --- the command -------------------------------------------------------------------------------

HANDSHAKE = [
    tcp_frame("10.0.0.1:4000", "10.0.0.2:80", "S", seq=10),
    tcp_frame("10.0.0.2:80", "10.0.0.1:4000", "SA", seq=20, ack=11),
    tcp_frame("10.0.0.1:4000", "10.0.0.2:80", "A", seq=11, ack=21),
]
CAPTURE = [Frame(builders.START + number, data) for number, data in enumerate(HANDSHAKE)]


def command(*arguments: str) -> list[str]:
    """The command, which says on stderr when it has read what there is."""
    watched = (
        "import sys, tcpstates.capture.streams as s, tcpstates.cli as c\n"
        "seen = s._readinto\n"
        "def told(file, target):\n"
        "    count = seen(file, target)\n"
        "    print('read', count, file=sys.stderr, flush=True)\n"
        "    return count\n"
        "s._readinto = told\n"
        "c.main()"
    )
    return [sys.executable, "-c", watched, *arguments]


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def wait_until_read(process: subprocess.Popen[bytes], size: int) -> None:
    assert process.stderr is not None
    total = 0
    while total < size:
        words = process.stderr.readline().split()
        assert words, "it ended before"
        total += int(words[1]) if words[0] == b"read" else 0


def states(output: bytes) -> list[str]:
    return [json.loads(line)["client_state"] for line in output.splitlines()]


def test_ctrl_c_ends_the_following_with_the_normal_report(tmp_path: Path, running: list) -> None:
    path, content = tmp_path / "growing.pcap", builders.pcap(CAPTURE)
    path.write_bytes(content)
    process = subprocess.Popen(
        command("connections", str(path), "--follow", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running.append(process)
    wait_until_read(process, len(content))
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert (process.returncode, states(output)) == (0, ["ESTABLISHED"])
    assert b"Traceback" not in errors


@pytest.mark.parametrize("ends", ["at its end", "at Ctrl-C"])
def test_a_pipe_gives_its_result(ends: str, running: list) -> None:
    content = builders.pcap(CAPTURE)
    process = subprocess.Popen(
        command("connections", "-", "--json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running.append(process)
    assert process.stdin is not None
    os.write(process.stdin.fileno(), content)
    wait_until_read(process, len(content))
    if ends == "at Ctrl-C":
        process.send_signal(signal.SIGINT)
        process.wait()
    output, _errors = process.communicate()
    assert (process.returncode, states(output)) == (0, ["ESTABLISHED"])
