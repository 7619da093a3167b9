"""What the engine remembers: a flow for each connection, a socket for each side, and the event log.

All of it is numpy records, so that the compiled step can work on it and memory grows with
connections and transitions, never with packets. A flow's and a socket's public columns are those of
``schema.CONNECTIONS`` and ``schema.SIDES``; what follows them is the engine's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tcpstates.inference.timers import Timers
from tcpstates.schema import CONNECTIONS, SIDES
from tcpstates.states import Event, State, transition_array
from tcpstates.storage import bytes_of


def _extend(base: np.dtype, fields: list[Any]) -> np.dtype:
    """``base`` with more fields behind it, so that a record begins with one of ``base``."""
    extended = np.dtype([*((name, base[name]) for name in base.names or ()), *fields], align=True)
    before, after = dict(base.fields or {}), dict(extended.fields or {})
    assert all(after[name] == field for name, field in before.items())
    return extended


#: Instead of the next connection of a 4-tuple (``FLOWS.newer``): no segment belongs to this one any more.
FORGOTTEN = -2

#: So many segments of a side are remembered to know their second copies.
RECENT = 8

#: A connection in the engine.
FLOWS = _extend(
    CONNECTIONS,
    [
        ("rtt", "i8"),  # of the handshake, ns; -1 if it was not seen whole
        ("hash", "u8"),
        ("number", "i8"),  # what it is called for good, however many are forgotten
        ("older", "i4"),  # the connection that used this 4-tuple before, -1 for none; of a new one only
        ("before", "i4"),  # the same, but not one that is forgotten by now
        ("newer", "i4"),  # the one that did so next, -1 for none, FORGOTTEN if this one claims nothing more
    ],
)

#: One side in the engine. "It" is this side, "the peer" the other; sequence numbers are uint32.
SOCKETS = _extend(
    SIDES,
    [
        # What is asked for at every segment stands together: a processor fetches 64 bytes at a time
        ("last_sent", "i8"),  # its last frame that was no duplicate
        ("sent_at", "i8"),  # the last transmission of the oldest that the peer must acknowledge
        ("happened", "u4"),  # bit set of states.Event
        ("snd_nxt", "u4"),  # beyond the last number that it was seen to use
        ("contiguous", "u4"),  # what the peer expects next if all that was captured arrived
        ("beyond_left", "u4"),  # one range that was captured beyond a hole; left = right for none
        ("beyond_right", "u4"),
        ("acked", "u4"),  # its highest ACK number
        ("window", "u4"),  # its last window, scaled
        ("ts_recent", "u4"),  # what the peer's TS.Recent is at least (RFC 7323)
        ("tail", "i4"),
        ("head", "i4"),  # its first and last entry in the log
        ("iss", "u4"),  # initial sequence number; a guess (first number - 1) if not iss_known
        ("syn_payload", "u4"),  # data in its SYN (Fast Open)
        ("state", "u1"),
        ("fin", "u1"),  # NO_FIN, FIN_SEEN, FIN_INFERRED
        ("known", "u2"),  # the bits below
        ("wscale", "i1"),
        ("probes", "u1"),  # keep-alives since the peer last sent anything
        ("sent_times", "u1"),  # how often it was sent by then; 0 while nothing is outstanding
        ("has_good_checksums", "u1"),
        ("closer", "u1"),  # schema.FirstCloser: what this side is if it sends the first FIN
        ("recent_next", "u1"),  # where the next one is entered
        ("recent_mark", "u4", (RECENT,)),  # of its last segments, a ring: fingerprints,
        ("recent_tick", "u4", (RECENT,)),  # when they were captured, in units of 1,024 ns modulo 2^32,
        ("recent_path", "u2", (RECENT,)),  # by which way,
        ("recent_heard", "u2", (RECENT,)),  # and how many of the peer's had been by then, modulo 2^16
        # What is asked for where a connection opens or ends, or something is lost
        ("control_time", "i8"),  # the last copy of its latest SYN, SYN-ACK or FIN
        ("first_control_time", "i8"),  # the first copy of that
        ("ack_of_syn_time", "i8"),  # the peer's last segment that acknowledged its SYN
        ("ack_of_fin_time", "i8"),  # the same for its FIN
        ("reset_time", "i8"),  # the last RST that it accepted
        ("time_wait_restart", "i8"),  # the last segment that restarted its TIME_WAIT
        ("backoff", "i8"),  # the interval before it, ns
        ("icmp_time", "i8"),  # of the last ICMP error about a segment of its
        ("leap_time", "i8"),  # a bare ACK that begins one number beyond what was captured
        ("fin_end", "u4"),  # the number after its FIN
        ("missed_end", "u4"),  # the end of what the peer acknowledged and the capture missed
        ("icmp_seq", "u4"),  # what the last ICMP error quoted
        ("reset_seq", "u4"),  # the number of the RST that it sent, and its ACK number
        ("reset_ack", "u4"),
        ("sack_right", "u4"),  # the right edge of its last SACK block
        ("control_frame", "u4"),
        ("first_control_frame", "u4"),
        ("first_control_tsval", "u4"),
        ("ack_of_syn_frame", "u4"),
        ("ack_of_fin_frame", "u4"),
        ("ack_of_syn_file", "i4"),
        ("ack_of_fin_file", "i4"),
        ("control_file", "i4"),
        ("first_control_file", "i4"),
        ("leap_frame", "u4"),
        ("leap_file", "i4"),
        ("leap_end", "u4"),
    ],
)

# What is known of a socket (``SOCKETS.known``)
KNOWS_ISS = 1  # its SYN or SYN-ACK was seen, or acknowledged by one
KNOWS_SEQUENCE = 2  # snd_nxt holds
KNOWS_ACK = 4  # acked holds
KNOWS_SACK = 8
MISSED_FRAMES = 16  # the peer acknowledged more than was captured; a FIN may have been in it
OPEN_FOR_SURE = 32  # it acted on its third ACK: a late SYN-ACK of its changes nothing
HELD = 64  # it acknowledged data in FIN_WAIT2: a process holds it, no FIN timeout
RESET_EXACT = 128  # the RST that it accepted had the very number that it expected
DOUBTS_THIRD_ACK = 256  # it repeated its SYN-ACK after one: full accept queue, or a loss
RESET_HAS_ACK = 512  # reset_ack holds
LEAPT_AT_FIN = 1024  # the leap was its answer to the peer's FIN: if its own FIN came before, they crossed
KNOWS_TIMESTAMP = 2048  # ts_recent holds

NO_FIN, FIN_SEEN, FIN_INFERRED = 0, 1, 2

AUTO, VERIFY, IGNORE = 0, 1, 2
#: What is done with segments whose checksum is wrong.
CHECKSUMS = {"auto": AUTO, "verify": VERIFY, "ignore": IGNORE}

#: One event of one side; ``previous`` and ``following`` link a side's events in time order.
ENTRIES = np.dtype(
    [
        ("time", "i8"),
        ("previous", "i4"),
        ("following", "i4"),
        ("file", "i4"),
        ("frame", "u4"),
        ("event", "u1"),
        ("evidence", "u1"),
        ("state", "u1"),  # after the event
    ],
    align=True,
)

#: So many segments at once are looked up ahead of the step.
LOOKED_AHEAD = 16

#: Counters, parameters and the transition table, in one record that the kernels pass on as one.
CORE = np.dtype(
    [
        ("flow_count", "i8"),
        ("entry_count", "i8"),
        ("next_number", "i8"),
        ("free_entry", "i8"),  # the first free entry below entry_count, -1 for none
        ("free_entries", "i8"),
        ("bad_checksums", "i8"),
        ("stray_errors", "i8"),  # ICMP errors about no connection
        ("time_wait", "i8"),  # ns
        ("fin_timeout", "i8"),  # ns
        ("maximum_rto", "i8"),  # ns
        ("linear_syn_retries", "i8"),
        ("seed", "u8"),
        ("hashes", "u8", (LOOKED_AHEAD,)),  # of the next segments' 4-tuples
        ("any_ack_restarts", "u1"),
        ("checksums", "u1"),  # AUTO, VERIFY or IGNORE
        ("transitions", "u1", (len(State), len(Event))),
    ],
    align=True,
)

#: Entries that a segment can add at most: to both sides of its connection, and to those that timers end of
#: the older ones that are looked at.
ENTRIES_PER_SEGMENT = 192


#: An array of more bytes than this grows by little at a time: it moves without a copy.
_LARGE = 1 << 22
#: So many records are moved together, by way of a buffer that a processor's cache holds.
_AT_ONCE = 1 << 11


class Memory(NamedTuple):
    """The engine's arrays, in the order in which the kernels take them."""

    slots: np.ndarray  # int64 (2^n,): hash table: a part of the hash over the place of the flow, -1 for empty
    flows: np.ndarray  # FLOWS
    sockets: np.ndarray  # SOCKETS, two per flow
    log: np.ndarray  # ENTRIES
    core: np.ndarray  # CORE (1,)


def new_memory(timers: Timers, checksums: int, seed: int) -> Memory:
    """Empty memory for a capture."""
    core = np.zeros(1, CORE)
    core["free_entry"] = -1
    core["time_wait"], core["fin_timeout"] = timers.time_wait, timers.fin_timeout
    core["maximum_rto"], core["linear_syn_retries"] = timers.maximum_rto, timers.linear_syn_retries
    core["any_ack_restarts"] = timers.any_ack_restarts_time_wait
    core["checksums"], core["seed"] = checksums, seed
    core["transitions"] = transition_array()
    return Memory(
        slots=np.full(1 << 12, -1, np.int64),
        flows=np.zeros(1 << 10, FLOWS),
        sockets=np.zeros(1 << 11, SOCKETS),
        log=np.zeros(1 << 13, ENTRIES),
        core=core,
    )


def grow(array: np.ndarray, needed: int) -> None:
    """Make room in ``array`` for ``needed`` records, in place: large blocks then move without a copy.

    Nothing but ``Memory`` may hold the array, or a view of it, across this call.
    """
    if needed > len(array):
        more = len(array) // (2 if array.nbytes < _LARGE else 16)
        array.resize(max(needed, len(array) + more), refcheck=False)


def sides_of(connections: np.ndarray) -> np.ndarray:
    """The places of the sides of connections (both int64), the client's before the server's."""
    return np.stack((2 * connections, 2 * connections + 1), axis=1).reshape(-1)


def keep(array: np.ndarray, places: np.ndarray) -> None:
    """Keep only the records at ``places``, which rise, in place; beyond them there is some room, of zeros.

    As for ``grow``, nothing else may hold the array.
    """
    rows = bytes_of(array)
    _move(rows, places, rows)
    rows[len(places) :] = 0
    del rows
    array.resize(min(len(array), 4 * len(places) + 1_024), refcheck=False)


def taken(records: np.ndarray, places: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
    """Copies of the records at ``places``; only of the fields that ``dtype`` has, which come first."""
    rows = np.empty(len(places), dtype or records.dtype)
    _move(bytes_of(records), places, bytes_of(rows))
    return rows


def _move(rows: np.ndarray, places: np.ndarray, target: np.ndarray) -> None:
    """Copy the bytes at ``places``, which rise where ``target`` is the same array, one after another."""
    buffer = np.empty((_AT_ONCE, rows.shape[1]), np.uint8)
    for start in range(0, len(places), _AT_ONCE):
        part = places[start : start + _AT_ONCE]
        some = rows.take(part, axis=0, out=buffer[: len(part)], mode="clip")  # "raise" would copy once more
        target[start : start + len(part)] = some[:, : target.shape[1]]


def beginning(records: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A copy of the fields that ``dtype`` has: the first bytes of each record."""
    rows = bytes_of(records)[:, : dtype.itemsize]
    return np.ascontiguousarray(rows).view(dtype).reshape(len(records))


def cut(array: np.ndarray, count: int, dtype: np.dtype) -> np.ndarray:
    """The first fields of the first ``count`` records, as ``dtype`` has them, in the memory of ``array``.

    What of that is not needed is given back, and ``array`` is of no more use.
    """
    size = count * dtype.itemsize
    records = bytes_of(array)
    packed = array.view(np.uint8)[:size].reshape(count, dtype.itemsize)
    for start in range(0, count, _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, count))
        packed[part] = records[part, : dtype.itemsize]
    array.resize(-(-size // array.itemsize), refcheck=False)
    return array.view(np.uint8)[:size].view(dtype)
