"""The claim itself: the inferred states are those that the kernels had, by the recordings' truth.

Each figure is what is aimed at, or what is reached so far where that is less; ``make truth`` prints them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PCAPS = Path(__file__).parent.parent / "pcaps"
sys.path.insert(0, str(PCAPS))

from scoring import tables  # noqa: E402
from scoring.imperfect import degraded  # noqa: E402
from scoring.recordings import VANTAGES, recordings  # noqa: E402
from scoring.score import Score, scored  # noqa: E402
from scoring.tally import Tally  # noqa: E402

pytestmark = pytest.mark.slow_without_jit

RECORDINGS = recordings(PCAPS / "kernel")


class Figures(NamedTuple):
    """Shares in percent: of time, of sequences of states, of netstat's rows."""

    right: float
    wrong: float
    exact: float
    rows: float


AIMS = {"clean": Figures(99.9, 0.1, 99, 99), "impaired": Figures(99, 0.5, 97, 99)}
REACHED = {"clean": Figures(99.3, 0.7, 99, 99), "impaired": Figures(99, 0.5, 97, 99)}


def total(scores: list[Score]) -> Tally:
    return sum((score.tally for score in scores), Tally())


def report(scores: list[Score]) -> str:
    return "\n".join(tables.by_capture(scores))


@pytest.mark.parametrize("vantage", VANTAGES)
@pytest.mark.parametrize("link", REACHED)
def test_states_are_the_kernels(link: str, vantage: str) -> None:
    scores = [scored(recording, vantage) for recording in RECORDINGS if recording.link == link]
    tally, figures = total(scores), REACHED[link]
    if not scores:
        pytest.skip(f"no recording of a link that is {link} yet")
    assert (tally.missed, tally.invented) == (0, 0), report(scores)
    assert tally.share("right") >= figures.right, report(scores)
    assert tally.share("wrong") <= figures.wrong, report(scores)
    assert tally.sequences("exact") >= figures.exact, report(scores)
    assert tally.rows >= figures.rows, report(scores)


#: What is not so small is left to ``make truth``, for the other forms of it take long to make.
SMALL = [recording for recording in RECORDINGS if recording.capture("client").stat().st_size < 40_000]

#: By form: how much may be wrong, in percent of the time.
WRONG = {
    "0.5 % missing": 0.8,
    "2 % missing": 2.0,
    "10 % missing": 3.0,
    "swapped": 0.8,
    "doubled": 0.7,
    "cut": 0.5,
}
UNCHANGED = ("VLAN", "cooked", "cooked v2", "pcapng, by direction")


@pytest.mark.parametrize("form", WRONG)
def test_imperfect_captures_make_for_doubt_not_for_errors(form: str) -> None:
    scores = [
        scored(recording, vantage, degraded(recording.capture(vantage), form))
        for recording in SMALL
        for vantage in VANTAGES
    ]
    assert total(scores).share("wrong") <= WRONG[form], report(scores)


@pytest.mark.parametrize("form", UNCHANGED)
def test_other_forms_of_a_capture_score_the_same(form: str) -> None:
    for recording in SMALL:
        capture = recording.capture("server")
        plain, other = (scored(recording, "server", source) for source in (capture, degraded(capture, form)))
        assert other.tally == plain.tally, report([plain, other])


def test_a_short_snap_length_hides_only_the_ipv6_sockets() -> None:
    for recording in SMALL:
        capture = recording.capture("server")
        cut = scored(recording, "server", degraded(capture, "snap length 60")).tally
        plain = scored(recording, "server").tally
        assert cut.unseen in (plain.unseen, plain.unseen + plain.sockets)
        assert (cut.wrong, cut.invented) <= (plain.wrong, plain.invented)
