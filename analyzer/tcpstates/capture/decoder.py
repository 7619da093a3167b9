"""Blocks in, segments out: the fast path, and dpkt for what the fast path declines."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tcpstates.capture.blocks import Block
from tcpstates.capture.decode import DECLINED, decode_fast
from tcpstates.capture.dissect import Dissector
from tcpstates.capture.dissection.layers import Reassembly
from tcpstates.capture.filters import Filter
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.errors import UsageError
from tcpstates.schema import ICMP_ERRORS, NO_TIME, SEGMENTS

DECODERS = ("fast", "dpkt")
#: Reasons that are told apart.
MOST_REASONS = 64
_OTHER = "other reasons"


class Decoder:
    """Turns the blocks of one or more captures into segments, and counts what holds none.

    Parameters
    ----------
    decoder : {"fast", "dpkt"}
        ``dpkt`` sends every frame through dpkt: a hundred times slower, for doubt.
    checksums : bool
        Whether to verify TCP checksums.
    chosen : Filter, optional
        Decode only the frames that it accepts.
    fragments : Reassembly, optional
        What puts fragments together.

    Attributes
    ----------
    frames : int
        The frames seen, of any protocol.
    filtered : int
        How many of them the filter did not accept.
    dissected : int
        How many of them dpkt was asked about.
    first_time, last_time : int
        The earliest and the latest time of a frame of any protocol, in nanoseconds since the epoch;
        ``NO_TIME`` before there is one.
    errors : numpy.ndarray
        Rows of ``ICMP_ERRORS``: what ICMP messages in the last block's frames say of TCP segments.
    outcomes : numpy.ndarray
        uint8, an ``Outcome`` for each frame of the last block that the filter accepted: the fast path's.

    Raises
    ------
    UsageError
        If there is no such decoder.
    """

    def __init__(
        self,
        decoder: Literal["fast", "dpkt"] = "fast",
        checksums: bool = True,
        chosen: Filter | None = None,
        fragments: Reassembly | None = None,
    ) -> None:
        if decoder not in DECODERS:
            raise UsageError(f"no decoder {decoder!r}; use one of {', '.join(DECODERS)}")
        self._fast = decoder == "fast"
        self._filter = chosen
        self._checksums = checksums
        self._dissector = Dissector(checksums, fragments)
        self.frames = 0
        self.filtered = 0
        self.dissected = 0
        self._skipped: Counter[str] = Counter()
        self.first_time = self.last_time = NO_TIME
        self.errors = np.empty(0, ICMP_ERRORS)
        self.outcomes = np.empty(0, np.uint8)

    @property
    def skipped(self) -> Counter[str]:
        """The frames that hold no segment, by reason.

        Of a segment in fragments these are all but the frame that makes it known; until that comes,
        its first fragment counts as one whose rest never came.
        """
        lonely = self._dissector.lonely
        fragment, rest_missing = REASONS[Outcome.FRAGMENT], REASONS[Outcome.LONELY]
        return self._skipped + Counter({fragment: -lonely, rest_missing: lonely})

    def decode(self, block: Block) -> NDArray[np.void]:
        """The segments of one block.

        Returns
        -------
        numpy.ndarray
            Rows of ``SEGMENTS`` in the order of the block's frames.
        """
        self.errors = np.empty(0, ICMP_ERRORS)
        if not len(block.frames):
            return np.empty(0, SEGMENTS)
        self._count(block.frames)
        if self._filter is not None:
            accepted = self._chosen(self._filter, block)
            self.filtered += len(accepted) - int(accepted.sum())
            block = Block(block.buffer, block.frames[accepted])
        segments, declined, self.outcomes = (
            decode_fast(block.buffer, block.frames, self._checksums) if self._fast else _all_declined(block)
        )
        self._count_skipped()
        if not len(declined):
            return segments
        rows, places = self._dissect(block, declined)
        return np.insert(segments, places, rows) if places else segments

    def _chosen(self, chosen: Filter, block: Block) -> NDArray[np.bool_]:
        """Which frames the filter accepts."""
        return chosen.accepted(block)

    def _count(self, frames: NDArray[np.void]) -> None:
        first, last = int(frames["time"].min()), int(frames["time"].max())
        self.first_time = first if self.first_time == NO_TIME else min(self.first_time, first)
        self.last_time = max(self.last_time, last)
        self.frames += len(frames)

    def _count_skipped(self) -> None:
        counts = np.bincount(self.outcomes, minlength=len(Outcome)).tolist()
        self._skipped.update({REASONS[code]: counts[code] for code in REASONS if counts[code]})

    def _dissect(self, block: Block, declined: NDArray[np.void]) -> tuple[NDArray[np.void], list[int]]:
        """What dpkt decodes, and before which of the fast path's each belongs."""
        rows: list[np.void] = []
        errors: list[np.void] = []
        places: list[int] = []
        for index, place in declined.tolist():
            found = self._dissect_one(block, index)
            errors += _placed(self._dissector.taken_errors(), block.frames[index])
            if isinstance(found, str):
                self._skip(found)
            else:
                rows += found
                places += [place] * len(found)
        self.dissected += len(declined)
        self.errors = np.array(errors, ICMP_ERRORS)
        return np.array(rows, SEGMENTS), places

    def _skip(self, reason: str) -> None:
        """Count a frame; junk could have as many reasons as there are numbers in its headers."""
        is_one_too_many = reason not in self._skipped and len(self._skipped) >= MOST_REASONS
        self._skipped[_OTHER if is_one_too_many else reason] += 1

    def _dissect_one(self, block: Block, index: int) -> list[np.void] | str:
        frame = block.frames[index]
        start = int(frame["offset"])
        data = block.buffer[start : start + int(frame["captured"])].tobytes()
        found = self._dissector.dissect(
            data, int(frame["linktype"]), int(frame["length"]), int(frame["time"])
        )
        return found if isinstance(found, str) else _placed(found, frame)


def _placed(records: list[np.void], frame: np.void) -> list[np.void]:
    """The records, with what they take from the frame that they were in."""
    for record in records:
        record["time"], record["frame"] = frame["time"], frame["number"]
        record["file"], record["interface"] = frame["file"], frame["interface"]
    return records


def _all_declined(block: Block) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.uint8]]:
    """As though the fast path had declined every frame."""
    declined = np.zeros(len(block.frames), DECLINED)
    declined["frame"] = np.arange(len(declined))
    return np.empty(0, SEGMENTS), declined, np.full(len(declined), Outcome.DECLINED, np.uint8)
