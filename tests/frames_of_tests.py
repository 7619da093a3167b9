"""Blocks of given frames, and what both decoders make of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from builders import internet_checksum
from tcpstates.capture.decoder import Decoder
from tcpstates.schema import FRAMES, Mark

ETHERNET, PPP, RAW = 1, 9, 101
LOOPBACK, LINUX_SLL, LINUX_SLL2 = 0, 113, 276


class Block(NamedTuple):
    buffer: Any
    frames: Any


def block_of(frames: Sequence[bytes], linktype: int = ETHERNET, length: int | None = None) -> Block:
    """A block with these frames, numbered from 1 and a second apart; nothing lies behind the last one."""
    rows = np.zeros(len(frames), FRAMES)
    rows["captured"] = [len(frame) for frame in frames]
    rows["offset"] = np.cumsum(rows["captured"]) - rows["captured"]
    rows["length"] = rows["captured"] if length is None else length
    rows["number"] = np.arange(len(frames)) + 1
    rows["time"] = rows["number"].astype(np.int64) * 1_000_000_000
    rows["linktype"], rows["interface"], rows["file"] = linktype, 3, 2
    return Block(np.frombuffer(b"".join(frames), np.uint8), rows)


def without_dissected(segments: Any) -> Any:
    """The segments, not saying which decoder they are from."""
    segments = segments.copy()
    segments["marks"] = segments["marks"] & np.uint8(0xFF & ~Mark.DISSECTED)
    return segments


def same(ours: Any, other: Any) -> bool:
    """Whether two arrays of segments hold the same values (bytes between fields aside)."""
    return len(ours) == len(other) and all((ours[name] == other[name]).all() for name in ours.dtype.names)


def decoded_by(decoder: Decoder, frame: bytes, linktype: int = ETHERNET, length: int | None = None) -> Any:
    """The frame's segment, or the reason why there is none."""
    segments = decoder.decode(block_of([frame], linktype, length))
    return segments[0] if len(segments) else next(iter(decoder.skipped))


def decoded(frame: bytes, linktype: int = ETHERNET, length: int | None = None, checksums: bool = True) -> Any:
    """What the fast path alone makes of a frame: its segment or the reason, and dpkt's must be the same."""
    fast, slow = Decoder("fast", checksums), Decoder("dpkt", checksums)
    ours = decoded_by(fast, frame, linktype, length)
    other = decoded_by(slow, frame, linktype, length)
    assert fast.dissected == 0, "the fast path declined the frame"
    if isinstance(ours, str) or isinstance(other, str):
        assert (ours, fast.skipped) == (other, slow.skipped)
    else:
        assert other["marks"] & Mark.DISSECTED
        assert str(without_dissected(ours)) == str(without_dissected(other))
    return ours


def dissected(frame: bytes, linktype: int = ETHERNET, length: int | None = None) -> Any:
    """What comes of a frame that the fast path leaves to dpkt."""
    decoder = Decoder()
    found = decoded_by(decoder, frame, linktype, length)
    assert decoder.dissected == 1, "the fast path did not decline the frame"
    return found


def ipv4(
    payload: bytes,
    protocol: int = 6,
    total: int | None = None,
    fragment: int = 0,
    options: bytes = b"",
    ends: bytes = b"\x0a\0\0\1\x0a\0\0\2",
) -> bytes:
    """An IPv4 packet, by default from 10.0.0.1 to 10.0.0.2, with any length and fragment field."""
    size = 20 + len(options)
    length = size + len(payload) if total is None else total
    start = bytes([0x40 | size // 4, 0]) + length.to_bytes(2, "big") + b"\x12\x34"
    header = start + fragment.to_bytes(2, "big") + bytes([61, protocol, 0, 0]) + ends + options
    return header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:] + payload


IPV6_ENDS = bytes.fromhex("fd00000000000000 0000000000000001 fd00000000000000 0000000000000002")


def ipv6(payload: bytes, following: int = 6, length: int | None = None) -> bytes:
    """An IPv6 packet from fd00::1 to fd00::2, ``payload`` beginning with the header of type ``following``."""
    length = len(payload) if length is None else length
    return b"\x60\0\0\0" + length.to_bytes(2, "big") + bytes([following, 59]) + IPV6_ENDS + payload


def ethernet_of(kind: int, payload: bytes) -> bytes:
    """An Ethernet frame of any ether-type."""
    return bytes.fromhex("020000000002020000000001") + kind.to_bytes(2, "big") + payload
