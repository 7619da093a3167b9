"""ICMP errors: what is read of them, which connection they are about, and what they end."""

from __future__ import annotations

import struct
from pathlib import Path

import dpkt
import numpy as np
import pytest

import tcpstates
from builders import ethernet
from encapsulations import PACKET, PACKET6, SEGMENT, SEGMENT6
from frames_of_tests import decoded_by, ethernet_of, ipv4, ipv6
from streams import SECOND, SYN, Sent, as_errors, as_segments
from tcpstates.capture.decoder import Decoder
from tcpstates.inference.tuples import turns
from tcpstates.reports.wording import icmp_words
from tcpstates.schema import ICMP_ERRORS, Checksum
from transcripts import START, Transcript

SEQ, ACK = struct.unpack("!II", SEGMENT[4:12])


def message(kind: int, code: int, quoted: bytes, rest: bytes = bytes(4)) -> bytes:
    """An ICMP message from 10.0.0.1, its checksum right."""
    unsummed = bytes([kind, code, 0, 0]) + rest + quoted
    return unsummed[:2] + struct.pack("!H", dpkt.dpkt.in_cksum(unsummed)) + unsummed[4:]


def errors_in(frame: bytes, decoder: str = "fast") -> np.ndarray:
    by = Decoder(decoder)  # type: ignore[arg-type]
    decoded_by(by, frame)
    return by.errors


def quoted_in(frame: bytes) -> tuple[int, int, int]:
    """The ports and the number that the only error in a frame quotes."""
    (error,) = errors_in(frame)
    return int(error["src_port"]), int(error["dst_port"]), int(error["seq"])


EXPECTED = (*struct.unpack("!HH", SEGMENT[:4]), SEQ)


@pytest.mark.parametrize("decoder", ["fast", "dpkt"])
def test_an_error_says_who_sent_it_and_what_it_quotes(decoder: str) -> None:
    (error,) = errors_in(ethernet(ipv4(message(3, 1, PACKET), 1)), decoder)
    assert (error["type"], error["code"], error["version"]) == (3, 1, 4)
    assert error["router_lo"] == 0xFFFF << 32 | 10 << 24 | 1
    assert (error["seq"], error["ack"], error["flags"]) == (SEQ, ACK, SEGMENT[13])
    assert (error["checksum"], error["mtu"], error["frame"]) == (Checksum.GOOD, 0, 1)


def test_eight_quoted_bytes_are_enough_and_seven_are_not() -> None:
    (error,) = errors_in(ethernet(ipv4(message(11, 0, PACKET[:28]), 1)))
    assert (error["seq"], error["ack"], error["flags"]) == (SEQ, 0, 0)
    assert not len(errors_in(ethernet(ipv4(message(11, 0, PACKET[:27]), 1))))


def test_a_quoted_packet_may_have_options_and_extension_headers() -> None:
    assert quoted_in(ethernet(ipv4(message(3, 13, ipv4(SEGMENT, options=bytes([1] * 8))), 1))) == EXPECTED
    behind = bytes([6, 0]) + bytes(6) + SEGMENT6
    (error,) = errors_in(ethernet(ipv6(bytes([1, 4]) + bytes(6) + ipv6(behind, 0), 58)))
    assert (error["version"], error["seq"]) == (6, SEQ)


def test_extensions_of_icmp_are_not_taken_for_tcp() -> None:
    """RFC 4884: the quoted packet is padded to 128 bytes, and labels come behind it."""
    padded = PACKET[:28].ljust(128, b"\xff") + b"\x20\0\0\0" + bytes(8)
    short = PACKET[:2] + struct.pack("!H", 28) + padded[4:]
    (error,) = errors_in(ethernet(ipv4(message(11, 0, short, b"\0\x20\0\0"), 1)))
    assert (error["seq"], error["ack"], error["flags"]) == (SEQ, 0, 0)


def test_an_error_in_a_vlan_or_a_tunnel() -> None:
    error = ipv4(message(3, 1, PACKET), 1)
    assert errors_in(ethernet(error, (7,)))["tunnel"][0] == 1 << 56 | 7
    assert quoted_in(ethernet(ipv4(error, 4))) == EXPECTED
    assert quoted_in(ethernet_of(0x8847, b"\0\0\x11\x40" + error)) == EXPECTED


def test_a_later_fragment_quotes_no_tcp() -> None:
    assert not len(errors_in(ethernet(ipv4(message(3, 1, ipv4(SEGMENT, fragment=5)), 1))))


def test_the_mtu_of_the_next_hop() -> None:
    error = ipv4(message(3, 4, PACKET, struct.pack("!HH", 0, 1400)), 1)
    assert errors_in(ethernet(error))["mtu"][0] == 1400
    too_big = ipv6(bytes([2, 0, 0, 0]) + struct.pack("!I", 1280) + PACKET6, 58)
    assert errors_in(ethernet(too_big))["mtu"][0] == 1280


def test_an_error_with_a_wrong_checksum() -> None:
    wrong = bytes([3, 1, 9, 9]) + bytes(4) + PACKET
    assert errors_in(ethernet(ipv4(wrong, 1)))["checksum"][0] == Checksum.BAD


# What it does to a connection


def about(
    talk: Transcript, place: int, kind: int = 3, code: int = 1, *, at: float, **more: int
) -> np.ndarray:
    """An error about the segment at that place of a transcript."""
    segment, error = talk.rows[place], np.zeros(1, ICMP_ERRORS)
    for name in ("src_lo", "src_port", "dst_lo", "dst_port", "seq", "version"):
        error[name] = segment[name]
    error["type"], error["code"], error["frame"] = kind, code, 99
    error["time"], error["router_lo"] = START + round(at * 1e9), 77
    for name, value in more.items():
        error[name] += value
    return error


def story(talk: Transcript, side: str, error: np.ndarray) -> list[str]:
    return talk.story(side, errors=error)


def test_an_error_ends_an_attempt() -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    error = about(talk, 0, at=0.5)
    ended = ["SYN_SENT 0.000 observed sent_syn", "CLOSE 0.500 observed received_icmp_error"]
    assert story(talk, "client", error) == ended
    side = talk.infer(errors=error).sides[0]
    assert (side["icmp_errors"], side["icmp_type"], side["icmp_code"]) == (1, 3, 1)
    assert (side["icmp_router_lo"], side["icmp_frame"]) == (77, 99)


@pytest.mark.parametrize(("kind", "code"), [(3, 4), (4, 0), (5, 1), (11, 1)])
def test_what_is_no_hard_error_ends_nothing(kind: int, code: int) -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    assert talk.timeline("client", errors=about(talk, 0, kind, code, at=0.5)) == ["SYN_SENT"]


def test_a_repeated_syn_shows_that_the_attempt_goes_on() -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    error = about(talk, 0, at=0.5)
    talk.client("SYN seq=0 @1")
    assert talk.timeline("client", errors=error) == ["SYN_SENT"]


def test_an_open_connection_survives() -> None:
    talk = Transcript().opened()
    talk.client("ACK seq=1 ack=1 len=10")
    error = about(talk, 3, at=0.5)
    assert talk.timeline("client", errors=error) == ["SYN_SENT", "ESTABLISHED"]
    assert talk.infer(errors=error).sides["icmp_errors"].tolist() == [1, 0]


@pytest.mark.parametrize(("code", "state"), [(1, "CLOSE"), (13, "SYN_RECV")])
def test_a_request_survives_all_but_the_unreachable(code: int, state: str) -> None:
    """Linux tcp_req_err: host unreachable ends SYN_RECV, an error that only attempts believe does not."""
    talk = Transcript()
    talk.client("SYN seq=0")
    talk.server("SYN ACK seq=0 ack=1")
    assert talk.timeline("server", errors=about(talk, 1, 3, code, at=0.5))[-1] == state


def test_a_number_that_was_never_sent_ends_nothing() -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    error = about(talk, 0, at=0.5, seq=7)
    assert talk.timeline("client", errors=error) == ["SYN_SENT"]
    assert talk.infer(errors=error).stray_errors == 1


def test_an_error_about_nothing_known_makes_no_connection() -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    error = about(talk, 0, at=0.5, src_port=1)
    assert len(talk.infer(errors=error).connections) == 1
    assert talk.infer(errors=error).stray_errors == 1


def test_a_second_record_of_an_error_counts_once() -> None:
    talk = Transcript()
    talk.client("SYN seq=0")
    twice = np.concatenate((about(talk, 0, at=0.5), about(talk, 0, at=0.501)))
    assert talk.infer(errors=twice).sides["icmp_errors"].tolist() == [1, 0]


def test_recorded_errors_end_what_they_ended(captures: Path) -> None:
    for name in ("unreachable", "unreachable_prohibited", "ipv6_unreachable"):
        analysis = tcpstates.analyze(captures / "kernel" / f"{name}.client.pcap.gz")
        assert analysis.connections["outcome"].tolist() == ["unreachable"] * 3
        assert analysis.counts.stray_errors == 0


# In words


def test_errors_in_words() -> None:
    assert icmp_words(4, 3, 1) == "host unreachable (ICMP 3/1)"
    assert icmp_words(4, 3, 13) == "administratively prohibited (ICMP 3/13)"
    assert icmp_words(4, 3, 99) == "destination unreachable (ICMP 3/99)"
    assert icmp_words(4, 11, 0) == "time to live exceeded (ICMP 11/0)"
    assert icmp_words(4, 12, 2) == "parameter problem (ICMP 12/2)"
    assert icmp_words(6, 1, 4) == "port unreachable (ICMPv6 1/4)"
    assert icmp_words(6, 3, 1) == "fragment reassembly time exceeded (ICMPv6 3/1)"
    assert icmp_words(4, 42, 1) == "error (ICMP 42/1)"


def test_an_error_waits_for_the_next_segment_of_its_own_ends_only() -> None:
    """So errors that answer many attempts are taken together; none is taken too late."""
    attempts = [Sent(flags=SYN, seq=1, client=client) for client in range(1, 5)]
    again = Sent(gap=SECOND, flags=SYN, seq=1, client=2)
    errors = as_errors([Sent(flags=SYN, seq=1, client=client, icmp=(3, 1)) for client in range(1, 5)])
    segments = as_segments([*attempts, again])
    errors["time"] = segments["time"][3] + 1
    assert turns(segments, errors).tolist() == [5, 4, 5, 5]
    errors["time"][2] = segments["time"][4]  # what comes after it in its order is not taken before it
    assert turns(segments, errors[[2, 1]]).tolist() == [5, 5]
    assert turns(segments[:0], errors).tolist() == [0, 0, 0, 0]
