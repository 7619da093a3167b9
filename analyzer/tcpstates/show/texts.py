"""The shape of an explanation, shared by those of states, outcomes and patterns."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """What there is to say of one state, outcome or pattern."""

    meaning: str
    normal: str  # when it is nothing to worry about
    fault: str  # when it is, and whose
    settings: tuple[tuple[str, str], ...]  # Linux sysctls and socket options, and what they do here
    next: tuple[tuple[str, str], ...]  # commands, and what they tell
    rule: str = ""  # what it takes to be named, with the thresholds
    elsewhere: tuple[tuple[str, str], ...] = ()  # settings and commands of other systems
