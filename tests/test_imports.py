"""Data flow one way: no station imports a later one, and what is slow to load waits until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import tcpstates

PACKAGE = Path(tcpstates.__file__).parent
SLOW = (
    *("pandas", "numba", "scapy", "matplotlib", "jinja2", "plotly", "rich", "pyarrow", "dpkt"),
    *("dask", "distributed"),
)

#: What each station may import of the others. ``capture`` and ``inference`` meet only in the contract.
CONTRACT = {"errors", "schema", "states", "storage", "compiled"}
MAY_IMPORT = {
    "errors": set(),
    "states": set(),
    "schema": set(),
    "storage": set(),
    "linking": set(),
    "loading": set(),
    "compiled": {"linking", "loading"},
    "capture": CONTRACT,
    "inference": CONTRACT,
    "reports": CONTRACT,
    "show": CONTRACT | {"reports"},
    "rereading": CONTRACT | {"capture", "inference", "reports"},
    "connection": CONTRACT | {"reports", "show"},
    "distributed": CONTRACT | {"capture", "inference", "reports", "rereading"},
    "analysis": CONTRACT
    | {"connection", "capture", "distributed", "inference", "inferring", "reports", "rereading", "show"},
    "inferring": CONTRACT | {"capture", "inference", "reports", "rereading", "shelf"},
    "shelf": CONTRACT | {"inference"},
    "archive": CONTRACT | {"inference", "reports"},
    "drops": CONTRACT | {"reports"},
    "session": CONTRACT | {"analysis", "archive", "capture", "drops", "inference", "reports"},
    "options": CONTRACT | {"inference"},
    "cli": CONTRACT | {"analysis", "distributed", "session", "options", "reports", "show"},
    "__main__": {"cli"},
    "__init__": {"analysis", "session", "errors", "states"},
}


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name within it."""
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}


def imported(path: Path) -> Iterator[str]:
    """What of the package a module imports, wherever in it, by dotted names within the package."""
    known = modules()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports out"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        else:
            continue
        for name in names:
            if name.removeprefix("tcpstates.") in known:
                yield name.removeprefix("tcpstates.")


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_station_imports_a_later_one(name: str) -> None:
    station = name.split(".")[0]
    stations = {other.split(".")[0] for other in imported(modules()[name])}
    assert stations - {station} <= MAY_IMPORT[station]


def test_there_are_no_circles() -> None:
    graph = {name: set(imported(path)) for name, path in modules().items() if name != "__init__"}
    TopologicalSorter(graph).prepare()


def test_only_one_module_needs_pandas_and_it_is_imported_late() -> None:
    needs = {name for name, path in modules().items() if "import pandas" in path.read_text()}
    assert needs == {"reports.frames", "analysis", "connection", "session"}  # for the annotations only


def loaded_by(code: str) -> set[str]:
    """Which slow packages a fresh interpreter has loaded after ``code``."""
    program = f"import sys\n{code}\nprint(*(name for name in {SLOW!r} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


def command(*arguments: str) -> str:
    """Code that runs the command and goes on."""
    return (
        f"import tcpstates.cli\ntry:\n    tcpstates.cli.cli.main({arguments!r})\nexcept SystemExit:\n    pass"
    )


def test_import_tcpstates_loads_nothing_slow() -> None:
    assert loaded_by("import tcpstates") == set()


@pytest.mark.parametrize(
    "arguments", [("--help",), ("analyze", "--help"), ("--version",), ("explain", "CLOSE_WAIT")]
)
def test_help_loads_nothing_slow(arguments: tuple[str, ...]) -> None:
    assert loaded_by(command(*arguments)) == set()


def test_completion_loads_nothing_slow() -> None:
    completing = {"_TCPSTATES_COMPLETE": "bash_complete", "COMP_WORDS": "tcpstates ", "COMP_CWORD": "1"}
    code = f"import os\nos.environ.update({completing!r})\n"
    assert loaded_by(code + command()) == set()


def test_tables_are_printed_without_pandas(captures: Path) -> None:
    capture = str(captures / "close_by_client.pcap")
    for arguments in (("analyze", capture), ("connections", capture, "--csv"), ("findings", capture)):
        assert not loaded_by(command(*arguments)) & {"pandas", "pyarrow", "scapy", "matplotlib"}


def test_the_kernels_of_other_tools_words_wait_until_these_are_asked_for(captures: Path) -> None:
    capture = str(captures / "close_by_client.pcap")
    code = command("analyze", capture) + "\nimport sys\nassert 'tcpstates.inference.zeek' not in sys.modules"
    loaded_by(code)


def test_every_public_name_is_there() -> None:
    for name in tcpstates.__all__:
        assert getattr(tcpstates, name).__name__ == name
    assert set(tcpstates.__all__) <= set(dir(tcpstates))


def test_what_is_not_public_is_missing() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'pandas'"):
        _ = tcpstates.pandas
