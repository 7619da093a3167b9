"""The explanation of a state, outcome or pattern, as text: part written, part generated from the machine."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from tcpstates.errors import UsageError
from tcpstates.schema import OUTCOMES, PATTERNS
from tcpstates.show.outcome_texts import OUTCOME_TEXTS
from tcpstates.show.pattern_texts import PATTERN_TEXTS
from tcpstates.show.state_texts import STATE_TEXTS
from tcpstates.show.texts import Text
from tcpstates.states import TRANSITIONS, Event, State, parse_state

_INDENT = "  "
_NAME_WIDTH = 21
_STATES_WIDTH = 28

#: A connection from its first segment to its last, as its two sides see it.
_LADDER = (
    "  who closes first                  who closes second",
    "  CLOSE                             LISTEN",
    "  SYN_SENT       --- SYN ------->",
    "                 <-- SYN, ACK ---   SYN_RECV",
    "  ESTABLISHED    --- ACK ------->   ESTABLISHED",
    "                       ...",
    "  FIN_WAIT1      --- FIN ------->   CLOSE_WAIT    until its program closes too",
    "  FIN_WAIT2      <-- ACK --------",
    "                 <-- FIN --------   LAST_ACK",
    "  TIME_WAIT      --- ACK ------->   CLOSE",
    "  CLOSE          a minute or more later",
)
_CHAPTERS = (
    ("States: opening", (State.LISTEN, State.SYN_SENT, State.SYN_RECV)),
    ("States: open", (State.ESTABLISHED,)),
    ("States: who closes first", (State.FIN_WAIT1, State.FIN_WAIT2, State.CLOSING, State.TIME_WAIT)),
    ("States: who closes second", (State.CLOSE_WAIT, State.LAST_ACK)),
    ("States: no socket, or nothing known", (State.CLOSE, State.UNKNOWN)),
)


def explain(name: str, width: int = 80) -> str:
    """What the state, outcome or pattern ``name`` means, in any spelling, in lines of at most ``width``.

    Raises
    ------
    UsageError
        If ``name`` is none of these.
    """
    outcome = name.strip().lower().replace("-", "_").replace(" ", "_")
    state = _state(name)
    # Tables print states in capitals and outcomes in small letters: CLOSING is a state, closing an outcome
    if outcome in OUTCOMES and (state is None or not name.isupper()):
        return "\n".join(_explanation(outcome, OUTCOME_TEXTS[outcome], (), width))
    if state is not None:
        return "\n".join(_explanation(state.name, STATE_TEXTS[state], _ways(state), width))
    if outcome in PATTERNS:
        return "\n".join(_explanation(outcome, PATTERN_TEXTS[outcome], (), width))
    raise UsageError(
        f"nothing to explain about {name!r}; use a state ({', '.join(State.__members__)}), "
        f"an outcome ({', '.join(OUTCOMES)}) or a pattern ({', '.join(PATTERNS)})"
    )


def _state(name: str) -> State | None:
    try:
        return parse_state(name)
    except ValueError:
        return None


def everything(width: int = 80) -> str:
    """How the states hang together, then all that can be explained, each in one sentence."""
    lines = ["A connection has two sides, and each is in a state of its own.", "", *_LADDER]
    for heading, states in _CHAPTERS:
        lines += ["", heading, *_listed(((s.name, STATE_TEXTS[s].meaning) for s in states), width)]
    outcomes = ((name, OUTCOME_TEXTS[name].meaning) for name in OUTCOMES)
    patterns = ((name, PATTERN_TEXTS[name].meaning) for name in PATTERNS)
    lines += ["", "Outcomes: what became of a connection", *_listed(outcomes, width)]
    lines += ["", "Patterns: what many connections show together", *_listed(patterns, width)]
    lines += ["", "tcpstates explain NAME tells more of each."]
    return "\n".join(lines)


def _listed(entries: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    hanging = _INDENT + " " * _NAME_WIDTH
    for name, meaning in entries:
        text = f"{name:<{_NAME_WIDTH}}{meaning.split('. ')[0].rstrip('.')}"
        yield textwrap.fill(text, width, initial_indent=_INDENT, subsequent_indent=hanging)


def _explanation(title: str, text: Text, ways: Iterable[str], width: int) -> Iterator[str]:
    yield title
    yield from _paragraph("", text.meaning, width)
    yield from ways
    yield from _paragraph("When it is normal", text.normal, width)
    yield from _paragraph("When it is a fault, and whose", text.fault, width)
    if text.rule:
        yield from _paragraph("What it takes to be named", text.rule, width)
    yield from _list("Settings that matter on Linux", text.settings, width)
    yield from _list("What to look at next", text.next, width)
    yield from _list("On other systems", text.elsewhere, width)


def _paragraph(heading: str, text: str, width: int) -> Iterator[str]:
    yield ""
    if heading:
        yield heading
    yield from textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)


def _list(heading: str, entries: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    entries = tuple(entries)
    if entries:
        yield from ("", heading)
    for term, text in entries:
        yield _INDENT + term
        yield from textwrap.wrap(text, width, initial_indent=_INDENT * 3, subsequent_indent=_INDENT * 3)


def _ways(state: State) -> Iterator[str]:
    """How a side gets into ``state`` and out of it, from the table of transitions."""
    into: dict[tuple[Event, str], list[str]] = {}
    out: dict[tuple[Event, str], list[str]] = {}
    for (before, event), (after, section) in TRANSITIONS.items():
        if after == state:
            into.setdefault((event, section), []).append(before.name)
        if before == state:
            out.setdefault((event, section), []).append(after.name)
    yield from _steps("How a side gets into it", "from", into)
    yield from _steps("How it gets out", "to", out)


def _steps(heading: str, preposition: str, steps: Mapping[tuple[Event, str], list[str]]) -> Iterator[str]:
    if steps:
        yield from ("", heading)
    for (event, section), states in steps.items():
        names = f"{preposition} {', '.join(states)}"
        if len(names) > _STATES_WIDTH:
            names = f"{preposition} {len(states)} states"
        yield f"{_INDENT}{event.label:<{_NAME_WIDTH}} {names:<{_STATES_WIDTH}} {_cited(section)}"


def _cited(section: str) -> str:
    """Sections are those of RFC 9293 where nothing else is named."""
    return f"RFC 9293, {section}" if section[0].isdigit() else section
