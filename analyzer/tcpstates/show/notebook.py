"""An analysis in one line, and as a small piece of HTML for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from tcpstates.reports.lanes import Lanes
from tcpstates.reports.summary import Finding, Summary
from tcpstates.reports.table import Table
from tcpstates.reports.wording import clock, counted, duration, endpoint, located
from tcpstates.schema import NO_TIME
from tcpstates.show.rows import facts as row_facts
from tcpstates.show.svg import lanes_svg

_COLUMNS = ("severity", "outcome", "server", "to blame", "connections", "explanation")
#: Notebooks set tables to the right, which is for numbers.
_LEFT = ' style="text-align:left"'


def one_line(summary: Summary, damage: Sequence[str]) -> str:
    """``<Analysis of a.pcap: 812 connections, 2 errors, 1 warning>``."""
    parts = [counted(summary.connections, "connection")]
    parts += [counted(number, name) for name, number in _severities(summary) if number]
    if damage:
        parts.append("damaged")
    return f"<Analysis of {', '.join(summary.files) or 'nothing'}: {', '.join(parts)}>"


def _severities(summary: Summary) -> Iterable[tuple[str, int]]:
    return [(name, number) for name, number in summary.severities.items() if name in ("error", "warning")]


def html(summary: Summary, damage: Sequence[str]) -> str:
    """The headline, the damage and the findings; what comes from the capture is escaped."""
    paragraphs = [
        f"<b>{escape(', '.join(summary.files))}</b>",
        escape(_headline(summary)),
        *map(escape, damage),
    ]
    text = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return f"<div>{text}{_patterns(summary)}{_findings(summary)}</div>"


def _headline(summary: Summary) -> str:
    span = "no frames"
    if summary.start != NO_TIME:
        span = f"{clock(summary.start)} UTC, {duration(summary.end - summary.start)}"
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in summary.outcomes.items())
    connections = counted(summary.connections, "connection")
    return f"{span}; {counted(summary.counts.frames, 'frame')}; {connections}" + (
        f": {outcomes}" if outcomes else ""
    )


def _patterns(summary: Summary) -> str:
    items = (
        f"<li><b>{escape(pattern.pattern)}</b> {escape(pattern.whose)}: {escape(pattern.explanation)}</li>"
        for pattern in summary.patterns
    )
    return f"<ul>{''.join(items)}</ul>" if summary.patterns else ""


def _findings(summary: Summary) -> str:
    if not summary.findings:
        return "" if summary.patterns else "<p>Nothing is stuck or abnormal.</p>"
    head = "".join(f"<th{_LEFT}>{name}</th>" for name in _COLUMNS)
    rows = "".join(f"<tr>{_cells(finding)}</tr>" for finding in summary.findings)
    more = f"<p>and {summary.more_findings:,} more in .findings</p>" if summary.more_findings else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _cells(finding: Finding) -> str:
    server = located(finding.server_addr, finding.server_port, finding.tunnel)
    values = (
        finding.severity,
        finding.outcome,
        server,
        finding.culprit,
        finding.connections,
        finding.explanation,
    )
    return "".join(f"<td{_LEFT}>{escape(str(value))}</td>" for value in values)


def connection_line(row: Table) -> str:
    """``<Connection 12: 10.0.0.1:40000 -> 10.0.0.5:80, closed>``, of a table of connections with one row."""
    facts = row_facts(row, 0)
    blame = f", {facts['culprit']} to blame" if facts["culprit"] else ""
    return f"<Connection {facts['conn']}: {_ends(facts)}, {facts['outcome']}{blame}>"


def connection_html(row: Table, picture: Lanes) -> str:
    """The same as HTML, with both sides' lanes."""
    facts = row_facts(row, 0)
    title = f"<b>connection {facts['conn']}</b> {escape(_ends(facts))}"
    blame = f", {escape(facts['culprit'])} to blame" if facts["culprit"] else ""
    said = f"{escape(facts['outcome'])}{blame}; the client ended in {escape(facts['client_state'])}, "
    said += f"the server in {escape(facts['server_state'])}"
    return f"<div><p>{title}<br>{said}</p><p>{escape(facts['diagnosis'])}</p>{lanes_svg(picture)}</div>"


def _ends(facts: dict[str, str]) -> str:
    client, server = (
        endpoint(facts[f"{side}_addr"], int(facts[f"{side}_port"])) for side in ("client", "server")
    )
    return f"{client} -> {server}"
