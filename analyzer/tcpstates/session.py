"""Interfaces in, an Analysis of now out: the stations of ``analysis``, fed by a thread that captures.

The thread owns the engine. Whoever looks gets what it made at the last tick, which nothing changes any more;
so capturing never waits for who draws or prints.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tcpstates.analysis import Analysis
from tcpstates.archive import Archive
from tcpstates.capture.blocks import Block
from tcpstates.capture.decoder import Decoder
from tcpstates.capture.live import LiveCapture
from tcpstates.capture.writing import Writer
from tcpstates.drops import Drops, doubted
from tcpstates.inference.engine import Engine
from tcpstates.inference.timers import profile_named
from tcpstates.reports.changes import Change, Changes
from tcpstates.reports.log import Log
from tcpstates.reports.summary import Counts
from tcpstates.reports.thresholds import stuck_thresholds
from tcpstates.reports.when import parse_duration
from tcpstates.schema import FRAMES, ICMP_ERRORS, NO_TIME
from tcpstates.states import State

if TYPE_CHECKING:
    import pandas as pd

_SECOND = 1_000_000_000
#: How long the thread waits for frames, in seconds.
_PATIENCE = 0.05
#: Frames that are taken in between two looks at how many connections there are.
_AT_ONCE = 1 << 14
#: How often what is over is forgotten, ns.
_FORGET_EVERY = 5 * _SECOND
#: Looking at very many connections takes long, and frames wait: afterwards it rests so many times as long.
_REST = 4
#: Changes that nobody has taken, half a kilobyte each; beyond that they are counted only. Where looking takes
#: long, a minute's changes come at once.
MOST_WAITING = 100_000


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was known at one instant; nothing changes it any more.

    Attributes
    ----------
    time : ns since the epoch.
    analysis : the connections at that time.
    numbers : int64 (n,), what each of its connections is called for good.
    dropped : frames that the kernel had no room for, by interface.
    evicted : half-open, and other, connections that had to make room for new ones.
    forgotten : connections that are over and of which nothing but their number is kept.
    notes : one line each on what makes the rest less certain.
    """

    time: int
    analysis: Analysis
    numbers: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)
    evicted: int = 0
    forgotten: int = 0
    notes: tuple[str, ...] = ()


def live(
    *interfaces: str,
    filter: str | None = None,  # noqa: A002  (what tcpdump and everybody calls it)
    timers: str = "linux",
    stuck_after: Any = None,
    checksums: str = "auto",
    write: str | Path | None = None,
    duration: Any = None,
    count: int | None = None,
    max_connections: int = 50_000,
    tick: Any = "0.5s",
) -> Live:
    """Follow the connections on interfaces as they live.

        with tcpstates.live("eth0") as capture:
            capture.netstat()
            for change in capture:
                ...

    Parameters
    ----------
    interfaces : their names, ``any`` for all that are up.
    filter : take only the frames that this expression of tcpdump's language is true of.
    timers, stuck_after, checksums : as for ``analyze()``.
    write : a file that gets the frames too, as pcapng.
    duration : how long to capture, such as ``"60s"``; until it is stopped if None.
    count : how many frames to capture; any number if None.
    max_connections : how many connections to remember at most; then the oldest half-open ones make room.
    tick : how often to look what has changed; less often where there are so many connections that looking
        would take more than a fifth of the time.

    Returns
    -------
    Live

    Raises
    ------
    UsageError
        If there is no such interface, or an argument cannot be understood.
    CapturePermissionError
        If this user may not capture.
    CaptureError
        If it is not possible here.
    """
    return Live(
        LiveCapture(interfaces or ("any",), filter),
        Engine(profile_named(timers), checksums=checksums),
        Decoder(checksums=checksums != "ignore"),
        stuck_after=stuck_thresholds(stuck_after),
        write=None if write is None else Path(write),
        duration=None if duration is None else parse_duration(duration),
        count=count,
        max_connections=max_connections,
        tick=parse_duration(tick),
    )


class Live:
    """A capture that goes on; a context manager, and an iterator over the changes of state.

    It begins when it is entered, and ends with the context, with ``stop()``, or by itself after the duration
    or the number of frames that were asked for. After that it still answers.

    Attributes
    ----------
    messages : what happened to the interfaces, for people; to be taken out.
    overlooked : changes that nobody took in time.
    """

    def __init__(
        self,
        source: LiveCapture,
        engine: Engine,
        decoder: Decoder,
        *,
        stuck_after: dict[State, int],
        write: Path | None,
        duration: int | None,
        count: int | None,
        max_connections: int,
        tick: int,
    ) -> None:
        self._source, self._engine, self._decoder = source, engine, decoder
        self._stuck_after, self._tick = stuck_after, tick
        self._duration, self._most, self._most_connections = duration, count, max_connections
        self._archive, self._evicted, self._retired_at = Archive(stuck_after), 0, 0
        self._writer = None if write is None else Writer(write, source.interfaces)
        self._segments = 0
        self._drops = Drops()
        self._changes, self._waiting = Changes(), deque[Change]()
        self._stopping = threading.Event()
        self._asked = self._answered = 0  # how often somebody asked for all that is known
        self._news, self._is_over = threading.Condition(), False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tcpstates live", daemon=True)
        self._now = self._began = time.time_ns()
        self._snapshot = self._look()
        self.messages: deque[str] = deque(maxlen=1_000)
        self.overlooked = 0

    # What its user calls

    def __enter__(self) -> Self:
        if not self._thread.is_alive() and not self._is_over:
            _compile()
            self._source.skip()
            self._drops.note(self._source.dropped, time.time_ns())
            self._now = self._began = time.time_ns()
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def __iter__(self) -> Iterator[Change]:
        """The changes of state from now on, until the capture is over."""
        while True:
            over = self.is_over
            yield from self.taken_changes()
            if over:
                return
            self.wait()

    def stop(self) -> None:
        """End it, once all that was captured is taken in; raises what ended it before, if anything did."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._complain()

    def wait(self) -> None:
        """Wait for the next tick."""
        with self._news:
            if not self._is_over:
                self._news.wait(self._tick / _SECOND + 1)
        self._complain()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Where it captures."""
        return tuple(name for name, _linktype in self._source.interfaces)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._is_over

    @property
    def snapshot(self) -> Snapshot:
        """What was known at the last tick."""
        return self._snapshot

    def taken_changes(self) -> list[Change]:
        """The changes of state that were not taken yet."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    @property
    def analysis(self) -> Analysis:
        """What is known now, with all tables of ``analyze()``."""
        if not self._is_over:
            with self._news:
                self._asked += 1
                mine = self._asked
                self._news.wait_for(lambda: self._is_over or self._answered >= mine, timeout=60)
        self._complain()
        return self._snapshot.analysis

    def netstat(self) -> pd.DataFrame:
        """The sockets that there are now, those that listen included."""
        return self.analysis.netstat()

    @property
    def connections(self) -> pd.DataFrame:
        """The connections, as they are now."""
        return self.analysis.connections

    @property
    def findings(self) -> pd.DataFrame:
        """What is stuck or abnormal now."""
        return self.analysis.findings

    def __repr__(self) -> str:
        return f"<tcpstates live on {', '.join(self.interfaces)}: {self._snapshot.analysis!r}>"

    def _complain(self) -> None:
        """Raise here what ended the thread."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    # What the thread does

    def _run(self) -> None:
        try:
            self._capture()
        except BaseException as failure:  # it is raised where somebody waits
            self._failure = failure
        finally:
            self._source.close()
            if self._writer is not None:
                self._writer.close()
            with self._news:
                self._is_over = True
                self._news.notify_all()

    def _capture(self) -> None:
        due = time.time_ns() + self._tick
        while not self._is_enough():
            block, complete_until = self._source.read(_PATIENCE)
            self._take(block)
            self._now = max(self._now, complete_until)
            self.messages.extend(self._source.taken_messages())
            began = time.time_ns()
            if began >= due or self._asked > self._answered:
                self._publish(whole=self._asked > self._answered)
                self._forget_some()
                took = time.time_ns() - began
                due = began + took + max(self._tick, _REST * took)
        if self._most is None or self._decoder.frames < self._most:
            for block in self._source.finish():
                self._take(block)
            self._now = time.time_ns()
        if self._writer is not None:
            self._writer.close()
        self._publish(whole=True)

    def _is_enough(self) -> bool:
        if self._most is not None and self._decoder.frames >= self._most:
            return True
        if self._duration is not None and time.time_ns() - self._began >= self._duration:
            return True
        return self._stopping.is_set()

    def _take(self, block: Block | None) -> None:
        """Let the next frames pass through."""
        if block is None:
            return
        if self._most is not None:
            block = block.part(slice(self._most - self._decoder.frames))
        if self._writer is not None:
            self._write(self._writer, block)
        for start in range(0, len(block.frames), _AT_ONCE):
            segments = self._decoder.decode(block.part(slice(start, start + _AT_ONCE)))
            self._engine.feed(segments, self._decoder.errors)
            self._segments += len(segments)
            self._now = max(self._now, self._decoder.last_time)
            if len(self._engine) > self._most_connections:
                self._retire()

    def _write(self, writer: Writer, block: Block) -> None:
        """Write the frames too; a file that takes no more does not end the capture."""
        was_well = not writer.failure
        writer.write(block)
        if writer.failure and was_well:
            self.messages.append(writer.failure)

    def _unwritten(self) -> Iterator[str]:
        """That the file lacks frames, if it does."""
        if self._writer is None:
            return
        if self._writer.failure:
            yield self._writer.failure
        if len(self._drops.losses):
            path = self._writer.path
            yield f"{path} does not say which frames were dropped: analyze may call stuck what was not"

    def _forget_some(self) -> None:
        """From time to time, give back the memory of what is over; all of it has been published."""
        if self._now - self._retired_at >= _FORGET_EVERY:
            self._retired_at = self._now
            self._retire()

    def _retire(self) -> None:
        retired = self._engine.retire(self._now, self._most_connections)
        self._evicted += retired.evicted
        self._archive.add(retired.numbers, retired.inference, self._now, self._drops.losses)

    def _publish(self, whole: bool) -> None:
        """Say what is known now, of what is over for long only if it is to be ``whole``."""
        answered = self._asked  # who asks from now on wants what is known later
        self._drops.note(self._source.dropped, time.time_ns())
        snapshot = self._look(whole)
        room = max(MOST_WAITING - len(self._waiting), 0)
        changes, overlooked = self._changes.since(snapshot.analysis.log, snapshot.numbers, room)
        self._waiting.extend(changes)
        self.overlooked += overlooked
        with self._news:
            self._snapshot = snapshot
            if whole:
                self._answered = answered
            self._news.notify_all()

    def _look(self, whole: bool = False) -> Snapshot:
        numbers, result, frames = self._engine.numbers, self._engine.finish(self._now), self._decoder
        if whole:
            numbers, result = self._archive.joined(numbers, result)
        start = self._now if frames.first_time == NO_TIME else frames.first_time
        log = doubted(Log.of(result, start, self._now, self.interfaces, losses=self._drops.losses))
        counts = Counts(
            frames.frames,
            self._segments,
            frames.dissected,
            result.bad_checksums,
            result.stray_errors,
            dict(frames.skipped),
        )
        analysis = Analysis(log, counts, (), self._stuck_after)
        forgotten = self._archive.forgotten
        left_out = _left_out(self._evicted, forgotten, self._most_connections)
        notes = (*self._unwritten(), *self._drops.words(log), *left_out)
        dropped = dict(self._drops.counts)
        return Snapshot(self._now, analysis, numbers, dropped, self._evicted, forgotten.total(), notes)


def _left_out(evicted: int, forgotten: Mapping[str, int], most: int) -> Iterator[str]:
    """One line each on the connections that the tables do not have."""
    if evicted:
        yield (
            f"{evicted:,} connections, the oldest half-open ones first, had to make room, as there were more "
            f"than {most:,}; --max-connections allows more"
        )
    if forgotten:
        each = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(forgotten.items()))
        yield f"{sum(forgotten.values()):,} connections that are over are not in the tables any more: {each}"


def _compile() -> None:
    """Have all kernels ready before the first frame, which would wait in a buffer that fills."""
    frames = np.zeros(1, FRAMES)
    frames["captured"] = frames["length"] = len(_SYN)
    frames["linktype"] = _RAW
    decoder, engine = Decoder(), Engine()
    segments = decoder.decode(Block(np.frombuffer(_SYN, np.uint8).copy(), frames))
    engine.feed(segments, np.zeros(1, ICMP_ERRORS))
    engine.finish(0)
    engine.retire(0, most=0)


_RAW = 101
#: A SYN from 127.0.0.1 to itself.
_SYN = bytes.fromhex("450000280000000040060000" + 2 * "7f000001" + "0001000200000000000000005002000000000000")
