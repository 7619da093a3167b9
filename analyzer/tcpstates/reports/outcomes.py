"""What became of each connection: an ordered list of rules, of which the first that applies decides.

A rule sees all connections at once. It says where it applies, who is to blame there, since when, and how long
it lasted. To add an outcome is to write a rule and to put it in its place in ``RULES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tcpstates.reports.facts import Endings, Facts, Silences, Stays, both, client, either, server
from tcpstates.reports.log import CLOSING_STATES, LIVE
from tcpstates.reports.strangers import is_gone, scanned
from tcpstates.reports.thresholds import NO_ANSWER_AFTER, VANISHED_AFTER
from tcpstates.schema import CULPRITS, OUTCOMES, REASONS, SEVERITIES
from tcpstates.states import Event, Side, State

NOBODY = -1
CLIENT, SERVER, NETWORK = (CULPRITS.index(name) for name in ("client", "server", "network"))
_STALE, _MIDDLEBOX = (REASONS.index(name) for name in ("stale", "middlebox"))

SEVERITY: dict[str, str] = {
    "scan": "note",
    "refused": "warning",
    "unreachable": "warning",
    "no_answer": "warning",
    "half_open": "warning",
    "timed_out": "error",
    "stuck_close_wait": "error",
    "stuck_fin_wait1": "warning",
    "stuck_fin_wait2": "warning",
    "stuck_closing": "warning",
    "stuck_last_ack": "warning",
    "reset_by_client": "error",
    "reset_by_server": "error",
    "reset_stale": "warning",
    "reset_while_closing": "warning",
    "peer_vanished": "error",
    "closed": "ok",
    "closing": "ok",
    "open": "ok",
    "fragment": "note",
}


class Verdict(NamedTuple):
    """The connections that a rule applies to, and what it says of them: one value for each, or one for all.

    ``since`` is when the matter began, ``lasted`` for how long it went on (ns), ``lasts`` whether it did
    still when the capture ended; None where the matter is the whole connection. Of one that is listed twice
    the last entry counts.
    """

    conn: np.ndarray
    culprit: np.ndarray | int
    since: np.ndarray | None = None
    lasted: np.ndarray | None = None
    lasts: np.ndarray | bool = False


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Each connection's outcome.

    Attributes
    ----------
    outcome : uint8, of ``schema.OUTCOMES``.
    culprit : int8, of ``schema.CULPRITS``, -1 for nobody.
    severity : uint8, of ``schema.SEVERITIES``.
    since, lasted : int64, when the matter began (ns since the epoch), and how long it went on (ns).
    lasts : bool, whether it still did when the capture ended.
    """

    outcome: np.ndarray
    culprit: np.ndarray
    severity: np.ndarray
    since: np.ndarray
    lasted: np.ndarray
    lasts: np.ndarray


def outcomes(facts: Facts) -> Outcomes:
    """What became of each connection that there are facts on."""
    result = _all_fragments(facts)
    undecided = np.ones(len(facts.start), bool)
    for name, rule in RULES:
        if not undecided.any():
            break
        verdict = rule(facts)
        _decide(result, name, verdict, undecided[verdict.conn])
        undecided[verdict.conn] = False
    return result


def _all_fragments(facts: Facts) -> Outcomes:
    """Every connection as a fragment: what is left where no rule applies."""
    count = len(facts.start)
    return Outcomes(
        outcome=np.full(count, OUTCOMES.index("fragment"), np.uint8),
        culprit=np.full(count, NOBODY, np.int8),
        severity=np.full(count, SEVERITIES.index(SEVERITY["fragment"]), np.uint8),
        since=facts.start.copy(),
        lasted=facts.log.connections["end"] - facts.start,
        lasts=np.zeros(count, bool),
    )


def _decide(result: Outcomes, name: str, verdict: Verdict, new: np.ndarray) -> None:
    """Enter the verdict on those connections that are not decided yet."""
    conn = verdict.conn[new]
    result.outcome[conn] = OUTCOMES.index(name)
    result.severity[conn] = SEVERITIES.index(SEVERITY[name])
    for field in ("culprit", "since", "lasted", "lasts"):
        value = getattr(verdict, field)
        if value is not None:
            getattr(result, field)[conn] = value[new] if isinstance(value, np.ndarray) else value


Rule = Callable[[Facts], Verdict]


def _scan(facts: Facts) -> Verdict:
    """Only segments that no socket sends, or one of many ports that were only tried."""
    return _over_its_life((facts.log.connections["probe"] != 0) | scanned(facts), CLIENT)


def _refused(facts: Facts) -> Verdict:
    """A RST that the client accepted for its SYN."""
    attempts = facts.attempts
    return _over_stays(attempts.where(~attempts.lasts & (attempts.ended_by == Event.RECEIVED_RST)), SERVER)


def _unreachable(facts: Facts) -> Verdict:
    """An ICMP error that ended an attempt, or that was about its SYN and all the answer there was."""
    attempts = facts.attempts
    ended = ~attempts.lasts & (attempts.ended_by == Event.RECEIVED_ICMP_ERROR)
    unanswered = facts.unreachable[attempts.conn] & ~server(facts.heard)[attempts.conn]
    return _over_stays(attempts.where(ended | unanswered), NETWORK)


def _no_answer(facts: Facts) -> Verdict:
    """A SYN that nothing answered, for long, repeatedly, or until the client gave up."""
    attempts = facts.attempts
    answered = server(facts.ever(State.SYN_RECV, State.ESTABLISHED, *CLOSING_STATES))
    repeated = client(facts.log.up_to_255("syns")) > 1
    given_up = client(facts.finally_in(State.CLOSE))
    long = attempts.lasted >= NO_ANSWER_AFTER
    fruitless = long | (attempts.whole & (repeated | given_up)[attempts.conn])
    stays = attempts.where(~answered[attempts.conn] & fruitless)
    # A listener that keeps other handshakes waiting has a full queue, and drops SYNs for it
    waiting = facts.services[_kept_waiting(facts).conn]
    queue_full = np.isin(facts.services[stays.conn], waiting)
    return _over_stays(stays, np.where(queue_full, SERVER, NETWORK))


def _half_open(facts: Facts) -> Verdict:
    """A handshake that stays undone: the client does not acknowledge, or the server does not take it."""
    stays = facts.half_open
    return _over_stays(stays, np.where(facts.acknowledges(2 * stays.conn), SERVER, CLIENT))


def _kept_waiting(facts: Facts) -> Stays:
    """The half-open connections that the client completed, as far as it could."""
    return facts.half_open.where(facts.acknowledges(2 * facts.half_open.conn))


def _timed_out(facts: Facts) -> Verdict:
    """A side of an open connection that gave up retransmitting or probing."""
    silent, reset = facts.gave_up(State.ESTABLISHED, *CLOSING_STATES), facts.given_up_by_reset
    return _over_silences(Silences(*(np.concatenate(values) for values in zip(silent, reset, strict=True))))


def _stuck(state: State, actor_is_peer: bool) -> Rule:
    """A side that stayed in ``state`` because it, or its peer, did not do what was due."""

    def rule(facts: Facts) -> Verdict:
        threshold = facts.stuck_after[state]
        stays = facts.slow_stays(state, actor_is_peer=actor_is_peer)
        # Of a side that the capture never shows, nothing can be said to be missing
        heard = facts.heard[stays.conn, stays.side ^ actor_is_peer]
        stuck = stays.where((stays.waited > threshold) & heard)
        stuck = stuck.where(np.argsort(stuck.waited))  # of several the longest, which is the last, counts
        return _over_stays(stuck, stuck.side ^ actor_is_peer)

    return rule


def _reset_by(side: Side) -> Rule:
    """An open connection that ``side`` aborted, before any FIN, or somebody in its name."""

    def rule(facts: Facts) -> Verdict:
        resets = facts.resets.where((facts.resets.sender == side) & ~facts.resets.while_closing)
        resets = resets.where(resets.reason != _STALE)
        return _at_resets(facts, resets, np.where(resets.reason == _MIDDLEBOX, NETWORK, int(side)))

    return rule


def _reset_stale(facts: Facts) -> Verdict:
    """A segment to a host that no longer knew the connection."""
    resets = facts.resets.of("stale")
    return _at_resets(facts, resets, resets.sender)


def _reset_while_closing(facts: Facts) -> Verdict:
    """A RST after a FIN: data came late, or were left unread, or somebody lost patience."""
    resets = facts.resets.where(facts.resets.while_closing)
    came_late = resets.reason == REASONS.index("late_data")
    culprit = np.where(came_late, 1 - resets.sender, resets.sender)
    culprit[resets.reason == REASONS.index("unknown")] = NOBODY
    return _at_resets(facts, resets, np.where(resets.reason == _MIDDLEBOX, NETWORK, culprit))


def _peer_vanished(facts: Facts) -> Verdict:
    """A side that is still asking when the capture ends, and has got no answer for long."""
    silences = facts.unanswered
    silences = _first_counts(silences.where(silences.until - silences.since >= VANISHED_AFTER))
    peer = 2 * silences.conn + 1 - silences.side
    gone = is_gone(facts.log.places.codes, facts.log.conduct["last"], peer, silences.since)
    return _over_silences(silences)._replace(
        culprit=np.where(gone, 1 - silences.side, NETWORK), lasts=silences.until == facts.log.end
    )


def _closed(facts: Facts) -> Verdict:
    """Both sides are done, and it was a FIN that ended them."""
    done = both(facts.finally_in(State.CLOSE, State.TIME_WAIT))
    return _over_its_life(done & either(facts.ever(*CLOSING_STATES)), NOBODY)


def _closing(facts: Facts) -> Verdict:
    """A side has sent or received a FIN, and is not done yet."""
    under_way = tuple(state for state in CLOSING_STATES if state != State.TIME_WAIT)
    return _over_its_life(either(facts.finally_in(*under_way)), NOBODY)


def _open(facts: Facts) -> Verdict:
    """A side is alive, opening included."""
    return _over_its_life(either(facts.finally_in(*LIVE)), NOBODY)


def _over_its_life(applies: Any, culprit: int) -> Verdict:
    return Verdict(np.flatnonzero(applies), culprit)


def _over_stays(stays: Stays, culprit: np.ndarray | int) -> Verdict:
    return Verdict(stays.conn, culprit, stays.since, stays.lasted, stays.lasts)


def _over_silences(silences: Silences) -> Verdict:
    silences = _first_counts(silences)
    return Verdict(silences.conn, NETWORK, silences.since, silences.until - silences.since)


def _first_counts(silences: Silences) -> Silences:
    """Of both sides of a connection, the one that was silent first is the last in it, which counts."""
    return silences.where(np.argsort(-silences.since, kind="stable"))


def _at_resets(facts: Facts, resets: Endings, culprit: np.ndarray | int) -> Verdict:
    return Verdict(resets.conn, culprit, resets.time, resets.time - facts.start[resets.conn])


#: The order is that of ``schema.OUTCOMES``: the first that applies is the outcome.
RULES: tuple[tuple[str, Rule], ...] = (
    ("scan", _scan),
    ("refused", _refused),
    ("unreachable", _unreachable),
    ("no_answer", _no_answer),
    ("half_open", _half_open),
    ("timed_out", _timed_out),
    ("stuck_close_wait", _stuck(State.CLOSE_WAIT, actor_is_peer=False)),
    ("stuck_fin_wait1", _stuck(State.FIN_WAIT1, actor_is_peer=True)),
    ("stuck_fin_wait2", _stuck(State.FIN_WAIT2, actor_is_peer=True)),
    ("stuck_closing", _stuck(State.CLOSING, actor_is_peer=True)),
    ("stuck_last_ack", _stuck(State.LAST_ACK, actor_is_peer=True)),
    ("reset_by_client", _reset_by(Side.CLIENT)),
    ("reset_by_server", _reset_by(Side.SERVER)),
    ("reset_stale", _reset_stale),
    ("reset_while_closing", _reset_while_closing),
    ("peer_vanished", _peer_vanished),
    ("closed", _closed),
    ("closing", _closing),
    ("open", _open),
)
