"""What was really done in each scenario, as a verdict: how each connection ended, and by whose doing.

An entry lists ``outcome culprit`` (no culprit where nothing went wrong), with the number of connections
before it if there are several. It is written down from what the scenario does, not from what the analysis
says. Where the two captures cannot show the same, because what decides it reached one only, each has its own.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class Verdict(NamedTuple):
    """An outcome, and who is to blame (empty for nobody)."""

    outcome: str
    culprit: str = ""

    def __str__(self) -> str:
        return f"{self.outcome} {self.culprit}".strip()


_CLOSED = "closed"

#: By scenario; a pair is for the client's and the server's capture.
_ENTRIES: dict[str, str | tuple[str, str]] = {
    # The queue of a server that does not accept is full: it leaves one handshake undone, and drops a SYN.
    "backlog_overflow": "2 open, half_open server, no_answer server",
    "backlog_overflow_cleared": "3 closed",
    # With a cookie the server holds nothing, and says nothing, of what its full queue drops.
    "backlog_overflow_cookies": "2 open",
    "black_hole": "no_answer network",
    "black_hole_abandoned": "no_answer network",
    "black_hole_given_up": "no_answer network",
    # What was over before the capture began is not in it; of what was closing then, two frames are.
    "capture_begun_midway": "closed, fragment",
    "capture_ended_midway": "closed, closing, open",
    "close_at_once": _CLOSED,
    "close_by_client": _CLOSED,
    "close_by_server": _CLOSED,
    "close_wait_leak": "6 stuck_close_wait server, 14 closed",
    "close_wait_pool": "5 closing",  # for seconds only
    "close_with_data": _CLOSED,
    "crossing_fin_and_reset": "reset_by_server server",
    "cut_and_back": _CLOSED,
    "cut_both_send": "timed_out network",
    # Of a cut the silent host's capture shows nothing.
    "cut_established": ("timed_out network", "open"),
    "cut_in_fin_wait1": ("timed_out network", "open"),
    "cut_in_last_ack": ("closing", "timed_out network"),
    "cut_still_trying": ("peer_vanished network", "open"),
    "cut_while_closing": _CLOSED,
    "cut_with_user_timeout": ("timed_out network", "open"),
    "data_to_closed": "reset_while_closing server",
    "deferred_accept": "open",
    "deferred_accept_data": _CLOSED,
    "demo": "245 closed, 8 open, 17 stuck_close_wait server, 7 reset_by_server server, "
    "3 reset_by_client client, 9 refused server, 6 no_answer network",
    "fast_open": "3 closed",
    "fin_unacknowledged": "closing",  # for three seconds
    # The client's capture has no forged segment: a server that was reset no longer knows the connection.
    "forged_reset_exact": ("reset_stale server", "reset_by_client network"),
    "forged_reset_in_window": _CLOSED,
    "forged_reset_out_of_window": _CLOSED,
    "forged_syn": (_CLOSED, "closed, 2 scan client"),
    "half_close": _CLOSED,
    "half_close_both_ways": _CLOSED,
    "half_close_by_server": _CLOSED,
    "half_open_flood": "50 half_open client",
    "half_open_given_up": "5 half_open client",
    "idle_connection_closed": "reset_while_closing client",
    "ipv6_close": _CLOSED,
    "ipv6_half_close": _CLOSED,
    "ipv6_refused": "3 refused server",
    "ipv6_resets": "3 reset_by_client client, 3 reset_by_server server",
    "ipv6_syn_ack_unreachable": "half_open client",
    "ipv6_unreachable": "3 unreachable network",
    "keep_alive": "open",
    "keep_alive_by_server": "open",
    "keep_alive_unanswered": ("timed_out network", "open"),
    "killed_process": "reset_by_client client",
    "lost_ack_in_closing": _CLOSED,
    "lost_ack_of_fin": _CLOSED,
    "lost_crossing_fin": _CLOSED,
    "lost_data": _CLOSED,
    "lost_fin": _CLOSED,
    "lost_fin_thrice": _CLOSED,
    "lost_last_ack": _CLOSED,
    # The server's capture lacks the RST that was lost: what it has is an answer to data.
    "lost_reset": ("reset_by_client client", "reset_stale client"),
    "lost_syn": _CLOSED,
    "lost_syn_ack": _CLOSED,
    "lost_third_ack": _CLOSED,
    "lost_third_ack_then_data": _CLOSED,
    "offload": _CLOSED,
    "orphan_taken_leave_of": _CLOSED,
    "orphaned_fin_wait2": "stuck_close_wait server",
    "proxy": "2 closed",
    "refused": "refused server",
    "reset_by_client": "reset_by_client client",
    "reset_by_server": "reset_by_server server",
    "reset_in_close_wait": "reset_while_closing server",
    "reset_in_fin_wait2": "reset_while_closing client",
    "reset_unread_by_client": "reset_by_client client",
    "reset_unread_data": "reset_by_server server",
    "reuse_by_client": "2 closed",
    "scan_ack": "6 scan client",
    "scan_fin": "6 scan client",
    "scan_null": "6 scan client",
    "scan_syn": "6 scan client",
    "scan_xmas": "6 scan client",
    "server_never_closes": "closing",  # for a second
    "simultaneous_close": _CLOSED,
    "simultaneous_close_with_data": _CLOSED,
    "simultaneous_open": "open",
    "simultaneous_open_and_close": _CLOSED,
    # The server's capture has the RST that was sent into the cut link,
    # the client's the answer to its request.
    "stale_connection": ("reset_stale server", "reset_by_server server"),
    # The client's own firewall rejects what the server answers.
    "syn_ack_prohibited": "half_open client",
    "syn_ack_unreachable": "half_open client",
    "syn_cookies": "4 closed",
    "time_wait_assassination": _CLOSED,
    "time_wait_expires": _CLOSED,
    "tuple_reuse": "2 closed",
    "unreachable": "3 unreachable network",
    "unreachable_for_a_while": _CLOSED,
    "unreachable_prohibited": "3 unreachable network",
    "zero_window": _CLOSED,
    "zero_window_close": _CLOSED,
}

#: Of the crowds, by what the client's requests begin with: what its connection was to come to.
WAYS = {
    "client": Verdict("closed"),
    "server": Verdict("closed"),
    "half": Verdict("closed"),
    "together": Verdict("closed"),
    "abort": Verdict("reset_by_client", "client"),
    "aborted": Verdict("reset_by_server", "server"),
    "unread": Verdict("reset_by_client", "client"),
    "late": Verdict("reset_while_closing", "client"),
    "leak": Verdict("closing"),  # the capture ends within the minute
    "refused": Verdict("refused", "server"),
}


def verdicts(scenario: str, side: str) -> Counter[Verdict] | None:
    """What that side's capture of a scenario holds, None for a crowd, whose connections say it themselves."""
    entry = _ENTRIES.get(scenario)
    if entry is None:
        return None
    if isinstance(entry, tuple):
        entry = entry[side == "server"]
    found: Counter[Verdict] = Counter()
    for part in entry.split(", "):
        words = part.split()
        count = int(words.pop(0)) if words[0].isdigit() else 1
        found[Verdict(*words)] += count
    return found
