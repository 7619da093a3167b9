"""Feeds mangled frames to the kernel with bounds checks on; run by test_decode in a process of its own."""

from __future__ import annotations

import os
import random
import sys

os.environ["NUMBA_BOUNDSCHECK"] = "1"

from builders import ethernet, tcp_segment
from frames_of_tests import LINUX_SLL, LINUX_SLL2, LOOPBACK, RAW, block_of, ipv4, ipv6
from tcpstates.capture.decode import decode_fast

OPTIONS = bytes.fromhex("020405b4 0402 080a00000001fffffffe 01 03030e")
SEGMENT = tcp_segment("10.0.0.1:1", "10.0.0.2:2", "S", options=OPTIONS, payload=b"hello")
EXTENSIONS = bytes.fromhex("3c00c20400000040 2b00010400000000 2c02000100000000") + bytes(16)
WHOLE = [
    ethernet(ipv4(SEGMENT, options=bytes(8)), vlans=(5, 6)),
    ethernet(ipv6(EXTENSIONS + bytes([6]) + bytes(7) + SEGMENT, 0)),
    ipv4(SEGMENT),
    ipv6(SEGMENT, length=0),
    bytes(14) + b"\x08\x00" + ipv4(SEGMENT),
    b"\x08\x00" + bytes(18) + ipv4(SEGMENT),
    b"\x02\x00\x00\x00" + ipv4(SEGMENT),
]
TUNNELLED = bytes.fromhex("c35012b5 00600000 0800000000006400") + ethernet(ipv4(SEGMENT))
WHOLE += [
    ethernet(ipv4(TUNNELLED, 17)),
    ethernet(ipv6(b"\x11\0\0\1" + bytes(4) + TUNNELLED, 44)),
    ethernet(ipv4(bytes.fromhex("c350c351 00600000 60000000 0020063b 20010000") + bytes(60), 17)),
    ethernet(ipv4(b"\3\1" + bytes(6) + ipv4(SEGMENT), 1)),
    ethernet(ipv6(b"\1\0" + bytes(6) + ipv6(SEGMENT), 58)),
    ethernet(ipv4(SEGMENT, fragment=0x2000)),
]
LINKTYPES = (1, RAW, LINUX_SLL, LINUX_SLL2, LOOPBACK)


def mangled(chance: random.Random) -> bytes:
    """One of the frames with some bytes changed and its end cut off, or nothing but random bytes."""
    frame = bytearray(chance.choice([*WHOLE, chance.randbytes(chance.randrange(100))]))
    for _ in range(chance.randrange(6)):
        if frame:
            frame[chance.randrange(len(frame))] = chance.choice(
                [0, 1, 6, 43, 51, 60, 255, chance.randrange(256)]
            )
    return bytes(frame[: chance.randrange(len(frame) + 1)] if chance.random() < 0.5 else frame)


def main(count: int) -> None:
    """Decode ``count`` frames, one block each, so that what lies behind a frame lies behind the buffer."""
    chance = random.Random(1)
    for _ in range(count):
        frame = mangled(chance)
        block = block_of([frame], chance.choice(LINKTYPES), chance.choice([None, 0, len(frame), 70_000]))
        decode_fast(block.buffer, block.frames, True)
    print(count, "frames decoded")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
