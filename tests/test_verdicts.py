"""The verdicts are what was really done: every outcome and culprit on the recordings, at both ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PCAPS = Path(__file__).parent.parent / "pcaps"
sys.path.insert(0, str(PCAPS))

import recorder.scenarios  # noqa: E402, F401  (registers them)
from recorder.recording import SCENARIOS  # noqa: E402
from recorder.verdicts import verdicts  # noqa: E402
from scoring.recordings import VANTAGES, recordings  # noqa: E402
from scoring.verdicts import Pair, compared, lines  # noqa: E402
from tcpstates.schema import CULPRITS, OUTCOMES  # noqa: E402

pytestmark = pytest.mark.slow_without_jit

RECORDINGS = recordings(PCAPS / "kernel")
#: Of these the connections themselves say what they are to come to. What is meant is not always what comes of
#: it where packets are lost: a RST that one end never sees, a request that the server does not wait for.
CROWDS = {recording.name for recording in RECORDINGS if recording.name.startswith("many_")}
#: Percent of a crowd's connections on a bad link of which what was meant is what is said.
MEANT = 98


def pairs(link: str, vantage: str, *, crowds: bool) -> list[Pair]:
    chosen = [one for one in RECORDINGS if one.link == link and (one.name in CROWDS) == crowds]
    return [pair for recording in chosen for pair in compared(recording, vantage)]


def wrong(found: list[Pair]) -> list[Pair]:
    return [pair for pair in found if pair.true != pair.said]


@pytest.mark.parametrize("vantage", VANTAGES)
@pytest.mark.parametrize("link", ["clean", "impaired"])
def test_every_scenario_is_judged_right(link: str, vantage: str) -> None:
    found = pairs(link, vantage, crowds=False)
    assert found and not wrong(found), "\n".join(lines(found))


@pytest.mark.parametrize("vantage", VANTAGES)
def test_every_connection_of_a_crowd_is_judged_right(vantage: str) -> None:
    found = pairs("clean", vantage, crowds=True)
    assert found and not wrong(found), "\n".join(lines(found))


@pytest.mark.parametrize("vantage", VANTAGES)
def test_crowds_on_bad_links_are_judged_as_they_were_meant(vantage: str) -> None:
    found = pairs("impaired", vantage, crowds=True)
    assert len(wrong(found)) <= len(found) * (100 - MEANT) / 100, "\n".join(lines(found))


def test_every_scenario_has_a_verdict() -> None:
    missing = [name for name in SCENARIOS if verdicts(name, "client") is None]
    assert set(missing) == CROWDS


def test_verdicts_use_the_words_of_the_schema() -> None:
    named = [verdict for name in SCENARIOS for side in VANTAGES for verdict in verdicts(name, side) or ()]
    assert {verdict.outcome for verdict in named} <= set(OUTCOMES)
    assert {verdict.culprit for verdict in named} <= {*CULPRITS, ""}
