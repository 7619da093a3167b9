"""The transition table: whole, sourced, spelled as people spell it, and drawn in the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcpstates.show.diagram import insert_diagram
from tcpstates.states import IGNORED, TRANSITIONS, Event, State, parse_state, transition_array

README = Path(__file__).parent.parent / "README.md"


def test_every_pair_is_a_transition_or_ignored_and_never_both() -> None:
    every = {(state, event) for state in State for event in Event}
    assert set(TRANSITIONS) | IGNORED == every
    assert not set(TRANSITIONS) & IGNORED


def test_every_transition_changes_the_state_and_names_its_source() -> None:
    for (state, _event), (following, section) in TRANSITIONS.items():
        assert following is not state
        assert section == "capture" or section.startswith("Linux ") or section[0] == "3"


def test_array_for_the_compiled_step_holds_the_table() -> None:
    table = transition_array()
    for state in State:
        for event in Event:
            expected, _section = TRANSITIONS.get((state, event), (state, ""))
            assert table[state, event] == expected


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ("SENT_SYN RECEIVED_SYN_ACK SENT_FIN RECEIVED_ACK_OF_FIN RECEIVED_FIN TIMER_2MSL", "CLOSE"),
        ("SENT_SYN_ACK RECEIVED_ACK_OF_SYN RECEIVED_FIN SENT_FIN RECEIVED_ACK_OF_FIN", "CLOSE"),
        ("SENT_SYN RECEIVED_SYN RECEIVED_ACK_OF_SYN", "ESTABLISHED"),
        ("SENT_SYN RECEIVED_SYN_ACK SENT_FIN RECEIVED_FIN RECEIVED_ACK_OF_FIN", "TIME_WAIT"),
        ("SENT_SYN RECEIVED_FIN", "SYN_SENT"),
        ("SENT_SYN SENT_RST", "SYN_SENT"),
        ("SENT_SYN RECEIVED_SYN_ACK RECEIVED_ICMP_ERROR", "ESTABLISHED"),
    ],
)
def test_walks_of_rfc_9293(events: str, state: str) -> None:
    table, current = transition_array(), State.CLOSE
    for event in events.split():
        current = State(table[current, Event[event]])
    assert current.name == state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("ESTAB", State.ESTABLISHED),
        ("fin-wait-1", State.FIN_WAIT1),
        ("FIN-WAIT-2", State.FIN_WAIT2),
        ("CLOSED", State.CLOSE),
        ("SYN-RECEIVED", State.SYN_RECV),
        ("listening", State.LISTEN),
        ("close_wait", State.CLOSE_WAIT),
    ],
)
def test_other_spellings_are_understood(text: str, state: State) -> None:
    assert parse_state(text) is state


def test_what_is_no_state_is_said() -> None:
    with pytest.raises(ValueError, match="not a TCP state: 'OPEN'; use one of UNKNOWN, CLOSE"):
        parse_state("OPEN")


def test_diagram_in_the_readme_is_the_table() -> None:
    text = README.read_text(encoding="utf-8")
    assert insert_diagram(text) == text, "run: python -m tcpstates.show.diagram README.md"
