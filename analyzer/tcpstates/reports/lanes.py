"""One connection's two sides as lanes of states over time: what every drawing of them is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tcpstates.reports.exchange import FIN, RST, SYN, Exchange
from tcpstates.reports.log import LIVE, Log
from tcpstates.reports.wording import endpoint
from tcpstates.schema import Fate
from tcpstates.states import Event, Evidence, Side, State

#: What can be marked on a lane; the sender's lane has the mark.
MARKS = ("SYN", "FIN", "RST", "retransmission")
_FROM_EVENTS = {
    Event.SENT_SYN: "SYN",
    Event.SENT_SYN_ACK: "SYN",
    Event.SENT_FIN: "FIN",
    Event.SENT_RST: "RST",
}
_FROM_FLAGS = ((RST, "RST"), (SYN, "SYN"), (FIN, "FIN"))
#: A drawing has no room for more.
_MOST_RETRANSMISSIONS = 200


class Span(NamedTuple):
    """A stay in one state; times in ns, ``lasts`` if it goes on when the capture ends."""

    start: int
    end: int
    state: State
    evidence: Evidence
    cause: Event
    frame: int  # 0 for a timer
    lasts: bool


class Mark(NamedTuple):
    """Something that a side sent."""

    time: int
    side: Side
    kind: str


class Lanes(NamedTuple):
    """Both sides of one connection.

    Attributes
    ----------
    conn : its number.
    names : the client's and the server's address and port.
    spans : those of the client and those of the server, without gap or overlap.
    marks : in order of time.
    start, end : what is drawn, ns: to the end of the capture, or to a while after both sides were done.
    """

    conn: int
    names: tuple[str, str]
    spans: tuple[tuple[Span, ...], tuple[Span, ...]]
    marks: tuple[Mark, ...]
    start: int
    end: int

    def states(self) -> list[State]:
        """Every state that occurs, in the order of the machine."""
        return sorted({span.state for side in self.spans for span in side})


def lanes(log: Log, conn: int, exchange: Exchange | None = None) -> Lanes:
    """The lanes of connection ``conn``; without its segments no retransmission is marked."""
    ends = [_spans(log, conn, side) for side in Side]
    marks = _marks_of_log(ends) if exchange is None else _marks_of_segments(exchange)
    names = tuple(_endpoint_name(log, 2 * conn + side) for side in Side)
    start = int(log.connections["start"][conn])
    end = _end(log, conn)
    shown = [tuple(span for span in spans if span.start <= end) for spans in ends]
    shown = [(*spans[:-1], spans[-1]._replace(end=min(spans[-1].end, end))) for spans in shown]
    return Lanes(conn, (names[0], names[1]), (shown[0], shown[1]), tuple(marks), start, end)


def _endpoint_name(log: Log, side: int) -> str:
    return endpoint(log.addresses.text(int(log.addresses.codes[side])), int(log.sides["port"][side]))


def _spans(log: Log, conn: int, side: Side) -> list[Span]:
    rows = log.rows_of_side(2 * conn + side)
    ends = log.ends_of(np.arange(rows.start, rows.stop)).tolist()
    return [
        Span(
            int(entry["start"]),
            end,
            State(int(entry["state"])),
            Evidence(int(entry["evidence"])),
            Event(int(entry["cause"])),
            int(entry["frame"]),
            number == len(ends),
        )
        for number, (end, entry) in enumerate(zip(ends, log.transitions[rows], strict=True), 1)
    ]


def _end(log: Log, conn: int) -> int:
    """The end of the capture, or a tenth of its life after the connection was over."""
    start, last = (int(log.connections[name][conn]) for name in ("start", "end"))
    if np.isin(log.final[conn], LIVE).any():
        return log.end
    changes = log.transitions["start"][log.last_rows[[2 * conn, 2 * conn + 1]]]
    over = max(last, int(changes.max()))
    return min(log.end, over + max((over - start) // 10, 1))


def _marks_of_log(ends: Iterable[Sequence[Span]]) -> list[Mark]:
    marks = [
        Mark(span.start, side, _FROM_EVENTS[span.cause])
        for side, spans in zip(Side, ends, strict=True)
        for span in spans
        if span.cause in _FROM_EVENTS
    ]
    return sorted(marks)


def _marks_of_segments(exchange: Exchange) -> list[Mark]:
    """Every SYN, FIN and RST, and the retransmissions, of which a sample if they are too many."""
    segments, fate = exchange.segments, exchange.fate
    counts = fate & (Fate.DUPLICATE | Fate.BAD_CHECKSUM) == 0
    control = counts & (segments["flags"] & (SYN | FIN | RST) != 0)
    repeated = np.flatnonzero(counts & (fate & Fate.RETRANSMISSION != 0) & ~control)
    step = -(-len(repeated) // _MOST_RETRANSMISSIONS) or 1
    rows = np.sort(np.concatenate([np.flatnonzero(control), repeated[::step]]))
    return [_mark(exchange, row) for row in rows.tolist()]


def _mark(exchange: Exchange, row: int) -> Mark:
    flags = int(exchange.segments["flags"][row])
    kind = next((name for bit, name in _FROM_FLAGS if flags & bit), "retransmission")
    if exchange.fate[row] & Fate.RETRANSMISSION:
        kind = "retransmission"
    return Mark(int(exchange.segments["time"][row]), Side(int(exchange.sender[row])), kind)


class Scale:
    """Places on the time axis, from 0 to 1.

    A handshake takes a millisecond, what follows may take hours: on a linear axis, most states of most
    connections are too narrow to be seen. So the axis is stretched: the time between two changes gets a width
    that grows with its logarithm, and within it time is linear.
    """

    def __init__(self, picture: Lanes, linear: bool = False) -> None:
        times = {picture.start, picture.end} | {span.start for side in picture.spans for span in side}
        self.times = np.array(sorted(times), np.int64)
        gaps = np.diff(self.times)
        widths = gaps.astype(float) if linear else _stretched(gaps)
        places = np.concatenate([[0.0], np.cumsum(widths)])
        self.places = places / places[-1] if places[-1] else places

    def place(self, time: int) -> float:
        """Where ``time`` (ns) is."""
        return float(np.interp(time - self.times[0], self.times - self.times[0], self.places))

    def ticks(self, apart: float) -> list[tuple[float, int]]:
        """Places and times of state changes that are at least so far apart; first and last always."""
        inner = list(zip(self.places.tolist(), self.times.tolist(), strict=True))
        chosen = inner[:1]
        for tick in inner[1:-1]:
            if tick[0] - chosen[-1][0] >= apart and 1 - tick[0] >= apart:
                chosen.append(tick)
        return chosen + inner[-1:] if len(inner) > 1 else chosen


def _stretched(gaps: np.ndarray) -> np.ndarray:
    """Widths of gaps (ns): a hundred times longer is about twice as wide."""
    total = float(gaps.sum()) or 1.0
    return 1 + np.log10(1 + gaps / (total * 1e-5))
