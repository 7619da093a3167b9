"""One connection's two sides as lanes of characters: what other pages draw, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import pairwise

from rich.console import Console
from rich.text import Text

from tcpstates.reports.lanes import Lanes, Scale, Span
from tcpstates.reports.wording import clock, duration
from tcpstates.show.colours import STATE_COLOURS, text_on
from tcpstates.states import Evidence, Side, State

_LEFT = 8
_SHORT = {
    State.UNKNOWN: "??", State.CLOSE: "CL", State.LISTEN: "LI", State.SYN_SENT: "SS", State.SYN_RECV: "SR",
    State.ESTABLISHED: "ES", State.FIN_WAIT1: "F1", State.FIN_WAIT2: "F2", State.CLOSE_WAIT: "CW",
    State.CLOSING: "CG", State.LAST_ACK: "LA", State.TIME_WAIT: "TW",
}  # fmt: skip
_MARKS = {"SYN": "S", "FIN": "F", "RST": "R", "retransmission": "r"}
#: Of two marks in one place the later of these is shown.
_IMPORTANCE = "rSFR"
_FILL = {Evidence.OBSERVED: "─", Evidence.INFERRED: "╌", Evidence.ASSUMED: "┈"}
_ASCII_FILL = {Evidence.OBSERVED: "-", Evidence.INFERRED: "~", Evidence.ASSUMED: "."}


def print_lanes(picture: Lanes, console: Console) -> None:
    """Print ``picture`` to ``console``, no wider than it and than 120 columns."""
    for line in _lines(picture, min(console.width, 120) - 1, console.options.ascii_only):
        line.rstrip()
        console.print(line, highlight=False, soft_wrap=True)


def _lines(picture: Lanes, width: int, ascii_only: bool) -> Iterator[Text]:
    scale, columns = Scale(picture), max(width - _LEFT, 20)
    yield Text(f"connection {picture.conn} from {clock(picture.start)} UTC", "bold")
    shortened: set[State] = set()
    for side in Side:
        yield Text.assemble((f"{side.label:<{_LEFT}}", "bold"), picture.names[side])
        yield Text(" " * _LEFT + _marks(picture, scale, side, columns))
        yield _lane(picture, scale, side, columns, ascii_only, shortened)
    yield from _axis(picture, scale, columns)
    yield from _legend(picture, shortened, columns, ascii_only)


def _column(place: float, columns: int) -> int:
    return round(place * (columns - 1))


def _marks(picture: Lanes, scale: Scale, side: Side, columns: int) -> str:
    letters = [" "] * columns
    for mark in picture.marks:
        if mark.side == side:
            column, letter = _column(scale.place(mark.time), columns), _MARKS[mark.kind]
            letters[column] = max(letters[column], letter, key=(" " + _IMPORTANCE).index)
    return "".join(letters)


def _lane(
    picture: Lanes, scale: Scale, side: Side, columns: int, ascii_only: bool, shortened: set[State]
) -> Text:
    spans = picture.spans[side]
    starts = [_column(scale.place(span.start), columns) for span in spans]
    line = Text(" " * _LEFT)
    for span, (left, right) in zip(spans, pairwise([*starts, columns]), strict=True):
        text = _cell(span, right - left, ascii_only, shortened)
        colour = STATE_COLOURS[span.state]
        line.append(text, f"{text_on(colour)} on {colour}")
    return line


def _cell(span: Span, width: int, ascii_only: bool, shortened: set[State]) -> str:
    """A stay in ``width`` characters: the name of its state, and a line that tells the evidence."""
    if not width:
        return ""
    edge, fill = ("|", _ASCII_FILL) if ascii_only else ("│", _FILL)
    name = span.state.name
    if len(name) + 1 > width:
        name = _SHORT[span.state]
        shortened.add(span.state)
    return (edge + (name if len(name) < width else "")).ljust(width, fill[span.evidence])


def _axis(picture: Lanes, scale: Scale, columns: int) -> Iterator[Text]:
    """The times of changes, as many as there is room for; the last one ends at the right edge."""
    labels = [
        (_column(place, columns), "+" + duration(time - picture.start)) for place, time in scale.ticks(0)
    ]
    last = labels[-1][1]
    room, line = columns - len(last), ""
    for column, label in labels[:-1]:
        if column >= len(line) + (1 if line else 0) and column + len(label) < room:
            line = line.ljust(column) + label
    yield Text(" " * _LEFT + line.ljust(room) + last, "dim")


def _legend(picture: Lanes, shortened: set[State], columns: int, ascii_only: bool) -> Iterator[Text]:
    """What letters and lines stand for, as far as they occur."""
    kinds = {mark.kind for mark in picture.marks}
    words = [f"{letter}\u00a0{kind}" for kind, letter in _MARKS.items() if kind in kinds]
    words += [f"{_SHORT[state]}\u00a0{state.name}" for state in sorted(shortened)]
    fill = _ASCII_FILL if ascii_only else _FILL
    evidence = {span.evidence for side in picture.spans for span in side}
    words += [f"{fill[one] * 2}\u00a0{one.label}" for one in sorted(evidence, reverse=True)]
    for line in textwrap.wrap("   ".join(words), columns, replace_whitespace=False):
        yield Text(" " * _LEFT + line.replace("\u00a0", " "), "dim")
    yield Text(" " * _LEFT + "time is stretched where more happens", "dim")
