"""``docs/tables.md``: every table and column, generated from the schema.

``python -m tcpstates.show.schema_page docs/tables.md`` writes it; a test notices drift.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tcpstates.reports.table import CATEGORIES
from tcpstates.schema import SCHEMA_VERSION, TABLES, Column

#: What a row of each table is.
ROWS = {
    "connections": "One connection, in the order of their first frames.",
    "timeline": "One side of a connection in one state, from when to when. The rows of a side cover the time "
    "from the connection's first frame to the end of the capture, without gap or overlap.",
    "findings": "What is stuck or abnormal, grouped by server, outcome and culprit, worst first.",
    "netstat": "One socket that there was at one instant; those that listen have the remote address `*`.",
    "resets": "One side that sent RSTs in a connection, by the RST that tells most: the first that its "
    "receiver had reason to accept, else the first. In order of time.",
    "census": "How many sockets were in one state at one instant.",
    "patterns": "What many connections together show: a leak, a flood, a scan. Worst first.",
    "compare": "One connection of which Zeek or Wireshark says what the evidence does not bear out.",
}

#: What a column holds, where its name does not say it; by ``table.column`` or, for all tables, ``column``.
MEANINGS = {
    "conn": "number of the connection, from 0; Wireshark's `tcp.stream` where both split alike",
    "connections.start": "time of the first frame",
    "connections.end": "time of the last frame",
    "duration": "from the first to the last frame",
    "client_state": "when the capture ends",
    "server_state": "when the capture ends",
    "first_closer": "who sent the first FIN; `both` if the FINs crossed",
    "outcome": "what became of it: `tcpstates explain OUTCOME`",
    "culprit": "who is to blame; empty for nobody",
    "frames": "every record of the capture, duplicates too",
    "bytes": "of TCP payload, from the IP length, retransmissions included",
    "retransmits": "segments sent again, neither duplicates of the capture nor keep-alives",
    "duplicates": "further copies of a frame in the capture",
    "diagnosis": "what happened, with its figures and the frames that show it",
    "timeline.end": "empty if the state lasts to the end of the capture",
    "evidence": "`observed`; `inferred` from later segments only; `assumed`, as of a timer",
    "cause": "the event that led to the state",
    "frame": "number in its file, from 1; empty for a timer",
    "file": "which of the captures read",
    "connections": "how many",
    "clients": "how many client addresses",
    "first": "when the first of them began",
    "last": "when the last of them began",
    "longest": "how long it lasted in that of them in which it lasted longest",
    "explanation": "a sentence or two",
    "example": "a connection in which it lasted longest",
    "wireshark_filter": "a display filter for that connection",
    "since": "when the state began",
    "reason": "what the RST was sent for",
    "resets.side": "who sent it, or in whose name it was sent; the local address is this side's",
    "rsts": "how many this side sent in all",
    "ignored": "of these, that the receiver had no reason to accept",
    "ttl": "TTL or hop limit of the RST",
    "census.time": "aligned to the epoch",
    "conn_state": "what Zeek's conn.log would say, see [dialects](dialects.md)",
    "history": "the same, a letter for each new thing",
    "completeness": "Wireshark's `tcp.completeness`, a sum of bits; empty if it was not asked for",
    "community_id": "version 1, seed 0",
    "dialect": "whose word it is",
    "says": "its word: conn_state and history, or completeness",
    "disagreement": "of what kind",
}

_HEAD = f"""\
# The tables

Version {SCHEMA_VERSION} of the schema, generated from `tcpstates/schema.py` by
`python -m tcpstates.show.schema_page docs/tables.md`. The second number rises when columns or values are
added, the first when some are removed or change their meaning. The version stands in the metadata of Parquet
files, in `DataFrame.attrs["schema_version"]` and in `tcpstates.schema.SCHEMA_VERSION`.

| type | in pandas | in CSV and JSON |
| --- | --- | --- |
| time | `datetime64[ns, UTC]` | RFC 3339, in UTC with `Z`, nine digits |
| duration | `timedelta64[ns]` | seconds |
| category | ordered categorical | text |
| address | categorical | text |
| port | `uint16` | number |
| count | `int64` | number |
| nullable | `Int64` | number |
| number | `float64` | number |
| text | `str` | text |

Where there is no value, pandas has `NaT`, `NaN` or `<NA>`, CSV no text, JSON `null`.
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(line for name in TABLES for line in _table(name))])


def _table(name: str) -> Iterator[str]:
    yield f"## {name}\n\n{ROWS[name]}\n\n| column | type | holds |\n| --- | --- | --- |"
    for column in TABLES[name]:
        yield f"| `{column.name}` | {column.dtype} | {_meaning(name, column)} |"
    yield ""


def _meaning(table: str, column: Column) -> str:
    side, _, rest = column.name.partition("_")
    sided = MEANINGS.get(rest, "") if side in ("client", "server") else ""
    said = MEANINGS.get(f"{table}.{column.name}") or MEANINGS.get(column.name) or sided or column.title
    names = CATEGORIES.get(column.name, ()) if column.dtype == "category" else ()
    values = ", ".join(f"`{name}`" for name in names)
    return f"{said}: {values}" if values else said


def main(path: Path) -> None:
    """Write the page to ``path``."""
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
