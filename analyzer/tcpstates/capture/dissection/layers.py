"""What the slow path hands from header to header, and the tables in which each finds the next.

A *reader* is a function that reads one header from the front of a ``Rest`` and has what follows read
by the reader of another header, which it finds by number in a ``Table``. So modules of readers need
not know each other. A reader returns the segments that it came to: one, or several of an aggregate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import dpkt
import numpy as np

from tcpstates.capture import layout
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.schema import Mark, TunnelKind

TUNNEL_SHIFT = 56
_IDENTIFIER = (1 << TUNNEL_SHIFT) - 1
_MOST_LAYERS = 32


def header_of(packet: type[Any]) -> type[Any]:
    """The dpkt class for that header alone: what follows stays bytes, in ``data``."""
    alone = {"unpack": dpkt.dpkt.Packet.unpack, "_unpack_data": lambda self, data: None}
    return type(packet.__name__, (packet,), alone)


class NoSegmentError(Exception):
    """The frame holds no segment; the argument says why."""

    @classmethod
    def because(cls, outcome: Outcome) -> NoSegmentError:
        """For one of the usual reasons."""
        return cls(REASONS[outcome])


class Reassembly(Protocol):
    """Where fragments wait for each other: ``fragments.Fragments``."""

    @property
    def lonely(self) -> int:
        """First fragments whose rest has not come."""

    def add(self, rest: Rest, protocol: int, ident: int, offset: int, more: bool) -> Rest:
        """Add a fragment; the whole datagram, or NoSegmentError if that is not known yet."""


class Context(NamedTuple):
    """What all headers of a frame share.

    Attributes
    ----------
    time : the frame's, in nanoseconds since the epoch.
    checksums : whether to verify the TCP checksum.
    fragments : the datagrams that are not whole yet.
    errors : where ICMP errors about TCP are collected, as records of ``ICMP_ERRORS``.
    """

    time: int
    checksums: bool
    fragments: Reassembly
    errors: list[np.void]


class Packet(NamedTuple):
    """What an IP header says of the packet behind it.

    Attributes
    ----------
    src, dst : the addresses in the header, 4 or 16 bytes.
    home, final : those that the checksum covers instead, where IPv6 extension headers name them
        (RFC 6275, 6.3; RFC 8200, 8.1); ``final`` is empty if it cannot be told.
    """

    version: int
    src: bytes
    dst: bytes
    home: bytes
    final: bytes
    ttl: int
    ip_id: int
    marks: Mark


_NO_PACKET = Packet(0, b"", b"", b"", b"", 0, 0, Mark(0))


class Rest(NamedTuple):
    """What is left of a frame behind the headers read so far.

    Attributes
    ----------
    data : the bytes that were captured.
    length : how many bytes there are by the enclosing header, or were on the wire.
    tunnel : the key of the innermost encapsulation.
    layers : how many readers came before.
    packet : the innermost IP header; of version 0 before there is one.
    """

    data: bytes
    length: int
    context: Context
    tunnel: int = 0
    layers: int = 0
    packet: Packet = _NO_PACKET

    def after(self, size: int) -> Rest:
        """What follows ``size`` more bytes of headers."""
        return self._replace(data=self.data[size:], length=self.length - size)

    def within(self, length: int) -> Rest:
        """The same, ended by a length field, which cannot lengthen it."""
        length = min(length, self.length)
        return self._replace(data=self.data[: max(length, 0)], length=length)

    def sized(self, length: int) -> Rest:
        """The same, as long as an IP header says, also where a tap or a switch has sliced the frame."""
        return self._replace(data=self.data[:length], length=length)

    def deeper(self) -> Rest:
        """The same, one layer on; a frame of nothing but tags and tunnels ends somewhere."""
        if self.layers == _MOST_LAYERS:
            raise NoSegmentError.because(Outcome.MALFORMED)
        return self._replace(layers=self.layers + 1)

    def through(self, kind: TunnelKind, identifier: int = 0) -> Rest:
        """The same, inside an encapsulation.

        A VLAN within a tunnel does not hide the tunnel, and no encapsulation without an identifier
        hides a tunnel that has one.
        """
        is_tunnelled = self.tunnel >> TUNNEL_SHIFT > TunnelKind.VLAN
        if is_tunnelled and (kind == TunnelKind.VLAN or (self.tunnel & _IDENTIFIER and not identifier)):
            return self
        return self._replace(tunnel=kind << TUNNEL_SHIFT | identifier)

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes, all of them."""
        if len(self.data) < size:
            raise NoSegmentError.because(Outcome.CUT)
        return self.data[:size]

    def number(self, at: int, size: int = 2) -> int:
        """A field of the next header, in network byte order."""
        return int.from_bytes(self.take(at + size)[at:], "big")

    def read(self, header: type[Any]) -> Any:
        """The header that comes next, as dpkt's object."""
        self.take(header.__hdr_len__)
        return header(self.data)


def halves(address: bytes) -> tuple[int, int]:
    """An address as two uint64, IPv4 in its mapped form."""
    if len(address) == 4:
        return 0, layout.IP_MAPPED | int.from_bytes(address, "big")
    return int.from_bytes(address[:8], "big"), int.from_bytes(address[8:], "big")


Segments = list[np.void]
Reader = Callable[[Rest], Segments]


class Table:
    """The readers of headers that a number in the header before chooses from.

    Parameters
    ----------
    missing : function of int
        What is said of a frame whose number has no reader.
    """

    def __init__(self, missing: Callable[[int], str]) -> None:
        self._readers: dict[int, Reader] = {}
        self._missing = missing

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers that there are readers for."""
        return frozenset(self._readers)

    def reader(self, *numbers: int) -> Callable[[Reader], Reader]:
        """Enter the function that follows for these numbers."""

        def enter(function: Reader) -> Reader:
            self._readers.update(dict.fromkeys(numbers, function))
            return function

        return enter

    def read(self, rest: Rest, number: int) -> Segments:
        """Have the reader for ``number`` read on; NoSegmentError where there is none."""
        reader = self._readers.get(number)
        if reader is None:
            raise NoSegmentError(self._missing(number))
        return reader(rest.deeper())


def several(parts: list[tuple[Reader, Rest]]) -> Segments:
    """The segments in the parts of an aggregate; NoSegmentError, the first, if none holds any."""
    segments: Segments = []
    errors: list[NoSegmentError] = []
    for reader, rest in parts:
        try:
            segments += reader(rest)
        except NoSegmentError as error:
            errors.append(error)
    if not segments:
        raise errors[0] if errors else NoSegmentError.because(Outcome.MALFORMED)
    return segments
