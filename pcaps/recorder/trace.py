"""The kernel's own words: a private instance of its event trace, read in binary, to the nanosecond."""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .namespaces import mount, unshare_mounts

_TRACEFS = Path("/sys/kernel/tracing")
_INSTANCES = _TRACEFS / "instances"
_PREFIX = "tcpstates-"
_BUFFER_KB = 8192  # per processor; what does not fit is noticed, not lost silently
_FIELD = re.compile(r"field:.*?(\w+)(?:\[\d+\])?;\s*offset:(\d+);\s*size:(\d+);")
# Event headers of the ring buffer (include/linux/ring_buffer.h)
_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_COMMIT_BITS = (1 << 20) - 1


class Event(NamedTuple):
    """One hit of a tracepoint; ``time`` is CLOCK_REALTIME in nanoseconds, ``fields`` raw bytes."""

    time: int
    fields: dict[str, bytes]

    def number(self, field: str) -> int:
        """A field that holds a number."""
        return int.from_bytes(self.fields[field], "little")


class Trace:
    """Records one tracepoint, such as ``sock/inet_sock_set_state``, of the whole machine."""

    def __init__(self, tracepoint: str) -> None:
        if not _INSTANCES.is_dir():
            unshare_mounts()
            mount("tracefs", str(_TRACEFS))
        _remove_orphans()
        self._instance = _INSTANCES / f"{_PREFIX}{os.getpid()}"
        self._instance.mkdir()
        self._write("buffer_size_kb", _BUFFER_KB)
        self._write("trace_clock", "mono")
        self._fields = _fields_of((_TRACEFS / "events" / tracepoint / "format").read_text())
        self._write(f"events/{tracepoint}/enable", 1)

    def events(self) -> list[Event]:
        """Every event since the last call, in order of time.

        Raises
        ------
        RuntimeError
            If the kernel had to drop some.
        """
        for stats in self._instance.glob("per_cpu/cpu*/stats"):
            if "overrun: 0\n" not in stats.read_text():
                raise RuntimeError(
                    f"the kernel's trace buffer of {_BUFFER_KB} KB overran: record fewer at once"
                )
        offset = realtime_offset()
        pages = (page for pipe in self._instance.glob("per_cpu/cpu*/trace_pipe_raw") for page in _pages(pipe))
        hits = (hit for page in pages for hit in _hits(page))
        return sorted(Event(when + offset, self._decoded(data)) for when, data in hits)

    def close(self) -> None:
        """Remove the instance and what it holds."""
        self._write("tracing_on", 0)
        self._write("events/enable", 0)
        self._instance.rmdir()

    def _decoded(self, data: bytes) -> dict[str, bytes]:
        return {name: data[start:end] for name, (start, end) in self._fields.items()}

    def _write(self, name: str, value: object) -> None:
        (self._instance / name).write_text(str(value))


def _remove_orphans() -> None:
    """Remove the instances of recorders that were killed: unlike namespaces, they outlive their process."""
    for instance in _INSTANCES.glob(f"{_PREFIX}*"):
        if not Path("/proc", instance.name.removeprefix(_PREFIX)).exists():
            instance.rmdir()


def _fields_of(text: str) -> dict[str, tuple[int, int]]:
    """Where each field of an event begins and ends, from the kernel's own description."""
    return {
        name: (int(offset), int(offset) + int(size))
        for name, offset, size in _FIELD.findall(text)
        if not name.startswith("common_")
    }


def realtime_offset() -> int:
    """Nanoseconds from the kernel's traces' clock (CLOCK_MONOTONIC) to the capture's (CLOCK_REALTIME)."""
    before = time.monotonic_ns()
    real = time.time_ns()
    return real - (before + time.monotonic_ns()) // 2


def _pages(pipe: Path) -> Iterator[bytes]:
    """One processor's pages, taken out of the buffer."""
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            while page := os.read(descriptor, os.sysconf("SC_PAGE_SIZE")):
                yield page
    finally:
        os.close(descriptor)


def _hits(page: bytes) -> Iterator[tuple[int, bytes]]:
    """Time and data of each event in a page."""
    when, commit = struct.unpack_from("<QQ", page)
    position, end = 16, 16 + (commit & _COMMIT_BITS)
    while position < end:
        header, first = struct.unpack_from("<II", page.ljust(position + 8, b"\0"), position)
        kind, delta = header & 31, header >> 5
        data, position = position + 4, position + 4
        if kind == _PADDING:
            if delta == 0:
                return  # nothing more in this page
            position += first
        elif kind == _TIME_EXTEND:
            delta += first << 27
            position += 4
        elif kind == _TIME_STAMP:
            when, delta = (first << 27) + delta | when & ~((1 << 59) - 1), 0
            position += 4
        else:
            length = kind * 4 or first
            data += 0 if kind else 4
            position += length
        when += delta
        if kind < _PADDING:
            yield when, page[data:position]
