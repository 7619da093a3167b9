"""Large captures grown from a small real one: its connections again and again, between other hosts.

Usage: benchmarks/growing.py CAPTURE FRAMES GROWN
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

_FILE_HEADER = 24
_RECORD_HEADER = 16
_SECOND = 1_000_000_000
_BATCH = 20_000
_SPACING = _SECOND // 20  # between the beginnings of two copies
_IPV4_TCP = (12, b"\x08\x00"), (14, b"\x45"), (23, b"\x06")
_SOURCE, _DESTINATION = 26, 30  # upper halves of the addresses, in a frame


class Template(NamedTuple):
    """The IPv4 TCP records of a capture.

    Attributes
    ----------
    header : the file's header.
    data : uint8, the records.
    starts : int64, shape (records + 1,): where each begins in ``data``, and where the last ends.
    times : int64, nanoseconds since the epoch.
    clients, servers : int64: where the client's and the server's address begins in ``data``.
    """

    header: bytes
    data: np.ndarray
    starts: np.ndarray
    times: np.ndarray
    clients: np.ndarray
    servers: np.ndarray


def read_template(path: Path) -> Template:
    """Read a little-endian Ethernet pcap with nanoseconds."""
    content = path.read_bytes()
    records = [record for record in _records(content) if _is_tcp(record)]
    starts = np.cumsum([0, *map(len, records)])
    stamps = np.array([struct.unpack_from("<II", record) for record in records], dtype=np.int64)
    # The client has the higher port; its address is the source in what it sends
    ports = [struct.unpack_from("!HH", record, _RECORD_HEADER + 34) for record in records]
    sent_by_client = np.array([source > destination for source, destination in ports])
    source, destination = (starts[:-1] + _RECORD_HEADER + field for field in (_SOURCE, _DESTINATION))
    return Template(
        content[:_FILE_HEADER],
        np.frombuffer(b"".join(records), dtype=np.uint8),
        starts,
        stamps[:, 0] * _SECOND + stamps[:, 1],
        np.where(sent_by_client, source, destination),
        np.where(sent_by_client, destination, source),
    )


def _records(content: bytes) -> Iterator[bytes]:
    position = _FILE_HEADER
    while position < len(content):
        captured = struct.unpack_from("<I", content, position + 8)[0]
        yield content[position : position + _RECORD_HEADER + captured]
        position += _RECORD_HEADER + captured


def _is_tcp(record: bytes) -> bool:
    return all(record.startswith(value, _RECORD_HEADER + offset) for offset, value in _IPV4_TCP)


def grow(template: Template, frames: int, path: Path) -> int:
    """Write a capture of at least so many frames, in order of time; how many it has.

    Copy ``k`` begins a little later than the one before it. Its clients' addresses are raised and its
    servers' lowered by ``k`` in the upper half, which leaves the sums of both, and so all checksums,
    as they were.
    """
    copies = -(-frames // len(template.times))
    data = [_copy(template, number).tobytes() for number in range(copies)]
    times = template.times[None, :] + _SPACING * np.arange(copies)[:, None]
    order = np.argsort(times, axis=None, kind="stable")
    starts = template.starts.tolist()
    with path.open("wb") as file:
        file.write(template.header)
        for batch in np.split(order, range(_BATCH, len(order), _BATCH)):
            which, record = (part.tolist() for part in np.divmod(batch, len(template.times)))
            file.writelines(data[k][starts[i] : starts[i + 1]] for k, i in zip(which, record, strict=True))
    return len(order)


def _copy(template: Template, number: int) -> np.ndarray:
    """The template's records with other addresses and later times."""
    data = template.data.copy()
    stamps = np.divmod(template.times + _SPACING * number, _SECOND)
    for offset, values in zip((0, 4), stamps, strict=True):
        put(data, template.starts[:-1] + offset, values.astype("<u4"))
    for positions, step in ((template.clients, number), (template.servers, -number)):
        upper = (data[positions].astype(np.int64) << 8 | data[positions + 1]) + step
        put(data, positions, upper.astype(">u2"))
    return data


def put(data: np.ndarray, positions: np.ndarray, values: np.ndarray) -> None:
    """Write each value's bytes at its position."""
    size = values.dtype.itemsize
    data[positions[:, None] + np.arange(size)] = values.view(np.uint8).reshape(-1, size)


if __name__ == "__main__":
    source, wanted, target = sys.argv[1:]
    print(grow(read_template(Path(source)), int(wanted), Path(target)))
