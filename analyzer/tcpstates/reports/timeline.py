"""The table of states: each side's, from when to when, and how that is known."""

from __future__ import annotations

import numpy as np

from tcpstates.reports.log import Log
from tcpstates.reports.table import Labels, Table, Values, used_labels
from tcpstates.schema import NO_TIME


def timeline(log: Log, conn: int | None = None) -> Table:
    """One row per side and state.

    Parameters
    ----------
    log : what the engine found.
    conn : the one connection to list; all of them if None.
    """
    rows = _rows_of(log, conn)
    entries = log.transitions[rows]
    frame = entries["frame"].astype(np.int64)
    values: dict[str, Values] = {
        "conn": entries["conn"].astype(np.int64),
        "side": entries["side"],
        **endpoints(log, log.side_of_row[rows]),
        "state": entries["state"],
        "start": entries["start"].copy(),
        "end": _ends(log)[rows],
        "evidence": entries["evidence"],
        "cause": entries["cause"],
        "frame": np.where(frame > 0, frame, -1),
        "file": file_labels(log, np.where(frame > 0, entries["file"], -1)),
    }
    return Table.of("timeline", values)


def endpoints(log: Log, sides: np.ndarray) -> dict[str, Values]:
    """Local and remote address and port of ``sides`` (rows of ``log.sides``), and their tunnel."""
    codes, names = log.addresses.codes, log.addresses.names
    return {
        "local_addr": used_labels(codes[sides], names),
        "local_port": log.sides["port"][sides],
        "remote_addr": used_labels(codes[sides ^ 1], names),
        "remote_port": log.sides["port"][sides ^ 1],
        "tunnel": log.places.tunnels_of(log.places.codes[sides]),
    }


def _rows_of(log: Log, conn: int | None) -> slice:
    if conn is None:
        return slice(None)
    first, last = np.searchsorted(log.side_of_row, (2 * conn, 2 * conn + 2))
    return slice(int(first), int(last))


def _ends(log: Log) -> np.ndarray:
    """When each row ended, ``NO_TIME`` where it lasts until the end of the capture."""
    ends = log.row_ends.copy()
    ends[log.last_rows] = NO_TIME
    return ends


def file_labels(log: Log, codes: np.ndarray) -> Labels:
    """File names; a file that was given twice is one category."""
    names = list(dict.fromkeys(log.files))
    renumbered = np.array([*map(names.index, log.files), -1], np.int32)
    return Labels(renumbered[codes], names)
