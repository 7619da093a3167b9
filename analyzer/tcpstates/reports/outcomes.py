"""What became of each connection: an ordered list of rules, of which the first that applies decides.

A rule sees all connections at once. It says where it applies, who is to blame there, since when, and how long
it lasted. To add an outcome is to write a rule and to put it in its place in ``RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tcpstates.reports.facts import NOBODY, Facts, client, server
from tcpstates.reports.log import CLOSING_STATES, LIVE, Log
from tcpstates.reports.thresholds import HALF_OPEN_AFTER, NO_ANSWER_AFTER
from tcpstates.schema import CULPRITS, NO_TIME, OUTCOMES, SEVERITIES
from tcpstates.states import Event, Side, State

CLIENT, SERVER, NETWORK = (CULPRITS.index(name) for name in ("client", "server", "network"))

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
    """Where a rule applies, and what it says there; one value per connection, or one for all.

    ``since`` is when the matter began, ``lasted`` for how long it went on (ns), ``lasts`` whether it did
    still when the capture ended.
    """

    applies: np.ndarray
    culprit: np.ndarray | int
    since: np.ndarray
    lasted: np.ndarray
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


def outcomes(log: Log, stuck_after: Mapping[State, int]) -> Outcomes:
    """What became of each connection of ``log``.

    Parameters
    ----------
    log : what the engine found.
    stuck_after : ``thresholds.stuck_thresholds()``, ns per state.
    """
    facts = Facts(log, stuck_after)
    result = _undecided(facts)
    undecided = np.ones(facts.count, bool)
    for name, rule in RULES:
        if not undecided.any():
            break
        verdict = rule(facts)
        _decide(result, name, verdict, undecided & verdict.applies)
        undecided &= ~verdict.applies
    return result


def _undecided(facts: Facts) -> Outcomes:
    """Every connection as a fragment: what is left where no rule applies."""
    fragment = OUTCOMES.index("fragment")
    return Outcomes(
        outcome=np.full(facts.count, fragment, np.uint8),
        culprit=np.full(facts.count, NOBODY, np.int8),
        severity=np.full(facts.count, SEVERITIES.index(SEVERITY["fragment"]), np.uint8),
        since=facts.start.copy(),
        lasted=facts.duration.copy(),
        lasts=np.zeros(facts.count, bool),
    )


def _decide(result: Outcomes, name: str, verdict: Verdict, where: np.ndarray) -> None:
    result.outcome[where] = OUTCOMES.index(name)
    result.severity[where] = SEVERITIES.index(SEVERITY[name])
    for field in ("culprit", "since", "lasted", "lasts"):
        np.copyto(getattr(result, field), getattr(verdict, field), where=where, casting="same_kind")


Rule = Callable[[Facts], Verdict]


def _scan(facts: Facts) -> Verdict:
    """Only segments that no socket sends."""
    return _over_its_life(facts, facts.log.connections["probe"] != 0, CLIENT)


def _refused(facts: Facts) -> Verdict:
    """A RST that the client accepted for its SYN."""
    return _while_opening(facts, client(facts.ended_by(Event.RECEIVED_RST, State.SYN_SENT)), SERVER)


def _unreachable(facts: Facts) -> Verdict:
    """An ICMP error that ended the client's attempt."""
    ended = facts.ended_by(Event.RECEIVED_ICMP_ERROR, State.SYN_SENT, State.SYN_RECV)
    return _while_opening(facts, client(ended), NETWORK)


def _no_answer(facts: Facts) -> Verdict:
    """A SYN that nothing answered, for long, repeatedly, or until the client gave up."""
    attempt = facts.stay(State.SYN_SENT)
    opened = facts.ever(State.SYN_RECV, State.ESTABLISHED, *CLOSING_STATES).any(axis=1)
    given_up = client(facts.finally_in(State.CLOSE))
    repeated = client(facts.log.per_side("syns")) > 1
    long = client(attempt.lasted) >= NO_ANSWER_AFTER
    unanswered = client(facts.ever(State.SYN_SENT)) & ~opened & (long | repeated | given_up)
    return _while_opening(facts, unanswered, NETWORK)


def _half_open(facts: Facts) -> Verdict:
    """A SYN-ACK that the client never acknowledged, for long or repeatedly."""
    stay = facts.stay(State.SYN_RECV)
    completed = server(facts.ever(State.ESTABLISHED, *CLOSING_STATES))
    repeated = server(facts.log.per_side("syn_acks")) > 1
    applies = server(facts.ever(State.SYN_RECV)) & ~completed
    applies &= (server(stay.lasted) >= HALF_OPEN_AFTER) | repeated
    return Verdict(applies, CLIENT, server(stay.since), server(stay.lasted), server(stay.lasts))


def _timed_out(facts: Facts) -> Verdict:
    """A side of an open connection that gave up retransmitting."""
    gave_up = facts.ended_by(Event.TIMER_RETRANSMISSION, State.ESTABLISHED, *CLOSING_STATES)
    return _over_its_life(facts, gave_up.any(axis=1), NETWORK)


def _stuck(state: State, actor_is_peer: bool) -> Rule:
    """A side that stayed in ``state`` because it, or its peer, did not do what was due."""

    def rule(facts: Facts) -> Verdict:
        stay = facts.stay(state, actor_is_peer)
        # Of a side that the capture never shows, nothing can be said to be missing
        heard = facts.heard[:, ::-1] if actor_is_peer else facts.heard
        stuck = (stay.waited > facts.stuck_after[state]) & heard
        side = np.argmax(np.where(stuck, stay.waited, -1), axis=1)
        return Verdict(
            applies=stuck.any(axis=1),
            culprit=(side ^ actor_is_peer).astype(np.int8),
            since=_of_side(stay.since, side),
            lasted=_of_side(stay.lasted, side),
            lasts=_of_side(stay.lasts, side),
        )

    return rule


def _reset_by(side: Side) -> Rule:
    """An open connection that ``side`` aborted, before any FIN."""

    def rule(facts: Facts) -> Verdict:
        reset = facts.reset
        applies = (reset.sender == side) & ~reset.while_closing
        return Verdict(applies, int(side), reset.time, reset.time - facts.start)

    return rule


def _reset_while_closing(facts: Facts) -> Verdict:
    """A RST after a FIN: data came late, or were left unread."""
    reset = facts.reset
    fins = facts.log.per_side("fin_time")
    sender = np.maximum(reset.sender, 0)
    # Who had closed and then resets was sent data too late; who resets without a FIN left data unread
    closed_first = (_of_side(fins, sender) != NO_TIME) & (_of_side(fins, sender) <= reset.time)
    culprit = np.where(closed_first, 1 - sender, sender).astype(np.int8)
    return Verdict(reset.while_closing & (reset.sender >= 0), culprit, reset.time, reset.time - facts.start)


def _closed(facts: Facts) -> Verdict:
    """Both sides are done, and it was a FIN that ended them."""
    done = facts.finally_in(State.CLOSE, State.TIME_WAIT).all(axis=1)
    return _over_its_life(facts, done & facts.ever(*CLOSING_STATES).any(axis=1), NOBODY)


def _closing(facts: Facts) -> Verdict:
    """A side has sent or received a FIN, and is not done yet."""
    under_way = tuple(state for state in CLOSING_STATES if state != State.TIME_WAIT)
    return _over_its_life(facts, facts.finally_in(*under_way).any(axis=1), NOBODY)


def _open(facts: Facts) -> Verdict:
    """A side is alive, opening included."""
    return _over_its_life(facts, facts.finally_in(*LIVE).any(axis=1), NOBODY)


def _over_its_life(facts: Facts, applies: Any, culprit: int) -> Verdict:
    return Verdict(applies, culprit, facts.start, facts.duration)


def _while_opening(facts: Facts, applies: np.ndarray, culprit: int) -> Verdict:
    attempt = facts.stay(State.SYN_SENT)
    return Verdict(applies, culprit, facts.start, client(attempt.lasted), client(attempt.lasts))


def _of_side(values: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Of each connection's two values that of ``side``."""
    return np.take_along_axis(values, side[:, None], axis=1)[:, 0]


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
    ("reset_while_closing", _reset_while_closing),
    ("closed", _closed),
    ("closing", _closing),
    ("open", _open),
)
