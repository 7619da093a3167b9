"""A share of all connections goes through the engine: what a worker does second."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tcpstates.distributed.fragments import PutTogether
from tcpstates.distributed.plan import Share
from tcpstates.distributed.rows import slice_of
from tcpstates.distributed.shares import Piece, Plan, ReadGroup, Stream
from tcpstates.distributed.skew import Bounds, Comparison
from tcpstates.inference.engine import Engine, Inference
from tcpstates.inference.timers import profile_named
from tcpstates.schema import Fate

Array = np.ndarray[Any, np.dtype[Any]]

#: Where a segment stood in the whole capture. Connections are numbered by where their first ones did.
KEYS = np.dtype([("group", "i8"), ("time", "i8"), ("file", "i8"), ("position", "i8"), ("part", "i8")])


@dataclass(frozen=True)
class Job:
    """What all shares have in common.

    Attributes
    ----------
    plan : what was read, and in which order.
    timers, checksums : as ``analyze`` takes them.
    dialects : whether to say what Zeek and Wireshark would.
    end : ns, the capture's last frame.
    fragments : the segments that only all units together made known.
    """

    plan: Plan
    timers: str
    checksums: str
    dialects: bool
    end: int
    fragments: PutTogether | None

    def address(self, share: Share) -> str:
        """What the inference of a share is found by."""
        units = [
            [Path(unit.folder).name, unit.first_file] for group in self.plan.groups for unit in group.units
        ]
        said = [units, self.timers, self.checksums, self.dialects, self.end, share]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


class Told(NamedTuple):
    """What a worker says of a share that it has inferred.

    Attributes
    ----------
    path : where the inference is.
    segments, connections : how many.
    copies, dissected, filtered, skipped : of the frames that count once, see ``shares.Stream``.
    skews : how far clocks are apart.
    seconds : of the processor; 0 if it was there.
    """

    path: str
    segments: int
    connections: int
    copies: int
    dissected: int
    filtered: int
    skipped: dict[str, int]
    skews: list[Bounds]
    seconds: float


class Inferred(NamedTuple):
    """The inference of one share.

    Attributes
    ----------
    keys : KEYS of each connection's first segment.
    """

    keys: Array
    inference: Inference
    dialects: Array | None


def infer_share(job: Job, share: Share, folder: str) -> Told:
    """Infer a share, and write what was inferred below ``folder``, unless it is there."""
    path = Path(folder) / f"{job.address(share)}.npz"
    told = _known(path)
    if told is None:
        began = time.process_time()
        told, arrays = _Inferring(job, share).told(str(path))
        told = told._replace(seconds=time.process_time() - began)
        _write(path, {**arrays, "told": np.frombuffer(json.dumps(told).encode(), np.uint8)})
    return told


def read_inference(path: str) -> Inferred:
    """What was written there."""
    with np.load(path, allow_pickle=False) as file:
        known: dict[str, Any] = {name: file[name] for name in file.files}
    known |= dict(zip(_COUNTS, known["counts"].tolist(), strict=True))
    inference = Inference(**{name: known[name] for name in Inference._fields})
    return Inferred(known["keys"], inference, known.get("dialects"))


_COUNTS = ("bad_checksums", "stray_errors")


def _known(path: Path) -> Told | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            told = Told(*json.loads(file["told"].tobytes()))
    except FileNotFoundError:
        return None
    return told._replace(skews=[Bounds(*bounds) for bounds in told.skews], seconds=0.0)


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    """The file appears whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


class _Inferring:
    """Feeds an engine with a share."""

    def __init__(self, job: Job, share: Share) -> None:
        self._job = job
        self._engine = Engine(profile_named(job.timers), checksums=job.checksums)
        self._others = _dialects() if job.dialects else None
        self._comparison = Comparison()
        self._keys = [np.zeros(0, KEYS)]
        self._segments = 0
        self._stream = Stream(job.plan, share, _extra(job.fragments, share), self._watch)

    def _watch(self, rows: Array, _origins: Array) -> None:
        self._comparison.take(rows)

    def told(self, path: str) -> tuple[Told, dict[str, Array]]:
        """Infer all; what is to be said of it, and the arrays to write."""
        for number, group in enumerate(self._job.plan.groups):
            for piece in self._stream.of_group(group):
                self._feed(piece, number, group)
        result = self._engine.close(self._job.end)
        arrays = {name: value for name, value in result._asdict().items() if name not in _COUNTS}
        arrays["counts"] = np.array([getattr(result, name) for name in _COUNTS])
        arrays["keys"] = np.concatenate(self._keys)
        if self._others is not None:
            arrays["dialects"] = self._others.finish(result.sides)
        stream = self._stream
        return Told(
            path,
            self._segments,
            len(result.connections),
            stream.copies,
            stream.dissected,
            stream.filtered,
            stream.skipped,
            self._comparison.bounds(),
            0.0,
        ), arrays

    def _feed(self, piece: Piece, number: int, group: ReadGroup) -> None:
        segments = piece.segments
        notes = self._engine.feed(segments, piece.errors)
        if self._others is not None:
            self._others.feed(segments, notes, self._engine.flows)
        self._segments += len(segments)
        opening = np.flatnonzero(notes["fate"] & Fate.OPENING)
        if len(opening):
            self._keys.append(_keys(piece.rows[opening], number, group.is_merged))


def _dialects() -> Any:
    from tcpstates.inference.dialects import Dialects  # a third of all kernels, which few verbs need

    return Dialects()


def _extra(fragments: PutTogether | None, share: Share) -> dict[int, Array]:
    """The segments in fragments that are in the share, by the unit that they are of."""
    if fragments is None:
        return {}
    mine = (fragments.buckets == share.bucket) & (slice_of(fragments.rows, share.slices) == share.number)
    rows, units = fragments.rows[mine], fragments.units[mine]
    return {int(unit): rows[units == unit] for unit in np.unique(units)}


def _keys(rows: Array, group: int, is_merged: bool) -> Array:
    """By position within a unit; by time where there are several."""
    keys = np.zeros(len(rows), KEYS)
    keys["group"], keys["position"], keys["part"] = group, rows["position"], rows["part"]
    if is_merged:
        keys["time"], keys["file"] = rows["time"], rows["file"]
    return keys
