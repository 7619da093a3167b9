"""Numbers are ranked and coded as numpy's slower ways do it."""

from __future__ import annotations

import numpy as np
import pytest

from tcpstates.reports.ranking import coded, ranked

_SOME = np.random.default_rng(6).integers(0, 50, 1000)
KEYS = {
    "none": np.empty(0, np.int64),
    "one": np.array([7], np.uint64),
    "all_equal": np.full(9, -1),
    "close": _SOME - 20,
    "ipv4": (_SOME + (0xFFFF << 32 | 0xFFFFFFC0)).astype(np.uint64),
    "ipv6": _SOME.astype(np.uint64) * np.uint64(0x0500_0000_0000_0001),
    "as_far_apart_as_can_be": np.array([2**63 - 1, -(2**63), 0, -(2**63)]),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_ranked_is_a_stable_argsort(keys: np.ndarray) -> None:
    assert ranked(keys).tolist() == np.argsort(keys, kind="stable").tolist()


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_codes_tell_the_unique_ones_apart_in_order(keys: np.ndarray) -> None:
    unique, codes = coded(keys)
    assert unique.dtype == keys.dtype
    assert unique.tolist() == sorted(set(keys.tolist()))
    assert unique[codes].tolist() == keys.tolist()
