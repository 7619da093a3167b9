"""802.11's data frames, whole, aggregated, encrypted, and what is none."""

from __future__ import annotations

import pytest

from encapsulations import PACKET, SNAP, WIFI, WIFI_FRAMES, check, gre, radiotap, subframe, wifi
from frames_of_tests import block_of, dissected
from tcpstates.capture.decoder import Decoder

WLAN, RADIOTAP = 105, 127
AGGREGATE_HEADER = b"\x88\x01" + bytes(22) + b"\x80\x00"


@pytest.mark.parametrize("name", WIFI_FRAMES)
def test_the_segment_within_it_is_read(name: str) -> None:
    check(WIFI_FRAMES[name])


def test_every_segment_of_an_aggregate_is_read() -> None:
    body = subframe(SNAP + PACKET) + subframe(b"\x42\x42\x03" + bytes(7)) + subframe(SNAP + PACKET)
    decoder = Decoder()
    blocks = [
        block_of([WIFI, AGGREGATE_HEADER + body, WIFI], WLAN),
        block_of([gre(0x8240, AGGREGATE_HEADER + body)]),
    ]
    assert [decoder.decode(block)["frame"].tolist() for block in blocks] == [[1, 2, 2, 3], [1, 1]]
    assert not decoder.skipped


def test_an_aggregate_without_a_segment_says_why() -> None:
    assert dissected(AGGREGATE_HEADER + subframe(b"\x42\x42\x03" + bytes(7)), WLAN) == "not IP"
    assert dissected(AGGREGATE_HEADER, WLAN) == "malformed"


def test_an_aggregate_of_a_great_many_is_bounded() -> None:
    block = block_of([AGGREGATE_HEADER + subframe(SNAP + PACKET) * 5000], WLAN)
    assert len(Decoder().decode(block)) == 64


def test_what_is_encrypted_is_said_to_be() -> None:
    assert dissected(wifi(bytes(60), b"\x08\x41"), WLAN) == "encrypted (802.11)"


@pytest.mark.parametrize("control", [b"\x80\0", b"\xb4\0", b"\x48\1", b"\xc8\1"])
def test_beacons_and_the_like_hold_nothing(control: bytes) -> None:
    assert dissected(wifi(SNAP + PACKET, control), WLAN) == "not IP"


def test_a_later_fragment_is_no_segment() -> None:
    frame = wifi(SNAP + PACKET)
    assert dissected(frame[:22] + b"\x01" + frame[23:], WLAN) == "802.11 fragment"


def test_words_of_presence_without_end() -> None:
    assert dissected(b"\0\0\xff\x7f" + b"\xff" * 4000, RADIOTAP) == "cut within a header"
    assert dissected(radiotap(1 << 31, b""), RADIOTAP) == "cut within a header"
