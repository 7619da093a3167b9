"""Record the captures of this folder again, all or those that are named.

Usage: pcaps/record.py [NAME...]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import recorder.demo
import recorder.scenarios  # noqa: F401  (both register their scenarios)
from recorder.catalogue import publish, publish_variants
from recorder.recording import SCENARIOS, RecordingError
from recorder.runner import record

FOLDER = Path(__file__).parent
PROGRAMS = ("ip", "nft", "setpriv", "tcpdump")


def main(names: list[str]) -> str | None:
    """Record; the text of what went wrong, None if nothing did."""
    if obstacle := _obstacle(names):
        return obstacle
    with tempfile.TemporaryDirectory(prefix="tcpstates-") as folder:
        try:
            recordings = record([SCENARIOS[name] for name in names or SCENARIOS], Path(folder))
        except (RecordingError, RuntimeError, OSError) as error:
            return f"nothing was replaced: {error}"
        for recording in recordings:
            publish(recording, FOLDER)
    publish_variants(FOLDER)
    return None


def _obstacle(names: list[str]) -> str | None:
    """Why it cannot be done here."""
    if unknown := [name for name in names if name not in SCENARIOS]:
        return f"no scenario {unknown[0]!r}; use some of {', '.join(SCENARIOS)}"
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
