"""Who was listening: endpoints that answered a SYN, until they refused one.

LISTEN belongs to an endpoint, not to a connection, so it comes from the log of all connections together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tcpstates.reports.log import Log
from tcpstates.states import Event, Side, State

_PORTS = 1 << 16


class Listening(NamedTuple):
    """When endpoints began and ceased to listen; one value per change, by endpoint, then by time."""

    place: np.ndarray  # code of log.places
    port: np.ndarray
    time: np.ndarray  # ns
    begins: np.ndarray  # bool: from here on it listens, or no longer


def listening(log: Log) -> Listening:
    """The changes of every endpoint, each other than the one before it."""
    answers, refused = _answers(log), refusals(log)
    sides = log.sides_of(np.concatenate((answers, refused)))
    sides[len(answers) :] ^= 1  # the client's row tells of the server
    time = log.transitions["start"][np.concatenate((answers, refused))]
    begins = np.arange(len(sides)) < len(answers)
    endpoint = log.places.codes[sides] * _PORTS + log.sides["port"][sides]
    order = np.lexsort((begins, time, endpoint))
    kept = order[_changes(endpoint[order], begins[order])]
    return Listening(endpoint[kept] // _PORTS, endpoint[kept] % _PORTS, time[kept], begins[kept])


def _answers(log: Log) -> np.ndarray:
    """The transitions that a SYN-ACK made, of sides that had not sent a SYN themselves."""
    sent = np.flatnonzero(log.cause == Event.SENT_SYN_ACK)
    held = (log.state[sent] == State.SYN_RECV) & (log.states_before(sent) != State.SYN_SENT)
    return np.extract(held, sent)


def refusals(log: Log) -> np.ndarray:
    """The clients' transitions that a RST to their SYN made."""
    reset = np.flatnonzero(log.cause == Event.RECEIVED_RST)
    held = (log.states_before(reset) == State.SYN_SENT) & (log.transitions["side"][reset] == Side.CLIENT)
    return np.extract(held, reset)


def _changes(endpoint: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Where an endpoint's state differs from what it was; at first it does not listen."""
    if not len(endpoint):
        return np.empty(0, bool)
    first = np.append(True, endpoint[1:] != endpoint[:-1])
    before = np.append(False, begins[:-1])
    changed: np.ndarray = begins != np.where(first, False, before)
    return changed
