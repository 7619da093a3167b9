"""What ICMP errors do to connections in the reference engine (docs/inference.md, 9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from reference_numbers import ahead, behind, between, distance
from reference_segments import MILLISECOND
from reference_sockets import Connection, Side
from tcpstates.inference.timers import Timers
from tcpstates.schema import ICMP_ERRORS, Checksum
from tcpstates.states import Event, Evidence, State

NEAR = 1 << 24

# Linux icmp_err_convert and tab_unreach; what a request socket (SYN_RECV) does not survive comes first.
UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 11, 12
UNREACHABLE_6, TOO_BIG_6, TIME_EXCEEDED_6, PARAMETER_PROBLEM_6 = 1, 2, 3, 4
FATAL_TO_REQUESTS = {
    *((4, kind, code) for kind in (TIME_EXCEEDED, PARAMETER_PROBLEM) for code in range(256)),
    *((4, UNREACHABLE, code) for code in (0, 1)),
    *((6, PARAMETER_PROBLEM_6, code) for code in range(256)),
    *((6, UNREACHABLE_6, code) for code in range(256) if code not in (0, 2, 3)),
} - {(4, TIME_EXCEEDED, 1)}
FATAL_TO_ATTEMPTS = FATAL_TO_REQUESTS | {
    *((4, UNREACHABLE, code) for code in range(16) if code != 4),
    *((6, UNREACHABLE_6, code) for code in range(256)),
    *((6, TIME_EXCEEDED_6, code) for code in range(256)),
}
ERRORS = {(4, UNREACHABLE), (4, TIME_EXCEEDED), (4, PARAMETER_PROBLEM)} | {(6, kind) for kind in (1, 2, 3, 4)}


class IcmpError(NamedTuple):
    """One row of ICMP_ERRORS, as plain ints; ``source`` sent the segment that is quoted."""

    time: int
    source: tuple[int, int, int, int]
    target: tuple[int, int, int, int]
    router: tuple[int, int]
    tunnel: int
    frame: int
    seq: int
    version: int
    type: int
    code: int
    checksum: int

    @property
    def kind(self) -> tuple[int, int, int]:
        return self.version, self.type, self.code

    @property
    def message(self) -> tuple[object, ...]:
        """What is equal in two records of one message."""
        return self.kind, self.seq, self.router


def plain_errors(rows: Iterable[Any]) -> list[IcmpError]:
    """The errors of an ICMP_ERRORS array."""
    found = []
    for row in rows:
        values = dict(zip(ICMP_ERRORS.names or (), row.item(), strict=True))
        found.append(
            IcmpError(
                source=tuple(values[name] for name in ("version", "src_hi", "src_lo", "src_port")),
                target=tuple(values[name] for name in ("version", "dst_hi", "dst_lo", "dst_port")),
                router=(values["router_hi"], values["router_lo"]),
                **{name: values[name] for name in IcmpError._fields if name in values},
            )
        )
    return found


def quotes(connection: Connection, error: IcmpError) -> bool:
    """Whether the quoted number is one that its sender may have used in this connection."""
    x, _ = connection.ends(error)
    if not x.used:
        return False
    if x.is_opening:
        return between(x.snd_nxt - 1 - x.syn_payload, error.seq, x.snd_nxt)
    return distance(error.seq, x.snd_nxt) <= NEAR


def quoted(generations: list[Connection], error: IcmpError) -> Connection | None:
    """The connection that an error is about, if any is known."""
    about = [connection for connection in generations if quotes(connection, error)]
    for connection in about:
        if connection.ends(error)[0].tunnel == error.tunnel:
            return connection
    return about[0] if about else None


def take_error(connection: Connection, error: IcmpError, timers: Timers, checksums: str) -> None:
    """An error reaches the sender of what it quotes."""
    x, y = connection.ends(error)
    if error.kind[:2] not in ERRORS:
        return
    believed = checksums == "verify" or (checksums == "auto" and x.checksums_can_be_right)
    if believed and error.checksum == Checksum.BAD:
        connection.damaged += 1
        return
    now = max(error.time, connection.end)
    connection.run_timers(x, now, timers)
    last = x.last_icmp_error
    if last and last.message == error.message and error.time - last.time <= 20 * MILLISECOND:
        return
    x.icmp_errors += 1
    x.last_icmp_error = error
    if _ends(x, y, error):
        x.meet(Event.RECEIVED_ICMP_ERROR, now, Evidence.OBSERVED, error.frame)


def _ends(x: Side, y: Side, error: IcmpError) -> bool:
    fast_open = y.syn_payload and x.acked is not None and ahead(x.acked, y.iss + 1)
    attempts = x.state == State.SYN_SENT or x.has_met(Event.SENT_SYN) or fast_open
    if x.state not in (State.SYN_SENT, State.SYN_RECV):
        return False
    if attempts:
        return error.kind in FATAL_TO_ATTEMPTS and not (
            behind(error.seq, x.iss) or ahead(error.seq, x.snd_nxt)
        )
    return error.kind in FATAL_TO_REQUESTS and error.seq == x.iss
