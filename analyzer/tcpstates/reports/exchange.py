"""The segments of one connection, as the engine took them, and the table of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tcpstates.reports.log import Log
from tcpstates.reports.table import Labels, Table, Values, used_labels
from tcpstates.schema import Fate
from tcpstates.states import SIDE_LABELS, STATE_NAMES, Side

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
_FLAGS = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (ACK, "ACK"), (URG, "URG"))
_SHOWN = sum(bit for bit, _name in _FLAGS)

#: What a segment was taken for, the most telling first.
FATES = (Fate.BAD_CHECKSUM, Fate.SUSPICIOUS_RST, Fate.DUPLICATE, Fate.RETRANSMISSION, Fate.KEEP_ALIVE)
FATE_LABELS = tuple(str(fate.name).lower() for fate in FATES)


class Exchange(NamedTuple):
    """The segments of one connection.

    Attributes
    ----------
    segments : SEGMENTS array (n,), in the order of the capture.
    sender : uint8 (n,), Side.
    fate : uint8 (n,), Fate.
    omitted : how many more there are, which were too many to keep.
    """

    segments: np.ndarray
    sender: np.ndarray
    fate: np.ndarray
    omitted: int = 0


def flag_names(flags: int) -> str:
    """``"SYN ACK"``, ``"FIN ACK"``; empty for no flag at all."""
    return " ".join(name for bit, name in _FLAGS if flags & bit)


def segments_table(log: Log, conn: int, exchange: Exchange) -> Table:
    """One row per segment of the connection ``conn``; states are those just after it."""
    segments = exchange.segments
    seq, ack = relative_numbers(exchange)
    states = states_at(log, conn, segments["time"])
    known = sorted({int(flags) & _SHOWN for flags in np.unique(segments["flags"])})
    values: dict[str, Values] = {
        "conn": np.full(len(segments), conn, np.int64),
        "time": segments["time"].copy(),
        "side": Labels(exchange.sender.astype(np.int64), SIDE_LABELS),
        "flags": Labels(np.searchsorted(known, segments["flags"] & _SHOWN), [*map(flag_names, known)]),
        "seq": seq,
        "ack": ack,
        "payload": segments["payload"].astype(np.int64),
        "window": segments["window"].astype(np.int64),
        "fate": Labels(fate_codes(exchange.fate), FATE_LABELS),
        "client_state": Labels(states[Side.CLIENT], STATE_NAMES),
        "server_state": Labels(states[Side.SERVER], STATE_NAMES),
        "frame": segments["frame"].astype(np.int64),
        "file": used_labels(segments["file"].astype(np.int64), log.files),
    }
    return Table.of("segments", values)


def fate_codes(fate: np.ndarray) -> np.ndarray:
    """int64 codes into ``FATE_LABELS``, -1 for nothing special."""
    codes = np.full(len(fate), -1, np.int64)
    for code, bit in reversed(list(enumerate(FATES))):
        codes[fate & bit != 0] = code
    return codes


def relative_numbers(exchange: Exchange) -> tuple[np.ndarray, np.ndarray]:
    """Sequence and ACK numbers (int64) counted from the initial ones, as Wireshark does; -1 for no ACK."""
    segments, sender = exchange.segments, exchange.sender
    bases = np.array([_base(exchange, side) for side in Side], np.uint32)
    seq = (segments["seq"] - bases[sender]).astype(np.uint32).astype(np.int64)
    ack = (segments["ack"] - bases[1 - sender]).astype(np.uint32).astype(np.int64)
    return seq, np.where(segments["flags"] & ACK != 0, ack, -1)


def _base(exchange: Exchange, side: Side) -> int:
    """The initial sequence number of ``side``: its SYN's, else one before the first number seen of it."""
    mine = exchange.segments[exchange.sender == side]
    syns = mine[mine["flags"] & SYN != 0]
    if len(syns):
        return int(syns["seq"][0])
    theirs = exchange.segments[exchange.sender != side]
    answered = theirs["ack"][theirs["flags"] & ACK != 0]
    first = mine["seq"][:1] if len(mine) else answered[:1]
    return int(first[0]) - 1 & 0xFFFFFFFF if len(first) else 0


def states_at(log: Log, conn: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The state of the client and that of the server (int64 State) just after each of ``times``."""
    both = []
    for side in Side:
        rows = log.rows_of_side(2 * conn + side)
        entry = np.searchsorted(log.transitions["start"][rows], times, side="right") - 1
        both.append(log.state[rows][np.maximum(entry, 0)].astype(np.int64))
    return both[0], both[1]
