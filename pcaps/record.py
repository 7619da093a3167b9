"""Record the captures of this folder again, all or those that are named.

Usage: pcaps/record.py [--kernel] [NAME...]

With --kernel only those in the folder kernel/, which prove the analysis; the examples for people are left.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import recorder.scenarios  # noqa: F401  (registers them)
from recorder.catalogue import publish, publish_variants
from recorder.kernel import publish_kernel, write_table
from recorder.recording import SCENARIOS, Recording
from recorder.runner import record

FOLDER = Path(__file__).parent
_ATTEMPTS = 3
PROGRAMS = ("ip", "nft", "setpriv", "tcpdump")


def main(names: list[str]) -> str | None:
    """Record; the text of what went wrong, None if nothing did."""
    examples = "--kernel" not in names
    names = [name for name in names if name != "--kernel"]
    if obstacle := _obstacle(names):
        return obstacle
    wanted = names or list(SCENARIOS)
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="tcpstates-") as folder:
            try:
                recordings, problems = record([SCENARIOS[name] for name in wanted], Path(folder))
            except (RuntimeError, OSError) as error:
                return f"not replaced: {', '.join(wanted)}: {error}"
            _publish(recordings, examples=examples)
        wanted = list(problems)
        if not wanted:
            return None
        _tell(problems)
    return f"not replaced, as they do not show what they should: {', '.join(wanted)}; try again"


def _tell(problems: dict[str, str]) -> None:
    for name, problem in problems.items():
        print(f"{name}: {problem}", file=sys.stderr)


def _publish(recordings: list[Recording], *, examples: bool) -> None:
    for recording in recordings:
        publish_kernel(recording, FOLDER / "kernel")
        if examples and recording.scenario.example:
            publish(recording, FOLDER)
    write_table(FOLDER / "kernel")
    if examples:
        publish_variants(FOLDER)


def _obstacle(names: list[str]) -> str | None:
    """Why it cannot be done here."""
    if unknown := [name for name in names if name not in SCENARIOS]:
        return f"no scenario {unknown[0]!r}; use some of those that {FOLDER / 'kernel' / 'README.md'} lists"
    if sys.platform != "linux":
        return f"recording needs Linux's network namespaces, this is {sys.platform}; use the captures here"
    if os.geteuid() != 0:
        return f"recording needs root, this is user {os.geteuid()}; run it with sudo"
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        return f"recording needs {', '.join(missing)}; install the package that has it"
    return None


def _exit(problem: str | None) -> None:
    """End now: scenarios that still run need no waiting for, their hosts vanish with the process."""
    if problem:
        print(f"record.py: {problem}", file=sys.stderr, flush=True)
    os._exit(1 if problem else 0)


if __name__ == "__main__":
    try:
        _exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        _exit("interrupted, nothing was replaced")
