"""4-tuples: a hash of each record's, and when an ICMP error's turn comes among segments of the same."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_SHIFT, _MIX = np.uint64(29), np.uint64(0x165667B19E3779F9)


def hash_of(rows: Array) -> Array:
    """uint64 per row, of its addresses and ports: the same in both directions, and on all machines.

    A tunnel or a VLAN makes no difference: the engine weighs it among the connections of a 4-tuple.
    """
    ends = np.zeros(len(rows), np.uint64)
    with np.errstate(over="ignore"):
        for end in ("src", "dst"):
            mixed = rows[f"{end}_hi"] * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= rows[f"{end}_lo"] * np.uint64(0xC2B2AE3D27D4EB4F)
            mixed ^= rows[f"{end}_port"].astype(np.uint64) * _MIX
            mixed = (mixed ^ (mixed >> _SHIFT)) * _MIX
            ends += mixed ^ (mixed >> np.uint64(32))
    return np.asarray((ends ^ (ends >> _SHIFT)) * _MIX)


def turns(segments: Array, errors: Array) -> Array:
    """Before which segment each ICMP error is taken, as int64 places; ``len(segments)`` for after all.

    An error's turn comes, after the errors before it, before the first segment that is later. Segments of
    other 4-tuples do not matter to it, so that it can wait for the next one of its own: then most errors
    wait to the end, and are taken together.

    Parameters
    ----------
    segments, errors : SEGMENTS array (n,), ICMP_ERRORS array (m,)
    """
    count = len(segments)
    latest = np.maximum.accumulate(segments["time"])
    turn = np.maximum.accumulate(np.searchsorted(latest, errors["time"], side="right"))
    hashes, own = hash_of(segments), hash_of(errors)
    places = np.flatnonzero(np.isin(hashes, own))
    codes = np.unique(np.concatenate((hashes[places], own)), return_inverse=True)[1] * (count + 1)
    known = np.sort(codes[: len(places)] + places)
    own = codes[len(places) :]
    following = np.append(known, np.iinfo(np.int64).max)[np.searchsorted(known, own + turn)]
    return np.minimum(following - own, count)
