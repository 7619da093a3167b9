"""How time and memory grow with a capture: 1 to 16 million frames, drawn for the documentation.

Usage: benchmarks/scaling.py [--millions N ...] [--repeat N] PICTURE
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measure import DEMO, TCPSTATES, Run, grown, median, run

_MILLION = 1_000_000


def main(arguments: Sequence[str]) -> None:
    """Measure each size, print a table and the slope of its upper part, draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="of frames")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each (default: %(default)s)")
    parser.add_argument("picture", type=Path, metavar="PICTURE", help="SVG or PNG to write")
    options = parser.parse_args(arguments)
    run([TCPSTATES, "analyze", str(DEMO)])  # compiles what is not compiled yet
    runs = {millions: _measured(millions * _MILLION, options.repeat) for millions in options.millions}
    _print(runs)
    _draw(runs, options.picture)


def _measured(frames: int, repeat: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="tcpstates-") as folder:
        path = Path(folder) / "grown.pcap"
        grown(frames, path)
        return median([run([TCPSTATES, "analyze", str(path)]) for _ in range(repeat)])


def _print(runs: dict[int, Run]) -> None:
    print("| million frames | seconds | of processors | MB |\n| ---: | ---: | ---: | ---: |")
    for millions, found in runs.items():
        print(f"| {millions} | {found.seconds:.2f} | {found.cpu:.2f} | {found.memory:,.0f} |")
    for less, more in zip(list(runs)[:-1], list(runs)[1:], strict=True):
        wall, cpu = ((more - less) / (runs[more][i] - runs[less][i]) for i in (0, 1))
        print(f"from {less} to {more}: {wall:.2f} million frames a second, {cpu:.2f} of one processor")


def _draw(runs: dict[int, Run], path: Path) -> None:
    """Two curves over the same sizes, each from zero: a straight line is what is wanted.

    The time is that of the processors: other work on the machine changes it least.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, title, index in zip(panels, ("seconds of processors", "MB at the peak"), (1, 2), strict=True):
        axes.plot(list(runs), [found[index] for found in runs.values()], marker="o", color="#1f6feb")
        axes.set(title=title, xlabel="million frames", xlim=0, ylim=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(sys.argv[1:])
