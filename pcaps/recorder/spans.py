"""The truth, resolved: every socket's states from when to when, mini-sockets included.

Where a socket and a mini-socket of one 4-tuple overlap (one is made before the other ends), the later one
is what netstat shows. The samples of the socket tables must agree with all of it.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from .diag import Endpoint, Tuple4
from .minisockets import MiniSpan
from .truth import Look, Row, rfc3339

#: A mini-socket is made, and found in the table, within so much of its timer's start (nanoseconds).
_MARGIN = 1_000_000
_SECOND = 1_000_000_000


class Span(NamedTuple):
    """One socket in one state; nanoseconds since the epoch, ``end`` None if it lasts."""

    start: int
    end: int | None
    side: str
    local: Endpoint
    remote: Endpoint
    state: str
    source: str


def resolved(
    rows: Iterable[Row], minis: Iterable[MiniSpan], sides: Mapping[str, str], end: int
) -> list[Span]:
    """Every state of every socket until ``end``, by side and time.

    Parameters
    ----------
    rows : the tracepoint's changes.
    minis : the mini-sockets' states.
    sides : whose each address is; sockets of other addresses are left out.
    end : nanoseconds since the epoch; what happens later is not told.
    """
    by_tuple: dict[Tuple4, list[Span]] = defaultdict(list)
    for span in [*_full(rows), *_mini(minis)]:
        if span.local.address in sides and span.start < end:
            own = span._replace(side=sides[span.local.address])
            by_tuple[own.local, own.remote].append(own)
    spans = [span for one in by_tuple.values() for span in _in_turn(one)]
    return sorted((_until(span, end) for span in spans), key=_order)


def _full(rows: Iterable[Row]) -> list[Span]:
    """The spans of the sockets that the tracepoint knows; CLOSE is no state of its own."""
    spans: list[Span] = []
    following: dict[Tuple4, int] = {}
    for row in sorted(rows, key=lambda row: row.time, reverse=True):
        ends = following.get((row.local, row.remote))
        following[row.local, row.remote] = row.time
        if row.new != "CLOSE":
            spans.append(Span(row.time, ends, "", row.local, row.remote, row.new, "tracepoint"))
    return spans


def _mini(minis: Iterable[MiniSpan]) -> list[Span]:
    return [Span(mini.start, mini.end, "", mini.local, mini.remote, mini.state, "timer") for mini in minis]


def _in_turn(spans: list[Span]) -> list[Span]:
    """One 4-tuple's spans without overlap; one that only goes on as another socket is one."""
    turns: list[Span] = []
    for span in sorted(spans, key=_order):
        last = turns[-1] if turns else None
        if last and (last.end is None or last.end >= span.start):
            if last.state == span.state:
                turns[-1] = last._replace(end=span.end)
                continue
            turns[-1] = last._replace(end=span.start)
        turns.append(span)
    return turns


def _order(span: Span) -> tuple[str, Endpoint, Endpoint, int]:
    return span.side, span.local, span.remote, span.start


def _until(span: Span, end: int) -> Span:
    return span._replace(end=None) if span.end is not None and span.end >= end else span


def sequences(spans: Iterable[Span], side: str) -> dict[Tuple4, list[str]]:
    """The states that each 4-tuple of a side passed."""
    states: dict[Tuple4, list[str]] = defaultdict(list)
    for span in sorted(spans, key=_order):
        if span.side == side:
            states[span.local, span.remote].append(span.state)
    return states


def contradictions(spans: Iterable[Span], looks: Iterable[Look]) -> list[str]:
    """Where a look at the socket tables shows what the spans do not know."""
    by_tuple: dict[tuple[str, Tuple4], list[Span]] = defaultdict(list)
    for span in spans:
        by_tuple[span.side, (span.local, span.remote)].append(span)
    wrong = []
    for look in looks:
        for key in {key for key in by_tuple if key[0] == look.side} | {
            (look.side, one) for one in look.table
        }:
            shown = look.table.get(key[1], "CLOSE")
            known = _states_between(by_tuple.get(key, []), look.before - _MARGIN, look.after + _MARGIN)
            if shown not in known:
                wrong.append(
                    f"{rfc3339(look.before)} {key[0]} {key[1][0]} {key[1][1]}: {shown}, not {sorted(known)}"
                )
    return wrong


def _states_between(spans: Iterable[Span], begin: int, end: int) -> set[str]:
    """The states between two moments; CLOSE where there was no socket for some of the time."""
    states, covered = set(), begin
    for span in spans:
        until = end + 1 if span.end is None else span.end
        if span.start <= end and until >= begin:
            states.add(span.state)
            if span.start > covered:
                states.add("CLOSE")
            covered = max(covered, until)
    return states if covered > end else states | {"CLOSE"}


def write_spans(path: Path, spans: Iterable[Span]) -> None:
    """``side,local,remote,state,start,end,source``; ``end`` empty if it lasts."""
    header = ("side", "local", "remote", "state", "start", "end", "source")
    rows = [
        (span.side, span.local, span.remote, span.state, rfc3339(span.start), _ending(span), span.source)
        for span in sorted(spans, key=_order)
    ]
    _write(path, header, rows)


def _ending(span: Span) -> str:
    return "" if span.end is None else rfc3339(span.end)


def write_samples(path: Path, looks: Iterable[Look]) -> None:
    """``time,side,local,remote,state``: the tables at one look a second."""
    rows: list[tuple[object, ...]] = []
    following: dict[str, int] = defaultdict(int)
    for look in looks:
        if look.before >= following[look.side]:
            following[look.side] = look.before + _SECOND
            time = rfc3339((look.before + look.after) // 2)
            rows += [(time, look.side, *ends, state) for ends, state in sorted(look.table.items())]
    _write(path, ("time", "side", "local", "remote", "state"), rows)


def _write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
