"""The datagrams of which only some fragments have come: just enough of each to read its TCP header.

A segment in fragments is known when its first bytes and its length are: the first fragment has the
ones, the last tells the other. What lies between is never kept. The table is bounded in every way, as
fragments are a classic way to exhaust or to confuse whoever puts them together (RFC 1858, RFC 8900).
"""

from __future__ import annotations

from typing import NamedTuple

from tcpstates.capture import layout
from tcpstates.capture.dissection.layers import NoSegmentError, Rest
from tcpstates.capture.layout import Outcome

#: Datagrams at most; the one that began first makes place for another.
MOST_DATAGRAMS = 4096
#: Nanoseconds after its first fragment that a datagram is waited for, as in Linux.
LONGEST_WAIT = 30_000_000_000
#: Bytes kept from the beginning of a datagram: TCP's header, and room for some before it.
KEPT = 128


class _Key(NamedTuple):
    """What the fragments of a datagram have in common (RFC 791, 3.2; RFC 8200, 4.5)."""

    src: bytes
    dst: bytes
    protocol: int
    ident: int
    tunnel: int


class _Datagram:
    """What is known of one.

    Attributes
    ----------
    began : the time of the fragment that came first.
    first : the fragment that the datagram begins with.
    pieces : the beginning's bytes by their offset; of two copies, the one that came first.
    length : the whole length, 0 as long as the last fragment has not told it.
    is_known : whether its segment has been read.
    """

    __slots__ = ("began", "first", "is_known", "length", "pieces")

    def __init__(self, began: int) -> None:
        self.began = began
        self.first: Rest | None = None
        self.pieces: dict[int, bytes] = {}
        self.length = 0
        self.is_known = False

    def beginning(self) -> bytes:
        """The bytes from the first on, to where some are missing."""
        joined = b""
        for offset, piece in sorted(self.pieces.items()):
            if offset > len(joined):
                break
            joined += piece[len(joined) - offset :]
        return joined


class Fragments:
    """The datagrams that are waited for, and those that have come of late.

    Attributes
    ----------
    lonely : int
        First fragments, so far, whose datagram has not become known.
    """

    def __init__(self) -> None:
        self.lonely = 0
        self._datagrams: dict[_Key, _Datagram] = {}

    def __len__(self) -> int:
        return len(self._datagrams)

    def add(self, rest: Rest, protocol: int, ident: int, offset: int, more: bool) -> Rest:
        """Add a fragment.

        Parameters
        ----------
        rest : Rest
            The fragment behind its IP header, or IPv6 fragment header.
        protocol, ident, offset, more : int, int, int, bool
            What that says: its protocol, the datagram's identification, its place in bytes, and
            whether others follow it.

        Returns
        -------
        Rest
            The whole datagram, if this fragment makes it known, with as many bytes as are kept of it.

        Raises
        ------
        NoSegmentError
            If it does not.
        """
        if offset + rest.length > layout.IP_MAXIMUM:  # as in the ping of death
            raise NoSegmentError.because(Outcome.MALFORMED)
        key = _Key(rest.packet.src, rest.packet.dst, protocol, ident, rest.tunnel)
        datagram = self._datagram(key, rest.context.time)
        if offset == 0:
            datagram = self._begin(key, datagram, rest)
        if offset < KEPT:
            datagram.pieces.setdefault(offset, rest.data[: KEPT - offset])
        if not more:
            datagram.length = datagram.length or offset + rest.length
        return self._known(datagram, is_first=offset == 0)

    def _datagram(self, key: _Key, time: int) -> _Datagram:
        """The datagram that a fragment belongs to; a new one if the one before it is too old."""
        datagram = self._datagrams.get(key)
        if datagram is None or abs(time - datagram.began) > LONGEST_WAIT:
            datagram = self._new(key, time)
        return datagram

    def _new(self, key: _Key, time: int) -> _Datagram:
        self._datagrams.pop(key, None)
        if len(self._datagrams) == MOST_DATAGRAMS:
            del self._datagrams[next(iter(self._datagrams))]
        datagram = self._datagrams[key] = _Datagram(time)
        return datagram

    def _begin(self, key: _Key, datagram: _Datagram, rest: Rest) -> _Datagram:
        """Take a first fragment: another than the one before begins another datagram (RFC 6864)."""
        if datagram.first is not None:
            if datagram.first.data[:KEPT] == rest.data[:KEPT]:
                return datagram
            datagram = self._new(key, rest.context.time)
        datagram.first = rest._replace(data=rest.data[:KEPT])
        self.lonely += 1
        return datagram

    def _known(self, datagram: _Datagram, is_first: bool) -> Rest:
        """The datagram, once, when its length and the header in it have come."""
        beginning = datagram.beginning()
        is_enough = len(beginning) >= min(layout.TCP_HEADER_MAXIMUM, datagram.length)
        if datagram.first is None or not datagram.length or datagram.is_known:
            raise NoSegmentError.because(Outcome.FRAGMENT)
        is_cut = len(datagram.first.data) < min(datagram.first.length, KEPT)
        if not is_enough and not is_cut:
            raise NoSegmentError.because(Outcome.FRAGMENT)
        datagram.is_known = True
        datagram.pieces.clear()
        self.lonely -= 1
        return datagram.first._replace(data=beginning[: datagram.length], length=datagram.length)
