"""The notebooks run from top to bottom, say what they said, and use the public API only."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

import tcpstates
from conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="nbformat comes with the extra: test")
nbclient = pytest.importorskip("nbclient", reason="nbclient comes with the extra: test")
pytest.importorskip("matplotlib", reason="matplotlib is an extra: plot")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(cell: Any) -> str:
    """What a cell said as text; what differs from run to run is left out."""
    texts = [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
        if output.get("name") != "stderr"
    ]
    return re.sub(r"0x[0-9a-f]+|\d+\.\d MB", "", "\n".join(texts))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.param
    return chosen


def test_it_is_committed_with_its_outputs(path: Path) -> None:
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(bool(cell.outputs) for cell in cells) >= len(cells) - 1
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds
    assert path.stat().st_size < 500_000


def test_it_uses_the_public_api_only(path: Path) -> None:
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert not re.search(r"(from|import) tcpstates\.", cell.source)
        assert not re.search(r"\b(capture|tcpstates)\._", cell.source)
        for name in re.findall(r"\btcpstates\.(\w+)", cell.source):
            assert name in tcpstates.__all__


@pytest.mark.slow_without_jit
def test_it_runs_and_says_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stem == "3_live":
        _may_capture()
    package = str(Path(tcpstates.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    before = [said(cell) for cell in code_cells(notebook)]
    client = nbclient.NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()  # raises at a cell that raises
    assert [said(cell) for cell in code_cells(notebook)] == before


def _may_capture() -> None:
    """Skip where this user, or this system, cannot capture on the loopback interface."""
    try:
        with tcpstates.live("lo", count=1):
            pass
    except tcpstates.TcpstatesError as error:
        pytest.skip(f"cannot capture here: {error}")
