"""The order of the work: units are read, what overlaps is found, buckets are inferred, a log is made."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tcpstates.capture.files import Damage, first_time
from tcpstates.capture.streams import source_name
from tcpstates.distributed.cluster import Cluster
from tcpstates.distributed.fragments import PutTogether, put_together
from tcpstates.distributed.mapping import read_unit
from tcpstates.distributed.plan import (
    Facts,
    Group,
    Options,
    Share,
    Unit,
    buckets_for,
    groups_of,
    joined,
    shares_of,
    units_of,
)
from tcpstates.distributed.reducing import Inferred, Job, Told, infer_share, read_inference
from tcpstates.distributed.shares import Plan, ReadGroup, ReadUnit
from tcpstates.distributed.skew import together
from tcpstates.distributed.work import Stage, Work
from tcpstates.errors import CaptureError, UsageError
from tcpstates.inference.engine import Inference
from tcpstates.inference.parts import joined as joined_parts
from tcpstates.reports.log import Log
from tcpstates.reports.summary import Counts
from tcpstates.rereading import Reading
from tcpstates.schema import NO_TIME, Disorder

Array = np.ndarray[Any, np.dtype[Any]]
Progress = Callable[[int, int | None], None]


class Run(NamedTuple):
    """What a distributed analysis found.

    Attributes
    ----------
    log, counts, damage : as one process would have them.
    reading : how what could be read was read.
    work : what it took.
    """

    log: Log
    counts: Counts
    damage: tuple[str, ...]
    reading: Reading
    work: Work


def run(
    sources: Sequence[Any],
    reading: Reading,
    dialects: bool,
    cluster: Cluster,
    folder: str | os.PathLike[str] | None,
    progress: Progress,
) -> Run:
    """Analyze captures on a cluster.

    Parameters
    ----------
    sources : the captures, as they are to be called.
    reading : the same, with how to read them.
    dialects : whether to say what Zeek and Wireshark would.
    cluster : whose workers have the captures, and ``folder``, at the same paths.
    folder : where the work is kept, and looked for; None for one that is deleted afterwards.
    progress : called with the bytes that were read so far, and with all.

    Raises
    ------
    CaptureError
        If none of the sources can be read as a capture.
    ClusterError
        If workers, their scheduler or their disk fail.
    UsageError
        If a source is no file.
    """
    names = dict(zip(_paths_of(sources), map(source_name, sources), strict=True))
    with _workplace(folder) as place:
        return _Driver(names, reading, dialects, cluster, place, progress).run()


@contextmanager
def _workplace(folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield Path(folder).absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="tcpstates-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class _Driver:
    """One run."""

    def __init__(
        self,
        names: dict[str, str],
        reading: Reading,
        dialects: bool,
        cluster: Cluster,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._names, self._reading, self._dialects = names, reading, dialects
        self._cluster, self._folder, self._progress = cluster, str(folder), progress
        self._unreadable: list[str] = []
        self._stages: list[Stage] = []
        self._together = 0

    def run(self) -> Run:
        """All of it."""
        files = self._files()
        reading = self._reading
        self._options = Options(
            reading.decoder,
            reading.checksums != "ignore",
            reading.filter,
            buckets_for(sum(size for _path, size in files)),
        )
        groups, facts = self._read(units_of(files))
        plan = _plan(groups, self._options)
        fragments = self._fragments(plan, facts)
        first, last = _bounds(facts)
        job = Job(plan, reading.timers, reading.checksums, self._dialects, last, fragments)
        told = self._infer(
            job, shares_of(sum(counts) for counts in zip(*(said.pairs for said in facts), strict=True))
        )
        whole, dialects = self._join()
        readable = dict(files)
        names = tuple(map(self._names.__getitem__, readable))
        return Run(
            Log.of(whole, first, last, names, dialects),
            _counts(facts, told, fragments, whole),
            (*self._unreadable, *self._damage(facts)),
            reading._replace(sources=tuple(path for path in self._names if path in readable)),
            self._work(told, names),
        )

    def _work(self, told: Sequence[Told], names: tuple[str, ...]) -> Work:
        skews = together(bounds for part in told for bounds in part.skews)
        return Work(self._cluster.workers, tuple(self._stages), tuple(skews), self._together, names)

    def _damage(self, facts: Sequence[Facts]) -> Iterator[str]:
        """What could not be read, with the files' names as they were given."""
        for said in facts:
            for path, offset, before, what in said.damage:
                yield str(Damage(self._names[path], offset, before, what))

    # Before

    def _files(self) -> list[tuple[str, int]]:
        """The captures in the order of their first frames, with their sizes; what cannot be read is noted."""
        found = []
        for path, name in self._names.items():
            try:
                found.append((first_time(path), path, Path(path).stat().st_size))
            except (CaptureError, OSError) as error:
                if len(self._names) == 1:
                    raise
                self._unreadable.append(f"{str(error).replace(path, name)}; left out")
        if not found:
            raise CaptureError(f"{self._unreadable[0]}, and none of the others can be read either")
        found.sort(key=lambda entry: entry[0])
        return [(path, size) for _time, path, size in found]

    # Stage 1

    def _read(self, units: Sequence[Unit]) -> tuple[list[Group], list[Facts]]:
        """Read all units, and those anew that turn out to depend on each other."""
        began, self._bytes = time.monotonic(), 0
        self._total = sum(unit.bytes for unit in units)
        read = dict(zip(units, self._read_units(units), strict=True))
        while again := _to_read_again(groups_of(read.items())):
            for old, new in again:
                for unit in old:
                    del read[unit]
                self._together += len(new.paths) if len(old) > 1 else 0
            new_units = [new for _old, new in again]
            self._total += sum(unit.bytes for unit in new_units)
            read.update(zip(new_units, self._read_units(new_units), strict=True))
        facts = [read[unit] for unit in sorted(read, key=lambda unit: unit.first_file)]
        self._stages.append(
            Stage(
                "read",
                len(facts),
                sum(said.was_there for said in facts),
                sum(unit.bytes for unit in read),
                sum(said.frames for said in facts),
                "frames",
                time.monotonic() - began,
                sum(said.seconds for said in facts if not said.was_there),
            )
        )
        return groups_of(read.items()), facts

    def _read_units(self, units: Sequence[Unit]) -> list[Facts]:
        def note(place: int, _facts: Facts) -> None:
            self._bytes += units[place].bytes
            self._progress(self._bytes, self._total)

        self._progress(self._bytes, self._total)
        return self._cluster.map(read_unit, units, self._options, self._folder, note=note)

    def _fragments(self, plan: Plan, facts: Sequence[Facts]) -> PutTogether | None:
        if not any(said.fragments for said in facts):
            return None
        return self._cluster.map(put_together, [plan], note=lambda _place, _result: None)[0]

    # Stage 2

    def _infer(self, job: Job, shares: Sequence[Share]) -> list[Told]:
        began = time.monotonic()
        self._parts: dict[int, Inferred] = {}

        def take(place: int, part: Told) -> None:
            self._parts[place] = read_inference(part.path)  # while workers do the others

        told = self._cluster.map_shared(infer_share, job, shares, self._folder, note=take)
        self._stages.append(
            Stage(
                "infer",
                len(told),
                sum(part.seconds == 0 for part in told),
                sum(Path(part.path).stat().st_size for part in told),
                sum(part.segments for part in told),
                "segments",
                time.monotonic() - began,
                sum(part.seconds for part in told),
            )
        )
        return told

    # Stage 3

    def _join(self) -> tuple[Inference, Array | None]:
        """All connections, numbered in the order of their first frames; what dialects say of each."""
        began, worked = time.monotonic(), time.process_time()
        parts = [self._parts.pop(place) for place in range(len(self._parts))]
        order, numbers = _ranked([part.keys for part in parts])
        _numbers, whole = joined_parts(
            [(rank, part.inference) for rank, part in zip(numbers, parts, strict=True)]
        )
        dialects = None
        if self._dialects:
            dialects = np.concatenate([part.dialects for part in parts if part.dialects is not None])[order]
        seconds, worked = time.monotonic() - began, time.process_time() - worked
        self._stages.append(Stage("join", 1, 0, 0, len(order), "connections", seconds, worked))
        return whole, dialects


def _ranked(keys: Sequence[Array]) -> tuple[Array, list[Array]]:
    """How the keys of several parts are put in order, and for each part the place of each of its keys."""
    whole = np.concatenate(keys)
    order = np.lexsort([whole[name] for name in reversed(whole.dtype.names or ())])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return order, np.split(rank, np.cumsum([len(part) for part in keys])[:-1])


def _to_read_again(groups: Sequence[Group]) -> list[tuple[list[Unit], Unit]]:
    """The units that cannot stay as they were read, and what each of them becomes a part of."""
    again: list[tuple[list[Unit], Unit]] = []
    was_in_order = True
    for group in groups:
        units = [unit for unit, _facts in group.units]
        if group.must_be_read_as_one:
            again.append((units, joined(units)))
        elif not group.is_merged and group.units[0][1].is_too_late and not was_in_order:
            again.append((units, replace(units[0], was_in_order=False)))
        was_in_order &= all(facts.is_in_order for _unit, facts in group.units)
    return [(old, new) for old, new in again if old != [new]]


def _plan(groups: Sequence[Group], options: Options) -> Plan:
    return Plan(
        tuple(
            ReadGroup(
                tuple(
                    ReadUnit(facts.folder, unit.first_file, facts.first_time or 0, facts.is_in_order)
                    for unit, facts in group.units
                )
            )
            for group in groups
        ),
        options,
    )


def _bounds(facts: Sequence[Facts]) -> tuple[int, int]:
    firsts = [said.first_time for said in facts if said.first_time is not None]
    lasts = [said.last_time for said in facts if said.last_time is not None]
    return min(firsts, default=NO_TIME), max(lasts, default=NO_TIME)


def _counts(
    facts: Sequence[Facts], told: Sequence[Told], fragments: PutTogether | None, whole: Inference
) -> Counts:
    """What was read, every frame once."""
    skipped = Counter[str]()
    for said in facts:
        skipped.update(said.skipped)
    for part in told:
        skipped.subtract(part.skipped)
    dropped = sum(part.copies for part in told)
    of_fragments = 0
    if fragments is not None:
        skipped.update(fragments.skipped)
        of_fragments = fragments.copies
    return Counts(
        frames=sum(said.frames for said in facts) - dropped - of_fragments,
        segments=sum(part.segments for part in told),
        dissected=sum(said.dissected for said in facts) - sum(part.dissected for part in told) - of_fragments,
        bad_checksums=whole.bad_checksums,
        stray_errors=whole.stray_errors,
        skipped=dict(+skipped),
        copies=sum(said.copies for said in facts) + dropped + of_fragments,
        filtered=sum(said.filtered for said in facts) - sum(part.filtered for part in told),
        disorder=_disorder(facts),
    )


def _disorder(facts: Iterable[Facts]) -> Disorder:
    whole = Disorder()
    for said in facts:
        found = Disorder(**said.disorder)
        whole.sorted += found.sorted
        whole.steps += found.steps
        whole.kept += found.kept
        whole.latest = max(whole.latest, found.latest)
        whole.longest_step = max(whole.longest_step, found.longest_step)
    return whole


def _paths_of(sources: Iterable[Any]) -> list[str]:
    """Where workers find them."""
    paths = []
    for source in sources:
        is_path = isinstance(source, (str, os.PathLike)) and source != "-"
        if not is_path or Path(source).is_fifo():
            raise UsageError(
                f"{source_name(source)}: workers cannot read it; give files that all of them have"
            )
        paths.append(os.path.abspath(os.fspath(source)))  # noqa: PTH100
    return paths
