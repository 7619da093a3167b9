"""Segments in fragments, whose pieces may be in several units: read when all of these are there.

They are rare (hosts find out how much a path takes), so one worker puts together those of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tcpstates.capture.dissect import Dissector
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.distributed.mapping import BYTES_OF_FRAGMENTS, KINDS, known_facts
from tcpstates.distributed.rows import FRAGMENT_ROWS, SEGMENT_ROWS, bucket_of, placed, read_bucket
from tcpstates.distributed.shares import Plan, without_copies
from tcpstates.errors import ClusterError
from tcpstates.schema import SEGMENTS

Array = np.ndarray[Any, np.dtype[Any]]


class PutTogether(NamedTuple):
    """What the fragments of all units make.

    Attributes
    ----------
    rows : SEGMENT_ROWS (n,), in the capture's order.
    units : int32 (n,), by the number of its first file, the unit of the frame that made each known.
    buckets : uint16 (n,).
    skipped : frames that made none known, by reason.
    copies : frames that another unit has too.
    """

    rows: Array
    units: Array
    buckets: Array
    skipped: dict[str, int]
    copies: int


def put_together(plan: Plan) -> PutTogether:
    """Read all fragments, in the capture's order."""
    dissector, skipped, copies = Dissector(plan.options.checksums), Counter[str](), 0
    rows: list[np.void] = []
    units: list[int] = []
    for fragments, origins, data, dropped in _by_group(plan):
        copies += dropped
        for fragment, origin, piece in zip(fragments, origins, data, strict=True):
            found = dissector.dissect(
                piece, int(fragment["linktype"]), int(fragment["length"]), int(fragment["time"])
            )
            if isinstance(found, str):
                skipped[found] += 1
                continue
            for part, segment in enumerate(found):
                rows.append(_row(segment, fragment, part))
                units.append(int(origin))
    lonely = dissector.lonely
    skipped.update({REASONS[Outcome.FRAGMENT]: -lonely, REASONS[Outcome.LONELY]: lonely})
    whole = np.array(rows, SEGMENT_ROWS)
    return PutTogether(
        whole, np.array(units, np.int32), bucket_of(whole, plan.options.buckets), dict(+skipped), copies
    )


def _row(segment: np.void, fragment: np.void, part: int) -> np.void:
    row: np.void = placed(np.array([segment], SEGMENTS), SEGMENT_ROWS)[0]
    for name in ("time", "file", "frame", "interface", "position", "length", "mark"):
        row[name] = fragment[name]
    row["part"], row["dissected"] = part, 1
    return row


def _by_group(plan: Plan) -> Iterator[tuple[Array, Array, list[bytes], int]]:
    """Each group's fragments in order, the unit of each, its bytes, and how many copies were left out."""
    for group in plan.groups:
        rows, origins, data = [], [], []
        for unit in group.units:
            found = _fragments(unit.folder)
            content = (Path(unit.folder) / BYTES_OF_FRAGMENTS).read_bytes() if len(found) else b""
            data += [content[row["start"] : row["start"] + row["captured"]] for row in found]
            found["file"] += unit.first_file
            rows.append(found)
            origins.append(np.full(len(found), unit.first_file, np.int32))
        whole, of = np.concatenate(rows), np.concatenate(origins)
        order = np.arange(len(whole))
        if group.is_merged:
            order = np.lexsort((whole["position"], whole["file"], whole["time"]))
            order = order[without_copies(whole[order], of[order])]
        if len(whole):
            yield whole[order], of[order], [data[place] for place in order], len(whole) - len(order)


def _fragments(folder: str) -> Array:
    facts = known_facts(Path(folder))
    if facts is None:
        raise ClusterError(f"{folder}: has disappeared while it was needed; run it again")
    path = Path(folder) / "fragments.parquet"
    pieces = read_bucket(path, KINDS["fragments"], facts.groups["fragments"], 0)
    return np.concatenate([np.zeros(0, FRAGMENT_ROWS), *pieces])
