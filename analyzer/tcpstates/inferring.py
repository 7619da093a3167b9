"""A capture in, its log out: reading, decoding and inferring, block by block, in one or more threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tcpstates.capture.ahead import Decoded, ahead, decode
from tcpstates.capture.files import CaptureReader
from tcpstates.capture.ordering import Sorter
from tcpstates.capture.watching import Watch
from tcpstates.inference.engine import Engine
from tcpstates.inference.timers import profile_named
from tcpstates.reports.log import Log
from tcpstates.reports.summary import Counts
from tcpstates.rereading import Reading
from tcpstates.shelf import Shelf, TimeWentBack

if TYPE_CHECKING:
    from tcpstates.inference.dialects import Dialects

#: Called after each block with the bytes read so far, and with all there are, None where that is unknown.
Progress = Callable[[int, int | None], None]


class Inferred(NamedTuple):
    """What came of a capture: its log, what was counted, and a line on each damage."""

    log: Log
    counts: Counts
    damage: tuple[str, ...]


def infer(
    sources: list[Any],
    reading: Reading,
    watch: Watch | None,
    dialects: bool,
    has_threads: bool,
    progress: Progress | None,
    folder: Path | None = None,
) -> Inferred:
    """Read a capture once, or twice if its clock went back by so much that memory was given up too early.

    Parameters
    ----------
    sources, reading : what to read, and how.
    watch : when to wait for more, None for never.
    dialects : whether to ask also what Zeek and Wireshark would say.
    has_threads : whether reading may run ahead, and looking at sides behind.
    progress : told after each block.
    folder : where what is said of connections that are over waits for the end, in memory if None.
    """
    run = _Run(sources, reading, watch, dialects, has_threads, progress or (lambda read, total: None), folder)
    if reading.is_repeatable and not (watch and watch.follow):
        try:
            return run(sets_aside=True)
        except TimeWentBack:
            pass
    return run(sets_aside=False)


class _Run(NamedTuple):
    sources: list[Any]
    reading: Reading
    watch: Watch | None
    dialects: bool
    has_threads: bool
    progress: Progress
    folder: Path | None

    def __call__(self, sets_aside: bool) -> Inferred:
        reader, sorter = CaptureReader(self.sources, self.watch), Sorter()
        frames, others = self.reading.new_decoder(), _dialects() if self.dialects else None
        decoded = decode(reader, sorter, frames)
        is_all_there = reader.bytes_total is not None and not (self.watch and self.watch.follow)
        is_shared = self.has_threads and is_all_there
        with ThreadPoolExecutor(1, "tcpstates-behind") if is_shared else nullcontext() as behind:
            engine = Engine(
                profile_named(self.reading.timers), checksums=self.reading.checksums, behind=behind
            )
            shelf = Shelf(engine, others, self.folder)
            decoded = ahead(decoded) if is_shared else decoded
            segments = self._feed(decoded, reader.bytes_total, engine, others, shelf if sets_aside else None)
            result, words = shelf.close(frames.last_time)
        return Inferred(
            Log.of(
                result,
                frames.first_time,
                frames.last_time,
                tuple(map(str, reader.names)),
                words,
                folder=self.folder,
            ),
            Counts(
                frames.frames,
                segments,
                frames.dissected,
                result.bad_checksums,
                result.stray_errors,
                dict(frames.skipped),
                copies=reader.copies,
                filtered=frames.filtered,
                disorder=sorter.disorder,
            ),
            tuple(map(str, reader.damage)),
        )

    def _feed(
        self,
        decoded: Iterable[Decoded],
        bytes_total: int | None,
        engine: Engine,
        others: Dialects | None,
        shelf: Shelf | None,
    ) -> int:
        """Pass the capture through, block by block; the number of segments in it."""
        count = 0
        self.progress(0, bytes_total)
        for segments, errors, bytes_read in decoded:
            if shelf:
                shelf.check(segments["time"])
                shelf.check(errors["time"])
            notes = engine.feed(segments, errors)
            if others:
                others.feed(segments, notes, engine.flows)
            if shelf:
                shelf.set_aside()
            count += len(segments)
            self.progress(bytes_read, bytes_total)
        return count


def _dialects() -> Dialects:
    from tcpstates.inference.dialects import Dialects  # a third of all kernels, which few verbs need

    return Dialects()
