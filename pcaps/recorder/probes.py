"""Notices tracepoints, and copies what their argument points to, by small BPF programs.

The event trace prints what a tracepoint's author thought of; of a timer, only its address. A program of some
thirty instructions at the tracepoint copies the whole mini-socket that the timer is part of, with the time.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_MAP_CREATE, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 0, 5, 17
_MAP_TYPE_RINGBUF, _PROG_TYPE_RAW_TRACEPOINT = 27, 17
_KTIME_GET_NS, _PROBE_READ_KERNEL, _RINGBUF_RESERVE, _RINGBUF_SUBMIT = 5, 113, 131, 132
_BUFFER = 1 << 24  # bytes; what does not fit is noticed, not lost silently
_BUSY, _DISCARDED = 1 << 31, 1 << 30
_RECORD_HEADER = 8
#: What a program writes first: time, number of the probe, address of what it copied
_HEAD = struct.Struct("<QQQ")
_libc = ctypes.CDLL(None, use_errno=True)


class Probe(NamedTuple):
    """What to copy at a tracepoint: what its argument points to, or is ``within`` bytes into.

    Only if the ``width`` bytes at ``place``, counted from where the argument points, are ``value``.
    """

    tracepoint: str
    argument: int
    within: int
    place: int
    width: int
    value: int


class Hit(NamedTuple):
    """A copy; ``time`` by CLOCK_MONOTONIC in nanoseconds, ``address`` where ``data`` was."""

    time: int
    probe: Probe
    address: int
    data: bytes


class Probes:
    """Programs at some tracepoints of the whole machine, and the buffer that they write to.

    They vanish with the process, however it ends. Of each program there are two: the kernel does not run one
    that an interrupt finds running, but then it runs the other. So most copies come twice.

    Parameters
    ----------
    probes : what to copy where.
    size : how many bytes.
    """

    def __init__(self, probes: tuple[Probe, ...], size: int) -> None:
        self._probes = probes
        self._size = -(-size // 8) * 8
        self._buffer = _bpf(_MAP_CREATE, struct.pack("<IIII", _MAP_TYPE_RINGBUF, 0, 0, _BUFFER))
        self._descriptors = [self._buffer]
        for number, probe in enumerate(probes):
            for _ in range(2):
                program = _load(_program(number, probe, self._buffer, self._size))
                self._descriptors.append(program)
                self._descriptors.append(_attach(program, probe.tracepoint))

    def hits(self) -> list[Hit]:
        """Every copy so far, in order of time.

        Raises
        ------
        RuntimeError
            If the buffer had no room for some.
        """
        page = os.sysconf("SC_PAGE_SIZE")
        with mmap.mmap(self._buffer, page + 2 * _BUFFER, prot=mmap.PROT_READ, offset=page) as ring:
            (produced,) = struct.unpack_from("<Q", ring)
            if produced > _BUFFER - (_RECORD_HEADER + _HEAD.size + self._size):
                raise RuntimeError(f"the probes' buffer of {_BUFFER} bytes overran: record fewer at once")
            return sorted(hits_of(ring[page : page + produced], self._probes))

    def close(self) -> None:
        """Remove the programs and the buffer."""
        for descriptor in reversed(self._descriptors):
            os.close(descriptor)


def hits_of(ring: bytes, probes: tuple[Probe, ...]) -> Iterator[Hit]:
    """The copies in what was written to a ring buffer."""
    position = 0
    while position < len(ring):
        (length,) = struct.unpack_from("<I", ring, position)
        position += _RECORD_HEADER
        size = length & ~(_BUSY | _DISCARDED)
        if not length & (_BUSY | _DISCARDED):
            time, number, address = _HEAD.unpack_from(ring, position)
            yield Hit(time, probes[number], address, ring[position + _HEAD.size : position + size])
        position += -(-size // 8) * 8


def _program(number: int, probe: Probe, buffer: int, size: int) -> bytes:
    """Registers: r6 the argument, r7 the record; r10 - 8 what decides whether to copy."""
    wanted = [
        _do("r = [r]", 6, 1, 8 * probe.argument),
        _do("[r] = value", 10, 0, -8),
        *_copy(10, -8, 6, probe.place, probe.width),
        _do("r = [r]", 1, 10, -8),
        *_wide(2, probe.value),
    ]
    reserved = [
        *_wide(1, buffer, of_map=1),
        _do("r = value", 2, value=_HEAD.size + size),
        _do("r = value", 3),
        _do("call", value=_RINGBUF_RESERVE),
    ]
    written = [
        _do("r = r", 7, 0),
        _do("call", value=_KTIME_GET_NS),
        _do("[r] = r", 7, 0, 0),
        _do("[r] = value", 7, 0, 8, number),
        _do("r += value", 6, value=-probe.within),
        _do("[r] = r", 7, 6, 16),
        *_copy(7, _HEAD.size, 6, 0, size),
        _do("r = r", 1, 7),
        _do("r = value", 2),
        _do("call", value=_RINGBUF_SUBMIT),
    ]
    unless_wanted = _do("if r != r", 1, 2, len(reserved) + 1 + len(written))
    unless_room = _do("if r == value", 0, 0, len(written))
    leave = [_do("r = value", 0), _do("leave")]
    return b"".join([*wanted, unless_wanted, *reserved, unless_room, *written, *leave])


_CODES = {
    "r = [r]": 0x79, "[r] = r": 0x7B, "[r] = value": 0x7A, "r = r": 0xBF, "r = value": 0xB7,
    "r += value": 0x07, "if r != r": 0x5D, "if r == value": 0x15, "call": 0x85, "leave": 0x95,
}  # fmt: skip


def _do(what: str, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """One instruction, of 64 bits' width."""
    return struct.pack("<BBhi", _CODES[what], target | source << 4, offset, value)


def _wide(target: int, value: int, *, of_map: int = 0) -> list[bytes]:
    """Put a number of 64 bits, or a map, into a register; takes two instructions' room."""
    low, high = struct.unpack("<ii", struct.pack("<Q", value))
    return [struct.pack("<BBhi", 0x18, target | of_map << 4, 0, low), struct.pack("<BBhi", 0, 0, 0, high)]


def _copy(target: int, offset: int, source: int, place: int, size: int) -> list[bytes]:
    """Copy from the kernel's memory at register ``source`` + ``place``."""
    return [
        _do("r = r", 1, target),
        _do("r += value", 1, value=offset),
        _do("r = value", 2, value=size),
        _do("r = r", 3, source),
        _do("r += value", 3, value=place),
        _do("call", value=_PROBE_READ_KERNEL),
    ]


def _load(program: bytes) -> int:
    """Have the kernel check the program; its descriptor."""
    # probe_read_kernel is for programs under the GPL only, as this one is
    texts = [ctypes.create_string_buffer(text) for text in (program, b"GPL", bytes(1 << 16))]
    code, license_, log = (ctypes.addressof(text) for text in texts)
    size = len(program) // 8
    attributes = (_PROG_TYPE_RAW_TRACEPOINT, size, code, license_, 1, len(texts[2]), log, 0, 0)
    try:
        return _bpf(_PROG_LOAD, struct.pack("<IIQQIIQII", *attributes))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} {texts[2].value.decode()}") from None


def _attach(program: int, tracepoint: str) -> int:
    name = ctypes.create_string_buffer(tracepoint.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QII", ctypes.addressof(name), program, 0))


def _bpf(command: int, attributes: bytes) -> int:
    """The system call; a descriptor."""
    text = ctypes.create_string_buffer(attributes, len(attributes))
    descriptor: int = _libc.syscall(_SYS_BPF[os.uname().machine], command, text, len(attributes))
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel does not let root probe it (bpf: {os.strerror(number)})")
    return descriptor
