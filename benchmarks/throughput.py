"""How long ``tcpstates analyze`` takes, against reading the same file and against importing pandas.

Usage: benchmarks/throughput.py [--frames N] [--repeat N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DEMO = Path(__file__).parent.parent / "pcaps" / "demo.pcap"
_READ = "import sys\nwith open(sys.argv[1], 'rb', 0) as file:\n    while file.read(1 << 22): pass"


class Run(NamedTuple):
    """The fastest of some runs of a program: seconds, and its largest memory in MB."""

    seconds: float
    memory: float


def main(arguments: Sequence[str]) -> None:
    """Grow a capture, time what there is to time, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--frames", type=int, default=1_000_000, help="frames to analyse (default: a million)"
    )
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs, of which the fastest counts (default: 3)"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tcpstates-") as folder:
        grown = Path(folder) / "grown.pcap"
        frames = _grown(options.frames, grown)
        print(f"{frames:,} frames, {grown.stat().st_size / 1e6:,.0f} MB, grown from {DEMO.name}")
        _report(grown, frames, options.repeat)


def _grown(frames: int, path: Path) -> int:
    """Grow the demo to so many frames, in another process: a child's memory counts from its parent's."""
    growing = [sys.executable, str(Path(__file__).with_name("growing.py"))]
    done = subprocess.run([*growing, str(DEMO), str(frames), str(path)], stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


def _report(grown: Path, frames: int, repeat: int) -> None:
    python = [sys.executable, "-c"]
    analyze = [str(Path(sys.executable).with_name("tcpstates")), "analyze"]
    _run([*analyze, str(DEMO)])  # compiles what is not compiled yet
    pandas = _fastest([*python, "import pandas"], repeat)
    read = _fastest([*python, _READ, str(grown)], repeat)
    small = _fastest([*analyze, str(DEMO)], repeat)
    large = _fastest([*analyze, str(grown)], repeat)
    print(f"{'':28}{'seconds':>9}{'MB':>7}  ")
    for what, run, remark in (
        ("import pandas", pandas, ""),
        ("read the file", read, ""),
        (f"analyze {DEMO.name}", small, f"{small.seconds / pandas.seconds:.1f} times importing pandas"),
        ("analyze the grown capture", large, f"{large.seconds / read.seconds:.1f} times reading it"),
    ):
        print(f"{what:28}{run.seconds:9.2f}{run.memory:7.0f}  {remark}".rstrip())
    print(f"{frames / large.seconds / 1e6:.2f} million frames a second, start-up included")


def _fastest(command: list[str], repeat: int) -> Run:
    return min(_run(command) for _ in range(repeat))


def _run(command: list[str]) -> Run:
    """Run ``command`` to its end; SystemExit with its own words where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    words = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(
            f"throughput.py: {' '.join(command)} ended with {process.returncode}: {words.strip()}"
        )
    return Run(time.perf_counter() - start, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main(sys.argv[1:])
