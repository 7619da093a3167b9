"""Reading ahead: what is to be inferred next is read and decoded while what was before it is inferred.

The kernels hold no lock, so the two overlap where there are two processors. What comes out, and in what
order, is the same with and without.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tcpstates.capture.decoder import Decoder
from tcpstates.capture.files import CaptureReader
from tcpstates.capture.ordering import Sorter
from tcpstates.errors import UsageError
from tcpstates.schema import ICMP_ERRORS, NO_TIME, SEGMENTS

#: Items that wait at most: enough to even out, few enough to stay in a processor's cache.
WAITING = 4

_Item = TypeVar("_Item")


def ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Iterate over ``items`` in a thread of its own, a few items ahead of who asks for them.

    What making an item raises is raised where that item would have come.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, "tcpstates-ahead") as thread:
        waiting = deque(thread.submit(next, iterator, None) for _ in range(WAITING))
        try:
            while (item := waiting.popleft().result()) is not None:
                waiting.append(thread.submit(next, iterator, None))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)


class Decoded(NamedTuple):
    """What was in one block: SEGMENTS, ICMP_ERRORS, and how much of the capture has been read until then."""

    segments: NDArray[np.void]
    errors: NDArray[np.void]
    bytes_read: int


def decode(reader: CaptureReader, sorter: Sorter, frames: Decoder) -> Iterator[Decoded]:
    """Read, sort and decode a capture, block by block.

    ICMP errors at the end of a block come with the next one, so that they are taken after all segments of
    the same time wherever blocks end.
    """
    waiting = np.empty(0, ICMP_ERRORS)
    for block in sorter.blocks(reader.blocks()):
        segments = frames.decode(block)
        errors, waiting = waiting, frames.errors
        if len(waiting):
            latest = segments["time"][-1] if len(segments) else NO_TIME
            is_last = waiting["time"] >= latest
            errors, waiting = np.concatenate((errors, waiting[~is_last])), waiting[is_last]
        yield Decoded(segments, errors, reader.bytes_read)
    if len(waiting):
        yield Decoded(np.empty(0, SEGMENTS), waiting, reader.bytes_read)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def may_run_ahead(threads: int | None) -> bool:
    """Whether so many threads, as many as there are processors if None, are more than one.

    Raises
    ------
    UsageError
        If there are fewer than one.
    """
    if threads is None:
        threads = processors()
    if threads < 1:
        raise UsageError(f"{threads} threads cannot do anything; use 1 or more")
    return threads > 1
