"""The summary of a capture in the terminal: what was read, what is wrong there, and what to run next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tcpstates.reports.outcomes import SEVERITY
from tcpstates.reports.summary import Finding, ShownPattern, Summary
from tcpstates.reports.when import SECOND
from tcpstates.reports.wording import clock, command, counted, duration, located
from tcpstates.schema import NO_TIME

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan", "ok": "green"}
_BAR = 24


def print_summary(summary: Summary, console: Console, captures: Sequence[str]) -> None:
    """Print ``summary`` to ``console``, no wider than it and than 100 columns.

    Parameters
    ----------
    summary : what to print.
    console : where to.
    captures : how the captures were named on the command line, for the commands to run next.
    """
    width = min(console.width, 100)
    with console.capture() as captured:
        for part in _parts(summary, captures, console.options.ascii_only):
            console.print(part, width=width, highlight=False)
    # rich fills lines up with blanks, which are in the way of whoever copies or compares the text
    console.file.write(re.sub(" +$", "", captured.get(), flags=re.MULTILINE))


def _parts(summary: Summary, captures: Sequence[str], ascii_only: bool) -> Iterator[RenderableType]:
    yield _headline(summary)
    if summary.patterns:
        yield from ("", _heading("Patterns over many connections"), *_patterns(summary, captures))
    if summary.findings:
        yield from ("", _heading("Findings, worst first"), *_findings(summary, captures))
    elif summary.connections and not summary.patterns:
        yield from ("", Text("Nothing is stuck or abnormal.", "green"))
    if summary.connections:
        yield from ("", _heading("Connections"), _outcomes(summary, ascii_only))
        yield from ("", _heading("States when the capture ends"), _states(summary))


def _heading(text: str) -> Text:
    return Text(text, "bold")


def _indented(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 0, 2), expand=False)


def _headline(summary: Summary) -> RenderableType:
    counts = summary.counts
    read = [counted(counts.frames, "frame"), counted(counts.segments, "TCP segment")]
    read.append(counted(summary.connections, "connection"))
    return Group(Text(_files(summary.files), "bold"), Text(_span(summary)), Text(", ".join(read)))


def _files(files: Sequence[str]) -> str:
    if len(files) > 3:
        return f"{files[0]} and {len(files) - 1} more files"
    return ", ".join(files)


def _span(summary: Summary) -> str:
    if summary.start == NO_TIME:
        return "no frames"
    return f"{clock(summary.start)} UTC, {duration(summary.end - summary.start)}"


def _outcomes(summary: Summary, ascii_only: bool) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=19)
    table.add_column(justify="right")
    table.add_column()
    most = max(summary.outcomes.values())
    for outcome, number in summary.outcomes.items():
        style = STYLES[SEVERITY[outcome]]
        table.add_row(Text(outcome, style), f"{number:,}", Text(_bar(number / most, ascii_only), style))
    return _indented(table)


def _bar(share: float, ascii_only: bool) -> str:
    """A bar in eighths of a character, at least one of them; in whole ones where there are no eighths."""
    if ascii_only:
        return "#" * max(round(share * _BAR), 1)
    eighths = max(round(share * _BAR * 8), 1)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _patterns(summary: Summary, captures: Sequence[str]) -> Iterator[RenderableType]:
    for number, pattern in enumerate(summary.patterns):
        if number:
            yield ""
        yield _indented(_pattern(pattern, captures))
    yield from _more(summary.more_patterns, "pattern", captures)


def _findings(summary: Summary, captures: Sequence[str]) -> Iterator[RenderableType]:
    for number, finding in enumerate(summary.findings):
        if number:
            yield ""
        yield _indented(_finding(finding, captures))
    yield from _more(summary.more_findings, "finding", captures)


def _more(number: int, noun: str, captures: Sequence[str]) -> Iterator[RenderableType]:
    """How many there are that are not shown, and what shows them."""
    if number:
        more = f"and {counted(number, noun)} more: {command(noun + 's', captures)}"
        yield from ("", _indented(Text(more)))


def _pattern(pattern: ShownPattern, captures: Sequence[str]) -> RenderableType:
    title = _title(pattern.severity, pattern.pattern, pattern.whose, pattern.culprit)
    facts = (
        ("since", _since(pattern)),
        ("check", pattern.check),
        ("look at", command("timeline", captures, "--conn", str(pattern.example))),
    )
    return Group(title, _indented(Text(pattern.explanation)), _facts(facts))


def _finding(finding: Finding, captures: Sequence[str]) -> RenderableType:
    server = located(finding.server_addr, finding.server_port, finding.tunnel)
    title = _title(finding.severity, finding.outcome, server, finding.culprit)
    facts = [("since", _since(finding))]
    if finding.connections > 1:
        facts += [*_durations(finding), ("clients", finding.top_clients)]
    facts += [
        ("check", finding.check),
        ("look at", command("timeline", captures, "--conn", str(finding.example))),
        ("Wireshark", finding.wireshark_filter),
    ]
    return Group(title, _indented(Text(finding.explanation)), _facts(facts))


def _title(severity: str, name: str, where: str, culprit: str) -> Text:
    """Whether it is bad, what it is, where, and whose doing."""
    title = Text.assemble((severity, STYLES[severity]), "  ", (name, "bold"), "  ", where)
    if culprit:
        title.append("  to blame: ", "dim").append(culprit, "bold")
    return title


def _facts(facts: Sequence[tuple[str, str]]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", min_width=9)
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(name, Text(text))
    return _indented(table)


def _durations(finding: Finding) -> Iterator[tuple[str, str]]:
    """Three durations, if they are long enough to matter; fewer where there is no difference between them."""
    if finding.longest < SECOND:
        return
    median, p95, longest = map(duration, (finding.median, finding.p95, finding.longest))
    parts = [f"median {median}"] if median != longest else []
    parts += [f"95 % at most {p95}"] if p95 not in (median, longest) else []
    name = "open for" if finding.outcome.startswith("reset") else "how long"
    yield name, ", ".join([*parts, f"longest {longest}"] if parts else [longest])


def _since(found: Finding | ShownPattern) -> str:
    first, last = clock(found.first), clock(found.last)
    if first == last:
        return f"{first} UTC"
    if first[:10] == last[:10]:
        last = last[11:]
    return f"{first} UTC, the last one {last}"


def _states(summary: Summary) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=19)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_row("", Text("clients", "dim"), Text("servers", "dim"))
    for state, (clients, servers) in summary.states.items():
        table.add_row(state, f"{clients:,}", f"{servers:,}")
    return _indented(table)
