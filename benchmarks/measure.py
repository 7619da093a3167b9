"""Running other programs, and what that takes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
DEMO = HERE.parent / "pcaps" / "demo.pcap"
TCPSTATES = str(Path(sys.executable).with_name("tcpstates"))
_AT_ONCE = 1 << 20
#: As Python is where nobody said otherwise: it keeps modules compiled.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Run(NamedTuple):
    """What a program took: seconds, those of the processors, MB at the peak of its largest process, lines."""

    seconds: float
    cpu: float
    memory: float
    rows: int


def run(command: Sequence[str]) -> Run:
    """Run ``command`` to its end; SystemExit with its own words where it fails."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env=_ENVIRONMENT)
        assert process.stdout is not None
        rows = sum(part.count(b"\n") for part in iter(partial(process.stdout.read, _AT_ONCE), b""))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        complaints.seek(0)
        words = complaints.read().decode(errors="replace")
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {words.strip()}")
    seconds = time.perf_counter() - start
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, rows)


def median(runs: Sequence[Run]) -> Run:
    """Of each figure the median."""
    seconds, cpu, memory, rows = (statistics.median(figures) for figures in zip(*runs, strict=True))
    return Run(seconds, cpu, memory, int(rows))


def grown(frames: int, path: Path) -> int:
    """Grow the demo to so many frames, in another process: a child's memory counts from its parent's."""
    command = [sys.executable, str(HERE / "growing.py"), str(DEMO), str(frames), str(path)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
