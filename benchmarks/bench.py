"""``tcpstates analyze`` beside the tools that say most of the same, on the same files in the same run.

Usage: benchmarks/bench.py [--connections N] [--bytes N] [--repeat N] [--nfstream PYTHON]

Grows the captures in a temporary folder: one of many short connections, and one of a thousand long ones. The
tools that take minutes run once, on the former. Tools that are not installed are left out.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from measure import DEMO, HERE, TCPSTATES, Run, grown, median, run

_FRAMES_PER_CONNECTION = 3706 / 295  # of the demo

_READ = "import sys\nwith open(sys.argv[1], 'rb', 0) as file:\n    while file.read(1 << 22): pass"
_DPKT = """
import sys, dpkt
for time, data in dpkt.pcap.Reader(open(sys.argv[1], 'rb')):
    tcp = dpkt.ethernet.Ethernet(data).data.data
    tcp.flags, tcp.seq, tcp.ack
"""
_NFSTREAM = """
import sys, nfstream
for flow in nfstream.NFStreamer(sys.argv[1], n_dissections=0):
    print(flow.id)
"""

Commands = Mapping[str, Sequence[str]]


def main(arguments: Sequence[str]) -> None:
    """Grow the captures, run everything in turn, print tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=int, default=500_000, help="short ones (default: %(default)s)")
    parser.add_argument("--bytes", type=float, default=2e9, help="of the long ones (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each (default: %(default)s)")
    parser.add_argument("--nfstream", metavar="PYTHON", help="a Python that has nfstream")
    options = parser.parse_args(arguments)
    print(f"{platform.platform()}, {_processor()}; medians of {options.repeat} runs")
    with tempfile.TemporaryDirectory(prefix="tcpstates-") as name:
        folder, frames = Path(name), int(options.connections * _FRAMES_PER_CONNECTION)
        run([TCPSTATES, "analyze", str(DEMO)])  # compiles what is not compiled yet
        _small(options.repeat)
        frames = grown(frames, folder / "many.pcap")
        _on(folder / "many.pcap", frames, _quick, _slow(options.nfstream), options.repeat)
        (folder / "many.pcap").unlink()
        _long(folder / "long.pcap", options)


def _long(path: Path, options: argparse.Namespace) -> None:
    command = [sys.executable, str(HERE / "long_connections.py"), "1000", str(options.bytes), str(path)]
    frames = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    _on(path, frames, _quick, lambda path: {}, options.repeat)


def _small(repeat: int) -> None:
    commands = {
        "import pandas": [sys.executable, "-c", "import pandas"],
        "tcpstates analyze": [TCPSTATES, "analyze", str(DEMO)],
    }
    _print(f"{DEMO.name}: start-up", _measured(commands, repeat), "import pandas")


def _quick(path: Path) -> dict[str, Sequence[str]]:
    """What takes seconds."""
    commands: dict[str, Sequence[str]] = {
        "tcpstates analyze": [TCPSTATES, "analyze", str(path)],
        "tcpstates analyze --threads 1": [TCPSTATES, "analyze", "--threads", "1", str(path)],
        "read the file": [sys.executable, "-c", _READ, str(path)],
        "argus, ra": ["sh", "-c", 'argus -r "$0" -w - | ra -n -r -', str(path)],
    }
    return _installed(commands, {"argus, ra": "argus"})


def _slow(nfstream: str | None) -> Callable[[Path], Commands]:
    """What takes minutes for millions of frames."""

    def commands(path: Path) -> Commands:
        tshark, fields = ["tshark", "-n", "-r", str(path)], ["-e", "tcp.stream", "-e", "tcp.completeness"]
        lines: dict[str, Sequence[str]] = {
            "tcptrace": ["tcptrace", "-n", str(path)],
            "tshark conv,tcp": [*tshark, "-q", "-z", "conv,tcp"],
            "tshark completeness": [*tshark, "-2", "-T", "fields", *fields],
            "dpkt, a loop": [sys.executable, "-c", _DPKT, str(path)],
        }
        if nfstream:
            lines["nfstream"] = [nfstream, "-c", _NFSTREAM, str(path)]
        needed = {"tcptrace": "tcptrace", "tshark conv,tcp": "tshark", "tshark completeness": "tshark"}
        return _installed(lines, needed)

    return commands


def _installed(commands: Commands, needed: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Those whose program is there."""
    return {name: line for name, line in commands.items() if shutil.which(needed.get(name, "sh"))}


def _on(
    path: Path,
    frames: int,
    commands: Callable[[Path], Commands],
    slow: Callable[[Path], Commands],
    repeat: int,
) -> None:
    title = f"{path.stem}: {frames:,} frames, {path.stat().st_size / 1e6:,.0f} MB"
    _print(title, _measured(commands(path), repeat) | _measured(slow(path), 1), "tcpstates analyze")


def _measured(commands: Commands, repeat: int) -> dict[str, Run]:
    """Each command's median; all run once before the first runs again, so that what disturbs meets all."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(repeat):
        for name, command in commands.items():
            runs[name].append(run(command))
    return {name: median(found) for name, found in runs.items()}


def _print(title: str, runs: Mapping[str, Run], measure: str) -> None:
    print(f"\n{title}\n\n| | seconds | of processors | ratio | ratio of processors | MB | lines |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    unit = runs[measure]
    for name, found in runs.items():
        ratios = f"{found.seconds / unit.seconds:.2f} | {found.cpu / unit.cpu:.2f}"
        figures = f"{found.seconds:.2f} | {found.cpu:.2f} | {ratios} | {found.memory:,.0f} | {found.rows:,}"
        print(f"| {name} | {figures} |", flush=True)


def _processor() -> str:
    """The processor's name, where Linux says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


if __name__ == "__main__":
    main(sys.argv[1:])
