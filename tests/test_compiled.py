"""The cache of compiled kernels: each is compiled once, and what is stale goes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcpstates import compiled

DAY = 24 * 3600
DEMO = Path(__file__).parent.parent / "pcaps" / "demo.pcap"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of whose kernels none is compiled; root trusts no folder below /tmp that all may write to."""
    monkeypatch.setattr(compiled, "PACKAGE", tmp_path)
    monkeypatch.setattr(compiled, "_is_root", lambda: False)
    compiled.cache_folder.cache_clear()
    yield tmp_path / "__pycache__"
    compiled.cache_folder.cache_clear()


def left_behind(parent: Path, name: str, days: int) -> Path:
    """A folder of kernels that was last used so many days ago."""
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "step.feed-1.py311.1.nbc").write_bytes(b"x")
    os.utime(folder, (time.time() - days * DAY,) * 2)
    return folder


def test_kernels_of_other_sources_go_when_nobody_has_used_them_for_a_month(package: Path) -> None:
    stale, recent = left_behind(package, "kernels-1", 40), left_behind(package, "kernels-2", 20)
    other = left_behind(package, "pytest", 40)
    folder = compiled.cache_folder()
    assert folder is not None
    assert folder.parent == package
    assert not stale.exists()
    assert recent.exists()
    assert other.exists()


def test_kernels_that_are_used_stay(package: Path) -> None:
    folder = compiled.cache_folder()
    assert folder is not None
    os.utime(folder, (time.time() - 40 * DAY,) * 2)
    compiled.cache_folder.cache_clear()
    assert compiled.cache_folder() == folder
    assert time.time() - folder.stat().st_mtime < DAY


@pytest.mark.slow_without_jit
def test_no_kernel_is_compiled_twice() -> None:
    command = [sys.executable, "-m", "tcpstates", "analyze", str(DEMO)]
    subprocess.run(command, capture_output=True, check=True)
    folder = compiled.cache_folder()
    if folder is None:
        pytest.skip("no folder for compiled kernels")
    assert list(folder.rglob("*.1.nbc"))
    assert not list(folder.rglob("*.2.nbc"))  # a second signature
    again = subprocess.run(command, capture_output=True, check=True)
    assert b"compiling" not in again.stderr


@pytest.mark.slow_without_jit
def test_what_is_compiled_already_is_loaded_without_what_only_compiling_needs() -> None:
    """Else each start would take as long again as importing numpy."""
    if compiled.cache_folder() is None:
        pytest.skip("no folder for compiled kernels")
    script = (
        "import sys, tcpstates; tcpstates.analyze(sys.argv[1], dialects=False);"
        "print('numba.np.linalg' in sys.modules)"
    )
    for _ in range(2):  # the first one may have to compile
        found = subprocess.run(
            [sys.executable, "-c", script, DEMO], capture_output=True, check=True, text=True
        )
    assert found.stdout == "False\n"
