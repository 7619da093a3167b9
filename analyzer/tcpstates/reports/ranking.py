"""Whole numbers put in order, and told apart by codes: most of what takes long where connections are many."""

from __future__ import annotations

import numpy as np


def ranked(keys: np.ndarray) -> np.ndarray:
    """The positions in ``keys`` (int64 or uint64) by key, then in their order: a quicker stable argsort."""
    offsets = _offsets(keys) if _are_close(keys) else np.unique(keys, return_inverse=True)[1]
    return _in_order(offsets)[1]


def coded(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The unique ones of ``keys`` (int64 or uint64), ascending, and each one's place among them."""
    if not _are_close(keys):
        return np.unique(keys, return_inverse=True)
    offsets, order = _in_order(_offsets(keys))
    is_new = changes(offsets)
    codes = np.empty(len(order), np.int64)
    codes[order] = np.cumsum(is_new) - 1
    return keys[order[is_new]], codes


def changes(ordered: np.ndarray) -> np.ndarray:
    """bool: which of sorted values are the first of their kind."""
    return np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]


def _are_close(keys: np.ndarray) -> bool:
    """Whether all are within 2^32 of each other, as IPv4 addresses are."""
    return not len(keys) or int(keys.max()) - int(keys.min()) < 1 << 32


def _offsets(keys: np.ndarray) -> np.ndarray:
    return keys - keys.min() if len(keys) else keys


def _in_order(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers below 2^32 sorted, and their positions: by one sort of both together."""
    places = np.arange(len(offsets), dtype=np.uint64)
    together = np.sort(offsets.astype(np.uint64) << np.uint64(32) | places)
    return together >> np.uint64(32), (together & np.uint64(0xFFFFFFFF)).astype(np.int64)
