"""Say how the verdicts on the recordings agree with what was really done.

Usage: pcaps/judge.py [--folder FOLDER] [NAME...]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scoring.recordings import VANTAGES, recordings
from scoring.verdicts import compared, lines


def main() -> str | None:
    """Compare what is asked for; the text of what went wrong, None if nothing did."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a recording; all of them if none is named")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "kernel")
    options = parser.parse_args()
    try:
        chosen = recordings(options.folder, options.names)
    except KeyError as error:
        return f"no recording {error} in {options.folder}; see its *.json"
    for link in ("clean", "impaired"):
        some = [recording for recording in chosen if recording.link == link]
        if some:
            print(f"{link}:")
            print(
                "\n".join(lines([pair for one in some for side in VANTAGES for pair in compared(one, side)]))
            )
    return None


if __name__ == "__main__":
    problem = main()
    if problem:
        print(f"judge.py: {problem}", file=sys.stderr)
        sys.exit(1)
