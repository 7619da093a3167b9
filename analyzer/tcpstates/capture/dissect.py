"""The slow path: any frame, read header by header, mostly by dpkt's header classes.

It decodes what the fast path declines (labels, tunnels, fragments, rare links) and is the oracle that
the fast path is tested against. Left to itself, dpkt 1.9.8 takes a later IPv6 fragment for TCP where
another extension header comes first, forgets the outer of three VLAN tags, takes Linux's loopback IPv6
for Ethernet, counts as payload what the snap length left of it, and padding where the IP length is zero
or a jumbogram's. So dpkt reads headers here, but does not choose what comes next: each reader in
``dissection`` reads one header and has the next one read. What dpkt lacks they read themselves.
"""

from __future__ import annotations

import struct

import dpkt
import numpy as np

# these enter their readers into the tables of those before them
from tcpstates.capture.dissection import icmp, tcp, tunnels  # noqa: F401
from tcpstates.capture.dissection.fragments import Fragments
from tcpstates.capture.dissection.layers import Context, NoSegmentError, Reassembly, Rest, Segments
from tcpstates.capture.dissection.links import LINKS
from tcpstates.capture.layout import REASONS, Outcome
from tcpstates.schema import Mark


class Dissector:
    """Decodes one frame at a time, and keeps what it has to know of the ones before: fragments.

    Parameters
    ----------
    checksums : bool
        Whether to verify the checksums of TCP and of ICMP errors.
    fragments : Reassembly, optional
        What puts fragments together.
    """

    def __init__(self, checksums: bool = True, fragments: Reassembly | None = None) -> None:
        self._checksums = checksums
        self._fragments = Fragments() if fragments is None else fragments
        self._errors: list[np.void] = []

    @property
    def lonely(self) -> int:
        """First fragments so far whose rest has not come."""
        return self._fragments.lonely

    def taken_errors(self) -> list[np.void]:
        """The ICMP errors about TCP in the frames since the last call, as records of ``ICMP_ERRORS``.

        Their time, the frame's and the file's number are left at 0.
        """
        errors, self._errors = self._errors, []
        return errors

    def dissect(self, data: bytes, linktype: int, length: int, time: int = 0) -> Segments | str:
        """Decode one frame.

        Parameters
        ----------
        data : bytes
            What was captured of it.
        linktype : int
            The LINKTYPE_ value of its interface.
        length : int
            How many bytes it had on the wire.
        time : int
            Nanoseconds since the epoch; fragments do not wait for each other for ever.

        Returns
        -------
        list of numpy.void, or str
            Its innermost segments, at least one, as records of ``SEGMENTS`` with ``Mark.DISSECTED``;
            the time, the frame's and the file's number and the interface are left at 0. A segment in
            fragments is that of the frame that makes it known. Or why there is none, as people read it.
        """
        rest = Rest(data, max(length, len(data)), self._context(time))
        try:
            segments = LINKS.read(rest, linktype)
        except NoSegmentError as skipped:
            return str(skipped)
        except (dpkt.Error, struct.error, IndexError):
            return REASONS[Outcome.UNDECODED]
        if len(data) < length:
            for segment in segments:
                segment["marks"] |= Mark.CUT
        return segments

    def _context(self, time: int) -> Context:
        return Context(time, self._checksums, self._fragments, self._errors)
