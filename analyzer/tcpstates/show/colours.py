"""The colour of each state, the same wherever states are drawn.

They were chosen to differ for people who see red, green or blue less well too: a test simulates how each of
them sees the colours, and measures the distances.
"""

from __future__ import annotations

from tcpstates.states import State

STATE_COLOURS: dict[State, str] = {
    State.UNKNOWN: "#858585",
    State.CLOSE: "#dedede",
    State.LISTEN: "#74188d",
    State.SYN_SENT: "#ffc50e",
    State.SYN_RECV: "#fa4211",
    State.ESTABLISHED: "#1c5e54",
    State.FIN_WAIT1: "#4964e1",
    State.FIN_WAIT2: "#5397e9",
    State.CLOSE_WAIT: "#ab060e",
    State.CLOSING: "#ff9170",
    State.LAST_ACK: "#924e9b",
    State.TIME_WAIT: "#31c8ff",
}

#: From one to the most, where numbers are colours: the first is seen on white paper, the last on a dark page.
HEAT_COLOURS = ("#fec44f", "#fe9929", "#ec7014", "#cc4c02", "#8c2d04")


def linear_rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue of ``"#rrggbb"`` as light adds up (sRGB, IEC 61966-2-1)."""
    red, green, blue = (_linear(int(colour[place : place + 2], 16) / 255) for place in (1, 3, 5))
    return red, green, blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def text_on(colour: str) -> str:
    """Black or white, whichever is read better on ``colour`` (WCAG 2, relative luminance)."""
    red, green, blue = linear_rgb(colour)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if luminance > 0.179 else "#ffffff"
