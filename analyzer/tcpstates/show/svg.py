"""Lanes and ladders as SVG: light, sharp in print, in the colour of the text around them, all escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tcpstates.reports.ladder import Ladder, Rung
from tcpstates.reports.lanes import Lanes, Scale, Span
from tcpstates.reports.wording import duration, instant
from tcpstates.show.colours import STATE_COLOURS, text_on
from tcpstates.states import SIDE_LABELS, Evidence, Side

_WIDTH, _LEFT, _BAR = 900, 64, 40
_LETTER = 7.0  # the width of a capital at the smaller size
_NARROWEST = 0.8  # what text may be squeezed to, and still be read
_MARKS = {
    "SYN": '<path d="M-5 4L0 -5L5 4Z" fill="currentColor"/>',
    "FIN": '<rect x="-4" y="-4" width="8" height="8" fill="currentColor"/>',
    "RST": '<path d="M-4 -4L4 4M-4 4L4 -4" stroke="var(--rst, #d2201a)" stroke-width="3"/>',
    "retransmission": '<path d="M0 -5V5" stroke="var(--repeated, #c25e00)" stroke-width="2"/>',
}


def lanes_svg(picture: Lanes) -> str:
    """Both sides as lanes; what a bar or a mark stands for is in its tooltip."""
    parts = [_hatches(picture.conn)]
    scale = Scale(picture)
    for side, top in ((Side.CLIENT, 26), (Side.SERVER, 96)):
        parts.append(_text(_LEFT - 8, top + 24, side.label, "end", "lane"))
        parts += [_span(picture, scale, span, side, top) for span in picture.spans[side]]
        parts += _marks(picture, scale, side, top - 9)
    parts += _axis(picture, scale, 96 + _BAR)
    return _svg(_WIDTH, 168, f"States of connection {picture.conn}", parts)


def _svg(width: int, height: float, title: str, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:g}" width="{width}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12">'
        f"{''.join(parts)}</svg>"
    )


def _hatches(conn: int) -> str:
    """The patterns laid over what was not observed; each drawing has its own, under names of its own."""
    lines = '<path d="M0 8L8 0" stroke="#0005" stroke-width="1.5"/>'
    dots = '<circle cx="3" cy="3" r="1.1" fill="#0005"/>'
    return "<defs>" + "".join(
        f'<pattern id="{name}-{conn}" width="8" height="8" patternUnits="userSpaceOnUse">{shape}</pattern>'
        for name, shape in (("inferred", lines), ("assumed", dots))
    ) + "</defs>"  # fmt: skip


def _x(place: float) -> float:
    return _LEFT + place * (_WIDTH - _LEFT - 12)


def _span(picture: Lanes, scale: Scale, span: Span, side: Side, top: int) -> str:
    left, right = _x(scale.place(span.start)), _x(scale.place(span.end))
    width, colour = max(right - left, 0.8), STATE_COLOURS[span.state]
    box = f'x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}"'
    parts = [f'<rect {box} fill="{colour}" stroke="#0006"/>']
    if span.evidence is not Evidence.OBSERVED:
        parts.append(f'<rect {box} fill="url(#{span.evidence.label}-{picture.conn})"/>')
    name, lasted = span.state.name, duration(span.end - span.start) + (" …" if span.lasts else "")
    middle, style = (left + right) / 2, f"b{text_on(colour)[1]}"
    for text, y in ((name, top + 18), (lasted, top + 32)):
        wanted, room = len(text) * _LETTER, width - 6
        if room < _NARROWEST * wanted:
            break
        parts.append(_text(middle, y, text, "middle", style, room if room < wanted else None))
    return f"<g><title>{escape(_about(span, side, picture))}</title>{''.join(parts)}</g>"


#: How text looks: a side's name; dark or light text on a bar; what is said quietly.
_STYLES = {
    "lane": 'font-weight="600" fill="currentColor"',
    "b0": 'font-size="11" fill="#000"',
    "bf": 'font-size="11" fill="#fff"',
    "quiet": 'font-size="11" fill="currentColor" opacity="0.75"',
    "plain": 'font-size="12" fill="currentColor"',
    "bad": 'font-size="12" fill="var(--rst, #d2201a)" font-weight="600"',
    "odd": 'font-size="12" fill="var(--repeated, #c25e00)" font-weight="600"',
    "state": 'font-size="11" fill="currentColor" font-weight="600"',
}


def _text(x: float, y: float, text: str, anchor: str, style: str, width: float | None = None) -> str:
    """Text, squeezed into ``width`` if that is given."""
    squeezed = "" if width is None else f' textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
    place = f'x="{x:.1f}" y="{y:g}" text-anchor="{anchor}"{squeezed}'
    return f"<text {place} {_STYLES[style]}>{escape(text)}</text>"


def _about(span: Span, side: Side, picture: Lanes) -> str:
    """One line on a stay: who, where, since when, for how long, why."""
    parts = [f"{side.label} {picture.names[side]}: {span.state.name} from {instant(span.start)}"]
    parts.append("to the end of the capture" if span.lasts else f"for {duration(span.end - span.start)}")
    frame = f" in frame {span.frame}" if span.frame else ""
    return f"{', '.join(parts)}; {span.evidence.label}, {span.cause.label}{frame}"


def _marks(picture: Lanes, scale: Scale, side: Side, y: float) -> Iterator[str]:
    for mark in picture.marks:
        if mark.side == side:
            title = f"<title>{escape(mark.kind)} at {instant(mark.time)}</title>"
            x = _x(scale.place(mark.time))
            yield f'<g transform="translate({x:.1f} {y:g})">{title}{_MARKS[mark.kind]}</g>'


def _axis(picture: Lanes, scale: Scale, top: float) -> Iterator[str]:
    ticks = scale.ticks(0.09)
    for number, (place, time) in enumerate(ticks):
        x, anchor = _x(place), "start" if number == 0 else "end" if number == len(ticks) - 1 else "middle"
        yield f'<path d="M{x:.1f} {top}v6" stroke="currentColor"/>'
        yield _text(x, top + 19, "+" + duration(time - picture.start), anchor, "quiet")


_STEP, _TOP, _CLIENT, _SERVER = 26, 34, 240, 700


def ladder_svg(picture: Ladder) -> str:
    """The segments between client and server, with both sides' states down the margins."""
    parts = [
        _text(x, 18, name, "middle", "lane") for x, name in zip((_CLIENT, _SERVER), SIDE_LABELS, strict=True)
    ]
    for row, rung in enumerate(picture.rungs):
        y = _TOP + row * _STEP
        parts += _states(rung, y)
        parts += _rung(rung, y, picture.start)
    height = _TOP + len(picture.rungs) * _STEP + 8
    return _svg(_WIDTH, height, f"Segments of connection {picture.conn}", parts)


def _states(rung: Rung, y: float) -> Iterator[str]:
    for side, left in ((Side.CLIENT, _CLIENT - 12), (Side.SERVER, _SERVER + 4)):
        state = rung.states[side]
        yield f'<rect x="{left}" y="{y}" width="8" height="{_STEP}" fill="{STATE_COLOURS[state]}"/>'
        if rung.changed[side]:
            x, anchor = (left - 6, "end") if side is Side.CLIENT else (left + 14, "start")
            yield _text(x, y + 13, state.name, anchor, "state")


def _rung(rung: Rung, y: float, start: int) -> Iterator[str]:
    yield _text(4, y + 13, "+" + duration(rung.time - start), "start", "quiet")
    middle = (_CLIENT + _SERVER) / 2
    if rung.sender is None:
        yield _text(middle, y + 14, f"… {rung.text} …", "middle", "quiet")
        return
    style = "bad" if "RST" in rung.text.split() else "odd" if rung.fate else "plain"
    yield _text(middle, y + 12, rung.text + (f"  {rung.fate}" if rung.fate else ""), "middle", style)
    yield _arrow(rung.sender, y + 18, dashed=bool(rung.fate))
    yield _text(_WIDTH - 4, y + 13, f"frame {rung.frame}", "end", "quiet")


def _arrow(sender: Side, y: float, dashed: bool) -> str:
    tail, head, back = (_CLIENT, _SERVER, -7) if sender is Side.CLIENT else (_SERVER, _CLIENT, 7)
    dash = ' stroke-dasharray="5 3"' if dashed else ""
    return (
        f'<path d="M{tail} {y}H{head}" stroke="currentColor" opacity="0.7"{dash}/>'
        f'<path d="M{head} {y}l{back} -4v8z" fill="currentColor"/>'
    )
