"""A unit of files becomes its segments, in Parquet: what a worker does first."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tcpstates.capture.ahead import decode
from tcpstates.capture.blocks import Block
from tcpstates.capture.decoder import Decoder
from tcpstates.capture.dissection.layers import NoSegmentError, Rest
from tcpstates.capture.files import CaptureReader, Damage
from tcpstates.capture.filters import Filter
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.capture.merging import digests
from tcpstates.capture.ordering import Sorter
from tcpstates.capture.streams import source_name
from tcpstates.distributed.plan import Facts, Options, Unit
from tcpstates.distributed.rows import (
    ERROR_ROWS,
    FRAGMENT_ROWS,
    OTHER_ROWS,
    SEGMENT_ROWS,
    BucketWriter,
    bucket_of,
    placed,
)
from tcpstates.schema import Mark

Array = np.ndarray[Any, np.dtype[Any]]

KINDS = {"segments": SEGMENT_ROWS, "errors": ERROR_ROWS, "others": OTHER_ROWS, "fragments": FRAGMENT_ROWS}
FACTS, BYTES_OF_FRAGMENTS = "facts.json", "fragments.bin"
#: The reason of frames that the filter did not accept, and of fragments: they are counted elsewhere.
FILTERED, POSTPONED = "", "(fragment)"


def read_unit(unit: Unit, options: Options, folder: str) -> Facts:
    """Read a unit, and write its rows below ``folder``, unless they are there.

    The rows appear whole or not at all: another worker that does the same, or did it before it died,
    does no harm.
    """
    place = Path(folder) / unit.address(options)
    facts = known_facts(place)
    if facts is None:
        began = time.process_time()
        part = Path(tempfile.mkdtemp(prefix=f"{place.name}.", suffix=".part", dir=folder))
        try:
            facts = _Reading(unit, options, part).facts(place)
            facts.seconds = time.process_time() - began
            (part / FACTS).write_text(json.dumps(asdict(facts)))
            _appear(part, place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    facts.groups = {}
    return facts


def known_facts(place: Path) -> Facts | None:
    """What was said of the unit whose rows are at that place; None if they are not."""
    try:
        facts = Facts(**json.loads((place / FACTS).read_text()))
    except FileNotFoundError:
        return None
    facts.was_there = True
    return facts


def _appear(part: Path, place: Path) -> None:
    """Give what is whole its name; another worker may have been quicker."""
    try:
        part.rename(place)
    except OSError:
        if not (place / FACTS).exists():
            raise


class _Reading:
    """Reads a unit as one process would, and writes what it finds."""

    def __init__(self, unit: Unit, options: Options, folder: Path) -> None:
        self._unit, self._options, self._folder = unit, options, folder
        self._writers = {
            kind: BucketWriter(folder / f"{kind}.parquet", dtype, options.buckets)
            for kind, dtype in KINDS.items()
        }
        self._reader = CaptureReader(list(unit.paths))
        self._sorter = Sorter(unit.is_first, unit.was_in_order)
        self._decoder = Tracer(options)
        self._segments = self._of_fragments = 0

    def facts(self, place: Path) -> Facts:
        """Read all; what is to be said of it once it is at its place."""
        with (self._folder / BYTES_OF_FRAGMENTS).open("wb") as data:
            for segments, errors, _read in decode(self._reader, self._sorter, self._decoder):
                self._take(segments, errors)
                for piece in self._decoder.taken_data():
                    self._of_fragments += data.write(piece)
        for writer in self._writers.values():
            writer.close()
        return self._said(str(place))

    def _take(self, segments: Array, errors: Array) -> None:
        """Write what one block had; its ICMP errors may be those at the end of the block before."""
        decoder = self._decoder
        rows = decoder.rows(segments) if len(segments) else np.zeros(0, SEGMENT_ROWS)
        self._segments += len(rows)
        buckets = self._options.buckets
        self._writers["segments"].add(rows, bucket_of(rows, buckets))
        if len(errors):
            errors = decoder.errors_with_places(errors, rows)
            self._writers["errors"].add(errors, bucket_of(errors, buckets))
        others = decoder.taken_others()
        self._writers["others"].add(others, (others["mark"] % np.uint64(buckets)).astype(np.uint16))
        fragments = decoder.taken_fragments(self._of_fragments)
        self._writers["fragments"].add(fragments, np.zeros(len(fragments), np.uint16))

    def _with_path(self, damage: Damage) -> tuple[str, int, int, str]:
        path = next(path for path in self._unit.paths if source_name(path) == damage.file)
        return path, damage.offset, damage.frames_before, damage.what

    def _said(self, place: str) -> Facts:
        decoder, disorder = self._decoder, self._sorter.disorder
        has_frames = decoder.frames > 0
        return Facts(
            folder=place,
            first_time=decoder.first_time if has_frames else None,
            last_time=decoder.last_time if has_frames else None,
            frames=decoder.frames,
            segments=self._segments,
            filtered=decoder.filtered,
            dissected=decoder.dissected,
            copies=self._reader.copies,
            fragments=decoder.postponed,
            skipped=dict(decoder.skipped),
            reasons=decoder.reasons,
            disorder=asdict(disorder),
            is_in_order=not (disorder.sorted or disorder.steps or disorder.kept),
            is_too_late=self._sorter.is_too_late,
            damage=[self._with_path(damage) for damage in self._reader.damage],
            bytes=self._reader.bytes_read,
            pairs=self._writers["segments"].pairs.tolist(),
            groups={kind: [[*group] for group in writer.groups] for kind, writer in self._writers.items()},
        )


_UNDECODED, _NONE = REASONS[Outcome.UNDECODED], 255
#: The reason of each of the fast path's outcomes.
_REASON_OF = np.full(256, _NONE, np.uint8)
_REASON_OF[list(REASONS)] = np.arange(1, len(REASONS) + 1)
_DISSECTED = int(Mark.DISSECTED)


def _places_among_equals(values: Array) -> Array:
    """For each value the how-manieth it is of those like it that stand together."""
    places = np.arange(len(values))
    is_first = np.append(True, values[1:] != values[:-1])[: len(values)]
    return np.asarray(places - np.maximum.accumulate(np.where(is_first, places, 0)))


def _bytes_of(block: Block, index: int) -> bytes:
    start = int(block.frames["offset"][index])
    return block.buffer[start : start + int(block.frames["captured"][index])].tobytes()


class _Postponing:
    """Leaves fragments to who has those of all units."""

    lonely = 0

    def __init__(self) -> None:
        self.was_asked = False

    def add(self, rest: Rest, protocol: int, ident: int, offset: int, more: bool) -> Rest:
        """Never known here."""
        self.was_asked = True
        raise NoSegmentError.because(Outcome.FRAGMENT)


class Tracer(Decoder):
    """A decoder that knows from which frame each segment came, and what became of the other frames.

    Attributes
    ----------
    reasons : what frames without a segment hold; ``OTHER_ROWS.reason`` counts these.
    postponed : how many frames hold fragments of segments.
    """

    def __init__(self, options: Options) -> None:
        self._postponing = _Postponing()
        chosen = None if options.filter is None else Filter(options.filter)
        super().__init__(
            "dpkt" if options.decoder == "dpkt" else "fast",
            checksums=options.checksums,
            chosen=chosen,
            fragments=self._postponing,
        )
        self.reasons = [FILTERED, *REASONS.values()]
        self.postponed = 0
        self._before = 0  # frames of earlier blocks
        self._said: dict[int, str] = {}
        self._of_errors: list[dict[tuple[int, int], tuple[int, int]]] = []
        self._data: list[bytes] = []

    # What the decoder calls

    def decode(self, block: Block) -> Array:
        """The segments of one block, of which the other methods tell more."""
        self._block, self._before = block, self.frames
        self._said.clear()
        self._marks = digests(block.buffer, block.frames)
        self._accepted = np.arange(len(block.frames))
        self._has_segment = np.zeros(len(block.frames), np.bool_)
        segments = super().decode(block)
        self._note_errors()
        return segments

    def _chosen(self, chosen: Filter, block: Block) -> Array:
        accepted = super()._chosen(chosen, block)
        self._accepted = np.flatnonzero(accepted)
        return accepted

    def _dissect_one(self, block: Block, index: int) -> list[np.void] | str:
        self._postponing.was_asked = False
        found = super()._dissect_one(block, index)
        if self._postponing.was_asked:
            self._dissector.taken_errors()
            found = POSTPONED
            self.postponed += 1
        self._said[index] = found if isinstance(found, str) else ""
        return found

    def _skip(self, reason: str) -> None:
        if reason != POSTPONED:
            super()._skip(reason)

    def _note_errors(self) -> None:
        """Remember the frames of ICMP errors until the next block, with which these may come."""
        self._of_errors = [*self._of_errors[-1:], {}]
        wanted = set(zip(self.errors["file"].tolist(), self.errors["frame"].tolist(), strict=True))
        for index in self._said if wanted else ():
            place = self._accepted[index]
            frame = self._block.frames[place]
            key = int(frame["file"]), int(frame["number"])
            if key in wanted:
                self._of_errors[-1][key] = int(frame["length"]), int(self._marks[place])

    # What is known of the last block

    def rows(self, segments: Array) -> Array:
        """SEGMENT_ROWS of its segments."""
        frames = self._block.frames
        key = frames["file"].astype(np.int64) << 32 | frames["number"]
        order = np.argsort(key, kind="stable")
        wanted = segments["file"].astype(np.int64) << 32 | segments["frame"]
        index = order[np.searchsorted(key[order], wanted)]
        self._has_segment[index] = True
        rows = self._placed(segments, SEGMENT_ROWS, index)
        rows["part"] = _places_among_equals(index)
        return rows

    def errors_with_places(self, errors: Array, rows: Array) -> Array:
        """ERROR_ROWS: each comes before the first segment of the block that is later, and after all else."""
        found = placed(errors, ERROR_ROWS)
        latest = np.maximum.accumulate(rows["time"])
        place = np.searchsorted(latest, np.maximum.accumulate(errors["time"]), "right")
        end = self._before + len(self._block.frames)
        found["position"] = np.append(rows["position"], np.uint32(end))[place]
        known = {key: said for block in self._of_errors for key, said in block.items()}
        keys = zip(errors["file"].tolist(), errors["frame"].tolist(), strict=True)
        found["length"], found["mark"] = zip(*(known[key] for key in keys), strict=True)
        found["part"] = _places_among_equals(errors["file"].astype(np.int64) << 32 | errors["frame"])
        found["dissected"] = 1
        return found

    def taken_others(self) -> Array:
        """OTHER_ROWS of its frames without a segment."""
        reason = np.zeros(len(self._block.frames), np.uint8)
        reason[self._accepted] = _REASON_OF[self.outcomes]
        dissected = np.zeros(len(reason), np.uint8)
        for place, said in self._said.items():
            reason[self._accepted[place]] = self._reason(said)
            dissected[self._accepted[place]] = 1
        left = ~self._has_segment & (reason != _NONE)
        index = np.flatnonzero(left)
        rows = np.zeros(len(index), OTHER_ROWS)
        rows["reason"], rows["dissected"] = reason[index], dissected[index]
        self._has_segment[:] = True
        return self._fill(rows, index)

    def _reason(self, said: str) -> int:
        if said == POSTPONED:
            return _NONE
        if said not in self.reasons and len(self.reasons) < _NONE:
            self.reasons.append(said)
        return self.reasons.index(said) if said in self.reasons else self.reasons.index(_UNDECODED)

    def taken_fragments(self, start: int) -> Array:
        """FRAGMENT_ROWS of its fragments, whose bytes begin at ``start`` among all."""
        postponed = [index for index, said in self._said.items() if said == POSTPONED]
        at = self._accepted[np.array(postponed, np.int64)]
        rows = self._fill(np.zeros(len(at), FRAGMENT_ROWS), at)
        frames = self._block.frames[at]
        for name in ("interface", "linktype", "captured"):
            rows[name] = frames[name]
        rows["frame"] = frames["number"]
        ends = np.cumsum(frames["captured"], dtype=np.int64)
        rows["start"] = start + ends - frames["captured"]
        self._data = [_bytes_of(self._block, index) for index in at.tolist()]
        self._said.clear()
        return rows

    def taken_data(self) -> Iterator[bytes]:
        """The bytes of these fragments."""
        data, self._data = self._data, []
        return iter(data)

    def _placed(self, records: Array, dtype: np.dtype[Any], index: Array) -> Array:
        rows = self._fill(placed(records, dtype), index, ())
        rows["dissected"] = records["marks"] & _DISSECTED != 0
        return rows

    def _fill(self, rows: Array, index: Array, names: tuple[str, ...] = ("time", "file")) -> Array:
        """Say of each row what its frame was."""
        frames = self._block.frames[index]
        for name in (*names, "length"):
            rows[name] = frames[name]
        rows["position"] = self._before + index
        rows["mark"] = self._marks[index]
        return rows
