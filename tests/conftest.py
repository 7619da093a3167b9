"""What all tests share: hypothesis profiles, the folders of captures, what only ``make soak`` runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from wires import Wire, wire

ROOT = Path(__file__).parent.parent

# Times are no criterion: the first example may compile a kernel, and with the JIT off all are slow.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", _COMMON, derandomize=True, max_examples=100)
settings.register_profile("soak", _COMMON, max_examples=5_000)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
settings.load_profile(PROFILE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is marked ``soak``, unless that profile is asked for."""
    if PROFILE == "soak":
        return
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="takes long; make soak runs it"))


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of the project's own captures."""
    return ROOT / "pcaps"


@pytest.fixture(scope="session")
def other_captures() -> Path:
    """The folder of other projects' captures, which lies beside the checkout where there is one."""
    folder = ROOT.parent / "shared" / "captures"
    if not folder.is_dir():
        pytest.skip(f"no captures of other projects beside the checkout ({folder.name}/)")
    return folder


@pytest.fixture
def hosts() -> Iterator[Wire]:
    """Two hosts in network namespaces with a wire between them, where this user may make them."""
    with wire() as made:
        yield made
