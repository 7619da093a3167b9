"""tcpdump's filter language: compiled by libpcap, run over blocks of frames.

libpcap makes a program for the Berkeley Packet Filter of an expression, another one for each link type.
The kernel here is that machine (McCanne and Jacobson, "The BSD Packet Filter", USENIX 1993): a call of
libpcap for each frame would take longer than all the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tcpstates.capture.blocks import Block
from tcpstates.capture.framing import Bytes, Records
from tcpstates.compiled import inlined, kernel
from tcpstates.errors import TcpstatesError, UsageError

#: One instruction, as libpcap writes it.
INSTRUCTION = np.dtype([("code", "u2"), ("jt", "u1"), ("jf", "u1"), ("k", "u4")])

#: DLT_ values where they are not the LINKTYPE_ ones: those that differ between systems, as on Linux.
_DLT = {100: 11, 101: 12, 102: 15, 103: 16}
_WHOLE_FRAME = 262_144  # what a program returns for a frame that it accepts
_UNKNOWN_NETMASK = 0xFFFF_FFFF
#: ``protochain`` loops; a frame made to keep it going is not accepted.
_MOST_STEPS = 1 << 14


class Filter:
    """Chooses frames by an expression in tcpdump's language (pcap-filter(7)).

    Parameters
    ----------
    expression : str
        Such as ``"host 10.0.0.1 and port 80"``. As in tcpdump, it is the outermost headers that count:
        behind VLAN tags or in tunnels nothing is found unless the expression names them.
    """

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._programs: dict[int, NDArray[np.void]] = {}

    def accepted(self, block: Block) -> NDArray[np.bool_]:
        """Which frames of a block the expression is true of.

        Raises
        ------
        UsageError
            If it is wrong, or means nothing on a link type that there is, in libpcap's words.
        """
        linktypes = block.frames["linktype"]
        accepted = np.zeros(len(linktypes), np.bool_)
        scratch, buffer = np.zeros(16, np.int64), block.buffer.view()
        buffer.flags.writeable = False  # whatever it was: the kernel is compiled for one type
        for linktype in np.unique(linktypes).tolist():
            if linktype not in self._programs:
                self._programs[linktype] = compile_filter(self._expression, linktype)
            run(buffer, block.frames, linktype, self._programs[linktype], scratch, accepted)
        return accepted


def compile_filter(expression: str, linktype: int) -> NDArray[np.void]:
    """The program of an expression for frames of a link type.

    Returns
    -------
    numpy.ndarray
        ``INSTRUCTION``, at least one.

    Raises
    ------
    UsageError
        If libpcap does not take the expression; in its words.
    TcpstatesError
        If there is no libpcap.
    """
    import ctypes

    libpcap = _libpcap()
    handle = libpcap.pcap_open_dead(_DLT.get(linktype, linktype), _WHOLE_FRAME)
    program = libpcap.bpf_program()
    try:
        text = ctypes.create_string_buffer(expression.encode())
        if libpcap.pcap_compile(handle, program, text, 1, _UNKNOWN_NETMASK) != 0:
            reason = bytes(libpcap.pcap_geterr(handle)).decode(errors="replace")
            raise UsageError(f"filter {expression!r}: {reason}; see man pcap-filter")
        size = program.bf_len * INSTRUCTION.itemsize
        instructions = np.frombuffer(ctypes.string_at(program.bf_insns, size), INSTRUCTION)
        libpcap.pcap_freecode(program)
    finally:
        libpcap.pcap_close(handle)
    return instructions


def _libpcap() -> Any:
    """What binds it in scapy, which knows where it is on each system."""
    try:
        return import_module("scapy.libs.winpcapy")
    except (ImportError, OSError) as error:
        raise TcpstatesError(
            "a filter needs libpcap, which is not there; install it (libpcap0.8, libpcap or Npcap)"
        ) from error


# The instruction's class, and the fields of its code
_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET = 0, 1, 2, 3, 4, 5, 6  # 7: MISC
_HALF, _BYTE = 0x08, 0x10
_IMMEDIATE, _ABSOLUTE, _INDEXED, _MEMORY, _LENGTH, _HEADER_LENGTH = 0, 0x20, 0x40, 0x60, 0x80, 0xA0
_SUB, _MUL, _DIV, _OR, _AND, _LSH, _RSH, _NEG, _MOD, _XOR = range(0x10, 0xB0, 0x10)
_ALWAYS, _EQUAL, _GREATER, _GREATER_OR_EQUAL = 0, 0x10, 0x20, 0x30  # 0x40: any bit set
_BY_X, _FROM_A, _TO_A = 0x08, 0x10, 0x80
_WORD = 0xFFFF_FFFF


@kernel
def run(
    buffer: Bytes,
    frames: Records,
    linktype: int,
    program: Records,
    scratch: NDArray[np.int64],
    accepted: NDArray[np.bool_],
) -> None:
    """Run ``program`` over the frames of ``linktype``, and note in ``accepted`` which it takes."""
    for row in range(len(frames)):
        if frames[row]["linktype"] == linktype:
            accepted[row] = _takes(buffer, frames[row], program, scratch)


@inlined
def _takes(buffer: Any, frame: Any, program: Any, scratch: Any) -> Any:
    """Whether the program returns anything but 0: a load beyond the frame does, as a division by 0."""
    start, length = np.int64(frame["offset"]), np.int64(frame["length"])
    end = start + np.int64(frame["captured"])
    a, x, at = np.int64(0), np.int64(0), np.int64(0)
    scratch[:] = 0
    for _ in range(_MOST_STEPS):
        if at < 0 or at >= len(program):
            break
        code, k = np.int64(program[at]["code"]), np.int64(program[at]["k"])
        kind, operand = code & 7, x if code & _BY_X else k
        at += 1
        if kind == _RET:
            return (a if code & 0x18 == _FROM_A else operand) != 0
        if kind in (_LD, _LDX):
            value = _load(buffer, start, end, length, code, k, x, scratch)
            if value < 0:
                break
            a, x = (value, x) if kind == _LD else (a, value)
        elif kind in (_ST, _STX):
            scratch[k & 15] = a if kind == _ST else x
        elif kind == _ALU:
            a = _compute(code & 0xF0, a, operand)
            if a < 0:
                break
        elif kind == _JMP:
            if code & 0xF0 == _ALWAYS:
                at += k - (1 << 32 if k >> 31 else 0)
            else:
                jumps = _compares(code & 0xF0, a, operand)
                at += np.int64(program[at - 1]["jt"] if jumps else program[at - 1]["jf"])
        elif code & 0xF8 == _TO_A:
            a = x
        else:
            x = a
    return False


@inlined
def _load(buffer: Any, start: Any, end: Any, length: Any, code: Any, k: Any, x: Any, scratch: Any) -> Any:
    """The value that a load gives; -1 beyond the frame."""
    mode = code & 0xE0
    if mode == _IMMEDIATE:
        return k
    if mode == _LENGTH:
        return length
    if mode == _MEMORY:
        return scratch[k & 15]
    at = start + (k + x if mode == _INDEXED else k)
    size = 1 if mode == _HEADER_LENGTH or code & 0x18 == _BYTE else 2 if code & 0x18 == _HALF else 4
    if at + size > end:
        return np.int64(-1)
    value = np.int64(0)
    for place in range(at, at + size):
        value = value << 8 | np.int64(buffer[place])
    return (value & 0xF) << 2 if mode == _HEADER_LENGTH else value


@inlined
def _compute(operation: Any, a: Any, operand: Any) -> Any:
    """The sum, product, ... modulo 2^32; -1 for a division by 0."""
    if operation in (_DIV, _MOD):
        if operand == 0:
            return np.int64(-1)
        return a // operand if operation == _DIV else a % operand
    if operation in (_LSH, _RSH):
        if operand > 31:
            return np.int64(0)
        return a << operand & _WORD if operation == _LSH else a >> operand
    if operation == _SUB:
        return a - operand & _WORD
    if operation == _MUL:  # by halves: the whole product does not fit
        return (a * (operand & 0xFFFF) + ((a * (operand >> 16) & 0xFFFF) << 16)) & _WORD
    if operation == _NEG:
        return -a & _WORD
    return _combine(operation, a, operand)


@inlined
def _combine(operation: Any, a: Any, operand: Any) -> Any:
    if operation == _OR:
        return a | operand
    if operation == _AND:
        return a & operand
    if operation == _XOR:
        return a ^ operand
    return a + operand & _WORD


@inlined
def _compares(operation: Any, a: Any, operand: Any) -> Any:
    if operation == _EQUAL:
        return a == operand
    if operation == _GREATER:
        return a > operand
    if operation == _GREATER_OR_EQUAL:
        return a >= operand
    return a & operand != 0
