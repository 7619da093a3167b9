"""Recording scenarios, several at once, and judging what came of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .lab import SIDES, Lab
from .minisockets import MiniSockets, MiniSpan
from .packets import Frame, read_frames, segments
from .recording import SCENARIOS, Recording, RecordingError, Scenario, endings_of
from .spans import contradictions, resolved
from .trace import Trace, realtime_offset
from .truth import Row, merged, rows_of

_FIRST_NETWORK = 20
#: How many light ones at once; long ones are mostly asleep and go beside
_AT_ONCE = 7
_SWITCH_INTERVAL = 0.0005  # seconds; a wire should not wait long for another one's thread


def record(scenarios: Iterable[Scenario], folder: Path) -> tuple[list[Recording], dict[str, str]]:
    """Record all ``scenarios`` into ``folder``: the good ones, and what is wrong with the others."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    trace, minis = Trace("sock/inet_sock_set_state"), MiniSockets()
    try:
        recordings, problems = _play(list(scenarios), folder)
        _complete(recordings, rows_of(trace.events()), minis.spans(realtime_offset()))
    finally:
        trace.close()
        minis.close()
    good = []
    for recording in recordings:
        try:
            _check(recording)
            good.append(recording)
        except RecordingError as error:
            problems[recording.scenario.name] = str(error)
    return good, problems


def _play(scenarios: list[Scenario], folder: Path) -> tuple[list[Recording], dict[str, str]]:
    """Play the long ones beside the light ones, then one heavy one after another."""
    crowds = {pace: [one for one in scenarios if one.pace == pace] for pace in ("long", "light", "heavy")}
    pools = [ThreadPoolExecutor(size) for size in (len(crowds["long"]) or 1, _AT_ONCE, 1)]
    played: list[Future[Recording]] = []
    try:
        for pool, crowd in zip(pools, crowds.values(), strict=True):
            played += (futures := [pool.submit(_record_one, one, folder) for one in crowd])
            if crowd is not crowds["long"]:
                [future.exception() for future in futures]
        failures = [future.exception() for future in played]
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
    names = [one.name for crowd in crowds.values() for one in crowd]
    problems = {name: repr(failure) for name, failure in zip(names, failures, strict=True) if failure}
    return [future.result() for future in played if not future.exception()], problems


def _record_one(scenario: Scenario, folder: Path) -> Recording:
    own = folder / scenario.name
    own.mkdir()
    lab = Lab(_network(scenario), own, link=scenario.link, ipv6=scenario.ipv6)
    with lab.running():
        scenario.play(lab)
        lab.pause(scenario.rest)
    print(f"recorded {scenario.name}", file=sys.stderr)
    return Recording(scenario, lab, own / f"{scenario.vantage}.pcap")


def _network(scenario: Scenario) -> int:
    """A number of its own for the addresses; that of an example does not change when others come to be."""
    ordered = sorted(SCENARIOS.values(), key=lambda one: not one.example)
    return _FIRST_NETWORK + ordered.index(scenario)


def _complete(recordings: list[Recording], rows: list[Row], minis: list[MiniSpan]) -> None:
    """Give each recording its segments, the kernels' word, and how it ended."""
    for recording in recordings:
        lab = recording.lab
        own = {address: side for side in SIDES for address in lab.host(side).addresses}
        meant = [row for row in rows if row.local.address in own]
        told = [row._replace(side=own[row.local.address]) for row in meant if row.time < lab.ended]
        samples = [sample for sample in lab.sampler.samples if sample.tuple4[0].address in own]
        recording.rows = merged(told, samples)
        recording.spans = resolved(meant, minis, own, lab.ended)
        recording.frames = {side: _kept(lab, read_frames(lab.folder / f"{side}.pcap")) for side in SIDES}
        recording.segments = segments(recording.frames[recording.scenario.vantage])
        recording.endings = endings_of(recording.segments, lab.looks, recording.scenario.socketless)


def _kept(lab: Lab, frames: list[Frame]) -> list[Frame]:
    """What of a capture is kept."""
    begin, end = lab.begin or 0, lab.end or lab.ended
    return [frame for frame in frames if begin <= frame.time <= end]


def _check(recording: Recording) -> None:
    """Raise RecordingError if it does not show what it should, or its two truths do not agree."""
    for expectation in recording.scenario.expectations:
        expectation(recording)
    wrong = contradictions(recording.spans, recording.lab.sampler.looks)
    recording.demand(not wrong, f"{len(wrong)} samples contradict the truth, such as {wrong[:3]}")
