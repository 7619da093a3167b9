"""Segments as the reference engine sees them: plain ints and tuples."""

from __future__ import annotations

from typing import Any, NamedTuple

from tcpstates.schema import SEGMENTS

FIN, SYN, RST, ACK = 1, 2, 4, 16
MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND


class Segment(NamedTuple):
    """One row of SEGMENTS, as plain ints."""

    time: int
    source: tuple[int, int, int, int]
    target: tuple[int, int, int, int]
    tunnel: int
    frame: int
    flags: int
    seq: int
    ack: int
    payload: int
    window: int
    wscale: int
    tsval: int
    tsecr: int
    sack_left: int
    sack_right: int
    ip_id: int
    ttl: int
    interface: int
    marks: int
    checksum: int

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)

    @property
    def end(self) -> int:
        """The number behind the payload."""
        return (self.seq + self.payload) % 2**32

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """What two records of one frame have in common."""
        return (
            self.seq, self.ack, self.flags, self.window, self.payload,
            self.tsval, self.tsecr, self.sack_left, self.sack_right, self.ip_id,
        )  # fmt: skip

    @property
    def path(self) -> tuple[int, ...]:
        """What is equal in two segments that came the same way."""
        return self.ttl, self.tunnel, self.interface


def plain(row: Any) -> Segment:
    """The segment of one record of a SEGMENTS array."""
    values = dict(zip(SEGMENTS.names or (), row.item(), strict=True))
    own = {name: values[name] for name in Segment._fields if name in values}
    return Segment(
        source=tuple(values[name] for name in ("version", "src_hi", "src_lo", "src_port")),
        target=tuple(values[name] for name in ("version", "dst_hi", "dst_lo", "dst_port")),
        **own,
    )
