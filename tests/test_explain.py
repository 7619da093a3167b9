"""What ``explain`` says of every state and every outcome."""

from __future__ import annotations

import pytest

from tcpstates.errors import UsageError
from tcpstates.schema import OUTCOMES, PATTERNS
from tcpstates.show.explain import everything, explain
from tcpstates.show.outcome_texts import OUTCOME_TEXTS
from tcpstates.show.pattern_texts import PATTERN_TEXTS
from tcpstates.show.state_texts import STATE_TEXTS
from tcpstates.states import TRANSITIONS, State

NAMES = (*State.__members__, *OUTCOMES, *PATTERNS)


def test_there_is_a_text_for_every_state_and_every_outcome() -> None:
    assert set(STATE_TEXTS) == set(State)
    assert set(OUTCOME_TEXTS) == set(OUTCOMES)
    assert set(PATTERN_TEXTS) == set(PATTERNS)


@pytest.mark.parametrize("name", NAMES)
def test_an_explanation_is_complete_and_fits(name: str) -> None:
    text = explain(name, width=80)
    lines = text.splitlines()
    assert lines[0] == name
    assert {"When it is normal", "When it is a fault, and whose", "What to look at next"} <= {*lines}
    assert max(map(len, lines)) <= 80
    assert "  \n" not in text


@pytest.mark.parametrize("spelling", ["CLOSE_WAIT", "close-wait", "Close Wait", "CLOSEWAIT"])
def test_a_state_in_any_spelling(spelling: str) -> None:
    assert explain(spelling).startswith("CLOSE_WAIT\n")


def test_an_outcome_in_any_spelling() -> None:
    assert explain("stuck-close-wait") == explain("STUCK_CLOSE_WAIT")


def test_states_are_in_capitals_and_outcomes_in_small_letters() -> None:
    """``closed`` and ``closing`` name both."""
    assert explain("closed").startswith("closed\n")
    assert explain("CLOSE").startswith("CLOSE\n")
    assert explain("CLOSED").startswith("CLOSE\n")
    assert explain("CLOSING").startswith("CLOSING\n")
    assert explain("closing").startswith("closing\n")


def test_how_a_side_gets_in_and_out_comes_from_the_machine() -> None:
    lines = explain("LAST_ACK").splitlines()
    into = lines.index("How a side gets into it")
    out = lines.index("How it gets out")
    assert lines[into + 1].split() == ["sent_fin", "from", "CLOSE_WAIT", "RFC", "9293,", "3.10.4"]
    ways = {event.label for state, event in TRANSITIONS if state == State.LAST_ACK}
    assert {line.split()[0] for line in lines[out + 1 : lines.index("", out)]} == ways


def test_what_to_look_at_next_is_a_command() -> None:
    assert "ss -tanp state close-wait" in explain("CLOSE_WAIT")


def test_the_list_of_everything() -> None:
    text = everything()
    assert all(f"  {name} " in text for name in NAMES)
    assert max(map(len, text.splitlines())) <= 80


def test_the_overview_shows_the_way_of_a_connection_through_the_states() -> None:
    ladder = everything().split("States: opening")[0]
    assert {state.name for state in State} - set(ladder.split()) == {"CLOSING", "UNKNOWN"}
    assert max(map(len, everything(width=60).splitlines())) <= 80


def test_a_pattern_says_what_it_takes_to_be_named() -> None:
    rule = " ".join(explain("leak").split("What it takes to be named")[1].split())
    assert rule.startswith("At least 10 sockets of one server and side are stuck")


def test_there_are_settings_and_commands_of_other_systems() -> None:
    for state in State:
        if state not in (State.UNKNOWN, State.CLOSE):
            assert "Windows: Get-NetTCPConnection -State" in explain(state.name)


def test_nothing_to_explain() -> None:
    with pytest.raises(UsageError, match="nothing to explain about 'CLOSE_WAITING'; use a state"):
        explain("CLOSE_WAITING")
