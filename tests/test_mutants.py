"""Damaged captures by the thousand: refused or read up to the damage, quickly, and in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MUTANTS = Path(__file__).with_name("mutants.py")


def run(first: int, count: int) -> str:
    """What the mutants' process says in the end; it fails at an exception, a hang, or too much memory."""
    folders = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, str(MUTANTS), str(first), str(count)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": folders},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow_without_jit
def test_a_thousand_mutants_neither_crash_nor_hang() -> None:
    assert run(0, 1000).startswith("1000 mutants")


@pytest.mark.soak
@pytest.mark.slow_without_jit
@pytest.mark.parametrize("first", range(1000, 20_000, 1000))
def test_twenty_thousand_mutants_neither_crash_nor_hang(first: int) -> None:
    assert run(first, 1000).startswith("1000 mutants")
