"""``tcpstates analyze`` beside the tools that say most of the same, on the same files in the same run.

Usage: benchmarks/bench.py [--connections N] [--bytes N] [--repeat N]

Grows the captures in a temporary folder: one of many short connections, the beginning of that for tools that
would take minutes, one of a thousand long connections. Tools that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from measure import DEMO, HERE, TCPSTATES, Run, grown, median, run

_FRAMES_PER_CONNECTION = 3706 / 295  # of the demo
#: So much of the large capture is what the slow tools get.
_PART = 5

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
    options = parser.parse_args(arguments)
    print(f"{platform.platform()}, {_processor()}; medians of {options.repeat} runs")
    with tempfile.TemporaryDirectory(prefix="tcpstates-") as name:
        folder, frames = Path(name), int(options.connections * _FRAMES_PER_CONNECTION)
        run([TCPSTATES, "analyze", str(DEMO)])  # compiles what is not compiled yet
        _small(options.repeat)
        _on(folder / "many.pcap", grown(frames, folder / "many.pcap"), _quick, options.repeat)
        part = grown(frames // _PART, folder / "part.pcap")
        (folder / "many.pcap").unlink()
        _on(folder / "part.pcap", part, lambda path: _quick(path) | _slow(path), 1)
        _long(folder / "long.pcap", options)


def _long(path: Path, options: argparse.Namespace) -> None:
    command = [sys.executable, str(HERE / "long_connections.py"), "1000", str(options.bytes), str(path)]
    frames = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    _on(path, frames, _quick, options.repeat)


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


def _slow(path: Path) -> dict[str, Sequence[str]]:
    """What takes minutes for millions of frames."""
    tshark, python = ["tshark", "-n", "-r", str(path)], [sys.executable, "-c"]
    commands: dict[str, Sequence[str]] = {
        "tcptrace": ["tcptrace", "-n", str(path)],
        "tshark conv,tcp": [*tshark, "-q", "-z", "conv,tcp"],
        "tshark completeness": [*tshark, "-2", "-T", "fields", "-e", "tcp.stream", "-e", "tcp.completeness"],
        "dpkt, a loop": [*python, _DPKT, str(path)],
    }
    if importlib.util.find_spec("nfstream"):
        commands["nfstream"] = [*python, _NFSTREAM, str(path)]
    needed = {"tcptrace": "tcptrace", "tshark conv,tcp": "tshark", "tshark completeness": "tshark"}
    return _installed(commands, needed)


def _installed(commands: Commands, needed: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Those whose program is there."""
    return {name: line for name, line in commands.items() if shutil.which(needed.get(name, "sh"))}


def _on(path: Path, frames: int, commands: Callable[[Path], Commands], repeat: int) -> None:
    title = f"{path.stem}: {frames:,} frames, {path.stat().st_size / 1e6:,.0f} MB"
    _print(title, _measured(commands(path), repeat), "tcpstates analyze")


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
