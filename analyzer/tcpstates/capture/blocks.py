"""What readers hand on: captured bytes, and the places of the frames in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tcpstates.capture.framing import Bytes, Records


class Block(NamedTuple):
    """Captured bytes, and the frames in them.

    Attributes
    ----------
    buffer : numpy.ndarray
        uint8. The bytes of a block's frames are never overwritten, so it may be kept; a later block
        may be of the same buffer, with frames further on.
    frames : numpy.ndarray
        ``schema.FRAMES``, at least one; ``offset`` is into ``buffer``. May be kept, too.
    """

    buffer: Bytes
    frames: Records

    def part(self, chosen: slice | np.ndarray) -> Block:
        """The same bytes with some of the frames, or with all of them in another order."""
        return Block(self.buffer, self.frames[chosen])


def joined(blocks: Sequence[Block]) -> Block:
    """One block of several, the frames of each after those of the one before."""
    if len(blocks) == 1:
        return blocks[0]
    buffers, frames, position = [], [], 0
    for block in blocks:
        offsets = block.frames["offset"]
        start, end = int(offsets.min()), int((offsets + block.frames["captured"]).max())
        moved = block.frames.copy()
        moved["offset"] += position - start
        buffers.append(block.buffer[start:end])
        frames.append(moved)
        position += end - start
    return Block(np.concatenate(buffers), np.concatenate(frames))
