"""How much faster more workers are, and how much memory each of them takes.

Usage: benchmarks/sharing.py CAPTURE... [--rounds N] [--workers N]

Each round starts so many workers, has them do a small piece of work first, so that what they need is loaded,
and then the captures. Rounds of one and of several workers alternate; of each the quickest counts, as other
work on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import tcpstates
from tcpstates.distributed.cluster import connected

SMALL = Path(__file__).parent.parent / "pcaps" / "demo.pcap"


class Round(NamedTuple):
    """What one run took: seconds by the clock and by stage, MB of memory of the largest worker."""

    seconds: float
    stages: tuple[str, ...]
    memory: float


def one_round(captures: list[str], workers: int) -> Round:
    """Analyze the captures with so many workers."""
    with connected(f"local:{workers}") as client:
        for worker in client.scheduler_info(n_workers=-1)["workers"]:
            client.submit(warm_up, workers=[worker], pure=False).result()
        began = time.monotonic()
        analysis = tcpstates.analyze(captures, client=client, dialects=False)
        seconds = time.monotonic() - began
        memory = max(client.run(peak).values())
    assert analysis.work is not None
    return Round(seconds, tuple(map(str, analysis.work.stages)), memory)


def warm_up() -> None:
    """Load kernels."""
    import tempfile

    from tcpstates.distributed import plan, reducing, shares
    from tcpstates.distributed.mapping import read_unit

    with tempfile.TemporaryDirectory() as folder:
        options = plan.Options("fast", True, None, 1)
        facts = read_unit(plan.Unit((str(SMALL),), 0, 0, True), options, folder)
        unit = shares.ReadUnit(facts.folder, 0, facts.first_time or 0, facts.is_in_order)
        whole = shares.Plan((shares.ReadGroup((unit,)),), options)
        job = reducing.Job(whole, "linux", "auto", False, facts.last_time or 0, None)
        reducing.infer_share(job, plan.Share(0), folder)


def peak() -> float:
    """The most memory that this process had, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def main() -> None:
    """Print each round, and how the quickest ones compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("captures", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    rounds: dict[int, list[Round]] = {1: [], given.workers: []}
    for _ in range(given.rounds):
        for workers, done in rounds.items():
            done.append(one_round(given.captures, workers))
            print(
                f"{workers} workers: {done[-1].seconds:.1f} s, {done[-1].memory:,.0f} MB",
                *done[-1].stages,
                sep="\n  ",
            )
    quickest = {workers: min(one.seconds for one in done) for workers, done in rounds.items()}
    print(f"{given.workers} workers are {quickest[1] / quickest[given.workers]:.2f} times as fast as 1")


if __name__ == "__main__":
    main()
