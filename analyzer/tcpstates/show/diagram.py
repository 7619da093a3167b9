"""The state diagram of the README, generated from the transition table.

``python -m tcpstates.show.diagram README.md`` writes it between its markers; a test notices drift.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tcpstates.states import TRANSITIONS, Event, State

BEGIN, END = "<!-- diagram: begin -->", "<!-- diagram: end -->"

#: Events that can end or hide a side in nearly every state: said in words, they would bury the drawing.
_EVERYWHERE = (
    Event.SENT_RST,
    Event.RECEIVED_RST,
    Event.TIMER_RETRANSMISSION,
    Event.REUSED,
    Event.LOST_TRACK,
)


def diagram() -> str:
    """The table as a Mermaid drawing, and in words what holds for nearly every state."""
    return "\n".join(["```mermaid", "stateDiagram-v2", *_arrows(), "```", "", *_sentences()])


def _arrows() -> list[str]:
    """One arrow for each pair of states, with all its events."""
    labels: dict[tuple[State, State], list[str]] = {}
    for (state, event), (following, _section) in TRANSITIONS.items():
        if event not in _EVERYWHERE:
            labels.setdefault((state, following), []).append(event.label.replace("_", " "))
    return [f"    {a.name} --> {b.name}: {', '.join(words)}" for (a, b), words in labels.items()]


def _sentences() -> list[str]:
    """A line for each event that the drawing leaves out."""
    lines = []
    for event in _EVERYWHERE:
        following = next(to for (_state, e), (to, _section) in TRANSITIONS.items() if e is event)
        left_out = [s.name for s in State if (s, event) not in TRANSITIONS and s is not following]
        lines.append(
            f"- `{event.label}` leads to {following.name} from every state but {', '.join(left_out)}."
        )
    return lines


def insert_diagram(text: str) -> str:
    """``text`` with the diagram between its markers.

    Raises
    ------
    ValueError
        If the markers are not there.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"no place for the diagram: put {BEGIN} and {END} where it belongs")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n{diagram()}\n{END}{after}"


if __name__ == "__main__":
    readme = Path(sys.argv[1])
    readme.write_text(insert_diagram(readme.read_text(encoding="utf-8")), encoding="utf-8")
