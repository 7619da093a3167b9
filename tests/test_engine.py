"""The engine, case by case: who sends what, and the states that follow.

Each case runs with sequence numbers that begin low and with numbers that wrap around within it.
"""

from __future__ import annotations

import numpy as np
import pytest

from tcpstates.inference.engine import Engine
from tcpstates.schema import SEGMENTS, Checksum, Fate, FirstCloser, Mark
from tcpstates.states import STATE_NAMES
from transcripts import START, Transcript


@pytest.fixture(params=[(1_000, 5_000), (2**32 - 1, 2**32 - 3)], ids=["low", "wrapping"])
def talk(request: pytest.FixtureRequest) -> Transcript:
    return Transcript(*request.param)


# Closing ----------------------------------------------------------------------------------------


def test_normal_close_by_client(talk: Transcript) -> None:
    talk.opened().closed_by_client()
    assert talk.story("client") == [
        "SYN_SENT 0.000 observed sent_syn",
        "ESTABLISHED 0.010 observed received_syn_ack",
        "FIN_WAIT1 0.030 observed sent_fin",
        "FIN_WAIT2 0.040 observed received_ack_of_fin",
        "TIME_WAIT 0.050 observed received_fin",
    ]
    assert talk.story("server") == [
        "CLOSE 0.000 observed first_frame",
        "SYN_RECV 0.010 observed sent_syn_ack",
        "ESTABLISHED 0.020 observed received_ack_of_syn",
        "CLOSE_WAIT 0.030 observed received_fin",
        "LAST_ACK 0.050 observed sent_fin",
        "CLOSE 0.060 observed received_ack_of_fin",
    ]


def test_normal_close_by_server(talk: Transcript) -> None:
    talk.opened()
    talk.server("FIN ACK seq=1 ack=1")
    talk.client("FIN ACK seq=1 ack=2")
    talk.server("ACK seq=2 ack=2")
    assert talk.ends_in() == ("CLOSE", "TIME_WAIT")
    assert talk.timeline("server")[-3:] == ["FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"]


def test_server_never_closes(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    assert talk.ends_in() == ("FIN_WAIT2", "CLOSE_WAIT")


def test_orphaned_fin_wait2_ends_by_its_timer_and_close_wait_never(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    assert talk.story("client", until=300)[-1] == "CLOSE 60.040 assumed timer_fin_wait2"
    assert talk.ends_in(until=300) == ("CLOSE", "CLOSE_WAIT")


def test_fin_wait2_that_a_process_holds_does_not_end(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    talk.server("PSH ACK seq=1 ack=2 len=100")
    talk.client("ACK seq=2 ack=101")
    assert talk.ends_in(until=300) == ("FIN_WAIT2", "CLOSE_WAIT")


def test_half_close_with_data_afterwards(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    talk.server("PSH ACK seq=1 ack=2 len=500 @10")
    talk.client("ACK seq=2 ack=501")
    assert talk.ends_in() == ("FIN_WAIT2", "CLOSE_WAIT")
    talk.server("FIN ACK seq=501 ack=2")
    talk.client("ACK seq=2 ack=502")
    assert talk.ends_in() == ("TIME_WAIT", "CLOSE")


def test_simultaneous_close(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("FIN ACK seq=1 ack=1")
    talk.client("ACK seq=2 ack=2")
    talk.server("ACK seq=2 ack=2")
    for side in ("client", "server"):
        assert talk.timeline(side)[-3:] == ["FIN_WAIT1", "CLOSING", "TIME_WAIT"]
    assert talk.infer().connections["first_closer"][0] == 3


def test_simultaneous_close_settled_by_repeated_fins(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("FIN ACK seq=1 ack=1")
    talk.client("FIN ACK seq=1 ack=2 @0.4")
    talk.server("FIN ACK seq=1 ack=2 @0.41")
    assert talk.ends_in() == ("TIME_WAIT", "TIME_WAIT")


def test_time_wait_ends_after_2msl(talk: Transcript) -> None:
    talk.opened().closed_by_client()
    assert talk.ends_in(until=60.0) == ("TIME_WAIT", "CLOSE")
    assert talk.story("client", until=61)[-1] == "CLOSE 60.050 assumed timer_2msl"
    assert talk.ends_in(until=61, timers="rfc9293") == ("TIME_WAIT", "CLOSE")
    assert talk.ends_in(until=241, timers="rfc9293") == ("CLOSE", "CLOSE")


def test_retransmitted_fin_restarts_time_wait(talk: Transcript) -> None:
    talk.opened().closed_by_client()
    talk.server("FIN ACK seq=1 ack=2 @1.0")
    talk.client("ACK seq=2 ack=2")
    assert talk.story("server")[-2:] == [
        "LAST_ACK 0.050 observed sent_fin",
        "CLOSE 1.010 observed received_ack_of_fin",
    ]
    assert talk.story("client", until=62)[-1] == "CLOSE 61.000 assumed timer_2msl"


def test_retransmitted_fin_is_one_fin(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.client("FIN ACK seq=1 ack=1 @0.3")
    talk.client("FIN ACK seq=1 ack=1 @0.7")
    talk.server("ACK seq=1 ack=2")
    assert talk.timeline("client") == ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"]
    # Nobody answered the first two: the third copy is the one that arrived
    assert talk.story("server")[-1] == "CLOSE_WAIT 0.700 observed received_fin"
    sides = talk.infer().sides
    assert sides["retransmits"].tolist() == [2, 0]
    assert sides["fins"].tolist() == [3, 0]


def test_fin_repeated_after_its_acknowledgement_takes_fin_wait2_back(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    talk.client("FIN ACK seq=1 ack=1 @0.5")
    assert talk.ends_in() == ("FIN_WAIT1", "CLOSE_WAIT")


def test_fin_repeated_within_a_round_trip_crossed_its_acknowledgement(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2 @0.240")
    talk.client("FIN ACK seq=1 ack=1 @0.250")
    assert talk.ends_in() == ("FIN_WAIT2", "CLOSE_WAIT")


def test_fin_never_acknowledged(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    assert talk.ends_in() == ("FIN_WAIT1", "ESTABLISHED")
    talk.client("FIN ACK seq=1 ack=1 @0.3")
    talk.client("FIN ACK seq=1 ack=1 @0.8")
    assert talk.ends_in() == ("FIN_WAIT1", "ESTABLISHED")


def test_fin_behind_a_hole_is_not_received_before_the_hole_is_filled(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=101 ack=1")
    talk.server("ACK seq=1 ack=1")
    assert talk.ends_in() == ("FIN_WAIT1", "ESTABLISHED")
    talk.client("PSH ACK seq=1 ack=1 len=100 @0.5")
    talk.server("ACK seq=1 ack=102")
    assert talk.ends_in() == ("FIN_WAIT2", "CLOSE_WAIT")


def test_fin_that_the_capture_missed_is_inferred(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    talk.client("ACK seq=2 ack=2")
    assert talk.ends_in() == ("TIME_WAIT", "CLOSE")
    assert talk.story("client")[-1] == "TIME_WAIT 0.050 inferred received_fin"
    assert talk.story("server")[-2:] == [
        "LAST_ACK 0.050 inferred sent_fin",
        "CLOSE 0.050 inferred received_ack_of_fin",
    ]


def test_one_missed_byte_is_not_a_fin_once_more_data_follows(talk: Transcript) -> None:
    talk.opened()
    talk.client("ACK seq=1 ack=2")
    assert talk.ends_in() == ("CLOSE_WAIT", "FIN_WAIT2")
    talk.server("PSH ACK seq=2 ack=1 len=50")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")
    assert talk.timeline("client") == ["SYN_SENT", "ESTABLISHED"]


def test_more_missed_than_a_fin_is_unknown_until_data_shows_otherwise(talk: Transcript) -> None:
    talk.opened()
    talk.client("ACK seq=1 ack=501")
    assert talk.ends_in() == ("UNKNOWN", "UNKNOWN")
    talk.server("PSH ACK seq=501 ack=1 len=50")
    assert talk.timeline("server") == ["CLOSE", "SYN_RECV", "ESTABLISHED"]


# Opening ----------------------------------------------------------------------------------------


def test_syn_alone_leaves_the_far_side_as_it_was(talk: Transcript) -> None:
    talk.client("SYN seq=0")
    talk.client("SYN seq=0 @1")
    assert talk.ends_in() == ("SYN_SENT", "CLOSE")


def test_syn_and_syn_ack_only(talk: Transcript) -> None:
    talk.client("SYN seq=0")
    talk.server("SYN ACK seq=0 ack=1")
    assert talk.ends_in() == ("SYN_SENT", "SYN_RECV")


def test_syn_ack_repeated_after_the_third_ack_means_that_it_was_lost(talk: Transcript) -> None:
    talk.opened()
    talk.server("SYN ACK seq=0 ack=1 @1.01")
    assert talk.ends_in() == ("ESTABLISHED", "SYN_RECV")
    talk.client("ACK seq=1 ack=1")
    # It may be the accept queue that is full; its silence, or its first word, tells
    assert talk.ends_in(until=2)[1] == "SYN_RECV"
    assert talk.story("server", until=5)[-1] == "ESTABLISHED 1.020 observed received_ack_of_syn"
    talk.server("PSH ACK seq=1 ack=1 len=5")
    assert talk.story("server")[-1] == "ESTABLISHED 1.020 observed received_ack_of_syn"


def test_full_accept_queue_holds_the_server_in_syn_recv(talk: Transcript) -> None:
    talk.opened()
    for second in (1.01, 3.01, 7.01):
        talk.server(f"SYN ACK seq=0 ack=1 @{second}")
        talk.client("ACK seq=1 ack=1")
    assert talk.timeline("server", until=8) == ["CLOSE", "SYN_RECV"]


def test_client_is_established_by_the_syn_ack_that_it_answered(talk: Transcript) -> None:
    talk.client("SYN seq=0")
    talk.server("SYN ACK seq=0 ack=1")
    talk.client("SYN seq=0 @1.0")
    talk.server("SYN ACK seq=0 ack=1")
    talk.client("ACK seq=1 ack=1")
    assert talk.story("client")[-1] == "ESTABLISHED 1.010 observed received_syn_ack"


def test_timestamp_echo_names_the_copy_that_was_answered(talk: Transcript) -> None:
    talk.client("SYN seq=0 ts=1/0")
    talk.server("SYN ACK seq=0 ack=1 ts=70/1")
    talk.server("SYN ACK seq=0 ack=1 ts=90/1 @1.01")
    talk.client("ACK seq=1 ack=1 ts=5/70")
    assert talk.story("client")[-1] == "ESTABLISHED 0.010 observed received_syn_ack"


def test_simultaneous_open(talk: Transcript) -> None:
    talk.client("SYN seq=0")
    talk.server("SYN seq=0")
    talk.client("SYN ACK seq=0 ack=1")
    talk.server("SYN ACK seq=0 ack=1")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")
    for side in ("client", "server"):
        assert talk.timeline(side)[-3:] == ["SYN_SENT", "SYN_RECV", "ESTABLISHED"]


def test_syn_ack_captured_before_its_syn(talk: Transcript) -> None:
    talk.server("SYN ACK seq=0 ack=1")
    talk.client("SYN seq=0 @0.0001")
    talk.client("ACK seq=1 ack=1")
    result = talk.infer()
    assert len(result.connections) == 1
    assert result.sides["port"].tolist() == [40_000, 80]
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")


def test_syn_ack_that_the_capture_missed(talk: Transcript) -> None:
    talk.client("SYN seq=0")
    talk.client("ACK seq=1 ack=1")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")
    assert talk.story("server")[-2] == "SYN_RECV 0.010 inferred sent_syn_ack"


def test_fast_open_server_that_sends_data_is_still_in_syn_recv(talk: Transcript) -> None:
    talk.client("SYN seq=0 len=20")
    talk.server("SYN ACK seq=0 ack=21")
    talk.server("PSH ACK seq=1 ack=21 len=100")
    assert talk.ends_in()[1] == "SYN_RECV"
    talk.client("ACK seq=21 ack=101")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")


def test_midstream_pick_up(talk: Transcript) -> None:
    talk.client("PSH ACK seq=1 ack=1 len=10")
    talk.server("ACK seq=1 ack=11")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")
    assert talk.story("client") == ["ESTABLISHED 0.000 assumed picked_up"]


def test_capture_that_begins_with_a_fin_says_nothing_until_the_peer_speaks(talk: Transcript) -> None:
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    assert talk.ends_in() == ("UNKNOWN", "UNKNOWN")
    talk.server("FIN ACK seq=1 ack=2")
    talk.client("ACK seq=2 ack=2")
    assert talk.timeline("client") == ["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"]


def test_keep_alive_probes_move_nobody(talk: Transcript) -> None:
    talk.opened()
    for second in (10, 20, 30):
        talk.client(f"ACK seq=0 ack=1 @{second}")
        talk.server("ACK seq=1 ack=1")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")
    assert talk.infer().sides["retransmits"].tolist() == [0, 0]


def test_bare_ack_beyond_the_data_shows_that_the_fin_was_sent_before(talk: Transcript) -> None:
    """The server's first FIN was lost before the capture; its answer to the client's uses the next number."""
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=2 ack=2")
    talk.server("FIN ACK seq=1 ack=2 @0.5")
    talk.client("ACK seq=2 ack=2")
    assert talk.timeline("server")[-4:] == ["ESTABLISHED", "FIN_WAIT1", "CLOSING", "TIME_WAIT"]
    assert "FIN_WAIT1 0.030 inferred sent_fin" in talk.story("server")
    assert talk.infer().connections["first_closer"].tolist() == [FirstCloser.BOTH]
    assert talk.timeline("client")[-3:] == ["FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"]


def test_duplicate_sack_shows_that_the_fin_had_been_answered_before(talk: Transcript) -> None:
    """The link repeated the client's FIN beyond the capture; the server's own had answered the first."""
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=2 ack=2")
    talk.rows[-1]["marks"] |= Mark.HAS_SACK
    talk.rows[-1]["sack_left"], talk.rows[-1]["sack_right"] = talk.rows[-2]["seq"], talk.rows[-1]["ack"]
    talk.server("FIN ACK seq=1 ack=2 @0.5")
    talk.client("ACK seq=2 ack=2")
    assert talk.timeline("server")[-4:] == ["ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE"]
    assert talk.infer().connections["first_closer"].tolist() == [FirstCloser.CLIENT]


def test_fin_that_was_never_captured_shows_in_the_number_of_a_bare_ack(talk: Transcript) -> None:
    """They closed together; the capture missed the server's FIN."""
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=2 ack=2")
    talk.client("ACK seq=2 ack=2")
    assert talk.timeline("server")[-4:] == ["ESTABLISHED", "FIN_WAIT1", "CLOSING", "TIME_WAIT"]
    assert talk.ends_in() == ("TIME_WAIT", "TIME_WAIT")
    assert talk.infer().connections["first_closer"].tolist() == [FirstCloser.BOTH]


def test_fin_acknowledged_unseen_was_received_after_what_did_not_acknowledge_it(talk: Transcript) -> None:
    """The FINs crossed, so the client is left in TIME_WAIT though its last ACK was not captured."""
    talk.opened()
    talk.server("FIN ACK seq=1 ack=1")
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=2 ack=2")
    assert talk.timeline("client", until=10)[-3:] == ["FIN_WAIT1", "CLOSING", "TIME_WAIT"]


def test_fin_is_dated_by_the_bare_ack_that_followed_its_lost_copy(talk: Transcript) -> None:
    talk.opened()
    talk.server("ACK seq=2 ack=1 @1")
    talk.server("FIN ACK seq=1 ack=1 @2")
    assert talk.story("server")[-1] == "FIN_WAIT1 1.000 inferred sent_fin"
    assert talk.infer().sides["retransmits"].tolist() == [0, 1]


def test_fin_that_paws_rejects_does_not_count(talk: Transcript) -> None:
    """An old duplicate, or a forgery: its timestamp is behind what its sender used last."""
    talk.client("SYN seq=0 ts=500/0")
    talk.server("SYN ACK seq=0 ack=1 ts=900/500")
    talk.client("ACK seq=1 ack=1 ts=510/900")
    talk.client("FIN ACK seq=1 ack=1 ts=400/900")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")
    talk.client("FIN ACK seq=1 ack=1 ts=520/900")
    assert talk.ends_in() == ("FIN_WAIT1", "ESTABLISHED")


def test_old_timestamp_of_data_that_was_overtaken_is_good(talk: Transcript) -> None:
    """What is beyond the receiver's last ACK does not move its TS.Recent."""
    talk.client("SYN seq=0 ts=500/0")
    talk.server("SYN ACK seq=0 ack=1 ts=900/500")
    talk.client("ACK seq=1 ack=1 ts=510/900")
    talk.client("FIN ACK seq=11 ack=1 len=10 ts=530/900")
    talk.client("PSH ACK seq=1 ack=1 len=10 ts=520/900")
    talk.server("ACK seq=1 ack=22 ts=950/520")
    assert talk.ends_in() == ("FIN_WAIT2", "CLOSE_WAIT")


# Resets -----------------------------------------------------------------------------------------


def test_refused_though_the_refusal_was_captured_first(talk: Transcript) -> None:
    """As a mirror port or several receive queues may have it; whose port is lower does not matter."""
    talk.client_port = 70
    talk.server(f"RST ACK seq={-talk.server_iss} ack=1")
    talk.client("SYN seq=0")
    assert talk.timeline("client") == ["CLOSE", "SYN_SENT", "CLOSE"]
    assert talk.timeline("server") == ["CLOSE"]


def test_refused(talk: Transcript) -> None:
    talk.client("SYN seq=0")
    talk.server("RST ACK seq=-5000 ack=1")
    assert talk.timeline("client") == ["SYN_SENT", "CLOSE"]
    assert talk.timeline("server") == ["CLOSE"]


def test_reset_that_acknowledges_nothing_of_the_syn_is_ignored(talk: Transcript) -> None:
    talk.client("SYN seq=0")
    talk.server("RST ACK seq=0 ack=77")
    assert talk.ends_in() == ("SYN_SENT", "CLOSE")
    assert talk.infer().sides["suspicious_rsts"].tolist() == [0, 1]


def test_reset_of_an_established_connection(talk: Transcript) -> None:
    talk.opened()
    talk.server("RST ACK seq=1 ack=1")
    assert talk.ends_in() == ("CLOSE", "CLOSE")
    assert talk.story("server")[-1] == "CLOSE 0.030 observed sent_rst"
    assert talk.story("client")[-1] == "CLOSE 0.030 observed received_rst"


def test_reset_far_out_of_window_then_data(talk: Transcript) -> None:
    talk.opened()
    talk.server("RST seq=5000001")
    talk.client("PSH ACK seq=1 ack=1 len=10")
    talk.server("ACK seq=1 ack=11")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")
    assert len(talk.infer().connections) == 1


def test_forged_reset_in_window_draws_a_challenge_ack(talk: Transcript) -> None:
    talk.opened()
    talk.server("RST seq=2000")
    talk.client("ACK seq=1 ack=1")
    talk.server("PSH ACK seq=1 ack=1 len=5 @1")
    assert talk.ends_in() == ("ESTABLISHED", "ESTABLISHED")
    assert talk.timeline("client") == ["SYN_SENT", "ESTABLISHED"]


def test_reset_one_below_what_is_expected_does_not_end_time_wait(talk: Transcript) -> None:
    talk.opened().closed_by_client()
    talk.server("RST seq=1")
    assert talk.ends_in()[0] == "TIME_WAIT"


def test_reset_after_unanswered_keep_alives_ends_only_its_sender(talk: Transcript) -> None:
    talk.opened()
    for second in (5, 6, 7):
        talk.client(f"ACK seq=0 ack=1 @{second}")
    talk.client("RST ACK seq=1 ack=1 @8")
    assert talk.ends_in() == ("CLOSE", "ESTABLISHED")


def test_forged_syn_makes_no_socket_once_the_client_goes_on(talk: Transcript) -> None:
    talk.opened()
    own = talk.client_iss
    talk.client_iss = own + 500_000
    talk.client("SYN seq=0")
    talk.client_iss = own
    talk.server("ACK seq=1 ack=1")
    assert talk.timeline("client", 1) == ["SYN_SENT"]
    talk.client("PSH ACK seq=1 ack=1 len=10 @1")
    assert talk.ends_in(0) == ("ESTABLISHED", "ESTABLISHED")
    assert talk.timeline("client", 0) == ["SYN_SENT", "ESTABLISHED"]
    assert talk.timeline("client", 1) == ["CLOSE"]


def test_several_forged_syns_one_with_the_expected_number(talk: Transcript) -> None:
    talk.opened()
    own = talk.client_iss
    for offset in (1, 500_001):
        talk.client_iss = own + offset
        talk.client("SYN seq=0")
        talk.client_iss = own
        talk.server("ACK seq=1 ack=1")
    talk.client("PSH ACK seq=1 ack=1 len=10 @1")
    talk.server("PSH ACK seq=1 ack=11 len=7")
    talk.client("FIN ACK seq=11 ack=8")
    talk.server("ACK seq=8 ack=12")
    assert talk.ends_in(0) == ("FIN_WAIT2", "CLOSE_WAIT")
    for forged in (1, 2):
        assert (talk.timeline("client", forged), talk.timeline("server", forged)) == (["CLOSE"], ["CLOSE"])


def test_repeated_fin_that_crossed_the_later_acknowledgement_keeps_it(talk: Transcript) -> None:
    """As recorded: the acknowledgement came again with the peer's repeated FIN, which ended FIN_WAIT1."""
    talk.opened()
    talk.server("FIN ACK seq=1 ack=1 @0.1")
    talk.client("FIN ACK seq=1 ack=1 @0.105")
    talk.server("ACK seq=2 ack=2 @0.106")
    talk.server("FIN ACK seq=1 ack=2 @0.315")
    talk.client("FIN ACK seq=1 ack=1 @0.320")
    talk.server("ACK seq=2 ack=2 @0.321")
    talk.client("ACK seq=2 ack=2 @0.326")
    assert talk.timeline("client")[-3:] == ["FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"]


def test_reset_that_did_not_arrive(talk: Transcript) -> None:
    talk.opened()
    talk.server("RST seq=1")
    talk.client("PSH ACK seq=1 ack=1 len=10 @2")
    assert talk.ends_in() == ("ESTABLISHED", "CLOSE")
    talk.server("RST seq=1")
    assert talk.ends_in() == ("CLOSE", "CLOSE")


def test_data_after_the_close_answered_by_reset(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    talk.server("PSH ACK seq=1 ack=2 len=100")
    talk.client("RST seq=2")
    assert talk.ends_in() == ("CLOSE", "CLOSE")


def test_reset_in_time_wait_counts_only_with_the_exact_number(talk: Transcript) -> None:
    talk.opened().closed_by_client()
    talk.server("RST seq=100")
    assert talk.ends_in()[0] == "TIME_WAIT"
    talk.server("RST seq=2")
    assert talk.ends_in()[0] == "CLOSE"


# Many connections -------------------------------------------------------------------------------


def test_4_tuple_used_again_is_another_connection(talk: Transcript) -> None:
    talk.opened().closed_by_client()
    talk.client_iss, talk.server_iss = 70_000_000, 90_000_000
    talk.opened()
    assert len(talk.infer().connections) == 2
    assert talk.story("client")[-1] == "CLOSE 0.070 inferred reused"
    assert talk.ends_in(1) == ("ESTABLISHED", "ESTABLISHED")


def test_syn_on_a_live_connection_draws_a_challenge_ack_and_the_reset_of_the_old_one(
    talk: Transcript,
) -> None:
    talk.opened()
    old_client, old_server = talk.client_iss, talk.server_iss
    talk.client_iss = 70_000_000
    talk.client("SYN seq=0 @60")  # the client's host was started anew
    talk.client_iss = old_client
    talk.server("ACK seq=1 ack=1")
    assert talk.ends_in(0) == ("CLOSE", "ESTABLISHED")
    assert talk.ends_in(1) == ("SYN_SENT", "CLOSE")
    talk.server_iss = old_server
    talk.client("RST seq=1")
    assert talk.ends_in(0) == ("CLOSE", "CLOSE")
    assert talk.ends_in(1) == ("SYN_SENT", "CLOSE")


def test_every_frame_captured_twice_is_as_once(talk: Transcript) -> None:
    once = Transcript(talk.client_iss, talk.server_iss)
    for conversation, doubled in ((once, False), (talk, True)):
        for row in Transcript(talk.client_iss, talk.server_iss).opened().closed_by_client().rows:
            conversation.rows.append(row)
            if doubled:
                conversation.again()
    for side in ("client", "server"):
        assert talk.story(side) == once.story(side)
    assert talk.infer().sides["duplicates"].tolist() == [4, 3]
    assert talk.infer().sides["retransmits"].tolist() == [0, 0]


def test_vlans_are_kept_apart_where_they_carry_different_connections() -> None:
    one, other = Transcript(1_000, 5_000), Transcript(900_000_000, 2_000_000_000)
    merged = Transcript()
    for first, second in zip(one.opened().closed_by_client().rows, other.opened().rows, strict=False):
        second["tunnel"], first["tunnel"] = 2, 1
        merged.rows += [first, second]
    assert len(merged.infer().connections) == 2
    assert merged.ends_in(1) == ("ESTABLISHED", "ESTABLISHED")
    assert "reused" not in " ".join(merged.story("client", 0))


def test_asymmetric_vlans_do_not_split_a_connection(talk: Transcript) -> None:
    talk.opened().closed_by_client()
    for row in talk.rows:
        row["tunnel"] = 7 if row["src_port"] == 80 else 8
    assert len(talk.infer().connections) == 1
    assert talk.ends_in() == ("TIME_WAIT", "CLOSE")


@pytest.mark.parametrize("flags", ["FIN", "", "FIN PSH URG"], ids=["fin", "null", "xmas"])
def test_probes_make_no_socket(talk: Transcript, flags: str) -> None:
    talk.client(f"{flags} seq=0")
    talk.server("RST ACK seq=-5000 ack=0")
    assert talk.ends_in() == ("CLOSE", "CLOSE")
    assert talk.infer().connections["probe"].tolist() == [1]


def test_lone_ack_that_is_refused_was_a_probe(talk: Transcript) -> None:
    talk.client("ACK seq=1 ack=1")
    talk.server("RST seq=1")
    assert talk.timeline("client") == ["CLOSE"]
    assert talk.infer().connections["probe"].tolist() == [1]


@pytest.mark.parametrize(
    ("checksums", "others_are_right", "state"),
    [
        ("auto", True, "ESTABLISHED"),
        ("auto", False, "FIN_WAIT1"),
        ("verify", True, "ESTABLISHED"),
        ("ignore", True, "FIN_WAIT1"),
    ],
)
def test_wrong_checksum(talk: Transcript, checksums: str, others_are_right: bool, state: str) -> None:
    """Wrong among right ones it moves nobody; where all are wrong, the capture is to blame."""
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    for row in talk.rows if not others_are_right else talk.rows[-1:]:
        row["checksum"] = Checksum.BAD
    engine = Engine(checksums=checksums, seed=1)
    engine.feed(np.array(talk.rows, SEGMENTS))
    rows = engine.finish(START).transitions
    assert STATE_NAMES[rows[rows["side"] == 0]["state"][-1]] == state


def test_thousands_of_connections_keep_their_numbers_and_states() -> None:
    """Growth of every array: 6,000 connections, one segment of each in turn."""
    count = 6_000
    segments = np.tile(np.array(Transcript().opened().closed_by_client().rows, SEGMENTS)[:, None], count)
    segments["src_lo"] += np.arange(count, dtype=np.uint64) * 100
    segments["dst_lo"] += np.arange(count, dtype=np.uint64) * 100
    engine = Engine(seed=1)
    for turn in segments:
        engine.feed(turn)
    result = engine.finish(int(segments["time"].max()))
    assert len(result.connections) == count
    last = result.transitions[np.append(np.diff(result.transitions["side"]) != 0, True)]
    assert set(last["state"][0::2]) == {STATE_NAMES.index("TIME_WAIT")}
    assert set(last["state"][1::2]) == {STATE_NAMES.index("CLOSE")}


def test_notes_say_whose_each_segment_is_and_what_it_was_taken_for(talk: Transcript) -> None:
    talk.opened()
    talk.again()
    talk.client("PSH ACK seq=1 ack=1 len=10")
    talk.client("PSH ACK seq=1 ack=1 len=10 @1")
    talk.client("ACK seq=10 ack=1 @9")
    talk.server("RST seq=900000")
    notes = Engine(seed=1).feed(np.array(talk.rows, SEGMENTS))
    assert notes["side"].tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
    assert [Fate(fate) for fate in notes["fate"].tolist()] == [
        Fate.OPENING,
        Fate(0),
        Fate(0),
        Fate.DUPLICATE,
        Fate(0),
        Fate.RETRANSMISSION,
        Fate.KEEP_ALIVE,
        Fate.SUSPICIOUS_RST,
    ]


# Silence ----------------------------------------------------------------------------------------


def test_attempt_that_goes_unanswered_is_given_up_when_its_next_syn_was_due(talk: Transcript) -> None:
    for second in (0, 1, 2, 3):
        talk.client(f"SYN seq=0 @{second}")
    assert talk.ends_in(until=3.5) == ("SYN_SENT", "CLOSE")
    assert talk.story("client", until=60)[-1] == "CLOSE 4.000 assumed timer_retransmission"


def test_syns_go_on_at_one_interval_and_then_double_on_linux(talk: Transcript) -> None:
    for second in (0, 1, 2, 3, 4, 5, 7, 11):
        talk.client(f"SYN seq=0 @{second}")
    assert talk.story("client", until=60)[-1] == "CLOSE 19.000 assumed timer_retransmission"


def test_syn_ack_that_goes_unanswered_is_given_up(talk: Transcript) -> None:
    talk.client("SYN seq=0")
    for second in (0.01, 1, 3, 7, 15, 31):
        talk.server(f"SYN ACK seq=0 ack=1 @{second}")
    assert talk.ends_in(until=60)[1] == "SYN_RECV"
    assert talk.story("server", until=70)[-1] == "CLOSE 63.000 assumed timer_retransmission"


def test_data_that_is_never_acknowledged_ends_its_sender_not_its_peer(talk: Transcript) -> None:
    talk.opened()
    for second in (1, 1.2, 1.6, 2.4, 4.0):
        talk.client(f"PSH ACK seq=1 ack=1 len=10 @{second}")
    assert talk.ends_in(until=5) == ("ESTABLISHED", "ESTABLISHED")
    assert talk.ends_in(until=30) == ("CLOSE", "ESTABLISHED")
    assert talk.story("client", until=30)[-1] == "CLOSE 7.200 assumed timer_retransmission"
    talk.client("PSH ACK seq=1 ack=1 len=10 @8")  # the interval was longer than judged
    assert talk.timeline("client", until=9) == ["SYN_SENT", "ESTABLISHED"]


def test_fin_that_is_not_repeated_was_acknowledged_unseen(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.server("ACK seq=1 ack=2")
    talk.server("FIN ACK seq=1 ack=2")
    assert talk.ends_in(until=2) == ("FIN_WAIT2", "LAST_ACK")
    assert talk.ends_in(until=10) == ("TIME_WAIT", "CLOSE")
    assert talk.story("server", until=10)[-1] == "CLOSE 0.050 inferred received_ack_of_fin"
    assert talk.ends_in(until=70) == ("CLOSE", "CLOSE")


def test_fin_repeated_late_was_not_acknowledged_after_all(talk: Transcript) -> None:
    talk.opened()
    talk.client("FIN ACK seq=1 ack=1")
    talk.client("FIN ACK seq=1 ack=1 @5")
    assert talk.ends_in() == ("FIN_WAIT1", "ESTABLISHED")


def test_memory_does_not_grow_with_the_segments_of_a_connection() -> None:
    talk = Transcript().opened()
    talk.client("PSH ACK seq=1 ack=1 len=100")
    opening, data = np.array(talk.rows[:3], SEGMENTS), np.array(talk.rows[3:] * 20_000, SEGMENTS)
    data["seq"] += np.arange(len(data), dtype=np.uint32) * 100
    data["time"] += np.arange(len(data)) * 1_000_000
    engine = Engine(seed=1)
    engine.feed(opening)
    before = engine.nbytes
    engine.feed(data)
    assert engine.nbytes == before
    assert engine.finish(int(data["time"].max())).sides["bytes"].tolist() == [2_000_000, 0]


def test_timers_of_more_connections_than_the_log_has_room_for_run_out_when_the_capture_ends() -> None:
    talk = Transcript().opened().closed_by_client()
    one, count = np.array(talk.rows, SEGMENTS), 700
    many = np.tile(one, count)
    ports = np.repeat(np.arange(count), len(one)) + 10_000
    for port in ("src_port", "dst_port"):
        many[port] = np.where(many[port] == 80, 80, ports)
    engine = Engine(seed=1)
    engine.feed(many)
    rows = engine.finish(int(one["time"].max()) + 3_600 * 1_000_000_000).transitions
    ends = np.append(np.diff(rows["conn"] * 2 + rows["side"]) != 0, True)
    assert ends.sum() == 2 * count
    assert {STATE_NAMES[state] for state in rows["state"][ends]} == {"CLOSE"}
