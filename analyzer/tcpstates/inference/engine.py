"""The engine: sans-IO, no clock, no file, no pandas; time comes from the packets.

A file, a pipe, a live interface and a worker elsewhere all feed the same two methods.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import numpy as np

from tcpstates.inference import step
from tcpstates.inference.conduct import Conduct
from tcpstates.inference.memory import (
    CHECKSUMS,
    ENTRIES,
    ENTRIES_PER_SEGMENT,
    FORGOTTEN,
    Memory,
    beginning,
    cut,
    grow,
    keep,
    new_memory,
    sides_of,
    taken,
)
from tcpstates.inference.timers import PROFILES, Timers
from tcpstates.inference.tuples import turns
from tcpstates.schema import CONNECTIONS, ICMP_ERRORS, NOTES, SIDES, TRANSITIONS
from tcpstates.states import State

Array = np.ndarray[Any, np.dtype[Any]]

_NO_ERRORS = np.zeros(0, ICMP_ERRORS)


class Inference(NamedTuple):
    """What was inferred.

    Attributes
    ----------
    connections : CONNECTIONS array (n,), in the order of their first frames.
    sides : SIDES array (2 n,): the client's row 2 * conn, the server's 2 * conn + 1.
    transitions : TRANSITIONS array, by connection, side and time; at least one row for each side.
    bad_checksums : segments and ICMP errors that moved nobody because their checksum is surely bad.
    stray_errors : ICMP errors about segments of no connection that was captured.
    conduct : CONDUCT array (2 n,): how each side behaved.
    resets : RESETS array (m,): the telling RST of each side that sent one, in the order of sides.
    """

    connections: Array
    sides: Array
    transitions: Array
    bad_checksums: int
    stray_errors: int
    conduct: Array
    resets: Array


class Retired(NamedTuple):
    """Connections that the engine has forgotten.

    Attributes
    ----------
    numbers : int64 (n,), rising: what those that are over, or closed, are called for good.
    inference : what is known of them, numbered from 0 on.
    evicted : how many others had to go before their time.
    """

    numbers: Array
    inference: Inference
    evicted: int


class Engine:
    """Infers the states of the two sides of every connection from segments in time order.

    Parameters
    ----------
    timers : how long the hosts' timers run.
    checksums : which segments with a wrong checksum move nobody: with ``verify`` all of them, with
        ``auto`` those of a sender that has sent right ones (where none is right, the capture or what
        rewrote it is to blame), with ``ignore`` none.
    seed : of the flow hash; random if not given, because captures are hostile input.
    behind : a thread that looks at the sides' conduct while the next segments move them; none if None.
    """

    def __init__(
        self,
        timers: Timers = PROFILES["linux"],
        checksums: str = "auto",
        seed: int | None = None,
        behind: Executor | None = None,
    ) -> None:
        chosen = secrets.randbits(64) if seed is None else seed
        self._memory = new_memory(timers, CHECKSUMS[checksums], chosen)
        self._conduct = Conduct()
        self._behind, self._looking = behind, Future[None]()
        self._looking.set_result(None)

    def feed(self, segments: Array, errors: Array | None = None) -> Array:
        """Take in more segments, and what ICMP says of segments.

        Parameters
        ----------
        segments : SEGMENTS array (n,)
        errors : ICMP_ERRORS array (m,), none if None; each comes before the first segment that is later.

        Returns
        -------
        NOTES array (n,)
            Whose each segment is, and what it was taken for.
        """
        notes = np.zeros(len(segments), NOTES)
        errors = _NO_ERRORS if errors is None else errors
        with np.errstate(over="ignore"):
            self._move(segments, notes, errors)
        if self._behind is None:
            self._conduct.feed(segments, notes)
        else:
            self._looking = self._behind.submit(self._observed().feed, segments, notes)
        return notes

    def _move(self, segments: Array, notes: Array, errors: Array) -> None:
        """Take both, each error in its turn."""
        if not len(errors):
            self._take(step.feed, segments, notes)
            return
        turn, done = turns(segments, errors), 0
        for place in np.unique(turn).tolist():
            self._take(step.feed, segments[done:place], notes[done:place])
            self._take(step.take_errors, errors[turn == place])
            done = place
        self._take(step.feed, segments[done:], notes[done:])

    def _take(self, kernel: Callable[..., int], records: Array, *notes: Array) -> None:
        """Have ``kernel`` take all of the records, with more room in between as it needs it."""
        done = 0
        while done < len(records):
            done = kernel(*self._memory, records, *notes, done)
            if done < len(records):
                self._grow()

    def _observed(self) -> Conduct:
        """The sides' conduct, once all that they sent has been looked at."""
        self._looking.result()
        return self._conduct

    @property
    def sides(self) -> Array:
        """The sides of all connections, with all fields of SIDES; good until the next ``feed``."""
        return self._memory.sockets[: 2 * self._count("flow_count")]

    @property
    def flows(self) -> Array:
        """FLOWS array: the connections so far, and room for more; good until the next ``feed``."""
        return self._memory.flows

    def finish(self, now: int) -> Inference:
        """What is known when the capture ends, at ``now`` in nanoseconds since the epoch.

        More segments may follow; a later call then gives the later answer.
        """
        flows, most = self._count("flow_count"), self._expire(now)
        return Inference(
            beginning(self._memory.flows[:flows], CONNECTIONS),
            beginning(self._memory.sockets[: 2 * flows], SIDES),
            _rows(self._heads(), self._memory.log, most),
            self._count("bad_checksums"),
            self._count("stray_errors"),
            *self._observed().of(flows),
        )

    def close(self, now: int) -> Inference:
        """As ``finish``, but in the engine's own memory, of which nothing is copied: no more can follow."""
        self._memory = self._memory._replace(slots=np.zeros(0, np.int64))
        count, most = self._count("flow_count"), self._expire(now)
        heads, (_slots, flows, sockets, log, _core) = self._heads(), self._memory
        self._memory = self._memory._replace(log=np.zeros(0, ENTRIES))
        return Inference(
            cut(flows, count, CONNECTIONS),
            cut(sockets, 2 * count, SIDES),  # before there are rows
            _rows(heads, log, most),
            self._count("bad_checksums"),
            self._count("stray_errors"),
            *self._observed().close(count),
        )

    def _expire(self, now: int) -> int:
        """End what a timer ends until ``now``; how many rows there are then at most."""
        done, count = 0, self._count("flow_count")
        with np.errstate(over="ignore"):
            while done < count:
                _slots, flows, sockets, log, core = self._memory
                done = step.expire(flows, sockets, log, core, now, done)
                if done < count:
                    grow(log, len(log) + ENTRIES_PER_SEGMENT)
        return self._count("entry_count") - self._count("free_entries")

    def _heads(self) -> Array:
        """int32 per side: its first entry in the log."""
        return np.ascontiguousarray(self._memory.sockets["head"][: 2 * self._count("flow_count")])

    def __len__(self) -> int:
        """How many connections it remembers."""
        return self._count("flow_count")

    @property
    def numbers(self) -> Array:
        """int64 (n,), rising: what each connection is called for good; its place until some are retired."""
        return np.array(self._memory.flows["number"][: self._count("flow_count")])

    def retire(self, now: int, most: int | None = None) -> Retired:
        """Hand out the connections that are over for long, and give their memory back.

        No later segment could belong to them (docs/inference.md, 2), so it changes nothing of the others when
        that is done. But where there are more than ``most`` connections then, others have to go before their
        time, until there are a quarter less: those that are half open first, then those that are closed, then
        those in TIME_WAIT, then the rest, those that were silent for the longest time first. Of these, those
        that are closed are handed out too; the others are only counted.

        Parameters
        ----------
        now : ns since the epoch; not later than segments that are to come.
        most : how many connections may be kept; any number if None.
        """
        gone = self.over(now)
        evicted = self._too_many(gone, most, now)
        over = np.sort(np.concatenate((np.flatnonzero(gone), evicted[self._are_closed(evicted)])))
        numbers, part = self.numbers[over], self._part(over)
        if len(evicted):
            gone[evicted] = 1
            self._forget(now, gone)
        if gone.any():
            self._keep(np.flatnonzero(gone == 0))
        return Retired(numbers, part, int(gone.sum()) - len(over))

    def over(self, now: int) -> Array:
        """uint8 per connection: 1 for those that are over for long at ``now``; see ``retire``."""
        gone = np.zeros(self._count("flow_count"), np.uint8)
        self._forget(now, gone)
        return gone

    def release(self, over: Array) -> tuple[Array, Inference]:
        """Hand out those of the connections that are ``over``, and give their memory back.

        Parameters
        ----------
        over : uint8 per connection, 1 where ``over`` says so too.

        Returns
        -------
        int64 (n,), Inference
            As ``Retired`` has them.
        """
        places = np.flatnonzero(over)
        numbers, part = self.numbers[places], self._part(places)
        self._keep(np.flatnonzero(over == 0))
        return numbers, part

    def _forget(self, now: int, gone: Array) -> None:
        done = 0
        with np.errstate(over="ignore"):
            while done < len(gone):
                done = step.forget(*self._memory[1:], now, gone, done)
                if done < len(gone):
                    grow(self._memory.log, len(self._memory.log) + ENTRIES_PER_SEGMENT)

    def _too_many(self, gone: Array, most: int | None, now: int) -> Array:
        """The places of those that have to make room."""
        places = np.flatnonzero(gone == 0)
        if most is None or len(places) <= most:
            return places[:0]
        self._expire(now)
        starts, ends = (self._memory.flows[name][places] for name in ("start", "end"))
        half_open = np.isin(self._states(places), (State.SYN_SENT, State.SYN_RECV)).any(axis=1)
        closing = np.isin(self._states(places), (State.CLOSE, State.TIME_WAIT)).all(axis=1)
        rank = np.select([half_open, self._are_closed(places), closing], [0, 1, 2], 3)
        order = np.lexsort((np.where(half_open, starts, ends), rank))
        return np.asarray(places[order[: len(places) - most + most // 4]])

    def _states(self, places: Array) -> Array:
        """uint8 of shape (n, 2): the states of the sides of some connections."""
        sockets = self._memory.sockets["state"]
        return np.stack((sockets[2 * places], sockets[2 * places + 1]), axis=1)

    def _are_closed(self, places: Array) -> Array:
        """Whether both sides are, of some connections."""
        return np.asarray((self._states(places) == State.CLOSE).all(axis=1))

    def _part(self, places: Array) -> Inference:
        """What is known of some connections, numbered from 0 on."""
        _slots, flows, sockets, log, _core = self._memory
        heads = np.ascontiguousarray(sockets["head"][sides_of(places)])
        rows = _rows(heads, log, self._count("entry_count") - self._count("free_entries"))
        conduct = self._observed().part(places).of(len(places))
        return Inference(
            taken(flows, places, CONNECTIONS), taken(sockets, sides_of(places), SIDES), rows, 0, 0, *conduct
        )

    def _keep(self, places: Array) -> None:
        """Remember only those connections, in the memory that they are in."""
        _slots, flows, sockets, log, core = self._memory
        gone = np.ones(self._count("flow_count"), np.bool_)
        gone[places] = False
        step.give_back(np.ascontiguousarray(sockets["head"][sides_of(np.flatnonzero(gone))]), log, core)
        keep(sockets, sides_of(places))
        log = self._packed(sockets[: 2 * len(places)])
        moved = taken(flows, places)
        self._renumber(moved, places)
        keep(flows, places)
        flows[: len(places)] = moved
        grow(sockets, 2 * len(flows))
        core["flow_count"] = len(places)
        slots = np.full(1 << max(12, (2 * len(flows)).bit_length()), -1, np.int64)
        with np.errstate(over="ignore"):
            step.rehash(flows, core, slots)
        self._memory, self._conduct = Memory(slots, flows, sockets, log, core), self._observed().part(places)

    def _renumber(self, flows: Array, places: Array) -> None:
        """Have copies of the flows at ``places`` name each other by where they are now."""
        moved = np.full(self._count("flow_count") + 2, -1, np.int32)  # the last two serve -2 and -1
        moved[-2], moved[places] = FORGOTTEN, np.arange(len(places))
        for name in ("before", "newer"):
            flows[name] = moved[flows[name]]

    def _packed(self, sockets: Array) -> Array:
        """The log of the ``sockets``, which are all there are; a smaller one if most of it is free."""
        log, core = self._memory.log, self._memory.core
        used = self._count("entry_count") - self._count("free_entries")
        if 4 * used > len(log):
            return log
        log = np.zeros(2 * used + ENTRIES_PER_SEGMENT, ENTRIES)
        core["entry_count"] = step.copy_entries(sockets, self._memory.log, log)
        core["free_entry"], core["free_entries"] = -1, 0
        return log

    @property
    def nbytes(self) -> int:
        """The bytes that the engine holds: by connections and their events, not by segments."""
        return sum(array.nbytes for array in self._memory) + self._observed().nbytes

    def _count(self, name: str) -> int:
        return int(self._memory.core[name][0])

    def _grow(self) -> None:
        """Make room for more of whatever is short."""
        memory, flows, entries = self._memory, self._count("flow_count") + 1, self._count("entry_count")
        room = len(memory.log) - entries + self._count("free_entries")
        grow(memory.flows, flows)
        grow(memory.sockets, 2 * len(memory.flows))
        grow(memory.log, entries + ENTRIES_PER_SEGMENT if room < ENTRIES_PER_SEGMENT else 0)
        if 2 * flows > len(memory.slots):
            slots = np.full(2 * len(memory.slots), -1, np.int64)
            step.rehash(memory.flows, memory.core, slots)
            self._memory = memory._replace(slots=slots)


def _rows(heads: Array, log: Array, most: int) -> Array:
    """Every side's states as TRANSITIONS, of which there are ``most`` or fewer."""
    rows = np.zeros(most, TRANSITIONS)
    return rows[: step.collect(heads, log, rows)]
