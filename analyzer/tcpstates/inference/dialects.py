"""Looks at segments after the engine, and says what Zeek and Wireshark make of each connection.

Memory grows with connections, not with segments: some 300 bytes for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tcpstates.inference import wireshark, zeek
from tcpstates.inference.memory import grow, sides_of, taken
from tcpstates.schema import DIALECTS, SIDES
from tcpstates.storage import blocks

Array = np.ndarray[Any, np.dtype[Any]]

#: Where one connection's streams (Wireshark's) or records (Zeek's) are.
PLACES = np.dtype(
    [
        ("root", "i4"),  # the first connection between the same two ends that is not forgotten
        ("newest", "i4"),  # of a root: the newest one between these ends, -1 for none yet
        ("first", "i4"),  # the one that the connection's first frame is in
        ("later", "u1"),  # whether later frames are in another one
    ],
    align=True,
)

#: TCP ports that Zeek's default scripts name as a server's (``likely_server_ports``).
SERVER_PORTS = (
    *(
        21,
        22,
        25,
        53,
        79,
        80,
        81,
        88,
        110,
        111,
        135,
        139,
        143,
        389,
        443,
        445,
        502,
        563,
        585,
        587,
        614,
        631,
        636,
    ),
    *(853, 989, 990, 992, 993, 995, 1080, 1434, 1883, 2811, 3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432),
    *(6379, 6666, 6667, 6668, 6669, 8000, 8080, 8888, 20000),
)


class Dialects:
    """What Zeek and Wireshark would say of the connections that an engine finds."""

    def __init__(self) -> None:
        self._streams, self._stream_count = np.zeros(1 << 10, wireshark.STREAMS), np.zeros(1, np.int64)
        self._places_of_streams = np.zeros(1 << 10, PLACES)
        self._records, self._record_count = np.zeros(1 << 10, zeek.RECORDS), np.zeros(1, np.int64)
        self._ends = np.zeros(1 << 11, zeek.ENDS)
        self._places_of_records = np.zeros(1 << 10, PLACES)
        self._server_ports = np.zeros(1 << 16, np.uint8)
        self._server_ports[list(SERVER_PORTS)] = 1

    def feed(self, segments: Array, notes: Array, flows: Array) -> None:
        """Take in segments that the engine has taken in.

        Parameters
        ----------
        segments : SEGMENTS array (n,)
        notes : NOTES array (n,), as the engine returned it.
        flows : FLOWS array, ``Engine.flows``.
        """
        grow(self._places_of_streams, len(flows))
        grow(self._places_of_records, len(flows))
        self._repeat(len(segments), lambda done: self._to_wireshark(flows, segments, notes, done))
        self._repeat(len(segments), lambda done: self._to_zeek(flows, segments, notes, done))

    def finish(self, sides: Array) -> Array:
        """What is said of each connection so far.

        Parameters
        ----------
        sides : SIDES array (2 n,)

        Returns
        -------
        DIALECTS array (n,)
        """
        return self.said_of(np.arange(len(sides) // 2), sides)

    def said_of(self, connections: Array, sides: Array) -> Array:
        """The same of some connections, by their places; ``sides`` has those of all."""
        rows = np.zeros(len(connections), DIALECTS)
        for part in blocks(len(rows)):
            self._say(rows[part], connections[part], sides)
        return rows

    def _say(self, rows: Array, connections: Array, sides: Array) -> None:
        """Fill in the ``rows`` of some connections."""
        places = self._places_of_records[connections]
        self._say_of_records(rows, places["first"], sides)
        rows["zeek_splits"] = places["later"]
        places = self._places_of_streams[connections]
        rows["completeness"] = self._streams["bits"][places["first"]]
        rows["wireshark_splits"] = places["later"]

    def free(self, over: Array) -> Array:
        """Which of the connections that are over can be forgotten: nothing of them matters to another one.

        Parameters
        ----------
        over, returned : uint8 (n,), 1 for each such connection.
        """
        free, count = over.copy(), -1
        owners = self._records["conn"][: int(self._record_count[0])]
        while count != free.sum():  # what is held may hold others
            count, held = free.sum(), np.flatnonzero(free == 0)
            used = _used(self._places_of_streams, held, int(self._stream_count[0]))
            free[used[self._places_of_streams["first"][: len(free)]]] = 0
            used = _used(self._places_of_records, held, len(owners))
            free[used[self._places_of_records["first"][: len(free)]]] = 0
            free[owners[used]] = 0
        return free

    def keep(self, connections: Array) -> None:
        """Remember only those connections, by their places, which rise; all others must be ``free``."""
        place = np.full(len(self._places_of_records), -1, np.int32)
        place[connections] = np.arange(len(connections))
        self._places_of_streams, used = _kept(
            self._places_of_streams, connections, int(self._stream_count[0])
        )
        self._streams, self._stream_count[0] = taken(self._streams, used), len(used)
        self._places_of_records, used = _kept(
            self._places_of_records, connections, int(self._record_count[0])
        )
        self._records, self._record_count[0] = taken(self._records, used), len(used)
        self._records["conn"] = place[self._records["conn"]]
        self._ends = taken(self._ends, sides_of(used))

    def zeek_records(self, sides: Array) -> tuple[Array, Array]:
        """Every record that Zeek would log so far, of which a connection can have several.

        Parameters
        ----------
        sides : SIDES array (2 n,)

        Returns
        -------
        connections : int32 array (m,), the connection whose segment began the record.
        rows : DIALECTS array (m,), of which only Zeek's fields are filled in.
        """
        every = np.arange(int(self._record_count[0]))
        rows = np.zeros(len(every), DIALECTS)
        self._say_of_records(rows, every, sides)
        return self._records["conn"][every], rows

    def _say_of_records(self, rows: Array, which: Array, sides: Array) -> None:
        """Fill in Zeek's fields of ``rows`` for some records."""
        connections, originator = (self._records[name][which] for name in ("conn", "originator"))
        letters = np.ascontiguousarray(self._records["letters"][which])
        rows["history"] = letters.view(DIALECTS["history"])[:, 0]
        rows["reversed"] = originator != _higher_clients(taken(sides, sides_of(connections), SIDES))
        ends = 2 * which.astype(np.int64) + originator
        rows["originator"], rows["responder"] = self._ends["state"][ends], self._ends["state"][ends ^ 1]
        rows["is_empty"] = ~(self._has_bytes(ends) | self._has_bytes(ends ^ 1))

    def _has_bytes(self, ends: Array) -> Array:
        """Whether an end sent any payload, by Zeek's count: from numbers, SYN and FIN left out."""
        x: dict[str, Array] = {
            name: self._ends[name][ends] for name in ("previous", "state", "acked", "last", "has_fin")
        }
        # A SYN that found an old connection, and the RST that ended it: the numbers are the old ones
        found_old = (x["previous"] == zeek.SYN_SENT) & (x["state"] == zeek.RESET) & (x["acked"] > 1)
        found_old &= self._ends["state"][ends ^ 1] == zeek.INACTIVE
        return np.asarray((np.maximum(x["last"], x["acked"]) - 1 > x["has_fin"]) & ~found_old)

    def _to_wireshark(self, flows: Array, segments: Array, notes: Array, done: int) -> int:
        grow(self._streams, int(self._stream_count[0]) + 1)
        memory = (self._places_of_streams, self._streams, self._stream_count)
        return int(wireshark.observe(*memory, flows, segments, notes, done))

    def _to_zeek(self, flows: Array, segments: Array, notes: Array, done: int) -> int:
        grow(self._records, int(self._record_count[0]) + 1)
        grow(self._ends, 2 * len(self._records))
        memory = (self._places_of_records, self._records, self._ends, self._record_count, self._server_ports)
        return int(zeek.observe(*memory, flows, segments, notes, done))

    @staticmethod
    def _repeat(count: int, step: Callable[[int], int]) -> None:
        """Have ``step`` go on from where it came to, with more room each time, until all is done."""
        done = 0
        while done < count:
            done = step(done)


def _used(places: Array, connections: Array, count: int) -> Array:
    """Which of ``count`` streams or records the first frame of a connection is in, or its next one can be."""
    used = np.zeros(count, np.bool_)
    used[places["first"][connections]] = True
    used[places["newest"][places["root"][connections]]] = True
    return used


def _kept(places: Array, connections: Array, count: int) -> tuple[Array, Array]:
    """The places of some connections alone, and which of ``count`` streams or records they need."""
    used = np.flatnonzero(_used(places, connections, count))
    number = np.full(count + 1, -1, np.int32)  # the last one serves -1
    number[used] = np.arange(len(used))
    kept = places[connections]
    newest = number[places["newest"][kept["root"]]]
    _roots, first, group = np.unique(kept["root"], return_index=True, return_inverse=True)
    kept["root"], kept["first"], kept["newest"] = first[group], number[kept["first"]], -1
    kept["newest"][first] = newest[first]
    return kept, used


def _higher_clients(sides: Array) -> Array:
    """1 where the client is the end with the higher address and port, else 0; as the kernels name ends."""
    client, server = sides[0::2], sides[1::2]
    higher = client["port"] > server["port"]
    for name in ("addr_lo", "addr_hi"):
        higher = np.where(client[name] == server[name], higher, client[name] > server[name])
    return higher.astype(np.uint8)
