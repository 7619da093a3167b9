"""The command: one verb per table, thin over ``analyze()``.

What a verb needs is imported when it runs, so that ``tcpstates --help`` and shell completion load neither
numba nor pandas. Data go to stdout; progress, damage and what was skipped to stderr.
"""

from __future__ import annotations

import functools
import gc
import glob
import io
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tcpstates.errors import ExitCode, TcpstatesError, UsageError
from tcpstates.options import (
    Command,
    capturing,
    filtering,
    judging,
    one_connection,
    reading,
    together,
    writing,
)
from tcpstates.show.spelling import SPELT

if TYPE_CHECKING:
    from tcpstates.analysis import Analysis
    from tcpstates.reports.filters import Where
    from tcpstates.reports.table import Table

_INTERRUPTED = 130  # as a shell says of a process that Ctrl-C ended


def main() -> None:
    """Run the command and exit with one of ``errors.ExitCode``; an error is one line on stderr."""
    _never_fail_to_encode()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's for matrices would wait, and busily
    gc.set_threshold(400_000)  # to load modules makes many objects, and no garbage
    try:
        status = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        status = _quiet_stdout()
    except (click.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    except click.ClickException as error:
        status = _complain(error.format_message(), ExitCode.USAGE)
    except TcpstatesError as error:
        status = _complain(str(error), error.exit_code)
    except OSError as error:
        denied = isinstance(error, PermissionError)
        status = _complain(_about_output(error), ExitCode.NO_PERMISSION if denied else ExitCode.USAGE)
    sys.exit(status)


def _never_fail_to_encode() -> None:
    """Names of files need not be text, and a terminal need not know every character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SPELT)


def _complain(message: str, status: ExitCode) -> ExitCode:
    _say(" ".join(message.split()))
    return status


def _say(message: str) -> None:
    click.echo(f"tcpstates: {message}", err=True)


def _quiet_stdout() -> ExitCode:
    """Whoever read our output has seen enough; what is still to be flushed goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.DONE


def _about_output(error: OSError) -> str:
    """What kept us from writing; reading raises errors of its own."""
    return f"{error.filename or 'the output'}: {error.strerror}; write to another place"


class _Verbs(click.Group):
    """All verbs; whoever reads no further ends any of them well, of which click would make exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; what it returns is the exit code."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _quiet_stdout()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tcpstates", prog_name="tcpstates")
def cli() -> None:
    """Say which netstat state each side of every TCP connection in a capture was in, and who is to blame.

    CAPTURE is a pcap, pcapng or snoop file, plain or compressed (gzip, zstd, lz4, xz, bzip2); several are
    read as one, in time order; - is standard input.

    \b
    Exit codes:
      0  done
      1  there are findings at or above --fail-on
      2  wrong usage
      3  not a readable capture
      4  the capture is cut or damaged; what could be read was analysed
      5  no permission to read the capture
      6  workers, their scheduler or their disk failed
    """  # noqa: D301  (click takes the \b as "do not fill these lines")


def _table_verb(name: str, *extra: Callable[[Command], Command]) -> Callable[[Command], click.Command]:
    """A verb that prints the table ``name``; the function decorated gives the table's parameters."""

    def decorate(parameters: Command) -> click.Command:
        @functools.wraps(parameters)
        def verb(form: str | None, parquet: Path | None, fail_on: str | None, **given: Any) -> int:
            wanted = {option: given.pop(option) for option in tuple(given) if option in _TABLE_OPTIONS}
            below = "diagnosis" if given.pop("diagnosis", False) else _BELOW.get(name, "")
            _check_output(parquet, given["captures"])
            chosen = parameters(**wanted)
            analysis = _analyze(**given, dialects=name in _WITH_DIALECTS)
            table = analysis.table(name, **chosen)
            is_drawn = name == "timeline" and wanted["conn"] is not None and not (form or parquet)
            if is_drawn:
                _draw(analysis, wanted["conn"])
            _write(table, form, parquet, below)
            if is_drawn:
                _diagnose(analysis, wanted["conn"])
            return _status(analysis, fail_on)

        return cli.command(name)(together(reading, *extra, writing)(verb))

    return decorate


_TABLE_OPTIONS = ("conn", "at", "every", "states", "addresses", "ports")
#: What is written below each row of a printed table.
_BELOW = {"resets": "explanation"}
#: What shows the words of Zeek and Wireshark; the others need not take the time.
_WITH_DIALECTS = ("connections", "compare")


def _where(**filters: Any) -> Where:
    from tcpstates.reports.filters import Where

    return Where.of(**filters)


@_table_verb(
    "connections",
    one_connection,
    click.option(
        "--diagnosis", is_flag=True, help="Say of each what happened, with the frames that show it."
    ),
    filtering,
)
def connections(conn: int | None, **filters: Any) -> dict[str, Any]:
    """List the connections: who, when, and what became of each."""
    return {"conn": conn, "where": _where(**filters)}


@_table_verb("resets", one_connection)
def resets(conn: int | None) -> dict[str, Any]:
    """List who sent a RST, and what for."""
    return {"conn": conn}


@_table_verb("timeline", one_connection, filtering)
def timeline(conn: int | None, **filters: Any) -> dict[str, Any]:
    """List the states of each side, with their times and causes."""
    return {"conn": conn, "where": _where(**filters)}


@_table_verb("findings")
def findings() -> dict[str, Any]:
    """List what is stuck or abnormal, by server, worst first."""
    return {}


@_table_verb("patterns")
def patterns() -> dict[str, Any]:
    """List what many connections show together: leaks, floods, full queues, scans."""
    return {}


@_table_verb(
    "netstat",
    click.option(
        "--at", metavar="TIME",
        help="2026-01-31T12:00:00Z, local time without the Z, seconds since 1970, or +12.5s "
        "after the first frame.",
    ),
    click.option(
        "--every", metavar="DURATION",
        help="Step on from --at, or from the first frame, to the end of the capture.",
    ),
    filtering,
)  # fmt: skip
def netstat(at: str | None, every: str | None, **filters: Any) -> dict[str, Any]:
    """List the sockets of one instant, as netstat would have, or step over time."""
    if at is None and every is None:
        raise click.UsageError("Missing option '--at' or '--every'.")
    return {"at": at, "every": every, "local": True, "where": _where(**filters)}


@_table_verb(
    "census",
    click.option("--every", metavar="DURATION", default="1s", show_default=True, help="How often to count."),
)
def census(every: str) -> dict[str, Any]:
    """Count the sockets in each state, at regular instants."""
    return {"every": every}


@_table_verb("compare")
def compare() -> dict[str, Any]:
    """List where Zeek's or Wireshark's word is not borne out by the evidence, and why."""
    return {}


@cli.command()
@reading
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write all tables as Parquet to DIR.",
)
def analyze(output: Path | None, fail_on: str | None, **given: Any) -> int:
    """Say what is wrong here, who is to blame, what to run next."""
    if output is not None:
        _make_folder(output)
        if given["scheduler"] is None:
            given["workdir"] = given["workdir"] or output
    analysis = _analyze(**given, dialects=output is not None)
    from tcpstates.show.terminal import print_summary

    print_summary(analysis.summary, _console(), given["captures"])
    if output is not None:
        _write_all(analysis, output)
    return _status(analysis, fail_on)


@cli.command()
@reading
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    required=True,
    help="The page to write.",
)
def report(output: Path, fail_on: str | None, **given: Any) -> int:
    """Write one page of HTML: findings, census, the worst connections, a table of all."""
    from tcpstates.show.report import check

    check()
    _check_output(output, given["captures"])
    analysis = _analyze(**given, dialects=False)
    analysis.report(output)
    return _status(analysis, fail_on)


@cli.command()
@capturing
@judging
def live(interfaces: tuple[str, ...], as_json: bool, lines: bool, fail_on: str | None, **given: Any) -> int:
    """Follow the connections on an interface as they live, until Ctrl-C; then say what there was."""
    _check_output(given["write"], ())
    from tcpstates.session import live as capture_live
    from tcpstates.show.live import follow
    from tcpstates.show.progress import Progress

    with _ctrl_c() as stop, Progress(sys.stderr), capture_live(*interfaces, **given) as capture:
        _say(f"listening on {', '.join(capture.interfaces)}; Ctrl-C ends it")
        follow(capture, stop, sys.stdout, sys.stderr, form="json" if as_json else "lines" if lines else None)
    return _conclude(capture.snapshot, given["write"], fail_on, sys.stderr if as_json else sys.stdout)


def _conclude(last: Any, written: Path | None, fail_on: str | None, stream: Any) -> int:
    """What ``analyze`` would say of what was captured."""
    from tcpstates.show.terminal import print_summary

    for line in (*_left_out(last.analysis), *last.notes):
        _say(line)
    print_summary(last.analysis.summary, _console(stream), [str(written or "CAPTURE")])
    return _status(last.analysis, fail_on)


@cli.command()
@click.argument("name", metavar="STATE|OUTCOME|PATTERN", required=False)
def explain(name: str | None) -> None:
    """Explain what a state, an outcome or a pattern means; all of them in short without a name."""
    from tcpstates.show.explain import everything
    from tcpstates.show.explain import explain as explanation

    width = min(_width() or 80, 100)
    click.echo(everything(width) if name is None else explanation(name, width))


def _analyze(captures: tuple[str, ...], scheduler: str | None, **options: Any) -> Analysis:
    """Read the captures, and say on stderr what of them could not be used."""
    from tcpstates.analysis import analyze as analyze_captures
    from tcpstates.show.progress import Progress

    names = _expanded(captures)
    waits = options["follow"] or any(_is_pipe(name) for name in names)
    with (
        _cluster(scheduler) as client,
        Progress(sys.stderr) as progress,
        _ctrl_c() if waits else nullcontext() as stop,
    ):
        analysis = analyze_captures(names, progress=progress, stop=stop, client=client, **options)
    for line in (*(analysis.work.lines() if analysis.work else ()), *_left_out(analysis), *analysis.damage):
        _say(line)
    return analysis


def _expanded(names: tuple[str, ...]) -> list[str]:
    """The files that patterns such as ``'captures/**/*.pcap*'`` stand for, where no shell expanded them."""
    found: list[str] = []
    for name in names:
        if not glob.has_magic(name) or Path(name).exists():
            found.append(name)
            continue
        files = [path for path in sorted(glob.glob(name, recursive=True)) if not Path(path).is_dir()]  # noqa: PTH207
        if not files:
            raise UsageError(f"{name}: no file is called so; check the pattern")
        found += files
    return found


@contextmanager
def _cluster(scheduler: str | None) -> Iterator[Any]:
    """A client of the workers that are to share the work, None without."""
    if scheduler is None:
        yield None
        return
    from tcpstates.distributed.cluster import connected

    with connected(scheduler) as client:
        _say(f"workers share the work; what they do is shown at {client.dashboard_link}")
        yield client


def _is_pipe(name: str) -> bool:
    return name == "-" or Path(name).is_fifo()


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C ends the reading, not the program; the second one does."""
    pressed: list[int] = []

    def note(number: int, _frame: Any) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _left_out(analysis: Analysis) -> list[str]:
    """What did not count, and why."""
    counts, lines = analysis.counts, []
    if counts.filtered:
        lines.append(f"the filter left out {counts.filtered:,} of {counts.frames:,} frames")
    if counts.skipped:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.skipped.items()))
        number, of = sum(counts.skipped.values()), counts.frames - counts.filtered
        lines.append(f"{number:,} of {of:,} frames hold no TCP segment: {reasons}")
    if counts.bad_checksums:
        lines.append(
            f"{counts.bad_checksums:,} segments with a wrong checksum were left out; "
            "--checksums ignore takes them in"
        )
    if counts.copies:
        lines.append(f"{counts.copies:,} frames stood in more than one file, and count once")
    return [*lines, *_disorder(analysis)]


def _disorder(analysis: Analysis) -> list[str]:
    """How far the frames were out of the order of time."""
    from tcpstates.reports.wording import counted, duration

    order, lines = analysis.counts.disorder, []
    if order.sorted:
        lines.append(
            f"{counted(order.sorted, 'frame')} stood up to {duration(order.latest)} late; sorted by time"
        )
    if order.kept:
        lines.append(
            f"{counted(order.kept, 'frame')} with time stamps that contradict the acknowledgements were left "
            "in the file's order"
        )
    if order.steps:
        lines.append(
            f"the clock went back {counted(order.steps, 'time')}, by up to {duration(order.longest_step)}; "
            "durations across that are wrong"
        )
    return lines


def _status(analysis: Analysis, fail_on: str | None) -> ExitCode:
    """The exit code: damage is said before findings."""
    if analysis.damage:
        return ExitCode.DAMAGED
    if fail_on is not None and analysis.has_findings(fail_on):
        return ExitCode.FINDINGS
    return ExitCode.DONE


def _write(table: Table, form: str | None, parquet: Path | None, below: str) -> None:
    from tcpstates.show import export, plain

    if parquet is not None:
        export.write_parquet(table, parquet)
    if form == "csv":
        export.write_csv(table, sys.stdout)
    elif form == "json":
        export.write_json(table, sys.stdout)
    elif parquet is None:
        plain.print_table(table, sys.stdout, _width(), below)


def _diagnose(analysis: Analysis, conn: int) -> None:
    """What the timeline amounts to, below it."""
    from tcpstates.show.plain import filled

    click.echo("\n" + filled(analysis.diagnoses.text(conn), min(_width() or 100, 100)))


def _draw(analysis: Analysis, conn: int) -> None:
    """Both sides of a connection in characters, above the table of its states."""
    from tcpstates.show.lanes import print_lanes

    print_lanes(analysis.lanes(conn), _console())
    click.echo()


def _write_all(analysis: Analysis, folder: Path) -> None:
    from tcpstates.schema import TABLES
    from tcpstates.show.export import write_parquet

    for name in TABLES:
        write_parquet(analysis.pieces(name), folder / f"{name}.parquet")


def _make_folder(folder: Path) -> None:
    """Before the work, so that it is not for nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{folder} is not a folder; choose another one for the tables") from None


def _check_output(file: Path | None, captures: tuple[str, ...]) -> None:
    """Refuse, before the work, to write where nothing can be written or where a capture is."""
    if file is None:
        return
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"{file} cannot be written; name a file in a folder that exists")
    if any(file.exists() and Path(name).exists() and file.samefile(name) for name in captures):
        raise UsageError(f"{file} is the capture itself; name another file")


def _width() -> int | None:
    """Columns of the terminal; None where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _console(stream: Any = None) -> Any:
    """Where rich prints to: coloured only in a terminal, and there not with NO_COLOR."""
    from rich.console import Console

    stream = stream or sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 80)
