"""What Zeek and Wireshark make of segments: the engine first, then they."""

from __future__ import annotations

from typing import Any

import numpy as np

from tcpstates.inference.dialects import Dialects
from tcpstates.inference.engine import Engine
from tcpstates.schema import SEGMENTS
from transcripts import Transcript


def words_of(talk: Transcript, block: int = 1 << 20) -> np.ndarray[Any, np.dtype[Any]]:
    """The DIALECTS row of each connection of a transcript, fed in blocks of so many segments."""
    segments = np.array(talk.rows, SEGMENTS)
    segments["frame"] = np.arange(1, len(segments) + 1)
    engine, dialects = Engine(seed=1), Dialects()
    for start in range(0, len(segments), block):
        part = segments[start : start + block]
        dialects.feed(part, engine.feed(part), engine.flows)
    return dialects.finish(engine.finish(int(segments["time"].max())).sides)
