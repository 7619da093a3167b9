"""One Inference of several that have different connections: what was handed out early, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tcpstates.inference.engine import Inference
from tcpstates.inference.memory import sides_of

Array = np.ndarray[Any, np.dtype[Any]]


def joined(parts: Sequence[tuple[Array, Inference]]) -> tuple[Array, Inference]:
    """All connections of ``parts``, in the order of what they are called for good.

    Parameters
    ----------
    parts : pairs of int64 (n,), the numbers of its connections, and an Inference.

    Returns
    -------
    numbers : int64 (m,), rising.
    inference : Inference, its connections numbered from 0 on; ``older`` is right within each part.
    """
    sizes = [len(numbers) for numbers, _part in parts]
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)
    inferences = [part for _numbers, part in parts]
    pairs = list(zip(inferences, starts.tolist(), strict=True))
    conduct, resets = _conduct(pairs)
    whole = Inference(
        np.concatenate([_moved(part.connections, "older", start) for part, start in pairs]),
        np.concatenate([part.sides for part in inferences]),
        np.concatenate([_moved(part.transitions, "conn", start) for part, start in pairs]),
        sum(part.bad_checksums for part in inferences),
        sum(part.stray_errors for part in inferences),
        conduct,
        resets,
    )
    return chosen(np.concatenate([numbers for numbers, _part in parts]), whole)


def chosen(numbers: Array, whole: Inference, keep: Array | None = None) -> tuple[Array, Inference]:
    """Some of the connections, in the order of their numbers; all if ``keep``, a mask, is None."""
    places = np.arange(len(numbers)) if keep is None else np.flatnonzero(keep)
    order = places[np.argsort(numbers[places], kind="stable")]
    place = np.full(len(numbers) + 1, -1, np.int32)
    place[order] = np.arange(len(order))
    sides = sides_of(order)
    connections, transitions = whole.connections[order], whole.transitions
    connections["older"] = place[connections["older"]]
    transitions = transitions[place[transitions["conn"]] >= 0]
    transitions["conn"] = place[transitions["conn"]]
    transitions = transitions[np.argsort(transitions["conn"], kind="stable")]
    conduct, resets = whole.conduct[sides], whole.resets
    with_resets = np.flatnonzero(conduct["reset"])
    resets = resets[conduct["reset"][with_resets] - 1]
    resets["side"] = with_resets
    conduct["reset"][with_resets] = np.arange(1, len(resets) + 1)
    inference = Inference(
        connections,
        whole.sides[sides],
        transitions,
        whole.bad_checksums,
        whole.stray_errors,
        conduct,
        resets,
    )
    return numbers[order], inference


def _moved(rows: Array, column: str, start: int) -> Array:
    """A copy in which the connections of ``column`` count from ``start`` on."""
    rows = rows.copy()
    rows[column] += np.where(rows[column] >= 0, start, 0).astype(np.int32)
    return rows


def _conduct(pairs: Sequence[tuple[Inference, int]]) -> tuple[Array, Array]:
    conduct, resets, count = [], [], 0
    for part, start in pairs:
        sides, rows = part.conduct.copy(), part.resets.copy()
        sides["reset"] += np.where(sides["reset"] > 0, count, 0).astype(np.int32)
        rows["side"] += 2 * start
        count += len(rows)
        conduct.append(sides)
        resets.append(rows)
    return np.concatenate(conduct), np.concatenate(resets)
