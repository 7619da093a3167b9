"""Wireshark's word on each connection: ``tcp.completeness``, by the rules of its TCP dissector (4.0).

A stream is all that passes between two ends until a SYN without ACK has another number than the stream's
first one of that direction. Each frame sets bits of its stream, by its flags alone: no order, side or
sequence number is looked at. The rules, and where a stream is not what we call a connection, are in
docs/dialects.md. No jitted function comes from another file: see ``step``.
"""

# What a kernel's arguments are is numba's to say; annotations would only repeat Any.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any

import dpkt.tcp
import numpy as np

from tcpstates.compiled import inner, kernel
from tcpstates.schema import Completeness, Fate

Array = np.ndarray[Any, np.dtype[Any]]

FIN, SYN, RST, ACK = (
    int(flag) for flag in (dpkt.tcp.TH_FIN, dpkt.tcp.TH_SYN, dpkt.tcp.TH_RST, dpkt.tcp.TH_ACK)
)
OPENING = int(Fate.OPENING)
HAS_SYN, HAS_SYN_ACK = int(Completeness.SYN), int(Completeness.SYN_ACK)
HAS_ACK, HAS_DATA = int(Completeness.ACK), int(Completeness.DATA)
HAS_FIN, HAS_RST = int(Completeness.FIN), int(Completeness.RST)

#: One stream. Its ends are 0, the one with the lower address and port, and 1.
STREAMS = np.dtype(
    [
        ("base", "u4", (2,)),  # by end, the number that a SYN of the same stream has
        ("knows_base", "u1", (2,)),
        ("bits", "u1"),
        ("first", "u1"),  # what the first frame sets once there is a second one
    ],
    align=True,
)


@inner
def _end(s):
    """Which end sent ``s``: 0 the one with the lower address and port, else 1."""
    if s["src_hi"] != s["dst_hi"]:
        return 0 if s["src_hi"] < s["dst_hi"] else 1
    if s["src_lo"] != s["dst_lo"]:
        return 0 if s["src_lo"] < s["dst_lo"] else 1
    return 0 if s["src_port"] <= s["dst_port"] else 1


@inner
def _set_bits(flags, payload):
    """What a frame sets in a stream that exists."""
    bits = 0
    if flags & (SYN | ACK) == SYN | ACK:
        bits = HAS_SYN_ACK
    elif flags & (SYN | ACK) == ACK:
        bits = HAS_DATA if payload > 0 else HAS_ACK
    if flags & (FIN | ACK) == FIN | ACK:
        bits |= HAS_FIN
    if flags & RST:
        bits |= HAS_RST
    return bits


@inner
def _begin(stream, s):
    """A stream that begins with ``s``: of its first frame only a SYN counts, until there is another frame."""
    flags = s["flags"]
    stream["knows_base"][0] = stream["knows_base"][1] = 0
    stream["bits"] = 0
    if flags & (SYN | ACK) == SYN:
        stream["bits"] = HAS_SYN | HAS_DATA if s["payload"] > 0 else HAS_SYN
    stream["first"] = _set_bits(flags, s["payload"])


@inner
def _reuses(stream, end, s):
    """Whether a SYN begins another stream."""
    return (
        s["flags"] & (SYN | ACK) == SYN and stream["knows_base"][end] != 0 and s["seq"] != stream["base"][end]
    )


@inner
def _learn_bases(stream, end, s):
    """Note the number that each direction begins with, or seems to have begun with."""
    flags = s["flags"]
    if flags & (SYN | ACK) == SYN | ACK or (flags & SYN and not stream["knows_base"][end]):
        stream["base"][end], stream["knows_base"][end] = s["seq"], 1
    elif not stream["knows_base"][end]:
        stream["base"][end] = np.uint32((np.int64(s["seq"]) - 1) & 0xFFFFFFFF)
        stream["knows_base"][end] = 1
    if flags & ACK and not stream["knows_base"][end ^ 1]:
        stream["base"][end ^ 1] = np.uint32((np.int64(s["ack"]) - 1) & 0xFFFFFFFF)
        stream["knows_base"][end ^ 1] = 1


@inner
def _take(streams, count, root, s):
    """Fold ``s`` into the newest stream of its ends, or into a new one; how many streams there are then."""
    end, is_new = _end(s), root["newest"] < 0
    if is_new or _reuses(streams[root["newest"]], end, s):
        root["newest"] = count
        _begin(streams[count], s)
        if not is_new:
            streams[count]["bits"] = HAS_SYN  # of a reused pair of ports, data in the SYN is not looked at
            streams[count]["first"] = 0
        count += 1
    else:
        stream = streams[root["newest"]]
        stream["bits"] |= _set_bits(s["flags"], s["payload"]) | stream["first"]
    _learn_bases(streams[root["newest"]], end, s)
    return count


@kernel
def observe(
    places: Array, streams: Array, counts: Array, flows: Array, segments: Array, notes: Array, start: int
) -> int:
    """Fold the segments from ``start`` on into their streams.

    Parameters
    ----------
    places : dialects.PLACES array, one for each connection
    streams : STREAMS array
    counts : int64 array (1,), how many streams there are
    flows : FLOWS array, the engine's connections
    segments, notes : SEGMENTS and NOTES arrays (n,)
    start : int

    Returns
    -------
    int
        How many segments were taken; fewer than all if there has to be room for more streams first.
    """
    for i in range(start, len(segments)):
        if counts[0] >= len(streams):
            return i
        conn = notes[i]["side"] >> 1
        place = places[conn]
        if notes[i]["fate"] & OPENING:
            older = flows[conn]["older"]
            place["root"] = places[older]["root"] if older >= 0 else conn
            place["newest"] = place["first"] = -1
        root = places[place["root"]]
        counts[0] = _take(streams, counts[0], root, segments[i])
        if place["first"] < 0:
            place["first"] = root["newest"]
        elif place["first"] != root["newest"]:
            place["later"] = 1
    return len(segments)
