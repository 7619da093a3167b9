"""What the detectors of patterns share: a pattern's record, figures per connection, and groups of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tcpstates.reports.facts import Facts, client, server
from tcpstates.reports.listeners import refusals
from tcpstates.reports.ranking import changes, ranked


class Pattern(NamedTuple):
    """What many connections show together; times in ns.

    ``measured`` is the figure that decided, ``threshold`` the one that it had to reach, both in ``unit``.
    Hosts are codes of ``log.places``; -1, of a port too, where it is not one in particular.
    """

    pattern: str  # of schema.PATTERNS
    severity: str
    culprit: str  # of schema.CULPRITS, empty for nobody
    server: int
    port: int
    client: int
    connections: int
    clients: int
    first: int
    last: int
    measured: float
    threshold: float
    unit: str
    explanation: str
    check: str  # what to run next, and where
    example: int


class Traffic:
    """Figures of every connection of a log, one value per connection."""

    def __init__(self, facts: Facts) -> None:
        self.facts, self.log, self.start = facts, facts.log, facts.start

    @cached_property
    def client(self) -> np.ndarray:
        """Codes of ``log.places``: the clients."""
        return self.log.places.codes[0::2]

    @cached_property
    def server(self) -> np.ndarray:
        """Codes of ``log.places``: the servers."""
        return self.log.places.codes[1::2]

    @cached_property
    def server_port(self) -> np.ndarray:
        """int64, to make keys of."""
        return self.log.sides["port"][1::2].astype(np.int64)

    @cached_property
    def endpoint(self) -> np.ndarray:
        """A key of the server and its port."""
        return self.facts.services

    @cached_property
    def attempted(self) -> np.ndarray:
        """bool: a SYN of the client was captured."""
        return client(self.log.up_to_255("syns")) > 0

    @cached_property
    def answered(self) -> np.ndarray:
        """bool: the server answered with a SYN-ACK."""
        return server(self.log.up_to_255("syn_acks")) > 0

    @cached_property
    def refused(self) -> np.ndarray:
        """bool: a RST answered the client's SYN."""
        refused = np.zeros(len(self.start), bool)
        refused[self.log.transitions["conn"][refusals(self.log)]] = True
        return refused

    @cached_property
    def tried(self) -> np.ndarray:
        """bool: by a SYN of the client, or by a segment that no socket sends."""
        return np.asarray(self.attempted | (self.log.connections["probe"] != 0))

    def counts(self, name: str, conn: np.ndarray) -> np.ndarray:
        """int64, shape (connections of ``conn``, 2): a count of ``log.sides``, to reckon with."""
        return np.asarray(self.log.per_side(name)[conn], np.int64)

    def talk(self, conn: np.ndarray) -> np.ndarray:
        """int64 per connection of ``conn``: frames but the capture's duplicates, SYN, SYN-ACK and RST."""
        others = sum(self.counts(name, conn) for name in ("duplicates", "syns", "syn_acks", "rsts"))
        return np.asarray(np.maximum(self.counts("frames", conn) - others, 0).sum(axis=1))

    @cached_property
    def age(self) -> np.ndarray:
        """int64: from the connection's first frame to the end of what is known of it, ns."""
        return np.asarray(self.log.known_until - self.start)


def crowds(keys: np.ndarray, at_least: int) -> Iterator[np.ndarray]:
    """The positions in ``keys`` of each key that occurs ``at_least`` times, in their order."""
    order = ranked(keys)
    ordered = keys[order]
    starts = np.flatnonzero(changes(ordered))
    ends = np.append(starts[1:], len(ordered))
    for chosen in np.flatnonzero(ends - starts >= at_least).tolist():
        yield order[starts[chosen] : ends[chosen]]


class Lookup:
    """Finds the ones of ``chosen`` that have a key; nothing is sorted until the first is asked for.

    Parameters
    ----------
    keys : int64.
    chosen : bool per key; all if None.
    """

    def __init__(self, keys: np.ndarray, chosen: np.ndarray | None = None) -> None:
        self._keys, self._chosen = keys, chosen

    def of(self, key: int) -> np.ndarray:
        """The positions of ``key``, in their order."""
        positions, keys = self._sorted
        first, last = np.searchsorted(keys, (key, key + 1))
        return np.asarray(positions[first:last])

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        positions = np.arange(len(self._keys)) if self._chosen is None else np.flatnonzero(self._chosen)
        keys = self._keys[positions]
        order = ranked(keys)
        return positions[order], keys[order]


def peak(starts: np.ndarray, ends: np.ndarray) -> tuple[int, int]:
    """The largest number of intervals that overlap, and the first instant at which they do."""
    begun = np.sort(starts)
    ended = np.searchsorted(np.sort(ends), begun, side="right")
    level = np.arange(1, len(begun) + 1) - ended
    highest = int(np.argmax(level))
    return int(level[highest]), int(begun[highest])


def pattern_of(
    traffic: Traffic,
    name: str,
    conn: np.ndarray,
    *,
    at: tuple[int, int, int],
    severity: str,
    culprit: str,
    measured: tuple[float, float, str],
    explanation: str,
    check: str,
    span: tuple[int, int] | None = None,
    example: int | None = None,
) -> Pattern:
    """The pattern ``name`` of the connections ``conn``.

    Parameters
    ----------
    at : codes of the server, its port, and the client, -1 where there are several.
    measured : the figure, the threshold that it reached, and their unit.
    span : since when, and until when; from the first to the last of the connections' starts if None.
    example : a connection to look at, the first of them if None.
    """
    if span is None:
        starts = traffic.start[conn]
        span = int(starts.min()), int(starts.max())
    return Pattern(
        name, severity, culprit, *at,
        connections=len(conn), clients=len(np.unique(traffic.client[conn])), first=span[0], last=span[1],
        measured=float(measured[0]), threshold=float(measured[1]), unit=measured[2],
        explanation=explanation, check=check, example=int(conn[0]) if example is None else example,
    )  # fmt: skip


def server_of(traffic: Traffic, conn: np.ndarray, client: int = -1) -> tuple[int, int, int]:
    """The ``at`` of connections that are all to one server."""
    return int(traffic.server[conn[0]]), int(traffic.server_port[conn[0]]), client
