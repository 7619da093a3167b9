"""Other tools' words for each connection: Zeek's, Wireshark's, and the Community ID that many share."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

import numpy as np

from tcpstates.reports.log import Log
from tcpstates.reports.table import Values
from tcpstates.schema import CONN_STATES, ZeekState
from tcpstates.storage import blocks

_TCP = 6  # the protocol; a byte of padding follows
#: A SYN and then a RST of the originator, with nothing else from it that Zeek counts.
_SYN_THEN_RST = re.compile(r"\^?S[^HAFGIQ]*R")


def dialects(log: Log, conn: np.ndarray) -> dict[str, Values]:
    """The columns ``conn_state``, ``history``, ``completeness`` and ``community_id`` of some connections.

    The first three have no values if the log was made without them.
    """
    count = len(conn)
    known: dict[str, Values] = {
        "conn_state": np.full(count, -1, np.int8),
        "history": np.full(count, "", object),
        "completeness": np.full(count, -1, np.int64),
    }
    if log.dialects is not None:
        rows = log.dialects[conn]
        known["conn_state"], known["history"] = conn_states(rows), histories(rows)
        known["completeness"] = rows["completeness"].astype(np.int64)
    return known | {"community_id": community_ids(log, conn)}


def histories(rows: np.ndarray) -> np.ndarray:
    """Zeek's history of each of the DIALECTS ``rows``: an object array of text.

    It ends with ``schema.MORE_LETTERS`` where more letters followed than are kept.
    """
    unique, codes = np.unique(rows["history"], return_inverse=True)
    names = np.array([text.decode("ascii") for text in unique.tolist()], object)
    return np.asarray(names[codes])


def conn_states(rows: np.ndarray) -> np.ndarray:
    """Zeek's conn_state of each of the DIALECTS ``rows``: int8, of ``schema.CONN_STATES``.

    The rules are those of Zeek's base/protocols/conn, in their order: the first that applies decides.
    """
    states = np.empty(len(rows), np.int8)
    for block in blocks(len(rows)):
        states[block] = _conn_states(rows[block])
    return states


def _conn_states(rows: np.ndarray) -> np.ndarray:
    originator, responder = rows["originator"], rows["responder"]
    unopened = tuple(
        np.isin(side, (ZeekState.INACTIVE, ZeekState.PARTIAL)) for side in (originator, responder)
    )
    reset, closed = ([side == state for side in (originator, responder)] for state in _ENDINGS)
    opening = np.isin(originator, (ZeekState.SYN_SENT, ZeekState.SYN_ACK_SENT))
    both_open = (originator == ZeekState.ESTABLISHED) & (responder == ZeekState.ESTABLISHED)
    rules = {
        "REJ": reset[1] & (opening | (reset[0] & (rows["is_empty"] != 0))),
        "RSTRH": reset[1] & unopened[0],
        "RSTR": reset[1],
        "RSTOS0": reset[0] & unopened[1] & _begins_with_syn_then_rst(rows),
        "OTH": reset[0] & unopened[1],
        "RSTO": reset[0],
        "SF": closed[0] & closed[1],
        "SH": closed[0] & unopened[1],
        "S2": closed[0],
        "SHR": closed[1] & unopened[0],
        "S3": closed[1],
        "S0": (originator == ZeekState.SYN_SENT) & (responder == ZeekState.INACTIVE),
        "S1": both_open,
    }
    codes = [CONN_STATES.index(name) for name in rules]
    return np.select(list(rules.values()), codes, CONN_STATES.index("OTH"))


_ENDINGS = (ZeekState.RESET, ZeekState.CLOSED)


def _begins_with_syn_then_rst(rows: np.ndarray) -> np.ndarray:
    reset, found = rows["originator"] == ZeekState.RESET, np.zeros(len(rows), bool)
    found[reset] = [_SYN_THEN_RST.match(text) is not None for text in histories(rows[reset]).tolist()]
    return found


def community_ids(log: Log, conn: np.ndarray, seed: int = 0) -> np.ndarray:
    """The Community ID (version 1) of some connections: an object array of text.

    Parameters
    ----------
    log : what the engine found.
    conn : their numbers, int64.
    seed : 0 to 65535; the same in all tools whose IDs are to be compared.
    """
    ids, versions = np.empty(len(conn), object), log.connections["version"][conn]
    prefix = seed.to_bytes(2, "big")
    for version, size in ((4, 4), (6, 16)):
        rows = np.flatnonzero(versions == version)
        ids[rows] = [
            "1:" + base64.b64encode(hashlib.sha1(prefix + ends, usedforsecurity=False).digest()).decode()
            for ends in _ends_in_order(log, conn[rows], size)
        ]
    return ids


def _ends_in_order(log: Log, conn: np.ndarray, size: int) -> Iterator[bytes]:
    """What identifies each connection: the lower address with its port first, addresses of ``size`` bytes."""
    ends = np.stack((2 * conn, 2 * conn + 1))
    codes, ports = log.addresses.codes[ends], log.sides["port"][ends]
    swapped = (codes[0] > codes[1]) | ((codes[0] == codes[1]) & (ports[0] > ports[1]))
    rows = np.zeros((len(conn), 2 * size + 6), np.uint8)
    rows[:, 2 * size] = _TCP
    for place, sides in enumerate(np.where(swapped, ends[::-1], ends)):
        rows[:, place * size : (place + 1) * size] = _packed_addresses(log, sides)[:, -size:]
        port = log.sides["port"][sides].astype(">u2").view(np.uint8).reshape(-1, 2)
        rows[:, 2 * (size + 1 + place) : 2 * (size + 2 + place)] = port
    width, packed = rows.shape[1], rows.tobytes()
    return (packed[start : start + width] for start in range(0, len(packed), width))


def _packed_addresses(log: Log, sides: np.ndarray) -> np.ndarray:
    """uint8 of shape (sides, 16): the address of each in network order."""
    codes, addresses = log.addresses.codes[sides], log.addresses
    pairs = np.stack((addresses.hi[codes], addresses.lo[codes]), axis=1).astype(">u8")
    return pairs.view(np.uint8).reshape(-1, 16)
