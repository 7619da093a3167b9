"""The explanation of a state or an outcome, as text: part of it written, part generated from the machine."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from tcpstates.errors import UsageError
from tcpstates.schema import OUTCOMES
from tcpstates.show.outcome_texts import OUTCOME_TEXTS
from tcpstates.show.state_texts import STATE_TEXTS
from tcpstates.show.texts import Text
from tcpstates.states import TRANSITIONS, Event, State, parse_state

_INDENT = "  "
_NAME_WIDTH = 21
_STATES_WIDTH = 28


def explain(name: str, width: int = 80) -> str:
    """What the state or outcome ``name`` means, in any spelling, in lines of at most ``width``.

    Raises
    ------
    UsageError
        If ``name`` is neither.
    """
    outcome = name.strip().lower().replace("-", "_").replace(" ", "_")
    state = _state(name)
    # Tables print states in capitals and outcomes in small letters: CLOSING is a state, closing an outcome
    if outcome in OUTCOMES and (state is None or not name.isupper()):
        return "\n".join(_explanation(outcome, OUTCOME_TEXTS[outcome], (), width))
    if state is not None:
        return "\n".join(_explanation(state.name, STATE_TEXTS[state], _ways(state), width))
    raise UsageError(
        f"nothing to explain about {name!r}; use a state ({', '.join(State.__members__)}) "
        f"or an outcome ({', '.join(OUTCOMES)})"
    )


def _state(name: str) -> State | None:
    try:
        return parse_state(name)
    except ValueError:
        return None


def everything() -> str:
    """The names that can be explained, each with the first sentence of its meaning."""
    states = ((state.name, text.meaning) for state, text in STATE_TEXTS.items())
    outcomes = ((name, OUTCOME_TEXTS[name].meaning) for name in OUTCOMES)
    lines = ["States", *_listed(states), "", "Outcomes", *_listed(outcomes)]
    return "\n".join(lines)


def _listed(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    hanging = _INDENT + " " * _NAME_WIDTH
    for name, meaning in entries:
        text = f"{name:<{_NAME_WIDTH}}{meaning.split('. ')[0].rstrip('.')}"
        yield textwrap.fill(text, 80, initial_indent=_INDENT, subsequent_indent=hanging)


def _explanation(title: str, text: Text, ways: Iterable[str], width: int) -> Iterator[str]:
    yield title
    yield from _paragraph("", text.meaning, width)
    yield from ways
    yield from _paragraph("When it is normal", text.normal, width)
    yield from _paragraph("When it is a fault, and whose", text.fault, width)
    yield from _list("Settings that matter on Linux", text.settings, width)
    yield from _list("What to look at next", text.next, width)


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
