"""Kernels put together from parts: each part taken in once, whoever calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tcpstates import compiled
from tcpstates.compiled import inlined, inner, kernel


@pytest.fixture(params=["linked", "in numba's own way"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A kernel that reaches one part by three ways, compiled by a numba that is known or not."""
    monkeypatch.setattr(compiled, "cache_folder", lambda: None)
    if request.param != "linked":
        monkeypatch.setattr(compiled, "_LINKED_WITH", "of old")
    return share_out


def share_out() -> Any:
    """A kernel that says which part of ``whole`` each of ``shares`` is, the least and their sum."""

    @inner
    def part(share: Any, whole: Any) -> Any:
        return share // whole

    @inlined
    def least(shares: Any, whole: Any) -> Any:
        found = part(shares[0], whole)
        for share in shares:
            found = min(found, part(share, whole))
        return found

    @inner
    def total(shares: Any, whole: Any) -> Any:
        found = least(shares, whole)
        for share in shares:
            found += part(share, whole)
        return found - least(shares, whole)

    @kernel
    def shared(shares: Any, whole: Any) -> Any:
        return part(shares[0], whole), least(shares, whole), total(shares, whole)

    return shared


def test_a_part_is_the_same_for_all_who_call_it(make: Callable[[], Any]) -> None:
    assert make()(np.array([60, 40, 80]), 20) == (3, 2, 9)


def test_what_a_part_raises_reaches_the_caller(make: Callable[[], Any]) -> None:
    with pytest.raises(ArithmeticError), np.errstate(divide="raise"):
        make()(np.array([60, 40, 80]), 0)
