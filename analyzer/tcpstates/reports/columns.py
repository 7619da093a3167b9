"""Fields of records, each by itself: what is asked of all rows is asked of these."""

from __future__ import annotations

import numpy as np

from tcpstates.storage import blocks


def columns(records: np.ndarray, *names: str) -> dict[str, np.ndarray]:
    """Some fields of a structured array, each contiguous.

    Whoever reads one field of all records fetches the memory of all of their fields, as there is not much
    more in a line of the cache than one record. Here it is fetched once for all fields, block by block.
    """
    found = {name: np.empty(len(records), records.dtype[name]) for name in names}
    for block in blocks(len(records)):
        for name, values in found.items():
            values[block] = records[block][name]
    return found


def counts(records: np.ndarray, *names: str) -> dict[str, np.ndarray]:
    """The same of fields that count, as uint8 in a quarter of the memory: 255 stands for that or more."""
    found = {name: np.empty(len(records), np.uint8) for name in names}
    for block in blocks(len(records)):
        for name, values in found.items():
            np.minimum(records[block][name], 255, out=values[block], casting="unsafe")
    return found
