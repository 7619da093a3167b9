"""A capture in, an Analysis out, whose tables are built when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tcpstates.capture.ahead import may_run_ahead
from tcpstates.capture.files import listed
from tcpstates.capture.watching import Watch
from tcpstates.connection import Connection
from tcpstates.errors import CaptureError, UsageError
from tcpstates.inference.timers import profile_named
from tcpstates.inferring import Progress, infer
from tcpstates.reports.census import census, comfortable_step
from tcpstates.reports.compare import compare
from tcpstates.reports.connections import connections
from tcpstates.reports.diagnosis import Diagnoses
from tcpstates.reports.exchange import Exchange, segments_table
from tcpstates.reports.facts import Facts
from tcpstates.reports.filters import Where, filtered
from tcpstates.reports.findings import findings
from tcpstates.reports.lanes import Lanes, lanes
from tcpstates.reports.log import Log
from tcpstates.reports.netstat import netstat
from tcpstates.reports.outcomes import Outcomes, outcomes
from tcpstates.reports.pattern import Pattern
from tcpstates.reports.patterns import find_patterns, patterns
from tcpstates.reports.reset_table import reset_table
from tcpstates.reports.summary import Counts, Summary, summary
from tcpstates.reports.table import Pieces, Table
from tcpstates.reports.thresholds import stuck_thresholds
from tcpstates.reports.timeline import timeline
from tcpstates.reports.when import parse_duration, parse_instant
from tcpstates.reports.worst import worst
from tcpstates.rereading import Reading, exchanges
from tcpstates.schema import SEVERITIES, TABLES
from tcpstates.states import State

if TYPE_CHECKING:
    import pandas as pd

    from tcpstates.distributed.driver import Run
    from tcpstates.distributed.work import Work
    from tcpstates.show.plots import Plots

CHECKSUMS = ("auto", "verify", "ignore")


def analyze(
    source: Any,
    *,
    timers: str = "linux",
    stuck_after: Any = None,
    checksums: str = "auto",
    decoder: Literal["fast", "dpkt"] = "fast",
    filter: str | None = None,  # noqa: A002  (what tcpdump and everybody calls it)
    follow: bool = False,
    stop: Callable[[], bool] | None = None,
    dialects: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
    client: Any = None,
    workdir: str | os.PathLike[str] | None = None,
) -> Analysis:
    """Say which state each side of every TCP connection of a capture was in.

    Parameters
    ----------
    source : a path, a list of paths (read as one stream, in time order), ``"-"`` for standard input, or a
        binary file object; pcap, pcapng or snoop, plain or compressed (gzip, zstd, lz4, xz, bzip2).
    timers : the kind of host whose timers are assumed: ``linux``, ``rfc9293``,
        ``windows``, ``bsd`` or ``macos``.
    stuck_after : from when on a closing side counts as stuck: a duration such as ``"90s"``, a ``timedelta``,
        ``"CLOSE_WAIT=5min"``, a list of these, or a mapping from state to duration.
    checksums : which segments with a wrong TCP checksum move no state: ``verify`` all, ``auto`` those of a
        sender that has sent right ones in that connection, ``ignore`` none.
    decoder : ``fast``, or ``dpkt`` to have dpkt decode every frame, slowly.
    filter : leave out the frames that this expression of tcpdump's language (pcap-filter(7)) is not true of;
        needs libpcap.
    follow : at the end of the one file wait for it to grow, or to be replaced, until ``stop`` says so.
    stop : asked while waiting for a file to grow or a pipe to bring more; once it says True, what was read
        until then is the capture.
    dialects : whether to say also what Zeek and Wireshark would (``conn_state``, ``history`` and
        ``completeness`` of ``connections``, and ``compare``). Without them it takes a fifth less time.
    threads : how many threads may work at a time, as many as there are processors if None. From two on, files
        are read and decoded ahead of what is inferred, and how sides behave is looked at behind it; the
        result is the same.
    progress : called after each block with the bytes read and the bytes there are (None if unknown).
    client : a ``distributed.Client``, whose workers then share the work; they must find the captures at the
        same paths. The result is the same, but that of several files one that is no capture is left out, as
        damage. It takes ``tcpstates[distributed]``.
    workdir : with ``client``, the folder in which workers keep what they have done, at the same path for
        all; of one that was used before, what is there already is taken. A temporary one if None.
        Without, a folder for what need not fit in memory: what is known of connections that are over, where
        there are many, in files that have no names and go with the program. In memory if None.

    Returns
    -------
    Analysis

    Raises
    ------
    CaptureError
        If ``source`` cannot be read as a capture at all. A damaged one is read up to the damage: see
        ``Analysis.damage``.
    UsageError
        If an argument cannot be understood.
    ClusterError
        If ``client``, its workers or their disk fail.
    """
    thresholds = stuck_thresholds(stuck_after)
    profile_named(timers)  # before anything is read
    _check("checksums", checksums, CHECKSUMS)
    sources = listed(source)
    reading = Reading.of(sources, timers, checksums, decoder, filter)
    if client is not None:
        if follow:
            raise UsageError("a capture that grows cannot be shared out; leave out follow, or the workers")
        run = _share_out(sources, reading, client, workdir, dialects, progress)
        return Analysis(run.log, run.counts, run.damage, thresholds, run.reading, run.work)
    watch, has_threads = _watch(sources, follow, stop), may_run_ahead(threads)
    folder = None if workdir is None else Path(workdir)
    found = infer(sources, reading, watch, dialects, has_threads, progress, folder)
    return Analysis(found.log, found.counts, found.damage, thresholds, reading, in_parallel=has_threads)


def _share_out(
    sources: list[Any], reading: Reading, client: Any, workdir: Any, dialects: bool, progress: Progress | None
) -> Run:
    """The same by the workers of a cluster."""
    from tcpstates.distributed.cluster import Cluster
    from tcpstates.distributed.driver import run

    return run(sources, reading, dialects, Cluster(client), workdir, progress or (lambda read, total: None))


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} cannot be {value!r}; use one of {', '.join(known)}")


def _watch(sources: Sequence[Any], follow: bool, stop: Callable[[], bool] | None) -> Watch | None:
    """When to wait and when to stop; None where neither is asked for."""
    if follow and len(sources) > 1:
        raise UsageError(f"one capture can be followed, not {len(sources)}; give the one that grows")
    return Watch(follow, stop or (lambda: False)) if follow or stop is not None else None


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """What a capture says about its connections; holds transitions, not packets.

    Attributes
    ----------
    log : the connections and their states, as numpy arrays.
    counts : frames, segments, and what was skipped why.
    damage : one line each on what of the capture could not be read; empty if all of it was.
    stuck_after : ns from when on each closing state counts as stuck.
    reading : how the capture was read, None for a log that came from elsewhere.
    work : what it took where workers shared the work; None elsewhere.
    in_parallel : whether patterns may be sought in a thread beside the one that judges connections.
    """

    log: Log
    counts: Counts = field(default_factory=Counts)
    damage: tuple[str, ...] = ()
    stuck_after: Mapping[State, int] = field(default_factory=stuck_thresholds)
    reading: Reading | None = None
    work: Work | None = None
    in_parallel: bool = False

    @cached_property
    def connections(self) -> pd.DataFrame:
        """One row per connection: who, when, how much, and what became of it."""
        return _to_pandas(self.table("connections"))

    @cached_property
    def timeline(self) -> pd.DataFrame:
        """One row per side and state: from when to when, and how that is known."""
        return _to_pandas(self.table("timeline"))

    @cached_property
    def findings(self) -> pd.DataFrame:
        """What is stuck or abnormal, grouped by server, outcome and culprit, worst first."""
        return _to_pandas(self.table("findings"))

    @cached_property
    def resets(self) -> pd.DataFrame:
        """One row per side that sent a RST: what for, and how that is known."""
        return _to_pandas(self.table("resets"))

    @cached_property
    def patterns(self) -> pd.DataFrame:
        """What many connections show together: leaks, floods, full queues, scans; worst first."""
        return _to_pandas(self.table("patterns"))

    @cached_property
    def compare(self) -> pd.DataFrame:
        """Where Zeek's or Wireshark's word on a connection is not borne out by the evidence, and why.

        Raises
        ------
        UsageError
            If the capture was analysed without the dialects.
        """
        return _to_pandas(self.table("compare"))

    def netstat(self, at: Any = None, every: Any = None) -> pd.DataFrame:
        """The sockets there were at one instant or at several, those that listened included.

        Parameters
        ----------
        at : the instant, the capture's end if None: RFC 3339 text, seconds since 1970, ``"+12.5s"`` after
            the first frame, a ``datetime`` or a ``numpy.datetime64``; what names no zone is UTC.
        every : a duration, to step on from ``at`` to the capture's end, from its first frame if that is None.

        Raises
        ------
        UsageError
            If ``at`` is no time or outside of the capture, or ``every`` no duration or too short.
        """
        return _to_pandas(self.table("netstat", at=at, every=every))

    def census(self, every: Any = "1s") -> pd.DataFrame:
        """How many sockets were in each state, at regular instants aligned to the epoch.

        Parameters
        ----------
        every : a duration, such as ``"100ms"`` or a ``timedelta``.

        Raises
        ------
        UsageError
            If ``every`` is no duration, or so short that there would be more than a million instants.
        """
        return _to_pandas(self.table("census", every=every))

    def segments(self, conn: int) -> pd.DataFrame:
        """The segments of one connection, read again from the capture: an analysis keeps none.

        Parameters
        ----------
        conn : its number.

        Returns
        -------
        pandas.DataFrame
            One row per segment: sequence numbers count from the initial ones, ``fate`` is what it was
            taken for (``retransmission``, ``suspicious_rst``, ...), states are those just after it. Of a
            very long connection the first 20,000, and all that open, close or repeat.

        Raises
        ------
        CaptureError
            If the capture cannot be read a second time (standard input, a file object), or has changed.
        UsageError
            If there is no such connection.
        """
        return _to_pandas(segments_table(self.log, conn, self.exchange(conn)))

    def connection(self, conn: int) -> Connection:
        """One connection, which shows itself in a notebook.

        Raises
        ------
        UsageError
            If there is no such connection.
        """
        self._known(conn)
        return Connection(self, conn)

    @property
    def plot(self) -> Plots:
        """Pictures, with matplotlib: lanes(conn), ladder(conn), census(), durations(), heatmap()."""
        from tcpstates.show.plots import Plots

        return Plots(self.log, lambda: self.outcomes, self.lanes, self.exchange)

    def exchange(self, conn: int) -> Exchange:
        """The segments of one connection as numpy records; see ``segments``."""
        self._known(conn)
        return self.exchanges([conn])[conn]

    def exchanges(self, conns: Sequence[int]) -> dict[int, Exchange]:
        """The same for several connections, for which the capture is read only once."""
        if self.reading is None:
            raise CaptureError("this analysis has no capture to read segments from; analyze a file")
        if not all(conn in self._exchanges for conn in conns):
            self._exchanges.clear()
            self._exchanges.update(exchanges(self.reading, self.log, conns))
        return {conn: self._exchanges[conn] for conn in conns}

    @cached_property
    def _exchanges(self) -> dict[int, Exchange]:
        """The segments that were asked for last."""
        return {}

    def lanes(self, conn: int) -> Lanes:
        """One connection's two sides as lanes of states: what pictures of it are made of.

        Retransmissions are marked where the capture can be read a second time.
        """
        self._known(conn)
        try:
            exchange = self.exchange(conn)
        except CaptureError:
            exchange = None
        return lanes(self.log, conn, exchange)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one self-contained page of HTML: findings, census, the worst connections, a table of all.

        Parameters
        ----------
        path : where to; the file appears whole or not at all.

        Raises
        ------
        UsageError
            If jinja2 or plotly is missing: they come with ``pip install 'tcpstates[report]'``.
        """
        from tcpstates.show.report import Material, check, write_report

        check()
        shown, why = worst(self.log, self.outcomes), ""
        found: dict[int, Exchange] = {}
        try:
            found = self.exchanges(shown)
        except CaptureError as error:
            why = str(error)
        material = Material(
            log=self.log,
            outcomes=self.outcomes,
            summary=summary(self.log, self.outcomes, self.found_patterns, self.counts, most=30),
            connections=self.table("connections"),
            damage=self.damage,
            shown=shown,
            exchanges=found,
            no_ladders=why,
            timers="the assumed" if self.reading is None else self.reading.timers,
        )
        write_report(material, Path(path))

    def table(
        self,
        name: str,
        *,
        at: Any = None,
        every: Any = None,
        conn: int | None = None,
        local: bool = False,
        where: Where | None = None,
    ) -> Table:
        """The table ``name`` as numpy columns, which needs no pandas.

        Parameters
        ----------
        name : one of ``schema.TABLES``.
        at : for ``netstat``, the capture's end if None, or its first frame if there is ``every``.
        every : for ``netstat``, to step on; for ``census``, a step that suits the capture's length if None.
        conn : for ``connections``, ``timeline`` and ``resets``, the one connection to list.
        local : whether an ``at`` that names no zone is local time, not UTC.
        where : the rows to keep, by state, address and port; all if None.
        """
        _check("table", name, tuple(TABLES))
        table = self._table(name, at, every, conn, local)
        return table if where is None else filtered(table, where)

    def pieces(self, name: str) -> Table | Pieces:
        """The same to be taken part by part, of which the longest ones are never all in memory."""
        if name == "compare":
            return compare(self.log, self.outcomes)
        pieces = self._pieces(name)
        return self.table(name) if pieces is None else pieces

    def _pieces(self, name: str) -> Pieces | None:
        """What tells of each connection, part by part; None if ``name`` is another table."""
        if name == "connections":
            return connections(self.log, self.outcomes, self.diagnoses)
        if name == "timeline":
            return timeline(self.log)
        return reset_table(self.diagnoses.resets) if name == "resets" else None

    def _table(self, name: str, at: Any, every: Any, conn: int | None, local: bool) -> Table:
        pieces, log = self._pieces(name), self.log
        if pieces is not None:
            return pieces.whole if conn is None else self._rows_of(conn, pieces)
        if name == "findings":
            return findings(log, self.outcomes)
        if name == "patterns":
            return patterns(log, self.found_patterns)
        if name == "compare":
            return compare(log, self.outcomes).whole
        if name == "netstat":
            first = log.end if every is None else log.start
            step = None if every is None else parse_duration(every)
            return netstat(log, first if at is None else parse_instant(at, log.start, local=local), step)
        return census(log, comfortable_step(log) if every is None else parse_duration(every))

    def _rows_of(self, conn: int, pieces: Pieces) -> Table:
        """One connection's rows of a table."""
        self._known(conn)
        if pieces.name == "connections":
            return pieces.take(slice(conn, conn + 1))
        if pieces.name == "timeline":
            client, server = map(self.log.rows_of_side, (2 * conn, 2 * conn + 1))
            return pieces.take(slice(client.start, server.stop))
        whole = pieces.whole
        return whole.take(np.flatnonzero(whole.values["conn"] == conn))

    def _known(self, conn: int) -> None:
        count = len(self.log.connections)
        if not 0 <= conn < count:
            known = f"use 0 to {count - 1}" if count else "the capture holds none"
            raise UsageError(f"no connection {conn}; {known}")

    @cached_property
    def _facts(self) -> Facts:
        """What verdicts, patterns and diagnoses ask of the log."""
        return Facts(self.log, self.stuck_after)

    @cached_property
    def outcomes(self) -> Outcomes:
        """What became of each connection, as numpy columns."""
        return outcomes(self._facts)

    @cached_property
    def diagnoses(self) -> Diagnoses:
        """What is to be said of each connection, made when it is read."""
        return Diagnoses(self.log, self.outcomes, self._facts.told_resets)

    @cached_property
    def found_patterns(self) -> tuple[Pattern, ...]:
        """What many connections show together, as records."""
        return find_patterns(self._facts)

    def has_findings(self, severity: str) -> bool:
        """Whether any connection's outcome, or any pattern, is of ``severity`` or worse."""
        least = SEVERITIES.index(severity)
        if (self.outcomes.severity >= least).any():
            return True
        return any(SEVERITIES.index(pattern.severity) >= least for pattern in self.found_patterns)

    @cached_property
    def summary(self) -> Summary:
        """The capture in figures, with the worst patterns and findings."""
        if not self.in_parallel:
            return summary(self.log, self.outcomes, self.found_patterns, self.counts)
        with ThreadPoolExecutor(1, "tcpstates-beside") as beside:
            found = beside.submit(getattr, self, "found_patterns")
            return summary(self.log, self.outcomes, found.result(), self.counts)

    def __repr__(self) -> str:
        from tcpstates.show.notebook import one_line

        return one_line(self.summary, self.damage)

    def _repr_html_(self) -> str:
        from tcpstates.show.notebook import html

        return html(self.summary, self.damage)


def _to_pandas(table: Table) -> pd.DataFrame:
    from tcpstates.reports.frames import to_pandas  # pandas takes longer to import than most captures to read

    return to_pandas(table)
