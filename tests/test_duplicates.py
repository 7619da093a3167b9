"""The capture's second copies of frames, and retransmissions, which must never be taken for such."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from transcripts import Transcript

MICROSECOND = 1_000


def copies(rows: Iterable[np.void], delay: int, **changed: int) -> list[np.void]:
    """The same frames once more, ``delay`` ns later."""
    found = []
    for row in rows:
        copy = row.copy()
        copy["time"] += delay
        for name, value in changed.items():
            copy[name] = value
        found.append(copy)
    return found


def without_ids(talk: Transcript) -> None:
    """As IPv6, macOS and many others have it."""
    for row in talk.rows:
        row["ip_id"] = 0


def burst(talk: Transcript, count: int, options: str = "") -> list[np.void]:
    """So much data of the client, 10 us from segment to segment."""
    for number in range(count):
        at = talk.rows[2]["time"] - talk.rows[0]["time"] + 1_000_000 + number * 10 * MICROSECOND
        talk.client(f"ACK seq={1 + 100 * number} ack=1 len=100 @{at / 1e9} {options}")
    return talk.rows[-count:]


def counted(talk: Transcript) -> tuple[int, int]:
    """The client's duplicates and retransmissions."""
    side = talk.infer().sides[0]
    return int(side["duplicates"]), int(side["retransmits"])


def test_a_burst_of_eight_mirrored_behind_itself() -> None:
    talk = Transcript().opened()
    talk.rows += copies(burst(talk, 8), 90 * MICROSECOND)
    assert counted(talk) == (8, 0)


def test_the_same_without_ip_ids() -> None:
    for options in ("", "ts=5/1"):
        talk = Transcript().opened()
        talk.rows += copies(burst(talk, 8, options), 90 * MICROSECOND)
        without_ids(talk)
        assert counted(talk) == (8, 0)


def test_the_other_side_of_a_router_that_takes_its_time() -> None:
    """Acknowledgements come between, but the hop limit differs."""
    talk = Transcript().opened()
    data = burst(talk, 3)
    talk.server("ACK seq=1 ack=1 @0.0215")
    talk.rows += copies(data, 3_000 * MICROSECOND, ttl=63)
    without_ids(talk)
    assert counted(talk) == (3, 0)


def test_the_other_vlan_of_a_router() -> None:
    talk = Transcript().opened()
    talk.rows += copies(burst(talk, 3), 3_000 * MICROSECOND, tunnel=1 << 56 | 20)
    without_ids(talk)
    assert counted(talk) == (3, 0)


def test_a_copy_of_what_was_acknowledged_meanwhile() -> None:
    talk = Transcript().opened()
    data = burst(talk, 2)
    talk.server("ACK seq=1 ack=201 @0.0211")
    talk.rows += copies(data, 200 * MICROSECOND)
    without_ids(talk)
    assert counted(talk) == (2, 0)


def test_a_fast_retransmission_on_a_fast_network_is_one() -> None:
    """Over IPv6, in the same millisecond: three duplicate acknowledgements ask for it."""
    for options in ("", "ts=5/1"):
        talk = Transcript().opened()
        data = burst(talk, 5, options)
        for number in range(3):
            talk.server(f"ACK seq=1 ack=1 @{0.02106 + number * 1e-5} {options}")
        talk.rows += copies(data[:1], 120 * MICROSECOND)
        without_ids(talk)
        assert counted(talk) == (0, 1)


def test_a_tail_loss_probe_is_one() -> None:
    """It comes without being asked for, but not before two ticks of the clock of the timestamps."""
    for options in ("", "ts=5/1"):
        talk = Transcript().opened()
        probe = copies(burst(talk, 2, options)[-1:], 2_500 * MICROSECOND)
        if options:
            probe[0]["tsval"] += 2
        talk.rows += probe
        without_ids(talk)
        assert counted(talk) == (0, 1)


def test_a_retransmission_with_an_ip_id_of_its_own_is_one() -> None:
    talk = Transcript().opened()
    talk.rows += copies(burst(talk, 1), 30 * MICROSECOND, ip_id=999)
    assert counted(talk) == (0, 1)


def test_of_one_direction_alone_only_what_comes_at_once_is_a_copy() -> None:
    for delay, expected in ((20 * MICROSECOND, (1, 0)), (300 * MICROSECOND, (0, 1))):
        talk = Transcript().opened()
        talk.rows += copies(burst(talk, 1, "ts=5/1"), delay)
        without_ids(talk)
        talk.rows = [row for row in talk.rows if row["dst_port"] == 80]
        assert counted(talk) == expected


def test_duplicate_acknowledgements_that_data_asked_for_are_no_copies() -> None:
    talk = Transcript().opened()
    burst(talk, 4)
    for at in (0.021015, 0.021025, 0.021035):
        talk.server(f"ACK seq=1 ack=1 @{at}")
    without_ids(talk)
    talk.rows.sort(key=lambda row: int(row["time"]))
    assert talk.infer().sides["duplicates"].tolist() == [0, 0]
