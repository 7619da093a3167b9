"""Live under load: many frames, a flood of SYNs, many connections for long."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import tcpstates
from steady import Steady
from tcpstates.session import Snapshot
from wires import Wire, await_start, run_in, syn

pytestmark = pytest.mark.slow_without_jit
_MINUTES = pytest.mark.skipif(os.environ.get("CI") != "true", reason="takes minutes; CI runs it")


def send(hosts: Wire, count: int, per_second: float, stop_after: float = 600) -> float:
    """So many SYNs from as many hosts; how many seconds it took."""
    sender, began = hosts.raw(), time.monotonic()
    for number in range(count):
        sender.send(syn(number))
        ahead = number / per_second - (time.monotonic() - began)
        if ahead > 0.002:
            time.sleep(ahead)
        if number % 1_000 == 0 and time.monotonic() - began > stop_after:
            break
    sender.close()
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("count", "rate"),
    [(100_000, 50_000), pytest.param(3_000_000, 50_000, marks=pytest.mark.soak)],
)
def test_no_frame_is_lost_without_being_counted(hosts: Wire, count: int, rate: int) -> None:
    """Every frame is captured, or counted as dropped by the kernel."""
    with (
        hosts.client.entered(),
        tcpstates.live("eth0", filter="dst port 9", max_connections=20_000) as live,
    ):
        took = send(hosts, count, rate)
        time.sleep(1)
    taken, dropped = live.analysis.counts.frames, live.snapshot.dropped["eth0"]
    print(f"{count / took:,.0f} frames/s, {taken:,} taken, {dropped:,} dropped")
    assert taken + dropped == count


def test_looking_leaves_time_to_capture(hosts: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it takes long, as with very many connections, it is done less often."""
    with hosts.client.entered():
        live = tcpstates.live("eth0", duration="2s", tick="0.1s")
    look, looked = live._look, []

    def slowly(whole: bool = False) -> Snapshot:
        began = time.monotonic()
        time.sleep(0.2)
        looked.append((began, time.monotonic()))
        return look(whole)

    monkeypatch.setattr(live, "_look", slowly)
    with live:
        assert not list(live)
    assert len(looked) > 2
    rested = [begins - ended for (_, ended), (begins, _) in itertools.pairwise(looked[:-1])]
    assert all(rest >= 4 * 0.2 for rest in rested)


def test_no_change_is_overlooked_because_looks_are_rare(hosts: Wire) -> None:
    with hosts.client.entered():
        capture = tcpstates.live("eth0", filter="port 8080", tick="9s")
    with capture:
        steady = Steady(hosts, 400, 8)
        steady.start()
        steady.join()
    changes = capture.taken_changes()
    assert len(changes) > 20_000
    assert sum(change.new == "SYN_SENT" for change in changes) == steady.count
    assert capture.overlooked == 0


@pytest.mark.parametrize("count", [200_000, pytest.param(2_000_000, marks=pytest.mark.soak)])
def test_a_flood_of_syns_is_survived(hosts: Wire, count: int) -> None:
    """Distinct sources, as fast as they can be sent; memory is bounded, and what had to leave is counted."""
    process = run_in(hosts.client, "live", "-i", "eth0", "-f", "dst port 9", "--json")
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: [None for _line in process.stdout or ()])
    reader.start()
    await_start(process)
    send(hosts, count, 1e9)
    time.sleep(2)
    peak = _memory(process.pid, "VmHWM")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait(120)
    reader.join()
    assert "had to make room" in said
    assert "Traceback" not in said
    print(f"{peak:.0f} MB at most")
    assert peak < 500


@pytest.mark.parametrize(
    "seconds", [10, pytest.param(180, marks=_MINUTES), pytest.param(3_600, marks=pytest.mark.soak)]
)
def test_memory_is_flat_while_200_connections_a_second_come(hosts: Wire, seconds: int) -> None:
    """Real sockets; each connection is seen; memory stays as it was after ten minutes."""
    process = run_in(hosts.client, "live", "-i", "eth0", "--json", "-f", "port 8080")
    seen = [0]
    reader = threading.Thread(target=_count_opened, args=(process, seen))
    reader.start()
    await_start(process)
    steady, sizes = Steady(hosts, 200, seconds), []
    steady.start()
    while steady.is_alive():
        steady.join(10)
        sizes.append(_memory(process.pid, "VmRSS"))
        if len(sizes) % 60 == 0:
            print(
                f"{len(sizes) // 6} min: {steady.count:,} made, {seen[0]:,} seen, {sizes[-1]:.0f} MB",
                flush=True,
            )
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait(300)
    reader.join()
    print(f"{steady.count / steady.took:.1f} a second, {seen[0]:,} of {steady.count:,} seen\n{said}")
    assert seen[0] == steady.count == 200 * seconds
    assert "dropped" not in said
    if seconds > 1_200:
        assert max(sizes[-60:]) <= 1.1 * max(sizes[60:120])


def _count_opened(process: subprocess.Popen[str], seen: list[int]) -> None:
    for line in process.stdout or ():
        seen[0] += '"new": "SYN_SENT"' in line


def _memory(pid: int, name: str) -> float:
    """What the process holds now (``VmRSS``), or held at most (``VmHWM``), in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024
