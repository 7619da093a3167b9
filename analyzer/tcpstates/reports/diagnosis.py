"""What is to be said of each connection: a sentence or two with its figures and the frames that show them.

Sentences are made when they are asked for, row by row. Those of connections with which nothing is wrong have
no figures, so that half a million of them are a dozen different texts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tcpstates.reports.addresses import address_text
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.reset_table import reset_text
from tcpstates.reports.resets import Resets
from tcpstates.reports.table import Composed
from tcpstates.reports.wording import clock, counted, duration, endpoint, frame_name, icmp_words
from tcpstates.schema import CULPRITS, OUTCOMES, FirstCloser
from tcpstates.states import SIDE_LABELS, Event, Side, State


@dataclass(frozen=True, eq=False)
class Diagnoses:
    """Says what became of connections, and how that is known.

    Attributes
    ----------
    log : what the engine found.
    outcomes : what became of each connection.
    resets : the RSTs, told apart.
    """

    log: Log
    outcomes: Outcomes
    resets: Resets

    @property
    def column(self) -> Composed:
        """One text for each connection, made when it is read."""
        return Composed(np.arange(len(self.log.connections)), self.texts)

    def text(self, conn: int) -> str:
        """What is to be said of one connection."""
        return self.texts(np.array([conn]))[0]

    def texts(self, conns: np.ndarray) -> list[str]:
        """The texts of some connections (int64)."""
        log = self.log
        closer = log.connections["first_closer"][conns].tolist()
        names = [OUTCOMES[outcome] for outcome in self.outcomes.outcome[conns].tolist()]
        heard = (log.per_side("frames")[conns] > 0).all(axis=1).tolist()
        rows = zip(conns.tolist(), names, heard, *log.final[conns].T.tolist(), closer, strict=True)
        return [
            _plain(name, *row) if heard and name in _PLAIN else self._text(conn, name, *row)
            for conn, name, heard, *row in rows
        ]

    def _text(self, conn: int, name: str, client: int, server: int, closer: int) -> str:
        """The text of a connection that has figures, or of which one side was not captured at all."""
        case = Case(self, conn)
        if name not in _PLAIN:
            return _TEXTS[name](case)
        return _plain(name, client, server, closer) + case.doubt(Side.CLIENT) + case.doubt(Side.SERVER)


class Case:
    """One connection, as sentences need it."""

    def __init__(self, diagnoses: Diagnoses, conn: int) -> None:
        self.log, self.resets, outcomes = diagnoses.log, diagnoses.resets, diagnoses.outcomes
        self.conn = conn
        self.outcome = OUTCOMES[outcomes.outcome[conn]]
        self.culprit = CULPRITS[outcomes.culprit[conn]] if outcomes.culprit[conn] >= 0 else ""
        self.since, self.lasted = int(outcomes.since[conn]), int(outcomes.lasted[conn])
        self.lasts = bool(outcomes.lasts[conn])

    def count(self, side: int, name: str) -> int:
        """A field of ``log.sides``."""
        return int(self.log.sides[name][2 * self.conn + side])

    def conduct(self, side: int, name: str) -> int:
        """A field of ``log.conduct``."""
        return int(self.log.conduct[name][2 * self.conn + side])

    def address(self, side: int) -> str:
        """``10.0.0.5``."""
        return self.log.addresses.text(int(self.log.addresses.codes[2 * self.conn + side]))

    def name(self, side: int) -> str:
        """``the server 10.0.0.5:8080``."""
        return f"the {SIDE_LABELS[side]} {endpoint(self.address(side), self.count(side, 'port'))}"

    def rows(self, side: int) -> np.ndarray:
        """The transitions of that side."""
        return np.asarray(self.log.transitions[self.log.rows_of_side(2 * self.conn + side)])

    def event(self, side: int, event: Event) -> np.void | None:
        """The transition of that side that has this cause."""
        rows = self.rows(side)
        found = np.flatnonzero(rows["cause"] == event)
        return rows[found[0]] if len(found) else None

    def at(self, side: int, event: Event) -> str:
        """``" (frame 20, 12:00:03.120)"``: where that event is to be seen; empty if nowhere."""
        row = self.event(side, event)
        if row is None or not row["frame"]:
            return ""
        return f" ({self.frame(int(row['frame']), int(row['file']))}, {time_of_day(int(row['start']))})"

    def frame(self, number: int, file: int | None = None) -> str:
        """``frame 20``, with its file if there are several and it is known."""
        files = self.log.files
        return frame_name(number, files[file] if file is not None and len(files) > 1 else "")

    @property
    def first_frame(self) -> str:
        """The connection's first frame."""
        connection = self.log.connections[self.conn]
        return self.frame(int(connection["first_frame"]), int(connection["first_file"]))

    @property
    def last_frame(self) -> str:
        """The connection's last frame."""
        connection = self.log.connections[self.conn]
        return self.frame(int(connection["last_frame"]), int(connection["last_file"]))

    @property
    def until(self) -> str:
        """For how long, and whether the capture's end ended it."""
        return duration(self.lasted) + (" until the capture ended" if self.lasts else "")

    def doubt(self, side: int) -> str:
        """What else it may be if the capture holds nothing of ``side``."""
        if self.count(side, "frames"):
            return ""
        return (
            f" Nothing of the {SIDE_LABELS[side]} was captured: perhaps the capture sees one direction only."
        )


def time_of_day(nanoseconds: int) -> str:
    """``12:00:03.120``, in UTC."""
    return clock(nanoseconds)[11:]


def _scan(case: Case) -> str:
    port = case.count(Side.SERVER, "port")
    if case.log.connections["probe"][case.conn]:
        answer = "a RST answered it" if case.count(Side.SERVER, "rsts") else "nothing answered it"
        return f"A probe of port {port} ({case.first_frame}), such as no socket sends; {answer}."
    if case.count(Side.SERVER, "syn_acks"):
        what = f"answered, and the client reset it at once ({case.last_frame}): the port is open"
    elif case.count(Side.SERVER, "rsts"):
        what = f"refused ({case.last_frame}): the port is closed"
    else:
        what = "not answered: the port is filtered"
    return (
        f"The SYN ({case.first_frame}) was {what}. The client tried several ports of this host in this "
        "way: a scan."
    )


def _refused(case: Case) -> str:
    return (
        f"The SYN ({case.first_frame}) was answered by a RST{case.at(Side.CLIENT, Event.RECEIVED_RST)} after "
        f"{duration(case.lasted)}: nothing listens on port {case.count(Side.SERVER, 'port')} of "
        f"{case.address(Side.SERVER)}, or a firewall rejects."
    )


def _unreachable(case: Case) -> str:
    client = case.log.sides[2 * case.conn]
    said = icmp_words(
        int(case.log.connections["version"][case.conn]), int(client["icmp_type"]), int(client["icmp_code"])
    )
    router = address_text(int(client["icmp_router_hi"]), int(client["icmp_router_lo"]))
    frame = case.frame(int(client["icmp_frame"]), int(client["icmp_file"]))
    return (
        f"{router} answered the SYN ({case.first_frame}) to {case.name(Side.SERVER)} with an ICMP error "
        f"({frame}): {said}. The attempt ended after {duration(case.lasted)}."
    )


def _no_answer(case: Case) -> str:
    syns = case.count(Side.CLIENT, "syns")
    sent = (
        f"{syns} SYNs ({case.first_frame} to {case.last_frame})"
        if syns > 1
        else f"one SYN ({case.first_frame})"
    )
    ended = "still tries when the capture ends" if case.lasts else "then gave up"
    why = (
        "others' handshakes are not completed there either, so the listener's queue is full"
        if case.culprit == "server"
        else "the packets are dropped on the way, or nobody is there"
    )
    return (
        f"The client sent {sent} to {case.name(Side.SERVER)}, got no answer for {duration(case.lasted)} and "
        f"{ended}: {why}."
    )


def _half_open(case: Case) -> str:
    copies = counted(case.count(Side.SERVER, "syn_acks"), "SYN-ACK")
    begin = f"{_upper(case.name(Side.SERVER))} sent {copies}{case.at(Side.SERVER, Event.SENT_SYN_ACK)}"
    if case.culprit == "server":
        return (
            f"{begin}, and the client acknowledged, but the server did not take that for {case.until}: its "
            "accept queue is full, it waits for data (TCP_DEFER_ACCEPT), or the ACKs are lost on the way."
        )
    return (
        f"{begin}, and the client acknowledged none for {case.until}: it does not get them, its address is "
        f"forged, or its ACKs are lost.{case.doubt(Side.CLIENT)}"
    )


def _timed_out(case: Case) -> str:
    side = _asking(case)
    by = "with a RST" if case.event(side, Event.SENT_RST) is not None else "without a word"
    return (
        f"The {SIDE_LABELS[side]} {_asked(case, side)} for {duration(case.lasted)} without an answer, and "
        f"gave up {by}{case.at(side, Event.SENT_RST)}. {_last_word(case, 1 - side)}"
    )


def _peer_vanished(case: Case) -> str:
    side = _asking(case)
    why = (
        "the way there is interrupted, the host is gone, or a firewall forgot the connection"
        if case.culprit == "network"
        else "others get no answer from that host either, so it is gone"
    )
    return (
        f"The {SIDE_LABELS[side]} {_asked(case, side)} for {case.until} without an answer: {why}. "
        f"{_last_word(case, 1 - side)}"
    )


def _asked(case: Case, side: int) -> str:
    """How often, and since which frame."""
    count, first = case.conduct(side, "unanswered"), case.conduct(side, "unanswered_frame")
    return f"repeated itself or probed {counted(count, 'time')} from {case.frame(first)} on"


def _asking(case: Case) -> int:
    """The side that asks in vain: of both that which does so since the matter began."""
    since = [case.conduct(side, "unanswered_since") for side in Side]
    asks = [case.conduct(side, "unanswered") > 0 for side in Side]
    if all(asks):
        return int(abs(since[1] - case.since) < abs(since[0] - case.since))
    return int(asks[1])


def _last_word(case: Case, side: int) -> str:
    frame = case.conduct(side, "last_frame")
    if not frame:
        return (
            f"Nothing of the {SIDE_LABELS[side]} was captured: perhaps the capture sees one direction only."
        )
    at = time_of_day(case.conduct(side, "last"))
    return f"The last of {case.name(side)} is {case.frame(frame)}, {at}."


def _stuck_close_wait(case: Case) -> str:
    side = SIDE_LABELS.index(case.culprit)
    peer = 1 - side
    closed = f"The {SIDE_LABELS[peer]} closed{case.at(peer, Event.SENT_FIN)}"
    acknowledged = case.at(peer, Event.RECEIVED_ACK_OF_FIN)
    knows = f", {case.name(side)} acknowledged that{acknowledged}" if acknowledged else f"; {case.name(side)}"
    return f"{closed}{knows} {'but ' if acknowledged else ''}{_never_closed(case, side)}"


def _never_closed(case: Case, side: int) -> str:
    if case.lasts:
        return (
            f"has sent no FIN in the {case.until}: its socket is in CLOSE_WAIT, because its application has "
            "not closed it."
        )
    fin = case.event(side, Event.SENT_FIN)
    end = f"closed only {duration(case.lasted)} later{case.at(side, Event.SENT_FIN)}"
    if fin is None:
        end = f"never did in the {duration(case.lasted)} that the connection lasted"
    return f"{end}: until then its application left the socket in CLOSE_WAIT."


def _stuck(state: State) -> Callable[[Case], str]:
    """The text on a side that waits in ``state`` for what its peer owes it."""

    def text(case: Case) -> str:
        owing = SIDE_LABELS.index(case.culprit)
        side = 1 - owing
        fin = f"The {SIDE_LABELS[side]}'s FIN{case.at(side, Event.SENT_FIN)}"
        if state == State.FIN_WAIT2:
            return (
                f"{fin} was acknowledged by {case.name(owing)}, which sent none of its own for {case.until}: "
                f"the {SIDE_LABELS[side]} waits in FIN_WAIT2.{_after(case, owing)}"
            )
        copies = case.count(side, "fins")
        sent = f", sent {copies:,} times," if copies > 1 else ""
        return (
            f"{fin}{sent} was not acknowledged by {case.name(owing)} for {case.until}: the "
            f"{SIDE_LABELS[side]} waits in {state.name}.{_after(case, owing)}"
        )

    return text


def _after(case: Case, side: int) -> str:
    """Whether who owes something was heard of at all in that time."""
    if case.conduct(side, "last") > case.since:
        last = case.frame(case.conduct(side, "last_frame"))
        return f" The {SIDE_LABELS[side]} goes on otherwise, last in {last}."
    return f" Nothing more came from the {SIDE_LABELS[side]}: it may be gone, or the way from it interrupted."


def _reset(case: Case) -> str:
    row = _decisive(case)
    sender = int(case.resets.side[row]) & 1
    told = case.resets.rows[row]
    frame, time = case.frame(int(told["frame"]), int(told["file"])), int(told["time"])
    age = duration(time - int(case.log.connections["start"][case.conn]))
    whose = "of" if case.culprit != "network" else "in the name of"
    return (
        f"A RST {whose} {case.name(sender)} ({frame}, {time_of_day(time)}) ended the connection {age} after "
        f"its first frame. {reset_text(case.resets, row)}{case.doubt(1 - sender)}"
    )


def _decisive(case: Case) -> int:
    """Of the two sides' RSTs, the row of that which ended the connection."""
    rows = [int(row) - 1 for row in case.log.conduct["reset"][2 * case.conn : 2 * case.conn + 2] if row]
    times = case.resets.rows["time"]
    return min(rows, key=lambda row: abs(int(times[row]) - case.since))


def _fragment(case: Case) -> str:
    frames = [case.count(side, "frames") for side in Side]
    return (
        f"Too little was captured to say: {counted(frames[0], 'frame')} of the client, {frames[1]:,} of the "
        f"server ({case.first_frame} to {case.last_frame})."
    )


def _closed(client: int, server: int, closer: int) -> str:
    if closer == FirstCloser.BOTH:
        return "Both sides closed at the same time, and both FINs were acknowledged."
    if closer == FirstCloser.NONE:
        return "Both sides closed."
    first, second = SIDE_LABELS if closer == FirstCloser.CLIENT else SIDE_LABELS[::-1]
    return f"The {first} closed, then the {second}; both FINs were acknowledged."


def _closing(client: int, server: int, closer: int) -> str:
    return (
        f"The close is under way when the capture ends: the client in {State(client).name}, the server in "
        f"{State(server).name}."
    )


def _open(client: int, server: int, closer: int) -> str:
    opening = {State.SYN_SENT, State.SYN_RECV} & {client, server}
    return (
        f"{'Still opening' if opening else 'Open'} when the capture ends: the client in {State(client).name}"
        f", the server in {State(server).name}."
    )


@functools.cache
def _plain(outcome: str, client: int, server: int, closer: int) -> str:
    return _PLAIN[outcome](client, server, closer)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


#: What says no more than the final states and who closed first.
_PLAIN: dict[str, Callable[[int, int, int], str]] = {"closed": _closed, "closing": _closing, "open": _open}

_TEXTS: dict[str, Callable[[Case], str]] = {
    "scan": _scan,
    "refused": _refused,
    "unreachable": _unreachable,
    "no_answer": _no_answer,
    "half_open": _half_open,
    "timed_out": _timed_out,
    "stuck_close_wait": _stuck_close_wait,
    "stuck_fin_wait1": _stuck(State.FIN_WAIT1),
    "stuck_fin_wait2": _stuck(State.FIN_WAIT2),
    "stuck_closing": _stuck(State.CLOSING),
    "stuck_last_ack": _stuck(State.LAST_ACK),
    "reset_by_client": _reset,
    "reset_by_server": _reset,
    "reset_stale": _reset,
    "reset_while_closing": _reset,
    "peer_vanished": _peer_vanished,
    "fragment": _fragment,
}
