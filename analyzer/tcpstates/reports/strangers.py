"""What only many connections together tell: who scans a host, and which host is gone."""

# What numpy makes of comparisons is Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np

from tcpstates.reports.facts import Facts, client, server
from tcpstates.reports.log import CLOSING_STATES
from tcpstates.reports.ranking import coded
from tcpstates.reports.thresholds import SCANNED_CLOSED_PORTS, SCANNED_PORTS, TRIED_WITHIN
from tcpstates.states import Event, Side, State


def scanned(facts: Facts) -> np.ndarray:
    """The connections by which a host only tried another one's ports, as bool per connection.

    The SYN was refused, answered and at once reset, or not answered at all. They are a scan if there are
    several ports, of which one at least was open, or many that were not.
    """
    reset, refused = _reset_at_once(facts), _refused(facts)
    tried = np.flatnonzero(reset | refused)
    result = np.zeros(len(facts.start), bool)
    if len(tried) < SCANNED_PORTS:
        return result
    pair, of_pair = coded(_pairs(facts, tried))
    ports = np.unique(of_pair << 16 | facts.log.sides["port"][2 * tried + Side.SERVER]) >> 16
    count = np.bincount(ports, minlength=len(pair))
    any_open = np.bincount(of_pair, reset[tried], minlength=len(pair)) > 0
    scans = pair[(count >= SCANNED_CLOSED_PORTS) | ((count >= SCANNED_PORTS) & any_open)]
    if len(scans):
        tried = np.flatnonzero(reset | refused | _unanswered(facts))
        result[tried] = np.isin(_pairs(facts, tried), scans)
    return result


def _pairs(facts: Facts, conn: np.ndarray) -> np.ndarray:
    """int64 per connection of ``conn``: the same number for the same client and server, within tunnels."""
    places = facts.log.places
    return np.asarray(places.codes[2 * conn] * len(places.address) + places.codes[2 * conn + 1])


def _reset_at_once(facts: Facts) -> np.ndarray:
    """The server answered the SYN, and the client said nothing but a RST."""
    log, resets = facts.log, facts.resets
    result = np.zeros(len(facts.start), bool)
    quick = resets.time - facts.start[resets.conn] <= TRIED_WITHIN
    conn = resets.conn[quick & (resets.sender == Side.CLIENT) & ~resets.while_closing]
    silent = log.sides["bytes"][2 * conn] == 0
    opened = (client(log.up_to_255("syns"))[conn] > 0) & (server(log.up_to_255("syn_acks"))[conn] > 0)
    result[conn[silent & opened]] = True
    return result


def _refused(facts: Facts) -> np.ndarray:
    """A RST answered the SYN."""
    attempts = facts.attempts
    result = np.zeros(len(facts.start), bool)
    result[attempts.conn[~attempts.lasts & (attempts.ended_by == Event.RECEIVED_RST)]] = True
    return result


def _unanswered(facts: Facts) -> np.ndarray:
    """Nothing ever came back for the SYN."""
    tried = (client(facts.log.up_to_255("syns")) > 0) & ~server(facts.heard)
    return tried & ~server(facts.ever(State.SYN_RECV, State.ESTABLISHED, *CLOSING_STATES))


def is_gone(host: np.ndarray, last: np.ndarray, sides: np.ndarray, since: np.ndarray) -> np.ndarray:
    """Whether the host of each of ``sides`` fell silent, to several others, and on all connections.

    Parameters
    ----------
    host : per side of the log, a number for its address and tunnel.
    last : per side of the log, the time of its last segment.
    sides : those that did not answer, rows of the log's sides.
    since : per side of ``sides``, when it was first asked in vain.
    """
    heard = np.zeros(int(host.max(initial=-1)) + 1, np.int64)
    asked = np.zeros(len(heard), bool)
    asked[host[sides]] = True
    rows = np.flatnonzero(asked[host])
    np.maximum.at(heard, host[rows], last[rows])
    silent = heard[host[sides]] <= since
    pairs = np.unique(host[sides] * len(heard) + host[sides ^ 1])
    asked_by = np.bincount(pairs // max(len(heard), 1), minlength=len(heard))
    return np.asarray(silent & (asked_by[host[sides]] > 1))
