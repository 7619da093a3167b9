"""Live: what is captured on an interface while real sockets live, and what the command does around it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tcpstates
from steady import abort
from tcpstates.errors import CapturePermissionError, ExitCode, UsageError
from tcpstates.session import Live
from wires import ADDRESSES, Wire, await_start, run_in

pytestmark = pytest.mark.slow_without_jit

SECOND = 1_000_000_000


def capture(hosts: Wire, interface: str = "eth0", **options: object) -> Live:
    """A capture on the client's side."""
    with hosts.client.entered():
        return tcpstates.live(interface, **options)


# Ways to close; each leaves what it does not close to the list of what is closed in the end


def by_client(client: socket.socket, server: socket.socket) -> None:
    client.close()
    time.sleep(0.15)
    server.close()


def by_server(client: socket.socket, server: socket.socket) -> None:
    server.close()
    time.sleep(0.1)
    client.close()


def half_closed(client: socket.socket, server: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    server.sendall(b"more" * 1000)


def by_reset(client: socket.socket, server: socket.socket) -> None:
    abort(client)


def by_unread_data(client: socket.socket, server: socket.socket) -> None:
    client.sendall(b"nobody reads this")
    time.sleep(0.05)
    server.close()


def never(client: socket.socket, server: socket.socket) -> None:
    client.sendall(b"hello")


WAYS: tuple[Callable[[socket.socket, socket.socket], None], ...] = (
    by_client, by_server, half_closed, by_reset, by_unread_data, never,
)  # fmt: skip


class Life(threading.Thread):
    """Opens connections one after the other, each closed in another way, until it is ended."""

    def __init__(self, hosts: Wire, seconds: float) -> None:
        super().__init__()
        self._hosts, self._until = hosts, time.monotonic() + seconds
        self._kept: list[tuple[socket.socket, socket.socket]] = []
        self.count = 0

    def run(self) -> None:
        listener = self._hosts.listen(8080)
        while time.monotonic() < self._until:
            ends = self._hosts.connect(listener)
            self._kept.append(ends)
            WAYS[self.count % len(WAYS)](*ends)
            self.count += 1
            time.sleep(0.02)

    def close(self) -> None:
        self.join()
        for client, server in self._kept:
            client.close()
            server.close()


def states_of_kernels(hosts: Wire) -> tuple[dict[tuple[str, int, str, int], str], int]:
    """What ``ss`` shows on both hosts, and when it had been asked."""
    from recorder.diag import SocketTable

    tables = [SocketTable(host) for host in hosts.hosts]
    found = {}
    for table in tables:
        for (local, remote), state in table.read().items():
            if state not in ("LISTEN", "CLOSE"):
                found[local.address, local.port, remote.address, remote.port] = state
        table.close()
    return found, time.time_ns()


def states_inferred(capture: Live, at: int) -> dict[tuple[str, int, str, int], str]:
    rows = capture.analysis.netstat(f"{at // SECOND}.{at % SECOND:09d}")
    rows = rows[rows["state"] != "LISTEN"]
    ends = zip(rows["local_addr"], rows["local_port"], rows["remote_addr"], rows["remote_port"], strict=True)
    return {tuple(end): state for end, state in zip(ends, rows["state"], strict=True)}


def agreement(hosts: Wire, seconds: float) -> tuple[int, int, list[object]]:
    """How many rows were compared, how many were right, and the others."""
    rows = right = 0
    wrong: list[object] = []
    with capture(hosts) as live:
        life = Life(hosts, seconds)
        life.start()
        time.sleep(0.5)
        while life.is_alive():
            first, after = states_of_kernels(hosts)
            time.sleep(0.01)
            second, _ = states_of_kernels(hosts)
            time.sleep(0.5)
            inferred = states_inferred(live, after)
            for end in first.keys() | inferred.keys():
                if first.get(end) != second.get(end):
                    continue  # it changed while it was looked at
                rows += 1
                right += first.get(end) == inferred.get(end)
                if first.get(end) != inferred.get(end):
                    wrong.append((end, first.get(end), inferred.get(end)))
        life.close()
    return rows, right, wrong


def test_who_asks_during_a_look_is_told_what_was_known_when_he_asked(
    hosts: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that began before does not do."""
    looking, look = threading.Event(), Live._look

    def slow_look(live: Live, whole: bool = False) -> object:
        seen = look(live, whole)
        looking.set()
        time.sleep(0.3)
        return seen

    with capture(hosts) as live:
        monkeypatch.setattr(Live, "_look", slow_look)
        assert looking.wait(30)
        asked = time.time_ns()
        assert live.analysis.log.end >= asked


def test_states_are_those_of_both_kernels(hosts: Wire) -> None:
    """Each second, on both hosts, while sockets close in every way."""
    rows, right, wrong = agreement(hosts, 8)
    assert rows > 100
    assert right >= 0.99 * rows, wrong[:10]


@pytest.mark.soak
def test_states_are_those_of_both_kernels_past_every_timer(hosts: Wire) -> None:
    rows, right, wrong = agreement(hosts, 150)
    assert right >= 0.99 * rows, wrong[:10]


def test_what_is_written_is_read_to_the_same_result(hosts: Wire, tmp_path: Path) -> None:
    path = tmp_path / "live.pcapng"
    with capture(hosts, write=path) as live:
        life = Life(hosts, 2)
        life.start()
        life.close()
        time.sleep(0.3)
    there = live.analysis.timeline
    here = tcpstates.analyze(path).timeline
    timed = there["cause"].astype(str).str.startswith("timer")
    columns = [name for name in there if name not in ("end", "file")]
    assert life.count > 10
    assert not timed.any()
    assert there[columns].astype(str).equals(here[columns].astype(str))


def test_changes_are_told_as_they_come(hosts: Wire) -> None:
    listener = hosts.listen(8080)
    with capture(hosts, duration="1.5s", tick="0.1s") as live:
        client, server = hosts.connect(listener)
        client.close()
        server.close()
        told = [(change.side, change.old, change.new) for change in live]
    assert [(old, new) for side, old, new in told if side == "client"] == [
        ("CLOSE", "SYN_SENT"),
        ("SYN_SENT", "ESTABLISHED"),
        ("ESTABLISHED", "FIN_WAIT1"),
        ("FIN_WAIT1", "FIN_WAIT2"),
        ("FIN_WAIT2", "TIME_WAIT"),
    ]
    assert [(old, new) for side, old, new in told if side == "server"] == [
        ("CLOSE", "SYN_RECV"),
        ("SYN_RECV", "ESTABLISHED"),
        ("ESTABLISHED", "CLOSE_WAIT"),
        ("CLOSE_WAIT", "LAST_ACK"),
        ("LAST_ACK", "CLOSE"),
    ]


def test_time_goes_on_when_no_packet_comes(hosts: Wire) -> None:
    """A socket that is not closed is stuck after a while, though nothing is sent."""
    listener = hosts.listen(8080)
    with capture(hosts, stuck_after="1s") as live:
        client, server = hosts.connect(listener)
        client.close()
        time.sleep(0.3)
        assert not len(live.findings)
        time.sleep(1.5)
        assert live.findings["outcome"].tolist() == ["stuck_close_wait"]
        server.close()


def test_loopback_delivers_each_frame_twice_and_it_counts_once(hosts: Wire) -> None:
    with hosts.client.entered():
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.socket()
    with capture(hosts, "lo") as live:
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        client.close()
        server.close()
        time.sleep(0.3)
    row = live.connections.iloc[0]
    assert row["client_frames"] + row["server_frames"] in (6, 7)  # a FIN's ACK may come with the other FIN
    assert row["client_duplicates"] == row["server_duplicates"] == 0


def test_tags_that_the_kernel_took_off_are_there(hosts: Wire) -> None:
    for host, address in zip(hosts.hosts, ("10.98.0.1", "10.98.0.2"), strict=True):
        try:
            host.run("ip", "link", "add", "link", "eth0", "name", "eth0.5", "type", "vlan", "id", "5")
        except RuntimeError as error:
            pytest.skip(f"no VLANs here: {error}")
        host.run("ip", "address", "add", f"{address}/24", "dev", "eth0.5")
        host.run("ip", "link", "set", "eth0.5", "up")
    listener = hosts.socket(hosts.server)
    listener.bind(("10.98.0.2", 80))
    listener.listen()
    with capture(hosts) as live:
        client = hosts.socket(hosts.client)
        client.connect(("10.98.0.2", 80))
        time.sleep(0.3)
    assert live.connections["tunnel"].tolist() == ["VLAN 5"]


def test_several_interfaces_are_one_stream(hosts: Wire) -> None:
    with hosts.client.entered():
        listener = socket.create_server(("127.0.0.1", 0))
        local = socket.socket()
        live = tcpstates.live("lo", "eth0")
    far = hosts.listen(8080)
    with live:
        local.connect(listener.getsockname())
        ends = hosts.connect(far)
        time.sleep(0.4)
    assert sorted(live.connections["server_addr"]) == [ADDRESSES[1], "127.0.0.1"]
    assert set(live.connections["client_state"]) == {"ESTABLISHED"}
    assert [end.fileno() > 0 for end in ends] == [True, True]


def test_the_filter_is_the_kernels(hosts: Wire) -> None:
    listeners = [hosts.listen(8080), hosts.listen(8081)]
    with capture(hosts, filter="port 8081") as live:
        ends = [hosts.connect(listener) for listener in listeners]
        time.sleep(0.3)
    assert live.connections["server_port"].tolist() == [8081]
    assert live.analysis.counts.frames == 3 * len(ends[1:])


def test_an_interface_that_goes_and_comes_back_is_said_and_survived(hosts: Wire) -> None:
    process = run_in(hosts.client, "live", "-i", "eth0", "--json")
    await_start(process)
    hosts.client.run("ip", "link", "set", "eth0", "down")
    time.sleep(1.5)
    hosts.client.run("ip", "link", "set", "eth0", "up")
    time.sleep(1.5)
    hosts.client.run("ip", "link", "delete", "eth0")
    time.sleep(1.5)
    pair = ("type", "veth", "peer", "name", "eth0", "netns", hosts.server.path)
    hosts.client.run("ip", "link", "add", "eth0", *pair)
    for host, address in zip(hosts.hosts, ADDRESSES, strict=True):
        host.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
    time.sleep(2)
    ends = hosts.connect(hosts.listen(8080))
    time.sleep(1)
    ends[0].close()
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert "eth0 is down" in said
    assert "eth0 is up again" in said
    assert "eth0 has disappeared" in said
    assert "eth0 is back" in said
    assert any(json.loads(line)["new"] == "ESTABLISHED" for line in out.splitlines())


def test_ctrl_c_ends_with_the_report_of_analyze(hosts: Wire, tmp_path: Path) -> None:
    path = tmp_path / "live.pcapng"
    process = run_in(hosts.client, "live", "-i", "eth0", "-w", str(path), "--stuck-after", "1s")
    await_start(process)
    client, server = hosts.connect(hosts.listen(8080))
    client.close()
    time.sleep(2.5)
    server.close()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert process.returncode == ExitCode.DONE, said
    assert out.startswith("LADDR ")
    assert f"{ADDRESSES[1]:<15} 8080 " in out
    assert "stuck_close_wait" in out
    command = [sys.executable, "-m", "tcpstates", "analyze", str(path), "--stuck-after", "1s"]
    later = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    report = out[out.index("Findings, worst first") : out.index("States when")]
    assert report in later


def test_without_permission_it_says_the_way_that_works(hosts: Wire) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not here")
    drop = ["setpriv", "--inh-caps=-net_raw", "--bounding-set=-net_raw"]
    command = [*drop, sys.executable, "-m", "tcpstates", "live", "-i", "lo"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == ExitCode.NO_PERMISSION, result.stderr
    assert "sudo tcpdump -U -i lo -w - tcp | tcpstates analyze -" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() == 0, reason="for users other than root"
)
def test_a_user_may_not() -> None:
    with pytest.raises(CapturePermissionError, match="sudo"):
        tcpstates.live("lo")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_an_unknown_interface_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="no interface 'eth77'; there are lo"):
        tcpstates.live("eth77")


def test_a_wrong_filter_is_one_line(hosts: Wire) -> None:
    with pytest.raises(UsageError, match="filter 'porty 80'"):
        capture(hosts, filter="porty 80")


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_all_kernels_are_compiled_before_the_first_frame() -> None:
    """Frames would wait in a ring that fills meanwhile."""
    program = (
        "from tcpstates.session import _compile; from tcpstates.capture.decode import decode; "
        "from tcpstates.inference import conduct, step; _compile(); "
        "print([k.__name__ for k in (decode, conduct.observe, step.feed, step.expire, step.collect, "
        "step.take_errors, step.forget, step.give_back, step.rehash) if not k.signatures])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_a_file_that_takes_no_more_does_not_end_the_capture(hosts: Wire, tmp_path: Path) -> None:
    with capture(hosts, write=tmp_path / "live.pcapng") as live:
        live._writer.failure = "live.pcapng: No space left on device"
        hosts.connect(hosts.listen(8080))
        time.sleep(0.3)
    assert len(live.connections) == 1
    assert "live.pcapng: No space left on device" in live.snapshot.notes
