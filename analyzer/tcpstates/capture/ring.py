"""Frames from a network interface by way of Linux's TPACKET_V3 ring (packet_mmap.rst).

The kernel writes frames into blocks of memory that it shares with us, and hands over a block when it is
full or a moment has passed. So a busy interface costs one look per block, not one call per frame; what is in
a block is copied out by a compiled kernel, and the block is given back.
"""

from __future__ import annotations

import mmap
import socket
import struct
from typing import Any

import numpy as np

from tcpstates.capture.blocks import Block
from tcpstates.capture.framing import Bytes, Records
from tcpstates.compiled import inlined, kernel
from tcpstates.schema import FRAMES

# if_packet.h
_SOL_PACKET, _PACKET_VERSION, _PACKET_RX_RING, _PACKET_STATISTICS = 263, 10, 5, 6
_TPACKET_V3 = 2
_STATUS_KERNEL, _STATUS_USER, _STATUS_VLAN_VALID, _STATUS_VLAN_TPID_VALID = 0, 1, 1 << 4, 1 << 6
#: Where things are, in 32-bit words: of a block's header, and of a frame's.
_BLOCK_STATUS, _BLOCK_FRAMES, _BLOCK_FIRST, _BLOCK_LENGTH = 2, 3, 4, 5
_NEXT, _SECONDS, _NANOSECONDS, _CAPTURED, _LENGTH, _STATUS, _PLACE, _TAG, _PROTOCOL = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    9,
)
_ADDRESS_KIND = 14  # hardware type, and the byte that says who it was for
_TAG_BYTES, _BEFORE_TAG = 4, 12  # the tag goes behind the two Ethernet addresses (802.1Q)
_OUTGOING = 4
_DEFAULT_PROTOCOL = 0x8100
_SECOND = 1_000_000_000

#: One block is handed over after this time at the latest, in milliseconds.
HANDED_OVER_AFTER = 20
BLOCK_SIZE = 1 << 18
#: 32 MB: some seconds of 50,000 small frames each.
BLOCKS = 128
#: So many blocks are copied at once: what waits in the ring needs no memory of ours.
_AT_ONCE = 16


class Ring:
    """The ring of a packet socket.

    Parameters
    ----------
    packets : socket.socket
        Bound to its interface.
    linktype : int
        LINKTYPE_ value of its frames.
    interface : int
        The number that its frames get.
    is_loopback : bool
        Whether it delivers each frame twice, sent and received: the first is left out.

    Raises
    ------
    OSError
        If the kernel has no memory for it.
    """

    def __init__(self, packets: socket.socket, linktype: int, interface: int, is_loopback: bool) -> None:
        self._socket = packets
        packets.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
        size = BLOCK_SIZE * BLOCKS
        request = struct.pack("7I", BLOCK_SIZE, BLOCKS, 2048, size // 2048, HANDED_OVER_AFTER, 0, 0)
        packets.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._memory: Bytes = np.frombuffer(mmap.mmap(packets.fileno(), size), np.uint8)
        self._words = self._memory.view(np.uint32)
        self._next = 0
        self._about = np.array([linktype, interface, is_loopback], np.int64)
        self._copy(0, Block(np.empty(0, np.uint8), np.zeros(0, FRAMES)))  # compiled before there are frames

    def blocks(self) -> tuple[list[Block], bool]:
        """What the kernel has handed over since, and whether that was all: there is a limit."""
        found: list[Block] = []
        for _ in range(_AT_ONCE):
            block = self._take()
            if block is None:
                return found, True
            if len(block.frames):
                found.append(block)
        return found, False

    def _take(self) -> Block | None:
        """Copy one block, and give it back."""
        at = self._next * (BLOCK_SIZE // 4)
        if not self._words[at + _BLOCK_STATUS] & _STATUS_USER:
            return None
        count, length = int(self._words[at + _BLOCK_FRAMES]), int(self._words[at + _BLOCK_LENGTH])
        buffer, frames = np.empty(length + _TAG_BYTES * count, np.uint8), np.zeros(count, FRAMES)
        kept = self._copy(at, Block(buffer, frames))
        self._words[at + _BLOCK_STATUS] = _STATUS_KERNEL
        self._next = (self._next + 1) % BLOCKS
        return Block(buffer, frames[:kept])

    def _copy(self, at: int, target: Block) -> int:
        """Fill ``target`` with the frames of the block at word ``at``; how many."""
        return copy_block(self._memory, self._words, at, self._about, target.buffer, target.frames)

    def dropped(self) -> int:
        """How many frames the kernel had no room for since the last call."""
        raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
        return int(struct.unpack("3I", raw)[1])


@inlined
def _copy(source: Any, start: Any, count: Any, target: Any, to: Any) -> None:
    for i in range(count):
        target[to + i] = source[start + i]


@inlined
def _put_tag(words: Any, head: Any, status: Any, buffer: Any, at: Any) -> None:
    """Write the VLAN tag that the kernel took off a frame."""
    protocol = np.int64(_DEFAULT_PROTOCOL)
    if status & _STATUS_VLAN_TPID_VALID:
        protocol = np.int64(words[head + _PROTOCOL]) & 0xFFFF
    tag = np.int64(words[head + _TAG]) & 0xFFFF
    buffer[at], buffer[at + 1] = protocol >> 8, protocol & 0xFF
    buffer[at + 2], buffer[at + 3] = tag >> 8, tag & 0xFF


@kernel
def copy_block(memory: Bytes, words: Any, block: int, about: Any, buffer: Bytes, frames: Records) -> int:
    """Copy the frames of one block out of the ring, each with the VLAN tag that the kernel took off.

    Parameters
    ----------
    memory, words : the ring, as uint8 and as uint32 array
    block : int, the block's first word
    about : int64 array (3,): link type, interface, whether to leave out what was sent
    buffer : uint8 array, filled in
    frames : FRAMES array, filled in

    Returns
    -------
    int
        How many frames there are.
    """
    at, filled, kept = block * 4 + np.int64(words[block + _BLOCK_FIRST]), np.int64(0), 0
    for _ in range(len(frames)):
        head = at // 4
        at += np.int64(words[head + _NEXT])
        if about[2] != 0 and np.int64(words[head + _ADDRESS_KIND]) >> 16 & 0xFF == _OUTGOING:
            continue
        start = head * 4 + (np.int64(words[head + _PLACE]) & 0xFFFF)
        captured, status = np.int64(words[head + _CAPTURED]), np.int64(words[head + _STATUS])
        before, tag = captured, np.int64(0)
        if status & _STATUS_VLAN_VALID != 0 and captured >= _BEFORE_TAG:
            before, tag = np.int64(_BEFORE_TAG), np.int64(_TAG_BYTES)
        row = frames[kept]
        row["time"] = np.int64(words[head + _SECONDS]) * _SECOND + np.int64(words[head + _NANOSECONDS])
        row["offset"], row["linktype"], row["interface"] = filled, about[0], about[1]
        row["captured"], row["length"] = captured + tag, np.int64(words[head + _LENGTH]) + tag
        _copy(memory, start, before, buffer, filled)
        if tag:
            _put_tag(words, head, status, buffer, filled + before)
            _copy(memory, start + before, captured - before, buffer, filled + before + tag)
        filled += captured + tag
        kept += 1
    return kept
