"""A leak hidden in a large capture: connections closed as they should be, and one server that leaks sockets.

Usage: benchmarks/leak.py CAPTURE FRAMES LEAKED FOLDER

CAPTURE must hold connections of both kinds, as pcaps/demo.pcap does. FOLDER gets normal.pcap, with so many
frames, and leak.pcap, with so many leaked connections: all to one server, each from a client of its own, 18
a second from the twentieth second on. ``tcpstates analyze`` reads the two as one stream.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tcpstates
from growing import Template, grow, put, read_template

_SECOND = 1_000_000_000
_FIRST, _SPACING = 20 * _SECOND, _SECOND // 18


def main(capture: Path, frames: int, leaked: int, folder: Path) -> None:
    """Write both captures, and say how many frames each has."""
    table = tcpstates.analyze(capture).connections
    template = read_template(capture)
    normal = _only(template, table[table["outcome"] == "closed"])
    stuck = _only(template, table[table["outcome"] == "stuck_close_wait"].head(1))
    print(grow(normal, frames, folder / "normal.pcap"))
    first = int(template.times[0]) + _FIRST - int(stuck.times[0])
    copies = [_copy(stuck, number, first + number * _SPACING) for number in range(leaked)]
    print(_write(folder / "leak.pcap", template.header, copies))


def _only(template: Template, connections: Any) -> Template:
    """The records of these connections, by the clients' ports, which the demo uses once."""
    ports = set(connections["client_port"].tolist())
    pairs = [_ports(template, start) for start in template.starts[:-1].tolist()]
    kept = np.array([bool(ports & set(pair)) for pair in pairs])
    sizes = np.diff(template.starts)
    data = template.data[np.repeat(kept, sizes)]
    starts = np.cumsum([0, *sizes[kept]])
    moved = starts[:-1] - template.starts[:-1][kept]
    return Template(
        template.header, data, starts, template.times[kept],
        template.clients[kept] + moved, template.servers[kept] + moved,
    )  # fmt: skip


def _ports(template: Template, start: int) -> tuple[int, int]:
    source, destination = template.data[start + 50 : start + 54].view(">u2").tolist()
    return source, destination


def _copy(template: Template, number: int, later: int) -> list[tuple[int, bytes]]:
    """The records, later and from another client: what one half of its address gains the other loses."""
    data = template.data.copy()
    times = template.times + later
    for offset, values in zip((0, 4), np.divmod(times, _SECOND), strict=True):
        put(data, template.starts[:-1] + offset, values.astype("<u4"))
    for half, step in ((0, number), (2, -number)):
        positions = template.clients + half
        words = (data[positions].astype(np.int64) << 8 | data[positions + 1]) + step
        put(data, positions, (words % 0xFFFF).astype(">u2"))  # as the checksum adds: in ones' complement
    content, starts = data.tobytes(), template.starts.tolist()
    return [(int(time), content[starts[i] : starts[i + 1]]) for i, time in enumerate(times)]


def _write(path: Path, header: bytes, copies: list[list[tuple[int, bytes]]]) -> int:
    records = sorted(record for copy in copies for record in copy)
    path.write_bytes(header + b"".join(content for _, content in records))
    return len(records)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
