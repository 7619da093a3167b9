"""The shape of an explanation, shared by those of states and those of outcomes."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """What there is to say of one state or one outcome."""

    meaning: str
    normal: str  # when it is nothing to worry about
    fault: str  # when it is, and whose
    settings: tuple[tuple[str, str], ...]  # Linux sysctls and socket options, and what they do here
    next: tuple[tuple[str, str], ...]  # commands, and what they tell
