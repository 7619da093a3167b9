"""Our netstat against the kernels' own socket tables, row by row."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter

from tcpstates.reports.log import Log

from .inferred import Inferred, sockets_at
from .lives import Ends, Life
from .recordings import Look, Recording, address_of
from .tally import Tally

_WILDCARDS = ("0.0.0.0", "[::]", "*")


def compared(recording: Recording, ours: Inferred, unseen: list[Life]) -> Tally:
    """Every look within the captured time."""
    hidden = {life.ends for life in unseen}
    total = Tally()
    for look in recording.looks:
        if ours.start <= look.time <= ours.end:
            skipped = hidden | _changing(recording, look.time)
            total += _compared(look, ours.log, skipped, recording.hosts)
    return total


def _changing(recording: Recording, time: int) -> set[Ends]:
    """The 4-tuples with a true change too near to ``time`` to be asked about."""
    first, last = time - recording.margin, time + recording.margin
    begin = bisect_left(recording.changes, first, key=itemgetter(0))
    end = bisect_right(recording.changes, last, key=itemgetter(0))
    return {ends for _, ends in recording.changes[begin:end]}


def _compared(look: Look, log: Log, skipped: set[Ends], hosts: dict[str, str]) -> Tally:
    sockets, listeners = sockets_at(log, look.time)
    theirs = {row for row in look.sockets if row[0] not in skipped}
    ours = {
        (ends, state)
        for ends, state in sockets
        if ends not in skipped and hosts.get(address_of(ends.local)) == look.side
    }
    known = {_as_bound(local, look) for local in listeners if hosts.get(address_of(local)) == look.side}
    return Tally(
        equal=len(theirs & ours),
        ours=len(ours - theirs),
        theirs=len(theirs - ours),
        listening=len(look.listeners & known),
        ours_listening=len(known - look.listeners),
        theirs_listening=len(look.listeners - known),
    )


def _as_bound(local: str, look: Look) -> str:
    """A listener's end as the kernel has it, which may be bound to any address."""
    port = local.rpartition(":")[2]
    bound = (f"{wildcard}:{port}" for wildcard in _WILDCARDS)
    return next((end for end in bound if end in look.listeners), local)
