"""Run the notebooks again, in place, so that they say what the package says now.

Usage: notebooks/run.py [NOTEBOOK...]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
#: What captures on an interface.
NEED_ROOT = {"3_live"}


def run(path: Path) -> None:
    """Execute one notebook where it lies; what changes with every run is not kept."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    for chosen in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        if chosen.stem in NEED_ROOT and os.geteuid() != 0:
            print(f"{chosen} captures, for which it needs root; left as it is")
            continue
        print(chosen)
        run(chosen)
