"""WiFi: 802.11's data frames, and what captures put before them."""

from __future__ import annotations

from tcpstates.capture.dissection.ethertypes import llc
from tcpstates.capture.dissection.layers import NoSegmentError, Reader, Rest, Segments, several
from tcpstates.capture.layout import Outcome

# The frame control field's bits, its first byte in the upper half (IEEE 802.11, 9.2.4.1)
_TYPE, _DATA = 0x0C00, 0x0800
_HAS_QOS, _HAS_NO_DATA = 0x8000, 0x4000
_BETWEEN_ACCESS_POINTS = 0x0003  # both "to" and "from" the distribution system: a fourth address
_PROTECTED = 0x0040
_HAS_HT_CONTROL = 0x0080

_HEADER = 24
_SEQUENCE_CONTROL = 22
_ADDRESS = 6
_IS_AGGREGATE = 0x80  # in the QoS control field's first byte
_SUBFRAME_HEADER = 14
_MOST_SUBFRAMES = 64
_LLC_SNAP = b"\xaa\xaa\x03"

_RADIOTAP_TSFT, _RADIOTAP_FLAGS, _RADIOTAP_MORE = 1, 2, 1 << 31
_RADIOTAP_PADDED = 0x20
_AVS = 0x80211  # the upper bits of its magic number
_PRISM_HEADER = 144


def wlan(rest: Rest) -> Segments:
    """A data frame: LLC behind a header whose length its first two bytes tell."""
    return _data_frame(rest, is_padded=False)


def _data_frame(rest: Rest, is_padded: bool) -> Segments:
    control = rest.number(0)
    if control & _TYPE != _DATA or control & _HAS_NO_DATA:
        raise NoSegmentError.because(Outcome.NOT_IP)
    if rest.number(_SEQUENCE_CONTROL, 1) & 0xF:
        raise NoSegmentError("802.11 fragment")
    size = _HEADER
    if control & _BETWEEN_ACCESS_POINTS == _BETWEEN_ACCESS_POINTS:
        size += _ADDRESS
    qos = rest.number(size, 1) if control & _HAS_QOS else 0
    if control & _HAS_QOS:
        size += 6 if control & _HAS_HT_CONTROL else 2
    body = rest.after((size + 3) // 4 * 4 if is_padded else size)
    # capture tools that decrypt may leave the flag
    if control & _PROTECTED and body.data[:3] != _LLC_SNAP:
        raise NoSegmentError("encrypted (802.11)")
    return _aggregate(body) if qos & _IS_AGGREGATE else llc(body)


def _aggregate(rest: Rest) -> Segments:
    """An A-MSDU: several frames, each but the last padded to a multiple of four bytes."""
    parts: list[tuple[Reader, Rest]] = []
    while len(rest.data) > _SUBFRAME_HEADER and len(parts) < _MOST_SUBFRAMES:
        length = rest.number(_SUBFRAME_HEADER - 2)
        parts.append((llc, rest.after(_SUBFRAME_HEADER).within(length)))
        rest = rest.after((_SUBFRAME_HEADER + length + 3) // 4 * 4)
    return several(parts)


# What stands before the frame


def radiotap(rest: Rest) -> Segments:
    """Radiotap; its flags, among much else, say whether header and body are padded apart."""
    length = max(_little(rest, 2, 2), 8)
    rest.take(length)
    return _data_frame(rest.after(length), bool(_radiotap_flags(rest.within(length)) & _RADIOTAP_PADDED))


def _radiotap_flags(rest: Rest) -> int:
    """The flags field: the second, behind as many words as say which fields are there."""
    present, at = _little(rest, 4, 4), 8
    word = present
    while word & _RADIOTAP_MORE:
        word, at = _little(rest, at, 4), at + 4
    if present & _RADIOTAP_TSFT:
        at = (at + 7) // 8 * 8 + 8
    return rest.number(at, 1) if present & _RADIOTAP_FLAGS else 0


def avs(rest: Rest) -> Segments:
    """AVS, which tells its own length."""
    return wlan(rest.after(max(rest.number(4, 4), 8)))


def prism(rest: Rest) -> Segments:
    """Prism, or AVS, which came after it under the same link type."""
    if rest.number(0, 4) >> 12 == _AVS:
        return avs(rest)
    return wlan(rest.after(_PRISM_HEADER))


def _little(rest: Rest, at: int, size: int) -> int:
    """A field in little-endian byte order."""
    return int.from_bytes(rest.take(at + size)[at:], "little")
