"""Kernels put together from parts: each part taken in once, whoever calls it."""

from __future__ import annotations

import gc
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


def test_a_part_is_compiled_once_whatever_constants_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "cache_folder", lambda: None)

    @inner
    def raised(number: Any, by: Any) -> Any:
        return number + by

    @kernel
    def often(number: Any) -> Any:
        return raised(raised(raised(number, 1), 2), number)

    assert often(4) == 11
    if not _runs_plainly():
        assert len(_compiled(raised)) == 1


@pytest.mark.parametrize("known", ["0.", "of old"])
def test_what_an_inlined_part_calls_need_not_be_inlined(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """numba hands the wish on to what is called: each kernel would become one function of all its parts."""
    monkeypatch.setattr(compiled, "cache_folder", lambda: None)
    monkeypatch.setattr(compiled, "_LINKED_WITH", known)

    @inner
    def seldom(number: Any) -> Any:
        return number * 3

    @inlined
    def always(number: Any) -> Any:
        return seldom(number) + 1

    @kernel
    def outer(number: Any) -> Any:
        return always(number)

    assert outer(5) == 16
    if not _runs_plainly():
        assert [_compiled(part)[0].fndesc.inline for part in (always, seldom)] == [True, False]


def test_garbage_is_searched_for_again_once_a_kernel_is_compiled(make: Callable[[], Any]) -> None:
    make()(np.array([60, 40, 80]), 20)
    assert gc.isenabled()


def _runs_plainly() -> bool:
    import numba

    return bool(numba.config.DISABLE_JIT)


def _compiled(part: Any) -> list[Any]:
    """What was made of a part, once for each combination of types that it was called with."""
    return list(part.overloads.values())
