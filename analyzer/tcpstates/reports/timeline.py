"""The table of states: each side's, from when to when, and how that is known."""

from __future__ import annotations

import numpy as np

from tcpstates.reports.log import Log
from tcpstates.reports.table import Labels, Pieces, Table, Values
from tcpstates.schema import NO_TIME


def timeline(log: Log) -> Pieces:
    """One row per side and state."""
    count = len(log.transitions)
    return Pieces("timeline", count, lambda part: _rows(log, np.arange(*part.indices(count))))


def _rows(log: Log, rows: np.ndarray) -> Table:
    """Some transitions' rows."""
    entries = log.transitions[rows]
    frame = entries["frame"].astype(np.int64)
    values: dict[str, Values] = {
        "conn": entries["conn"].astype(np.int64),
        "side": entries["side"],
        **endpoints(log, log.sides_of(rows)),
        "state": entries["state"],
        "start": entries["start"].copy(),
        "end": np.where(log.is_last[rows], NO_TIME, log.ends_of(rows)),
        "evidence": entries["evidence"],
        "cause": entries["cause"],
        "frame": np.where(frame > 0, frame, -1),
        "file": file_labels(log, np.where(frame > 0, entries["file"], -1)),
    }
    return Table.of("timeline", values)


def endpoints(log: Log, sides: np.ndarray) -> dict[str, Values]:
    """Local and remote address and port of ``sides`` (rows of ``log.sides``), and their tunnel."""
    addresses = log.addresses
    return {
        "local_addr": addresses.labels(addresses.codes[sides]),
        "local_port": log.sides["port"][sides],
        "remote_addr": addresses.labels(addresses.codes[sides ^ 1]),
        "remote_port": log.sides["port"][sides ^ 1],
        "tunnel": log.places.tunnels_of(log.places.codes[sides]),
    }


def file_labels(log: Log, codes: np.ndarray) -> Labels:
    """File names; a file that was given twice is one category."""
    names = list(dict.fromkeys(log.files))
    renumbered = np.array([*map(names.index, log.files), -1], np.int32)
    return Labels(renumbered[codes], names)
