"""What a scenario may demand of its recording, by the capture and by the kernels' word."""

from __future__ import annotations

from collections import Counter

from .packets import segments
from .recording import Expectation, Recording
from .spans import sequences


def ends(client: str | None, server: str | None, connections: int = 1) -> Expectation:
    """So many connections stand so when the capture ends."""

    def check(recording: Recording) -> None:
        states = Counter((ending.client_state, ending.server_state) for ending in recording.endings)
        recording.demand(
            states[client, server] == connections,
            f"{connections} should end {client}/{server}, the kernels say {dict(states)}",
        )

    return check


def passes(side: str, *states: str) -> Expectation:
    """Some socket of that side enters these states one after another, by the kernel's word."""

    def check(recording: Recording) -> None:
        by_socket: dict[object, list[str]] = {}
        for row in recording.rows:
            if row.side == side:
                by_socket.setdefault((row.local, row.remote), []).append(row.new)
        found = any(_holds_run(entered, states) for entered in by_socket.values())
        recording.demand(found, f"no socket of the {side} entered {', '.join(states)} in a row")

    return check


def _holds_run(entered: list[str], states: tuple[str, ...]) -> bool:
    starts = range(len(entered) - len(states) + 1)
    return any(tuple(entered[start : start + len(states)]) == states for start in starts)


def undergoes(side: str, states: str, sockets: int = 1) -> Expectation:
    """Exactly so many 4-tuples of that side pass exactly these states, by the resolved truth."""

    def check(recording: Recording) -> None:
        passed = Counter(" ".join(one) for one in sequences(recording.spans, side).values())
        recording.demand(
            passed[states] == sockets,
            f"{sockets} of the {side}'s sockets should pass {states}, the kernels say {dict(passed)}",
        )

    return check


def makes_no_socket(side: str) -> Expectation:
    """That side has no socket but listening ones."""

    def check(recording: Recording) -> None:
        found = [one for one in recording.spans if one.side == side and one.state != "LISTEN"]
        recording.demand(not found, f"the {side} has sockets such as {found[:1]}")

    return check


def loses(side: str, flags: str, at_least: int = 1) -> Expectation:
    """So many of the side's segments with exactly these flags (PSH does not matter) do not arrive."""

    def check(recording: Recording) -> None:
        sent, arrived = (
            Counter(
                (one.source, one.destination)
                for one in segments(recording.frames[at])
                if recording.sender(one) == side and one.flags.replace("P", "") == flags
            )
            for at in (side, "server" if side == "client" else "client")
        )
        lost = (sent - arrived).total()  # a counter's difference: what another one gained does not count
        recording.demand(lost >= at_least, f"of the {side}'s {flags} {lost} were lost, not {at_least}")

    return check


def sends(side: str, flags: str, at_least: int = 1, *, payload: bool | None = None) -> Expectation:
    """The side sends so many segments with these flags ( of ``FSRPA``), and perhaps others."""

    def check(recording: Recording) -> None:
        count = sum(
            set(flags) <= set(segment.flags) and payload in (None, segment.payload > 0)
            for segment in recording.segments
            if recording.sender(segment) == side
        )
        recording.demand(count >= at_least, f"the {side} sent {flags} {count} times, not {at_least}")

    return check


def lasts(seconds: float) -> Expectation:
    """The capture covers so much time, also if nothing happens at its end."""

    def check(recording: Recording) -> None:
        frames = recording.frames[recording.scenario.vantage]
        span = (frames[-1].time - frames[0].time) / 1e9
        recording.demand(span >= seconds, f"it covers {span:.1f} s, not {seconds} s")

    return check


def holds(connections: int, size: int = 1 << 30) -> Expectation:
    """At least so many connections, in a file of at most so many bytes."""

    def check(recording: Recording) -> None:
        recording.demand(len(recording.endings) >= connections, f"only {len(recording.endings)} connections")
        bytes_there = recording.capture.stat().st_size
        recording.demand(bytes_there <= size, f"it has {bytes_there} bytes, more than {size}")

    return check
