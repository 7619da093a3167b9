"""A large capture of few connections that stay open: each sends full frames, and gets acknowledgements.

Usage: benchmarks/long_connections.py CONNECTIONS BYTES TARGET
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np

from growing import put

_START, _ROUND = 1_700_000_000, 20_000_000  # s since the epoch; ns from one round to the next
_SECOND = 1_000_000_000
_PAYLOAD = 1448
_SYN, _ACK = 0x02, 0x10
_ISS = 1_000_000
#: Where the fields are in a record of a pcap: its header, Ethernet's, IP's without options.
_SECONDS, _NANOSECONDS, _SEQ, _ACKNOWLEDGED = 0, 4, 16 + 38, 16 + 42


def write(connections: int, size: int, path: Path) -> int:
    """Write a capture of about so many bytes, in order of time; how many frames it has.

    A round is two full segments of each client and an acknowledgement of its server. Checksums are left to
    the network card, as in captures of the host that sends.
    """
    opening = _Round(connections, [(True, _SYN, 0), (False, _SYN | _ACK, 0), (True, _ACK, 0)])
    talk = _Round(connections, [(True, _ACK, _PAYLOAD), (True, _ACK, _PAYLOAD), (False, _ACK, 0)])
    rounds = max((size - len(opening.data)) // len(talk.data), 1)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_535, 1))
        file.write(opening.at(0, [_ISS, _ISS, _ISS + 1], [0, _ISS + 1, _ISS + 1]))
        for number in range(rounds):
            sent = _ISS + 1 + 2 * number * _PAYLOAD
            numbers = [sent, sent + _PAYLOAD, _ISS + 1]
            file.write(talk.at(number + 1, numbers, [_ISS + 1, _ISS + 1, sent + 2 * _PAYLOAD]))
    return 3 * connections * (rounds + 1)


class _Round:
    """Three records of each connection, one connection after another."""

    def __init__(self, connections: int, kinds: list[tuple[bool, int, int]]) -> None:
        records = [_record(conn, *kind) for conn in range(connections) for kind in kinds]
        self.data = np.frombuffer(b"".join(records), np.uint8).copy()
        self._starts = np.cumsum([0, *map(len, records[:-1])])
        self._delays = np.arange(len(records)) * (_ROUND // len(records))

    def at(self, number: int, seq: list[int], ack: list[int]) -> bytes:
        """The records of round ``number``, with the numbers of each connection's three."""
        seconds, nanoseconds = np.divmod(self._delays + number * _ROUND, _SECOND)
        put(self.data, self._starts + _SECONDS, (seconds + _START).astype("<u4"))
        put(self.data, self._starts + _NANOSECONDS, nanoseconds.astype("<u4"))
        for offset, values in ((_SEQ, seq), (_ACKNOWLEDGED, ack)):
            modulo = np.array(values, np.int64) % (1 << 32)
            put(self.data, self._starts + offset, np.tile(modulo, len(self._starts) // 3).astype(">u4"))
        return self.data.tobytes()


def _record(conn: int, from_client: bool, flags: int, payload: int) -> bytes:
    ends = (0x0A000000 + conn, 40_000 + conn % 20_000), (0x0A800001, 443)
    (source, source_port), (destination, port) = ends if from_client else ends[::-1]
    tcp = struct.pack("!HHIIHHHH", source_port, port, 0, 0, 5 << 12 | flags, 65_000, 0, 0) + bytes(payload)
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(tcp), conn, 0x4000, 64, 6, 0, source, destination)
    frame = b"\x02\0\0\0\0\1\x02\0\0\0\0\2\x08\0" + ip + tcp
    return struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame


if __name__ == "__main__":
    print(write(int(sys.argv[1]), int(float(sys.argv[2])), Path(sys.argv[3])))
