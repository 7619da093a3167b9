"""A capture as one self-contained page: what is wrong first, then figures, then connections one by one.

All text goes through jinja2's escaping; data for scripts are JSON that cannot end its element; and the page's
own policy allows no other script than those written here, and no network.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from tcpstates.reports.census import drawing_step
from tcpstates.reports.doubts import doubts
from tcpstates.reports.exchange import Exchange
from tcpstates.reports.findings import wireshark_filter
from tcpstates.reports.ladder import ladder
from tcpstates.reports.lanes import lanes
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import SEVERITY, Outcomes
from tcpstates.reports.spread import durations, heat, heat_step
from tcpstates.reports.summary import Finding, ShownPattern, Summary
from tcpstates.reports.table import Table
from tcpstates.reports.wording import clock, command, counted, duration, endpoint, located
from tcpstates.reports.worst import worst_rows
from tcpstates.schema import NO_TIME
from tcpstates.show.charts import Chart, census_chart, durations_chart, heat_chart
from tcpstates.show.colours import STATE_COLOURS
from tcpstates.show.extras import needed
from tcpstates.show.outcome_texts import OUTCOME_TEXTS
from tcpstates.show.rows import column_texts, facts, page_columns, severities, text
from tcpstates.show.svg import ladder_svg, lanes_svg
from tcpstates.states import State

#: Connections in the searchable table: with these the page stays well below 10 MB.
MOST_ROWS = 5_000


class Material(NamedTuple):
    """What a page is made of.

    Attributes
    ----------
    log, outcomes, summary, connections, damage : what was found.
    shown : the connections to show one by one.
    exchanges : the segments of those, as far as they could be read.
    no_ladders : why they could not, empty if they could.
    timers : the kind of hosts whose timers were assumed.
    """

    log: Log
    outcomes: Outcomes
    summary: Summary
    connections: Table
    damage: tuple[str, ...]
    shown: list[int]
    exchanges: Mapping[int, Exchange]
    no_ladders: str
    timers: str


def check() -> None:
    """Before the work: whether what it takes is installed.

    Raises
    ------
    UsageError
        If it is not.
    """
    needed("jinja2", "the report needs", "report")
    needed("plotly", "the report needs", "report")


def write_report(material: Material, path: Path) -> None:
    """Write the page to ``path``; it appears whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(page(material), encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def page(material: Material) -> str:
    """The page as HTML."""
    check()
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("tcpstates", "show/templates")
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=loader)
    scripts = {"js": _own("report.js"), "plotly": _plotly()}
    charts, table = _charts(material), _table(material)
    trusted = {
        **scripts,
        "css": _own("report.css"),
        "connections_json": _json(table),
        "charts_json": _json(charts),
    }
    return environment.get_template("report.html").render(
        **{name: Markup(text) for name, text in trusted.items()},
        policy=_policy(scripts.values()),
        charts=charts,
        columns=table["columns"],
        stories=[_story(material, conn, Markup) for conn in material.shown],
        version=version("tcpstates"),
        **_head(material),
        **_figures(material),
    )


def _own(name: str) -> str:
    return (files("tcpstates.show") / "templates" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """plotly.js, as the Python package brings it."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _policy(scripts: Iterable[str]) -> str:
    """A policy (CSP level 3) by which the browser runs these scripts and no other, and loads nothing."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(data: Any) -> str:
    """JSON that neither ends the script element that it is in nor begins a comment there."""
    plain = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _charts(material: Material) -> dict[str, Chart]:
    log = material.log
    if log.start == NO_TIME or not len(log.connections):
        return {}
    charts = {
        "census": census_chart(log, drawing_step(log)),
        "durations": durations_chart(durations(log)),
        "heat": heat_chart(heat(log, material.outcomes)),
    }
    return {name: chart for name, chart in charts.items() if any(_is_drawn(trace) for trace in chart["data"])}


def _is_drawn(trace: Chart) -> bool:
    return bool(trace.get("x"))


def _table(material: Material) -> dict[str, Any]:
    chosen = material.connections.take(worst_rows(material.outcomes, MOST_ROWS))
    columns = page_columns(chosen)
    return {
        "columns": list(columns),
        "rows": [list(row) for row in zip(*columns.values(), strict=True)],
        "severities": severities(chosen),
        "diagnoses": column_texts(chosen.values["diagnosis"]),
        "command": _command("timeline", material),
        "note": "Its states, with times, causes and frames:",
    }


def _command(verb: str, material: Material, *options: str) -> str:
    return command(verb, material.summary.files, *options)


def _head(material: Material) -> dict[str, Any]:
    summary = material.summary
    names = summary.files
    title = names[0] if len(names) == 1 else f"{names[0]} and {counted(len(names) - 1, 'more file')}"
    span = "no frames"
    if summary.start != NO_TIME:
        span = f"{clock(summary.start)} UTC, {duration(summary.end - summary.start)}"
    read = (counted(summary.counts.frames, "frame"), counted(summary.counts.segments, "TCP segment"))
    return {
        "title": title,
        "headline": f"{span}; {counted(summary.connections, 'connection')}{_judged(summary)}",
        "counts_line": ", ".join(read),
        "summary": _shown_summary(material),
        "damage": material.damage,
        "command": _command("timeline", material),
        "findings_command": _command("findings", material),
        "patterns_command": _command("patterns", material),
        "connections_command": _command("connections", material),
        "timers": material.timers,
        "doubts": doubts(material.log, summary.counts),
    }


def _judged(summary: Summary) -> str:
    parts = [counted(number, name) for name, number in summary.severities.items() if number and name != "ok"]
    return f": {', '.join(parts)}" if parts else ", nothing stuck or abnormal"


def _shown_summary(material: Material) -> dict[str, Any]:
    summary = material.summary
    return {
        "files": summary.files,
        "more_patterns": f"{summary.more_patterns:,}" if summary.more_patterns else "",
        "more_findings": f"{summary.more_findings:,}" if summary.more_findings else "",
        "patterns": [_pattern(material, pattern) for pattern in summary.patterns],
        "findings": _explained([_finding(material, finding) for finding in summary.findings]),
    }


def _pattern(material: Material, pattern: ShownPattern) -> dict[str, Any]:
    examples = [pattern.example] if pattern.example in material.shown else []
    return {**vars(pattern), "where": pattern.whose, "examples": examples}


def _finding(material: Material, finding: Finding) -> dict[str, Any]:
    server = located(finding.server_addr, finding.server_port, finding.tunnel)
    since = f"{clock(finding.first)} UTC"
    if finding.connections > 1:
        since += f", the last one {clock(finding.last)} UTC"
    return {
        **vars(finding),
        "server": server,
        "since": since,
        "lasted": _lasted(finding),
        "examples": [conn for conn in material.shown if _is_example(material, conn, finding)],
    }


def _explained(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each outcome explained once, where it comes first."""
    texts = dict(OUTCOME_TEXTS)
    return [{**finding, "meaning": texts.pop(finding["outcome"], None)} for finding in findings]


def _lasted(finding: Finding) -> str:
    """How long it went on, if that can be said of several."""
    if finding.connections == 1:
        return duration(finding.longest)
    figures = (("half of them", finding.median), ("95 % of them", finding.p95), ("all", finding.longest))
    return ", ".join(f"{who} at most {duration(length)}" for who, length in figures)


def _is_example(material: Material, conn: int, finding: Finding) -> bool:
    columns = material.connections.values
    names = ("outcome", "culprit", "server_addr", "server_port", "tunnel")
    return all(text(columns[name], conn) == str(getattr(finding, name)) for name in names)


def _figures(material: Material) -> dict[str, Any]:
    summary, total = material.summary, len(material.log.connections)
    states = [
        (name, STATE_COLOURS[State[name]], f"{clients:,}", f"{servers:,}")
        for name, (clients, servers) in summary.states.items()
    ]
    return {
        "outcomes": [(name, f"{number:,}", SEVERITY[name]) for name, number in summary.outcomes.items()],
        "states": states,
        "every": duration(drawing_step(material.log)),
        "heat_every": duration(heat_step(material.log)),
        "all_are_shown": len(material.shown) == total,
        "connections_total": f"{total:,}",
        "legend": [(state.name, colour) for state, colour in STATE_COLOURS.items()],
        "no_ladders": material.no_ladders,
        "rows_note": _rows_note(material, total),
    }


def _rows_note(material: Material, total: int) -> str:
    if total <= MOST_ROWS:
        return f"{counted(total, 'connection')}."
    return (
        f"The {MOST_ROWS:,} worst of {total:,}: more would make the page slow. "
        f"All of them: {_command('connections', material, '--csv')}"
    )


def _story(material: Material, conn: int, markup: Any) -> dict[str, Any]:
    """One connection; its drawings are our own SVG, in which all text is escaped."""
    row, exchange = facts(material.connections, conn), material.exchanges.get(conn)
    drawn = "" if exchange is None else ladder_svg(ladder(material.log, conn, exchange))
    return {
        **row,
        "conn": conn,
        "client": endpoint(row["client_addr"], int(row["client_port"])),
        "server": located(row["server_addr"], int(row["server_port"]), row["tunnel"]),
        "lanes": markup(lanes_svg(lanes(material.log, conn, exchange))),
        "ladder": markup(drawn),
        "omitted": f"{exchange.omitted:,}" if exchange is not None and exchange.omitted else "",
        "wireshark_filter": wireshark_filter(material.log, conn),
    }
