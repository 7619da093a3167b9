"""Recording scenarios, many at once, and judging what came of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .lab import SIDES, Lab
from .packets import read_frames, segments
from .recording import SCENARIOS, Recording, Scenario, endings_of
from .trace import Trace
from .truth import Row, merged, rows_of

_FIRST_NETWORK = 20


def record(scenarios: Iterable[Scenario], folder: Path) -> list[Recording]:
    """Record all ``scenarios`` at once into ``folder``, and check each.

    Raises
    ------
    RecordingError
        If one does not show what it should.
    """
    numbers = {name: number for number, name in enumerate(SCENARIOS, _FIRST_NETWORK)}
    numbered = [(numbers[scenario.name], scenario) for scenario in scenarios]
    trace = Trace("sock/inet_sock_set_state")
    pool = ThreadPoolExecutor(len(numbered))
    try:
        recordings = list(pool.map(lambda one: _record_one(one[0], one[1], folder), numbered))
        _complete(recordings, rows_of(trace.events()))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        trace.close()
    for recording in recordings:
        for expectation in recording.scenario.expectations:
            expectation(recording)
    return recordings


def _record_one(number: int, scenario: Scenario, folder: Path) -> Recording:
    own = folder / scenario.name
    own.mkdir()
    lab = Lab(number, own, delay=scenario.delay, ipv6=scenario.ipv6)
    with lab.running():
        scenario.play(lab)
    print(f"recorded {scenario.name}", file=sys.stderr)
    return Recording(scenario, lab, own / f"{scenario.vantage}.pcap")


def _complete(recordings: list[Recording], rows: list[Row]) -> None:
    """Give each recording its segments, the kernels' word, and how it ended."""
    for recording in recordings:
        lab = recording.lab
        own = {address: side for side in SIDES for address in lab.host(side).addresses}
        meant = [row for row in rows if row.local.address in own and row.time < lab.ended]
        told = [row._replace(side=own[row.local.address]) for row in meant]
        samples = [sample for sample in lab.sampler.samples if sample.tuple4[0].address in own]
        recording.rows = merged(told, samples)
        recording.segments = segments(read_frames(recording.capture))
        recording.endings = endings_of(recording.segments, lab.looks, recording.scenario.socketless)
