"""How the two sides of each connection behaved: what a judge asks beside their states.

It looks at the segments after the engine, which says whose each is and what it took it for. It keeps one
small record for each side, and one more for a side that sent a RST: who reset a connection, in answer to
what, and whether the RST looks like that side's other packets. As everywhere, memory grows with connections,
not with packets.
"""

# What a kernel's arguments are is numba's to say; annotations would only repeat Any.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from pathlib import Path
from typing import Any

import dpkt.tcp
import numpy as np

from tcpstates.compiled import inlined, inner, kernel
from tcpstates.inference.memory import cut, grow, sides_of, taken
from tcpstates.schema import CONDUCT, NO_TIME, RESETS, Fate, Known
from tcpstates.storage import Rows, blocks, bytes_of

Array = np.ndarray[Any, np.dtype[Any]]

FIN, SYN, RST, ACK = (
    int(flag) for flag in (dpkt.tcp.TH_FIN, dpkt.tcp.TH_SYN, dpkt.tcp.TH_RST, dpkt.tcp.TH_ACK)
)
NOT_SEEN = int(Fate.DUPLICATE | Fate.BAD_CHECKSUM)
SUSPICIOUS, KEEP_ALIVE = int(Fate.SUSPICIOUS_RST), int(Fate.KEEP_ALIVE)
SEEN, KNOWS_SEQUENCE, KNOWS_ACK, KNOWS_FIN = (
    int(bit) for bit in (Known.SEEN, Known.SEQUENCE, Known.ACK, Known.FIN)
)
#: What its sender sends this much after a RST was not under way when that was sent.
CROSSING = 500_000_000
#: A challenge ACK answers at once (RFC 5961), within a long round trip.
CHALLENGE = 1_000_000_000
#: An IP ID that rises by no more than this may be of a counter: the host's, or the socket's.
ID_STEP = 64


class Conduct:
    """Collects the conduct of all sides, and their RSTs."""

    def __init__(self) -> None:
        self._sides = np.zeros(1 << 11, CONDUCT)
        self._resets = np.zeros(1 << 6, RESETS)
        self._count = np.zeros(1, np.int64)

    def feed(self, segments: Array, notes: Array) -> None:
        """Look at more segments.

        Parameters
        ----------
        segments : SEGMENTS array (n,)
        notes : NOTES array (n,), what ``Engine.feed`` noted of them
        """
        if not len(segments):
            return
        grow(self._sides, (int(notes["side"].max()) | 1) + 1)
        done = 0
        while True:
            done = observe(segments, notes, self._sides, self._resets, self._count, done)
            if done == len(segments):
                return
            grow(self._resets, len(self._resets) + 1)

    def of(self, connections: int) -> tuple[Array, Array]:
        """The CONDUCT of the sides of so many connections, and all RESETS by side, as copies."""
        grow(self._sides, 2 * connections)
        return by_side(self._sides[: 2 * connections].copy(), self._resets[: self._count[0]])

    def close(self, connections: int) -> tuple[Array, Array]:
        """As ``of``, but what is held itself: nothing can follow."""
        grow(self._sides, 2 * connections)
        return by_side(cut(self._sides, 2 * connections, CONDUCT), self._resets[: self._count[0]])

    def part(self, connections: Array) -> Conduct:
        """The conduct of the sides of some connections, by their places, numbered anew."""
        chosen = sides_of(connections)
        grow(self._sides, int(chosen.max(initial=-1)) + 1)
        part = Conduct()
        part._sides = np.zeros(max(len(chosen), 1 << 11), CONDUCT)
        bytes_of(part._sides)[: len(chosen)] = bytes_of(self._sides).take(chosen, axis=0)
        _sides, rows = by_side(part._sides[: len(chosen)], self._resets)
        part._resets = np.zeros(max(len(rows), 1 << 6), RESETS)
        part._resets[: len(rows)] = rows
        part._count[0] = len(rows)
        return part

    @property
    def nbytes(self) -> int:
        """The bytes that it holds."""
        return self._sides.nbytes + self._resets.nbytes


def by_side(sides: Array, resets: Array, folder: Path | None = None) -> tuple[Array, Array]:
    """``sides`` (CONDUCT) and the rows of ``resets`` that are theirs, in their order; numbered anew.

    With a ``folder`` these are in a file there.
    """
    with_resets = np.flatnonzero(sides["reset"])
    rows = Rows(RESETS, folder)
    rows.reach(len(with_resets))
    for part in blocks(len(with_resets)):
        some, places = with_resets[part], np.arange(part.start, part.stop)
        found = taken(resets, sides["reset"][some] - 1)
        found["side"], sides["reset"][some] = some, places + 1
        rows.put(places, found)
    return sides, rows.array


@inlined
def _ahead(number, other):
    """How far ``number`` is ahead of ``other`` modulo 2^32, negative if behind."""
    return ((np.int64(number) - np.int64(other) + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@inlined
def _end(s):
    """The number after a segment's last."""
    length = np.int64(s["payload"]) + (1 if s["flags"] & SYN else 0) + (1 if s["flags"] & FIN else 0)
    return np.uint32((np.int64(s["seq"]) + length) & 0xFFFFFFFF)


@inlined
def _note_path(x, s):
    """The TTL and the IP ID of a segment of ``x``: by them its RST may be known not to be its own."""
    if not x["known"] & SEEN:
        x["ttl_least"] = x["ttl_most"] = s["ttl"]
        x["first_frame"] = s["frame"]
    else:
        x["ttl_least"], x["ttl_most"] = min(x["ttl_least"], s["ttl"]), max(x["ttl_most"], s["ttl"])
        if 0 < (np.int64(s["ip_id"]) - np.int64(x["ip_id"])) & 0xFFFF <= ID_STEP:
            if x["id_steps"] < 255:
                x["id_steps"] += 1
        elif x["id_jumps"] < 255:
            x["id_jumps"] += 1
    x["ip_id"] = s["ip_id"]


@inlined
def _note_numbers(x, s):
    """The numbers that ``x`` has used, and acknowledged."""
    end = _end(s)
    if not x["known"] & KNOWS_SEQUENCE or _ahead(end, x["snd_nxt"]) > 0:
        x["snd_nxt"] = end
    if s["flags"] & FIN:
        x["fin_end"] = end
        x["known"] |= KNOWS_FIN
    x["known"] |= SEEN | KNOWS_SEQUENCE
    if s["flags"] & ACK:
        x["acked"] = s["ack"]
        x["known"] |= KNOWS_ACK


@inlined
def _segment(resets, x, y, s, fate):
    """Any segment from ``x`` to ``y`` but a RST."""
    if x["reset"]:
        _live_on(resets[x["reset"] - 1], s)
    if y["reset"]:
        _meet(resets[y["reset"] - 1], s)
    is_new = not x["known"] & KNOWS_SEQUENCE or _ahead(_end(s), x["snd_nxt"]) > 0
    _note_path(x, s)
    _note_numbers(x, s)
    y["unanswered"] = 0
    if s["payload"]:
        x["last_data_frame"] = s["frame"]
        if is_new:
            x["pending"] += s["payload"]
            y["pending"] = 0
    if s["flags"] & FIN and is_new:
        y["pending"] = 0  # what comes from now on comes late
    if s["payload"] or s["flags"] & (SYN | FIN) or fate & KEEP_ALIVE:
        if x["unanswered"] == 0:
            x["unanswered_since"], x["unanswered_frame"] = s["time"], s["frame"]
        if x["unanswered"] == 0 or not is_new:
            x["unanswered"] += 1
    x["last"], x["last_frame"] = s["time"], s["frame"]


@inner
def _live_on(reset, s):
    """The claimed sender of a RST sends: perhaps what no ended socket sends."""
    if reset["lived_on"] == NO_TIME and (
        s["time"] - reset["time"] > CROSSING or _ahead(_end(s), reset["seq"]) > 0
    ):
        reset["lived_on"], reset["lived_on_frame"] = s["time"], s["frame"]


@inner
def _meet(reset, s):
    """The receiver of a RST sends: perhaps a challenge ACK."""
    if (
        not reset["challenge_frame"]
        and not s["payload"]
        and not s["flags"] & (SYN | FIN)
        and s["time"] - reset["time"] <= CHALLENGE
    ):
        reset["challenge_frame"] = s["frame"]


@inner
def _reset(resets, count, x, y, s, side, fate):
    """A RST from ``x`` to ``y``; it is remembered if it tells more than the one that is."""
    if not x["reset"]:
        reset = resets[count[0]]
        count[0] += 1
        x["reset"] = count[0]
        _fill(reset, x, y, s, side, fate)
    else:
        reset = resets[x["reset"] - 1]
        if not fate & SUSPICIOUS and (reset["fate"] & SUSPICIOUS or reset["lived_on"] != NO_TIME):
            _fill(reset, x, y, s, side, fate)


@inner
def _fill(reset, x, y, s, side, fate):
    """Remember a RST, and how both sides were when it was sent."""
    reset["side"], reset["time"], reset["frame"], reset["file"] = side, s["time"], s["frame"], s["file"]
    reset["seq"], reset["ack"], reset["flags"], reset["window"] = s["seq"], s["ack"], s["flags"], s["window"]
    reset["ttl"], reset["ip_id"], reset["fate"] = s["ttl"], s["ip_id"], fate
    reset["lived_on"], reset["lived_on_frame"], reset["challenge_frame"] = NO_TIME, 0, 0
    _fill_idle(reset, x, y, s["time"])
    reset["snd_nxt"], reset["known"] = x["snd_nxt"], x["known"]
    reset["unanswered"], reset["unanswered_frame"] = x["unanswered"], x["unanswered_frame"]
    reset["asked_for"] = s["time"] - x["unanswered_since"] if x["unanswered"] else 0
    reset["last_ip_id"], reset["id_steps"], reset["id_jumps"] = x["ip_id"], x["id_steps"], x["id_jumps"]
    reset["ttl_least"], reset["ttl_most"] = x["ttl_least"], x["ttl_most"]
    reset["peer_snd_nxt"], reset["peer_known"], reset["peer_acked"] = y["snd_nxt"], y["known"], y["acked"]
    reset["peer_pending"], reset["peer_fin_end"] = y["pending"], y["fin_end"]
    reset["peer_last_frame"] = y["last_frame"]


@inner
def _fill_idle(reset, x, y, now):
    """Who spoke last before a RST of ``x``, and how long nobody had before that."""
    if y["known"] & SEEN and (not x["known"] & SEEN or y["last"] >= x["last"]):
        reset["waited"] = now - y["last"]
        reset["idle"] = max(y["last"] - x["last"], 0) if x["known"] & SEEN else 0
    else:
        reset["waited"] = -1
        reset["idle"] = now - x["last"] if x["known"] & SEEN else 0


@kernel
def observe(segments: Array, notes: Array, sides: Array, resets: Array, count: Array, start: int) -> int:
    """Look at the segments from ``start`` on, in their order.

    Parameters
    ----------
    segments : SEGMENTS array (n,)
    notes : NOTES array (n,)
    sides : CONDUCT array, a row for every side that is noted
    resets : RESETS array
    count : int64 array (1,), how many rows of ``resets`` are in use
    start : int

    Returns
    -------
    int
        How many segments were looked at; fewer than all if ``resets`` has to grow first.
    """
    for i in range(start, len(segments)):
        fate = notes[i]["fate"]
        if fate & NOT_SEEN:
            continue
        s, side = segments[i], notes[i]["side"]
        x, y = sides[side], sides[side ^ 1]
        if not s["flags"] & RST:
            _segment(resets, x, y, s, fate)
        elif count[0] == len(resets) and not x["reset"]:
            return i
        else:
            _reset(resets, count, x, y, s, side, fate)
    return len(segments)
