"""Transitions as lines, where a live capture has no terminal to draw on: for eyes, grep and programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TextIO

from tcpstates.reports.changes import Change
from tcpstates.reports.wording import instant
from tcpstates.show.export import seconds

_FORM = "{:<15} {:<5} {:<15} {:<5} {:<11} -> {:<11} {}"
#: The columns of BCC's tcpstates, but for what a wire does not tell: the socket's process.
_HEADING = _FORM.format("LADDR", "LPORT", "RADDR", "RPORT", "OLDSTATE", "NEWSTATE", "MS")


def write_heading(stream: TextIO) -> None:
    """The names of the columns."""
    stream.write(_HEADING + "\n")
    stream.flush()


def write_lines(changes: Iterable[Change], stream: TextIO) -> None:
    """One line per transition; MS is the time in the old state, 0 where its beginning is not known."""
    for change in changes:
        place = (change.local_addr, change.local_port, change.remote_addr, change.remote_port)
        stream.write(
            _FORM.format(*place, change.old, change.new, f"{max(change.lasted, 0) / 1e6:.3f}") + "\n"
        )
    stream.flush()


def write_json_lines(changes: Iterable[Change], stream: TextIO) -> None:
    """One JSON object per transition; durations in seconds, null where the beginning is not known."""
    for change in changes:
        values = change._asdict()
        values["time"] = instant(change.time)
        values["lasted"] = None if change.lasted < 0 else float(seconds(change.lasted))
        stream.write(json.dumps(values) + "\n")
    stream.flush()
