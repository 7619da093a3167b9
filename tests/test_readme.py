"""The README says what the program does: its sample is the program's own output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tcpstates.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BEGIN, END = "<!-- demo: begin -->", "<!-- demo: end -->"


def sample() -> str:
    """What ``tcpstates analyze`` prints for the demo, 80 columns wide."""
    command = [sys.executable, "-m", "tcpstates", "analyze", "pcaps/demo.pcap"]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "\n".join(["```", "$ tcpstates analyze pcaps/demo.pcap", *lines, "```"])


def test_sample_is_what_the_command_prints() -> None:
    shown = README.split(BEGIN, 1)[1].split(END, 1)[0].strip()
    assert shown == sample(), "run: python tests/test_readme.py"


def test_lanes_are_what_the_command_draws() -> None:
    command = [sys.executable, "-m", "tcpstates", "timeline", "pcaps/demo.pcap", "--conn", "23"]
    environment = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n\n")[0] in README


def test_every_verb_shown_exists_and_every_verb_is_shown() -> None:
    shown = set(re.findall(r"^tcpstates (\w+) ", README, re.MULTILINE))
    assert shown == set(cli.commands)


if __name__ == "__main__":
    before, rest = README.split(BEGIN, 1)
    text = f"{before}{BEGIN}\n{sample()}\n{END}{rest.split(END, 1)[1]}"
    (ROOT / "README.md").write_text(text, encoding="utf-8")
