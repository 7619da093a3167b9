"""Work shared out to real workers, in processes of their own, by a real scheduler; and how these fail."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tcpstates
from test_shared_work import text_of

pytest.importorskip("distributed", reason="dask's distributed is not installed")

from tcpstates.distributed import plan
from tcpstates.distributed.cluster import connected

pytestmark = pytest.mark.slow_without_jit

FILES = 40
#: How long dask waits for a scheduler.
IMPATIENT = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}
SLOW_TO_SHOW = ("connections", "timeline", "findings", "resets", "patterns")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Of two workers."""
    with connected("local:2") as client:
        yield client


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory, captures: Path) -> list[Path]:
    """A capture of a few thousand connections, as a ring of files that most of them cross."""
    folder = tmp_path_factory.mktemp("ring")
    grown = folder / "grown.pcap"
    grow = [
        sys.executable,
        captures.parent / "benchmarks" / "growing.py",
        captures / "demo.pcap",
        "40000",
        grown,
    ]
    subprocess.run(grow, check=True, stdout=subprocess.DEVNULL)
    content = grown.read_bytes()
    starts, position = [], 24
    while position < len(content):
        starts.append(position)
        position += 16 + int.from_bytes(content[position + 8 : position + 12], "little")
    cuts = [*starts[:: -(-len(starts) // FILES)], len(content)]
    for number, (start, end) in enumerate(pairwise(cuts)):
        (folder / f"ring.pcap{number * 7 % FILES:02}").write_bytes(content[:24] + content[start:end])
    return sorted(folder.glob("ring.*"))


@pytest.fixture(scope="module")
def whole(ring: list[Path]) -> tcpstates.Analysis:
    """What one process says of it."""
    return tcpstates.analyze(ring)


@pytest.fixture
def one_file_in_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TOGETHER", 0)


def assert_same(many: tcpstates.Analysis, one: tcpstates.Analysis) -> None:
    """That both say the same, row for row."""
    assert (many.counts, many.damage) == (one.counts, one.damage)
    for name in ("connections", "sides", "transitions", "conduct", "resets", "dialects"):
        np.testing.assert_array_equal(getattr(many.log, name), getattr(one.log, name), name)
    for name in SLOW_TO_SHOW:
        assert text_of(many, name) == text_of(one, name)


@pytest.mark.usefixtures("one_file_in_each_task")
def test_a_ring_of_files_gives_the_tables_of_one_process(
    ring: list[Path], whole: tcpstates.Analysis, client: Any
) -> None:
    many = tcpstates.analyze(ring, client=client)
    assert len(ring) == FILES
    assert many.work is not None and many.work.stages[0].tasks == FILES
    cross = whole.log.connections["first_file"] != whole.log.connections["last_file"]
    assert cross.mean() > 0.5
    assert_same(many, whole)


@pytest.mark.usefixtures("one_file_in_each_task")
def test_a_worker_that_is_killed_changes_nothing(
    ring: list[Path], whole: tcpstates.Analysis, client: Any, tmp_path: Path
) -> None:
    victims = list(client.run(os.getpid).values())
    killed = []

    def kill_one(read: int, _total: int | None) -> None:
        if read and not killed:
            killed.append(victims[0])
            os.kill(victims[0], signal.SIGKILL)

    many = tcpstates.analyze(ring, client=client, workdir=tmp_path, progress=kill_one)
    assert killed
    assert_same(many, whole)
    client.wait_for_workers(2)
    assert killed[0] not in client.run(os.getpid).values()


@pytest.mark.usefixtures("one_file_in_each_task")
def test_a_run_that_was_stopped_goes_on_from_what_is_there(
    ring: list[Path], whole: tcpstates.Analysis, client: Any, tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stop(read: int, total: int | None) -> None:
        if total and read > total // 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        tcpstates.analyze(ring, client=client, workdir=tmp_path, progress=stop)
    half_written = tmp_path / "0123.part"
    half_written.mkdir()
    many = tcpstates.analyze(ring, client=client, workdir=tmp_path)
    assert many.work is not None
    read, infer, _join = many.work.stages
    assert FILES // 3 <= read.found < FILES and infer.found == 0
    assert_same(many, whole)

    again = tcpstates.analyze(ring, client=client, workdir=tmp_path)
    assert again.work is not None
    assert [stage.found for stage in again.work.stages[:2]] == [FILES, infer.tasks]
    assert_same(again, whole)


@pytest.mark.usefixtures("one_file_in_each_task")
def test_a_file_that_changed_is_read_anew(client: Any, ring: list[Path], tmp_path: Path) -> None:
    paths = [tmp_path / path.name for path in ring[:3]]
    for path, source in zip(paths, ring, strict=False):
        path.write_bytes(source.read_bytes())
    tcpstates.analyze(paths, client=client, workdir=tmp_path / "work")
    paths[1].write_bytes(ring[1].read_bytes()[:-100])
    many = tcpstates.analyze(paths, client=client, workdir=tmp_path / "work")
    assert many.work is not None and many.work.stages[0].found == 2
    assert_same(many, tcpstates.analyze(paths))


def test_a_damaged_file_costs_only_itself(client: Any, ring: list[Path], tmp_path: Path) -> None:
    """One is cut, one is no capture at all, one has gone."""
    paths = [tmp_path / path.name for path in ring[:5]]
    for path, source in zip(paths, ring, strict=False):
        path.write_bytes(source.read_bytes())
    paths[2].write_bytes(paths[2].read_bytes()[:-7])
    (tmp_path / "junk.pcap").write_bytes(b"no capture, this")
    many = tcpstates.analyze([*paths, tmp_path / "junk.pcap", tmp_path / "gone.pcap"], client=client)
    one = tcpstates.analyze(paths)
    assert [line.split(":")[0] for line in many.damage[:2]] == [
        str(tmp_path / "junk.pcap"),
        str(tmp_path / "gone.pcap"),
    ]
    assert many.damage[2:] == one.damage
    assert many.counts == one.counts
    assert text_of(many, "timeline") == text_of(one, "timeline")


def test_what_is_no_file_is_refused(client: Any) -> None:
    with pytest.raises(tcpstates.UsageError, match="standard input: workers cannot read it"):
        tcpstates.analyze("-", client=client)
    with pytest.raises(tcpstates.CaptureError, match="no such file or directory"):
        tcpstates.analyze("missing.pcap", client=client)


# The command


def command(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    everything = [sys.executable, "-m", "tcpstates", *map(str, arguments)]
    return subprocess.run(everything, capture_output=True, text=True, timeout=120, **options)


def test_the_command_says_the_same_and_what_it_took(ring: list[Path], tmp_path: Path) -> None:
    pattern = str(ring[0].parent / "ring.*")
    one, many = (
        command("findings", pattern, "--csv"),
        command("findings", pattern, "--csv", "--scheduler", "local:2", "--workdir", tmp_path),
    )
    assert (one.returncode, many.returncode) == (0, 0)
    assert many.stdout == one.stdout
    lines = [line.removeprefix("tcpstates: ") for line in many.stderr.splitlines() if "compiling" not in line]
    assert lines[0].startswith("workers share the work; what they do is shown at http://127.0.0.1:")
    assert [line.split(":")[0] for line in lines[1:]] == ["read", "infer", "join"]
    assert " frames, " in lines[1] and " MB in 1 task; " in lines[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--scheduler", "local:x"],
            "--scheduler cannot be 'local:x'; use local, local:4 or tcp://HOST:PORT",
        ),
    ],
)
def test_wrong_usage_is_one_line(captures: Path, arguments: list[str], message: str) -> None:
    result = command("analyze", captures / "demo.pcap", *arguments)
    assert (result.returncode, result.stderr) == (2, f"tcpstates: {message}\n")


def test_nobody_at_the_address_is_one_line(captures: Path) -> None:
    result = command("analyze", captures / "demo.pcap", "--scheduler", "tcp://127.0.0.1:9", env=IMPATIENT)
    assert result.returncode == 6
    assert result.stderr == "tcpstates: tcp://127.0.0.1:9: no scheduler answers; start one (dask scheduler)\n"


def test_without_dask_it_says_how_to_get_it(captures: Path) -> None:
    code = (
        "import sys; sys.modules['distributed'] = None; from tcpstates.cli import main; "
        "sys.argv = ['tcpstates', 'analyze', *sys.argv[1:], '--scheduler', 'local']; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, captures / "demo.pcap"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "pip install 'tcpstates[distributed]' brings it" in result.stderr


@contextlib.contextmanager
def dask(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A scheduler or a worker, as people start them."""
    module = f"distributed.cli.dask_{arguments[0]}"
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments[1:]],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_lost_scheduler_is_one_line(ring: list[Path], tmp_path: Path) -> None:
    """Killed while workers read; what they had written is of use to the next run."""
    with dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard") as scheduler:
        assert scheduler.stderr is not None
        address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at" in line)
        with dask("worker", address, "--nthreads", "1", "--no-dashboard"):
            code = (
                "import sys; from tcpstates.distributed import plan; plan.TOGETHER = 0; "
                "from tcpstates.cli import main; sys.argv[0] = 'tcpstates'; main()"
            )
            arguments = ["analyze", *map(str, ring), "--scheduler", address, "--workdir", str(tmp_path)]
            run = subprocess.Popen(
                [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True, env=IMPATIENT
            )
            while run.poll() is None and not list(tmp_path.glob("*/facts.json")):
                time.sleep(0.05)
            scheduler.kill()
            _output, errors = run.communicate(timeout=100)
    said = [line for line in errors.splitlines() if "compiling" not in line]
    assert run.returncode == 6
    assert said[1:] == ["tcpstates: the scheduler was lost; with --workdir, run it again to go on from here"]


def test_a_full_disk_is_one_line(ring: list[Path], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system that is full takes root's rights")
    try:
        result = command("analyze", *ring, "--scheduler", "local:1", "--workdir", small)
        left = [path for path in small.iterdir() if path.is_dir()]
    finally:
        subprocess.run(["umount", small], check=True)
    assert result.returncode == 6
    last = result.stderr.splitlines()[-1]
    assert "no space left on device; free some, or name another place with --workdir" in last
    assert "Traceback" not in result.stderr
    assert left == []
