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
    inference : Inference, its connections numbered from 0 on.
    """
    numbers = np.concatenate([numbers for numbers, _part in parts])
    inferences = [part for _numbers, part in parts]
    order = np.argsort(numbers, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    places = np.split(place, np.cumsum([len(numbers) for numbers, _part in parts])[:-1])
    sides = [sides_of(here) for here in places]
    conduct, resets = _conduct(inferences, sides)
    whole = Inference(
        _spread([part.connections for part in inferences], places),
        _spread([part.sides for part in inferences], sides),
        _transitions(inferences, places),
        sum(part.bad_checksums for part in inferences),
        sum(part.stray_errors for part in inferences),
        conduct,
        resets,
    )
    return numbers[order], whole


def _spread(parts: Sequence[Array], places: Sequence[Array]) -> Array:
    """One array of the rows of several, those of each at its places."""
    dtype = parts[0].dtype
    rows = np.empty(sum(map(len, parts)), dtype)
    plain = np.dtype((np.void, dtype.itemsize))  # numpy copies records field by field, and bytes at once
    for part, here in zip(parts, places, strict=True):
        rows.view(plain)[here] = np.ascontiguousarray(part).view(plain)
    return rows


def _transitions(parts: Sequence[Inference], places: Sequence[Array]) -> Array:
    """All rows by connection; each connection's are of one part, and stand together there."""
    counts = [np.bincount(part.transitions["conn"], minlength=len(part.connections)) for part in parts]
    ends = np.cumsum(_spread(counts, places))
    targets = []
    for count, here in zip(counts, places, strict=True):
        shift = ends[here] - np.cumsum(count)
        targets.append(np.arange(count.sum()) + np.repeat(shift, count))
    rows = _spread([part.transitions for part in parts], targets)
    rows["conn"] = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    return rows


def _conduct(parts: Sequence[Inference], sides: Sequence[Array]) -> tuple[Array, Array]:
    conduct = _spread([part.conduct for part in parts], sides)
    owners = [here[part.resets["side"]] for part, here in zip(parts, sides, strict=True)]
    with_resets = np.sort(np.concatenate(owners))
    resets = _spread([part.resets for part in parts], [np.searchsorted(with_resets, own) for own in owners])
    resets["side"] = with_resets
    conduct["reset"][with_resets] = np.arange(1, len(resets) + 1)
    return conduct, resets


def chosen(numbers: Array, whole: Inference, keep: Array | None = None) -> tuple[Array, Inference]:
    """Some of the connections, in the order of their numbers; all if ``keep``, a mask, is None."""
    places = np.arange(len(numbers)) if keep is None else np.flatnonzero(keep)
    order = places[np.argsort(numbers[places], kind="stable")]
    place = np.full(len(numbers) + 1, -1, np.int32)
    place[order] = np.arange(len(order))
    sides = sides_of(order)
    connections, transitions = whole.connections[order], whole.transitions
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
