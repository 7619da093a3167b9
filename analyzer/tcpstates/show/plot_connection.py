"""One connection drawn with matplotlib: its lanes, and its ladder diagram."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tcpstates.reports.ladder import Ladder, Rung
from tcpstates.reports.lanes import Lanes, Scale, Span
from tcpstates.reports.wording import clock, duration
from tcpstates.show.colours import STATE_COLOURS, text_on
from tcpstates.states import SIDE_LABELS, Evidence, Side, State

#: How a mark is drawn: matplotlib's marker, and its colour.
_MARKERS = {"SYN": ("^", "#000000"), "FIN": ("s", "#000000"), "RST": ("X", "#ab060e")}
_MARKERS["retransmission"] = ("|", "#fa4211")
_HATCHES = {Evidence.OBSERVED: "", Evidence.INFERRED: "//", Evidence.ASSUMED: ".."}
_EDGE = "#00000066"
#: The width of a letter, as a share of the lane.
_LETTER = 0.0085


def draw_lanes(ax: Axes, picture: Lanes, linear: bool) -> Axes:
    """Draw ``picture`` into ``ax``."""
    scale = Scale(picture, linear)
    for side in Side:
        for span in picture.spans[side]:
            _draw_span(ax, scale, span, 1 - side)
    for kind, (marker, colour) in _MARKERS.items():
        marks = [mark for mark in picture.marks if mark.kind == kind]
        places = [scale.place(mark.time) for mark in marks]
        heights = [1 - mark.side + 0.42 for mark in marks]
        ax.plot(places, heights, marker, color=colour, markersize=7, clip_on=False)
    _dress_lanes(ax, picture, scale, linear)
    return ax


def _draw_span(ax: Axes, scale: Scale, span: Span, row: float) -> None:
    left, right = scale.place(span.start), scale.place(span.end)
    colour, hatch = STATE_COLOURS[span.state], _HATCHES[span.evidence]
    ax.broken_barh([(left, right - left)], (row - 0.3, 0.6), fc=colour, ec=_EDGE, hatch=hatch, lw=0.8)
    text = f"{span.state.name}\n{duration(span.end - span.start)}" + (" …" if span.lasts else "")
    if right - left > _LETTER * max(map(len, text.splitlines())):
        middle = (left + right) / 2
        box = {"facecolor": colour, "edgecolor": "none", "pad": 1}
        ax.text(middle, row, text, ha="center", va="center", size=8, color=text_on(colour), bbox=box)


def _dress_lanes(ax: Axes, picture: Lanes, scale: Scale, linear: bool) -> None:
    ticks = [(0.0, picture.start), (1.0, picture.end)] if linear else scale.ticks(0.09)
    ax.set_xticks([place for place, _time in ticks])
    ax.set_xticklabels(["+" + duration(time - picture.start) for _place, time in ticks], fontsize=8)
    ax.get_xticklabels()[-1].set_horizontalalignment("right")
    ax.set_yticks([1, 0])
    ax.set_yticklabels([f"{label}\n{name}" for label, name in zip(SIDE_LABELS, picture.names, strict=True)])
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.5, 1.6)
    stretched = "" if linear else "; time is stretched where more happens"
    ax.set_xlabel(f"after {clock(picture.start)} UTC{stretched}")
    ax.set_title(f"connection {picture.conn}", loc="left")
    _hide_frame(ax)
    states: list[Any] = [
        Patch(fc=STATE_COLOURS[state], ec=_EDGE, label=state.name) for state in picture.states()
    ]
    ax.legend(handles=states + _marks_legend(picture), ncols=6, fontsize=8, frameon=False, **_BELOW)


_BELOW: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.28)}


def _marks_legend(picture: Lanes) -> list[Any]:
    """What marks and hatches mean, as far as they occur."""
    kinds = {mark.kind for mark in picture.marks}
    marks = [
        Line2D([], [], color=colour, marker=marker, ls="", label=kind)
        for kind, (marker, colour) in _MARKERS.items()
        if kind in kinds
    ]
    evidence = {span.evidence for side in picture.spans for span in side} - {Evidence.OBSERVED}
    hatched = [
        Patch(fc="white", ec="#555555", hatch=_HATCHES[one], label=one.label) for one in sorted(evidence)
    ]
    return [*marks, *hatched]


def _hide_frame(ax: Axes) -> None:
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=0)


def draw_ladder(ax: Axes, picture: Ladder) -> Axes:
    """Draw ``picture`` into ``ax``, one line of it below the other."""
    for row, rung in enumerate(picture.rungs):
        _draw_states(ax, rung, row, last=row == len(picture.rungs) - 1)
        _draw_rung(ax, rung, row, picture.start)
    for x, side in ((0.0, "client"), (1.0, "server")):
        ax.plot([x, x], [-0.7, len(picture.rungs) - 0.3], color="#555555", lw=1)
        ax.text(x, -0.8, side, ha="center", va="bottom", weight="bold")
    ax.set_xlim(-0.46, 1.3)
    ax.set_ylim(max(len(picture.rungs), 1) - 0.2, -1.6)
    ax.set_xticks([])
    ax.set_yticks([])
    omitted = f", {picture.omitted:,} segments left out" if picture.omitted else ""
    ax.set_title(f"connection {picture.conn}, from {clock(picture.start)} UTC{omitted}", loc="left")
    _hide_frame(ax)
    return ax


def _draw_rung(ax: Axes, rung: Rung, row: int, start: int) -> None:
    ax.text(-0.45, row, "+" + duration(rung.time - start), size=7.5, va="center", color="#555555")
    text = rung.text + (f"   {rung.fate}" if rung.fate else "")
    if rung.sender is None:
        ax.text(0.5, row, f"… {text} …", ha="center", va="center", size=7.5, style="italic")
        return
    tail, head = (0.0, 1.0) if rung.sender is Side.CLIENT else (1.0, 0.0)
    colour = "#ab060e" if "RST" in rung.text else "#b35900" if rung.fate else "#1a1a1a"
    arrow = {"arrowstyle": "->", "color": colour, "lw": 1.1, "ls": "--" if rung.fate else "-"}
    ax.annotate("", (head, row + 0.25), (tail, row), arrowprops=arrow)
    ax.text(0.5, row - 0.17, text, ha="center", va="center", size=7.5, color=colour, bbox=_PAPER)


_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}


def _draw_states(ax: Axes, rung: Rung, row: int, last: bool) -> None:
    """The states of both sides as strips along the margins, named where they change."""
    for side, left in ((Side.CLIENT, -0.035), (Side.SERVER, 1.012)):
        state = rung.states[side]
        colour = STATE_COLOURS[state]
        ax.broken_barh([(left, 0.023)], (row, 0.7 if last else 1), color=colour, lw=0)
        if rung.changed[side]:
            _name_state(ax, state, side, row)


def _name_state(ax: Axes, state: State, side: Side, row: int) -> None:
    x, align = (-0.05, "right") if side is Side.CLIENT else (1.05, "left")
    ax.text(x, row + 0.25, state.name, ha=align, va="center", size=7.5, weight="bold")
