"""Other tools' words for each connection: Zeek's, Wireshark's, and the Community ID that many share."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

import numpy as np

from tcpstates.reports.log import Log
from tcpstates.reports.table import Values
from tcpstates.schema import CONN_STATES, MORE_LETTERS, ZeekState

_TCP = b"\x06\x00"  # the protocol, and a byte of padding
#: A SYN and then a RST of the originator, with nothing else from it that Zeek counts.
_SYN_THEN_RST = re.compile(r"\^?S[^HAFGIQ]*R")


def dialects(log: Log) -> dict[str, Values]:
    """The columns ``conn_state``, ``history``, ``completeness`` and ``community_id``.

    The first three have no values if the log was made without them.
    """
    rows, count = log.dialects, len(log.connections)
    known: dict[str, Values] = {
        "conn_state": np.full(count, -1, np.int8),
        "history": np.full(count, "", object),
        "completeness": np.full(count, -1, np.int64),
    }
    if rows is not None:
        known["conn_state"], known["history"] = conn_states(rows), histories(rows)
        known["completeness"] = rows["completeness"].astype(np.int64)
    return known | {"community_id": community_ids(log)}


def histories(rows: np.ndarray) -> np.ndarray:
    """Zeek's history of each of the DIALECTS ``rows``: an object array of text.

    It ends with ``MORE_LETTERS`` where more letters followed than are kept.
    """
    unique, codes = np.unique(rows["history"], return_inverse=True)
    names = np.array([text.decode("ascii") for text in unique.tolist()], object)
    return np.asarray(names[codes])


def conn_states(rows: np.ndarray) -> np.ndarray:
    """Zeek's conn_state of each of the DIALECTS ``rows``: int8, of ``schema.CONN_STATES``.

    The rules are those of Zeek's base/protocols/conn, in their order: the first that applies decides.
    """
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
    return np.select(list(rules.values()), codes, CONN_STATES.index("OTH")).astype(np.int8)


_ENDINGS = (ZeekState.RESET, ZeekState.CLOSED)


def _begins_with_syn_then_rst(rows: np.ndarray) -> np.ndarray:
    unique, codes = np.unique(histories(rows).astype(str), return_inverse=True)
    found = [_SYN_THEN_RST.match(text.removesuffix(MORE_LETTERS)) is not None for text in unique.tolist()]
    return np.asarray(np.array(found, bool)[codes])


def community_ids(log: Log, seed: int = 0) -> np.ndarray:
    """The Community ID (version 1) of each connection: an object array of text.

    Parameters
    ----------
    log : what the engine found.
    seed : 0 to 65535; the same in all tools whose IDs are to be compared.
    """
    ids = np.empty(len(log.connections), object)
    prefix = seed.to_bytes(2, "big")
    for version, size in ((4, 4), (6, 16)):
        rows = np.flatnonzero(log.connections["version"] == version)
        ids[rows] = [
            "1:" + base64.b64encode(hashlib.sha1(prefix + ends, usedforsecurity=False).digest()).decode()
            for ends in _ends_in_order(log, rows, size)
        ]
    return ids


def _ends_in_order(log: Log, rows: np.ndarray, size: int) -> Iterator[bytes]:
    """What identifies each connection: the lower address with its port first, addresses of ``size`` bytes."""
    addresses, ports = log.addresses.codes.reshape(-1, 2)[rows], log.per_side("port")[rows]
    swapped = (addresses[:, 0] > addresses[:, 1]) | (
        (addresses[:, 0] == addresses[:, 1]) & (ports[:, 0] > ports[:, 1])
    )
    packed = _packed_addresses(log, size)
    lower, higher = (np.where(swapped, addresses[:, 1 - i], addresses[:, i]).tolist() for i in (0, 1))
    first, second = (np.where(swapped, ports[:, 1 - i], ports[:, i]) for i in (0, 1))
    both = np.stack((first, second), axis=1).astype(">u2").tobytes()
    for i, (low, high) in enumerate(zip(lower, higher, strict=True)):
        yield packed[low] + packed[high] + _TCP + both[4 * i : 4 * i + 4]


def _packed_addresses(log: Log, size: int) -> list[bytes]:
    """Every unique address in network order, its last ``size`` bytes."""
    pairs = np.stack((log.addresses.hi, log.addresses.lo), axis=1).astype(">u8").tobytes()
    return [pairs[end - size : end] for end in range(16, len(pairs) + 16, 16)]
