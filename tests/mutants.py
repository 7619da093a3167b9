"""Captures with bytes changed at random, each analysed within bounds; test_mutants runs it on its own.

Usage: mutants.py FIRST COUNT
"""

from __future__ import annotations

import bz2
import contextlib
import faulthandler
import gzip
import io
import lzma
import random
import resource
import signal
import struct
import sys
from pathlib import Path

import lz4.frame
import zstandard

import builders
from tcpstates.analysis import analyze
from tcpstates.errors import CaptureError

PCAPS = Path(__file__).parent.parent / "pcaps"
MOST_SECONDS, MOST_MEGABYTES = 5, 500
#: So many times as long it may take on a machine that has other work.
WAITS = 20
#: So many mutants are analysed before memory is bounded.
WARM_UP = 50
#: What is put where lengths, types and times may be.
NUMBERS = (0, 1, 3, 4, 11, 12, 28, 0x7FFF, 0xFFFF, 0x3FFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def originals() -> list[bytes]:
    """A capture of each format, with connections in it."""
    whole = (PCAPS / "close_wait_leak.pcap").read_bytes()
    frames, position = [], 24
    while position < len(whole):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", whole, position)
        data = whole[position + 16 : position + 16 + captured]
        frames.append(builders.Frame(seconds * builders.SECOND + fraction, data, length))
        position += 16 + captured
    section = builders.Section(big_endian=True)
    mixed = builders.pcapng(frames[:20]) + section.header() + section.interface(tsresol=0x80 | 20)
    mixed += b"".join(
        section.simple(frame.data) + section.enhanced(frame.time, frame.data) for frame in frames
    )
    return [
        builders.pcap(frames),
        builders.pcap(frames, big_endian=True, nanoseconds=True),
        builders.pcapng(frames),
        mixed,
        builders.snoop(frames),
        builders.pcap_variant(frames, 0xA1B2CD34, extra=bytes(8)),
        builders.pcap_variant(frames, version=(2, 3), wire_first=True),
    ]


def bomb(chance: random.Random) -> bytes:
    """A header, then what swells a thousandfold."""
    record = struct.pack("<IIII", 1, 2, 60, 60) + bytes(60)
    content = builders.pcap_header() + chance.choice([bytes(64 << 20), record * (1 << 16)])
    return chance.choice(COMPRESS)(content)


COMPRESS = (
    lambda data: gzip.compress(data, 1),
    zstandard.ZstdCompressor().compress,
    lz4.frame.compress,
    lambda data: lzma.compress(data, preset=0),
    bz2.compress,
)


def mutant(seed: int, sources: list[bytes]) -> bytes:
    """One of the captures, changed in one way or several."""
    chance = random.Random(seed)
    if seed % 500 == 499:
        return bomb(chance)
    data = bytearray(chance.choice(sources))
    for _ in range(chance.randrange(1, 6)):
        chance.choice(CHANGES)(data, chance)
    if chance.random() < 0.3:
        data = bytearray(chance.choice(COMPRESS)(bytes(data)))
        if chance.random() < 0.7:
            chance.choice(CHANGES)(data, chance)
    return bytes(data)


def _put_number(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(max(len(data) - 4, 1)) & ~chance.choice([0, 3])
    data[at : at + 4] = struct.pack(
        chance.choice("<>") + "I", chance.choice([*NUMBERS, chance.getrandbits(32)])
    )


def _put_bytes(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 20)):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)


def _change_header(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(min(len(data), 80) or 1)
    data[at : at + 1] = bytes([chance.randrange(256)])


def _swap_the_rest(data: bytearray, chance: random.Random) -> None:
    """The byte order changes in the middle of the file."""
    at = chance.randrange(len(data) // 4 or 1) * 4
    words = len(data[at:]) // 4
    data[at : at + 4 * words] = struct.pack(
        f">{words}I", *struct.unpack(f"<{words}I", data[at : at + 4 * words])
    )


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data) or 1) :]


def _drop(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) or 1)
    del data[at : at + chance.choice([1, 4, 16, chance.randrange(1, 3000)])]


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) or 1)
    data[at:at] = data[at : at + chance.randrange(1, 2000)]


CHANGES = (_put_number, _put_number, _put_bytes, _change_header, _swap_the_rest, _cut, _drop, _repeat)


def bound_memory() -> None:
    """No more than so much, beside what the compiler and the libraries need before the first capture."""
    if not Path("/proc/self/status").exists():
        return  # no Linux
    status = Path("/proc/self/status").read_text()
    data = int(status.split("VmData:")[1].split()[0]) << 10
    resident = int(status.split("VmRSS:")[1].split()[0]) << 10
    most = data - resident + (MOST_MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def main(first: int, count: int) -> None:
    """Analyse mutants, each within its time of the processor's; a hang ends the process with a traceback."""
    sources, refused = originals(), 0
    faulthandler.register(signal.SIGPROF, chain=True)
    for data in [*sources, *(mutant(seed, sources) for seed in range(WARM_UP))]:
        with contextlib.suppress(CaptureError):
            analyze(io.BytesIO(data)).table("findings")  # compiles, which takes memory of its own
    bound_memory()
    for seed in range(first, first + count):
        data = mutant(seed, sources)
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        faulthandler.dump_traceback_later(WAITS * MOST_SECONDS, exit=True)
        try:
            analysis = analyze(io.BytesIO(data))
            analysis.table("findings"), analysis.table("timeline")
        except CaptureError:
            refused += 1
        except BaseException as error:
            raise SystemExit(f"mutant {seed}: {error!r}") from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()
    print(count, "mutants,", refused, "refused")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
