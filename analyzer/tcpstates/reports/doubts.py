"""What a capture leaves open, in sentences: how states are known, and what could not be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tcpstates.reports.log import LIVE, Log
from tcpstates.reports.summary import Counts
from tcpstates.reports.wording import counted
from tcpstates.states import Evidence, State


def doubts(log: Log, counts: Counts) -> list[str]:
    """One sentence for each thing that limits what can be said of this capture; never the names of files."""
    return [*_evidence(log), *_unknown(log), *_one_sided(log), *_left_out(log, counts)]


def _evidence(log: Log) -> Iterator[str]:
    live = np.isin(log.state, LIVE)
    total = int(live.sum())
    if not total:
        return
    evidence = np.bincount(log.transitions["evidence"][live], minlength=len(Evidence))
    shares = [f"{evidence[one] / total:.1%} {one.label}" for one in sorted(Evidence, reverse=True)]
    yield f"Of {counted(total, 'stay')} of a socket in a state, {', '.join(shares)}."


def _unknown(log: Log) -> Iterator[str]:
    midway = int((log.connections["handshake"] == 0).sum())
    if midway:
        yield (
            f"{counted(midway, 'connection')} began before the capture, or its handshake was not captured: "
            "who is the client was judged by other signs, and earlier states are not known."
        )
    unknown = int((log.final == State.UNKNOWN).sum())
    if unknown:
        yield (
            f"{counted(unknown, 'side')} ended in UNKNOWN: nothing captured allows a statement, and a wrong "
            "state would be worse than none."
        )


def _one_sided(log: Log) -> Iterator[str]:
    silent = (log.per_side("frames") == 0) & np.isin(log.final, LIVE)
    if silent.any():
        yield (
            f"Of {counted(int(silent.sum()), 'side')} no frame was captured, though a socket was there: what "
            "it sent, its FIN too, cannot be seen."
        )


def _left_out(log: Log, counts: Counts) -> Iterator[str]:
    suspicious = int(log.sides["suspicious_rsts"].sum())
    if suspicious:
        yield (
            f"{counted(suspicious, 'RST')} had a sequence number that its receiver does not accept (RFC "
            "5961), and moved nobody."
        )
    duplicates = int(log.sides["duplicates"].sum())
    if duplicates:
        yield f"{counted(duplicates, 'frame')} were second copies that the capture made of a frame."
    if counts.bad_checksums:
        yield f"{counted(counts.bad_checksums, 'segment')} had a wrong checksum, and moved nobody."
    if counts.skipped:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.skipped.items()))
        yield f"{counted(sum(counts.skipped.values()), 'frame')} hold no TCP segment: {reasons}."
