"""The table of RSTs, and what is to be said of each in plain English."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tcpstates.reports.log import Log
from tcpstates.reports.resets import Resets
from tcpstates.reports.table import Composed, Pieces, Table
from tcpstates.reports.timeline import endpoints, file_labels
from tcpstates.reports.wording import counted, duration, frame_name
from tcpstates.schema import REASONS, Known
from tcpstates.states import SIDE_LABELS, State


def reset_table(resets: Resets) -> Pieces:
    """One row for each side that sent a RST, in order of time."""
    order = np.argsort(resets.rows["time"], kind="stable")
    return Pieces("resets", len(order), lambda part: _rows(resets, order[part]))


def _rows(resets: Resets, order: np.ndarray) -> Table:
    """The RSTs at those places."""
    rows, side = resets.rows[order], resets.side[order]
    sides = resets.log.sides[side]
    return Table.of(
        "resets",
        {
            "conn": side >> 1,
            "side": side & 1,
            **endpoints(resets.log, side),
            "time": rows["time"].copy(),
            "reason": resets.reason[order],
            "rsts": sides["rsts"].astype(np.int64),
            "ignored": np.minimum(sides["suspicious_rsts"], sides["rsts"]).astype(np.int64),
            "ttl": rows["ttl"].astype(np.int64),
            "frame": rows["frame"].astype(np.int64),
            "file": file_labels(resets.log, rows["file"]),
            "explanation": Composed(order, lambda some: [reset_text(resets, row) for row in some.tolist()]),
        },
    )


def reset_text(resets: Resets, row: int) -> str:
    """What is to be said of the RST in that row of ``log.resets``: a sentence or two."""
    return _TEXTS[REASONS[resets.reason[row]]](_Reset(resets, row))


class _Reset:
    """One RST, as sentences need it."""

    def __init__(self, resets: Resets, row: int) -> None:
        self.resets, self.row = resets, row
        self.values: dict[str, Any] = dict(
            zip(resets.rows.dtype.names or (), resets.rows[row].tolist(), strict=True)
        )
        side = int(resets.side[row]) & 1
        self.sender, self.receiver = SIDE_LABELS[side], SIDE_LABELS[1 - side]
        self.port = int(resets.log.sides["port"][resets.side[row] | 1])

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def frame(self, name: str) -> str:
        """``frame 7``, with its file if there are several."""
        return _frame(self.resets.log, self["file"], self[name])

    @property
    def quiet(self) -> str:
        """How long nothing had been sent."""
        return duration(max(self["idle"] if self["waited"] < 0 else self["waited"], 0))


def _frame(log: Log, file: int, frame: int) -> str:
    return frame_name(frame, log.files[file] if len(log.files) > 1 else "")


def _refused(one: _Reset) -> str:
    after = f" ({one.frame('peer_last_frame')}) after {duration(one['waited'])}" if one["waited"] >= 0 else ""
    return f"It answers the SYN{after}: nothing listens on port {one.port}, or a firewall rejects."


def _probe(one: _Reset) -> str:
    if one.sender == "server":
        return "It answers a segment that no socket sends: somebody probes the port."
    return (
        "The client's host resets what the server answered to the SYN, and had said nothing else: "
        "a port scan, a health check, or a SYN in somebody else's name."
    )


def _aborted(one: _Reset) -> str:
    unread = f", or the {one.receiver}'s last {counted(one['peer_pending'], 'byte')} were left unread"
    when = f"{one.quiet} after the last segment" if one["known"] & Known.SEEN else "unasked"
    return (
        f"The {one.sender} aborted the connection, {when}: its program closed it with SO_LINGER "
        f"of zero, or was ended{unread if one['peer_pending'] else ''}."
    )


def _unread_data(one: _Reset) -> str:
    flight = int(one.resets.in_flight[one.row])
    if flight:
        what = f"{counted(flight, 'byte')} of the {one.receiver} were still under way"
    else:
        what = f"it never answered the {one.receiver}'s last {counted(one['peer_pending'], 'byte')}"
    return (
        f"The {one.sender} closed with data unread, which makes a RST of the FIN: {what} "
        f"({one.frame('peer_last_frame')}). Or its program aborted (SO_LINGER of zero, a crash)."
    )


def _late_data(one: _Reset) -> str:
    came = f"{counted(one['peer_pending'], 'byte')} came" if one["peer_pending"] else "FIN came"
    return (
        f"The {one.sender} had closed, and the {one.receiver}'s {came} too late "
        f"({one.frame('peer_last_frame')}): there was no socket any more to take what it sent."
    )


def _stale(one: _Reset) -> str:
    silence = f", which broke a silence of {duration(one['idle'])}" if one["idle"] >= 1_000_000_000 else ""
    return (
        f"It answers {one.frame('peer_last_frame')}{silence}, as a host does that does not know the "
        f"connection: the {one.sender} was restarted or ended unseen, or a NAT or firewall forgot it."
    )


def _gave_up(one: _Reset) -> str:
    return (
        f"The {one.sender} had asked {one['unanswered']:,} times since {one.frame('unanswered_frame')} "
        "without an answer, and gave up (keep-alive, or a time limit of the program)."
    )


def _middlebox(one: _Reset) -> str:
    resets, row, signs = one.resets, one.row, []
    if resets.by_other_ttl[row]:
        least, most = one["ttl_least"], one["ttl_most"]
        usual = str(least) if least == most else f"{least} to {most}"
        signs.append(f"its TTL is {one['ttl']}, that of the {one.sender}'s other packets {usual}")
    if resets.lived_on[row]:
        later = duration(one["lived_on"] - one["time"])
        signs.append(f"the {one.sender} went on {later} later ({one.frame('lived_on_frame')})")
    if resets.by_other_id[row]:
        signs.append(f"its IP ID is {one['ip_id']}, the {one.sender}'s last one was {one['last_ip_id']}")
    return (
        f"It was not sent by the {one.sender}, but by something between or a forger: {', and '.join(signs)}."
    )


def _ignored(one: _Reset) -> str:
    signs = []
    if one["peer_known"] & Known.ACK:
        off = int(one.resets.ahead_of_expected[one.row])
        where = (
            f"{abs(off):,} {'beyond' if off > 0 else 'behind'} what was expected"
            if off
            else "the expected one"
        )
        signs.append(f"its number is {where}")
    if one["challenge_frame"]:
        signs.append(f"{one.frame('challenge_frame')} challenges it")
    if one.resets.lived_on[one.row]:
        signs.append(f"the {one.sender} went on ({one.frame('lived_on_frame')})")
    told = f": {', '.join(signs)}" if signs else ""
    return f"The {one.receiver} did not accept it{told}. It is forged, or a late one."


def _assassination(one: _Reset) -> str:
    return (
        f"It ended the {one.receiver}'s TIME_WAIT before its time (RFC 1337): harmless, unless the same "
        "ports are used again at once."
    )


def _after_close(one: _Reset) -> str:
    state = State(int(one.resets.receiver_state[one.row])).name
    return f"The {one.receiver} was done (in {state}): it changes nothing."


def _unknown(one: _Reset) -> str:
    return f"Nothing of the {one.receiver} was captured before it: what it may answer is not known."


_TEXTS: dict[str, Callable[[_Reset], str]] = {
    "refused": _refused,
    "probe": _probe,
    "aborted": _aborted,
    "unread_data": _unread_data,
    "late_data": _late_data,
    "stale": _stale,
    "gave_up": _gave_up,
    "middlebox": _middlebox,
    "ignored": _ignored,
    "assassination": _assassination,
    "after_close": _after_close,
    "unknown": _unknown,
}
