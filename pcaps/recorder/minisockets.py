"""What the kernel does to its mini-sockets: those in TIME_WAIT or orphaned in FIN_WAIT2, and half-open ones.

Each is part of a timer's surroundings: its timer starts when it is made, restarts when it changes, and is
cancelled when it ends, at every tracepoint with the mini-socket's own word on its addresses and state. Of a
TIME_WAIT timer that needs no other place in the wheel no restart is seen; but the kernel drops whatever a
TIME_WAIT socket has received, and says for which socket.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from socket import AF_INET
from typing import NamedTuple

from .btf import KernelTypes
from .diag import STATES, Endpoint, endpoint
from .probes import Hit, Probe, Probes

_TIME_WAIT = STATES.index("TIME_WAIT")
#: A timer that runs again so soon (nanoseconds) was not cancelled but restarted.
_RESTART = 20_000_000


class MiniSpan(NamedTuple):
    """A mini-socket in one state; nanoseconds, ``end`` None if it lasts."""

    start: int
    end: int | None
    local: Endpoint
    remote: Endpoint
    state: str


class Word(NamedTuple):
    """What a tracepoint says of a mini-socket."""

    time: int
    tracepoint: str
    local: Endpoint
    remote: Endpoint
    state: str


class MiniSockets:
    """Watches the mini-sockets of the whole machine."""

    def __init__(self) -> None:
        types = KernelTypes()
        member = types.offset
        self._requests = member("request_sock", "rsk_timer")
        self._substate = member("inet_timewait_sock", "tw_substate")
        self._common = {
            name: member("sock_common", f"skc_{name}")
            for name in ("family", "num", "dport", "rcv_saddr", "daddr", "v6_rcv_saddr", "v6_daddr")
        }
        handlers = {
            member("inet_timewait_sock", "tw_timer"): _function("tw_timer_handler"),
            self._requests: _function("reqsk_timer_handler"),
        }
        timers = [
            Probe(tracepoint, 0, within, member("timer_list", "function"), 8, handler)
            for tracepoint in ("timer_start", "timer_cancel")
            for within, handler in handlers.items()
        ]
        dropped = Probe("kfree_skb", 3, 0, member("sock_common", "skc_state"), 1, _TIME_WAIT)
        self._probes = Probes((*timers, dropped), self._substate + 1)

    def spans(self, realtime: int) -> list[MiniSpan]:
        """What was seen so far; ``realtime``: nanoseconds from CLOCK_MONOTONIC to the capture's clock."""
        by_address: dict[int, list[Word]] = defaultdict(list)
        for hit in self._probes.hits():
            by_address[hit.address].append(self._word(hit, realtime))
        return [span for words in by_address.values() for span in spans_of(words)]

    def close(self) -> None:
        """Watch no more."""
        self._probes.close()

    def _word(self, hit: Hit, realtime: int) -> Word:
        data, at = hit.data, self._common
        v4 = int.from_bytes(data[at["family"] :][:2], "little") == AF_INET
        size, version = (4, "") if v4 else (16, "v6_")
        local, remote = (data[at[f"{version}{name}"] :][:size] for name in ("rcv_saddr", "daddr"))
        port = int.from_bytes(data[at["num"] :][:2], "little")
        remote_port = int.from_bytes(data[at["dport"] :][:2], "big")
        state = "SYN_RECV" if hit.probe.within == self._requests else STATES[data[self._substate]]
        ends = endpoint(local, port), endpoint(remote, remote_port)
        return Word(hit.time + realtime, hit.probe.tracepoint, *ends, state)


def spans_of(words: Iterable[Word]) -> list[MiniSpan]:
    """The lives of the mini-sockets that had the same memory, one after another."""
    spans: list[MiniSpan] = []
    for word in words:
        last = spans[-1] if spans else None
        if last and last.end is not None and _restarted(last, last.end, word):
            last = spans[-1] = last._replace(end=None)
        if last is None or last.end is not None:
            if word.tracepoint != "timer_start":
                continue  # its end made this segment superfluous; or it began before anybody watched
            spans.append(MiniSpan(word.time, None, *word[2:]))
        elif last.state != word.state:
            spans[-1] = last._replace(end=word.time)
            spans.append(MiniSpan(word.time, None, *word[2:]))
        if word.tracepoint == "timer_cancel":
            spans[-1] = spans[-1]._replace(end=word.time)
    return spans


def _restarted(last: MiniSpan, end: int, word: Word) -> bool:
    """Whether the timer that was cancelled runs again, or the same is said twice."""
    same = (last.local, last.remote) == (word.local, word.remote)
    return same and word.tracepoint != "kfree_skb" and word.time - end < _RESTART


def _function(name: str) -> int:
    """Where the kernel keeps a function."""
    with Path("/proc/kallsyms").open() as symbols:
        for line in symbols:
            address, _, symbol = line.split()[:3]
            if symbol == name and int(address, 16):
                return int(address, 16)
    raise OSError(f"/proc/kallsyms does not tell where {name} is (kernel.kptr_restrict)")
