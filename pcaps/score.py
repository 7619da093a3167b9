"""Say how the analysis of each recording agrees with what the kernels said.

Usage: pcaps/score.py [--worst COUNT] [--imperfect | --as IMPERFECTION] [--folder FOLDER] [NAME...]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from scoring import tables, worst
from scoring.imperfect import IMPERFECTIONS, degraded
from scoring.recordings import VANTAGES, Recording, recordings
from scoring.score import Score, scored

RECORDINGS = Path(__file__).parent / "kernel"


def main() -> str | None:
    """Score what is asked for; the text of what went wrong, None if nothing did."""
    options = _options()
    try:
        chosen = recordings(options.folder, options.names)
    except KeyError as error:
        return f"no recording {error} in {options.folder}; see its *.json"
    if not chosen:
        return f"no recordings in {options.folder}; make captures records them"
    scores = _scores(chosen, options.form)
    lines = _worst(scores, options.worst) if options.worst else _tables(scores, chosen, options.imperfect)
    for line in lines:
        print(line, flush=True)
    return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a recording; all of them if none is named")
    parser.add_argument("--worst", type=int, metavar="COUNT", help="list the worst disagreements instead")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--imperfect", action="store_true", help="add the sums of all imperfect forms")
    forms.add_argument(
        "--as", dest="form", choices=IMPERFECTIONS, metavar="IMPERFECTION", help="score that form instead"
    )
    parser.add_argument("--folder", type=Path, default=RECORDINGS, help="where the recordings are")
    return parser.parse_args()


def _scores(chosen: list[Recording], form: str | None) -> list[Score]:
    """Both captures of each recording, as they are or in an imperfect form."""
    return [
        scored(recording, vantage, degraded(recording.capture(vantage), form) if form else None)
        for recording in chosen
        for vantage in VANTAGES
    ]


def _tables(scores: list[Score], chosen: list[Recording], imperfect: bool) -> Iterator[str]:
    yield from tables.by_capture(scores)
    yield ""
    yield from tables.totals(scores)
    yield ""
    yield from tables.by_state(scores)
    if imperfect:
        yield ""
        yield from _imperfect(chosen)


def _imperfect(chosen: list[Recording]) -> Iterator[str]:
    yield tables.HEAD
    for imperfection in IMPERFECTIONS:
        for link, tally in tables.by_link(_scores(chosen, imperfection)).items():
            yield tables.line(f"{imperfection}, {link}", tally)


def _worst(scores: list[Score], count: int) -> Iterator[str]:
    found = worst.disagreements(scores)
    yield "What takes most time, by the two states and the cause of ours:"
    yield from worst.by_sort(found, count)
    yield "\nThe longest, one per socket; seconds since the capture's first record:"
    yield from worst.longest(found, count)
    yield "\nSequences of states that differ:"
    yield from worst.sequences(scores, count)


if __name__ == "__main__":
    try:
        problem = main()
    except BrokenPipeError:  # the reader has seen enough; there is nowhere left to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        problem = None
    if problem:
        print(f"score.py: {problem}", file=sys.stderr)
        sys.exit(1)
