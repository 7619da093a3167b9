"""Logs made by hand, as the engine would have made them: states with times in seconds after ``T0``."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import numpy as np

from tcpstates.analysis import Analysis
from tcpstates.reports.log import Log
from tcpstates.reports.thresholds import stuck_thresholds
from tcpstates.schema import CONDUCT, CONNECTIONS, DIALECTS, NO_TIME, RESETS, SIDES, TRANSITIONS, Known
from tcpstates.states import Event, Evidence, State

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND

CLIENT, SERVER = "10.0.0.1:40000", "10.0.0.5:80"

#: What most connections begin with.
OPENING_CLIENT = "0 SYN_SENT sent_syn, 0.1 ESTABLISHED received_syn_ack"
OPENING_SERVER = "0 UNKNOWN first_frame, 0.05 SYN_RECV sent_syn_ack, 0.1 ESTABLISHED received_ack_of_syn"


def at(seconds: float) -> int:
    """Nanoseconds since the epoch."""
    return T0 + round(seconds * SECOND)


@dataclass
class LogBuilder:
    """Collects connections; ``end`` is when the capture ends, in seconds."""

    end: float = 200.0
    files: tuple[str, ...] = ("a.pcap",)
    _connections: list[np.void] = field(default_factory=list)
    _sides: list[np.void] = field(default_factory=list)
    _rows: list[np.void] = field(default_factory=list)
    _conduct: list[np.void] = field(default_factory=list)
    _resets: list[np.void] = field(default_factory=list)

    def connection(
        self,
        client: str,
        server: str,
        *,
        endpoints: tuple[str, str] = (CLIENT, SERVER),
        last: float | None = None,
        client_side: dict[str, Any] | None = None,
        server_side: dict[str, Any] | None = None,
        reset: dict[str, Any] | None = None,
        **fields: Any,
    ) -> LogBuilder:
        """Add a connection; states as ``"0 SYN_SENT sent_syn, 0.1 ESTABLISHED received_syn_ack"``.

        ``reset`` has what is to be said in RESETS of whatever RST the states tell of.
        """
        conn = len(self._connections)
        sides = enumerate((client, server))
        rows = [self._row(conn, side, text) for side, states in sides for text in states.split(",")]
        start, end = rows[0]["start"], max(row["start"] for row in rows)
        connection = _zero(CONNECTIONS, start=start, end=end if last is None else at(last))
        connection["version"] = ip_address(_split(endpoints[0])[0]).version
        connection["first_frame"], connection["last_frame"] = 10 * conn + 1, 10 * conn + 10
        self._connections.append(_set(connection, fields))
        self._rows += rows
        for endpoint, given in zip(endpoints, (client_side, server_side), strict=True):
            self._sides.append(_side(endpoint, given or {}))
            self._conduct.append(_conduct(given or {}))
        for row in rows:
            self._note_reset(row, reset or {})
        return self

    def _note_reset(self, row: np.void, given: dict[str, Any]) -> None:
        """Remember the RST that ``row`` tells of, once."""
        if row["cause"] not in (Event.SENT_RST, Event.RECEIVED_RST):
            return
        sender = 2 * int(row["conn"]) + (int(row["side"]) ^ int(row["cause"] == Event.RECEIVED_RST))
        if self._conduct[sender]["reset"]:
            return
        known = Known.SEEN | Known.SEQUENCE | Known.ACK
        fins = [
            Known.FIN if NO_TIME < self._sides[i]["fin_time"] <= row["start"] else 0
            for i in (sender, sender ^ 1)
        ]
        told = {"time": row["start"], "waited": -1, "lived_on": NO_TIME, "side": sender, "flags": 0x14}
        told |= {"known": known | fins[0], "peer_known": known | fins[1], "frame": row["frame"]}
        self._resets.append(_zero(RESETS, **(told | given)))
        self._conduct[sender]["reset"] = len(self._resets)

    def _row(self, conn: int, side: int, text: str) -> np.void:
        time, state, cause = text.split()
        row = _zero(TRANSITIONS, start=at(float(time)), conn=conn, side=side)
        row["state"], row["cause"], row["evidence"] = State[state], Event[cause.upper()], Evidence.OBSERVED
        row["frame"] = 0 if cause.startswith("timer") else len(self._rows) + 1
        return row

    def log(self) -> Log:
        """What the engine would have returned."""
        return Log(
            np.array(self._connections, CONNECTIONS),
            np.array(self._sides, SIDES),
            np.array(self._rows, TRANSITIONS),
            T0,
            at(self.end),
            self.files,
            np.array(self._conduct, CONDUCT),
            np.array(self._resets, RESETS),
            np.zeros(len(self._connections), DIALECTS),
        )

    def analysis(self, stuck_after: Any = None, **given: Any) -> Analysis:
        """The analysis that holds this log."""
        return Analysis(log=self.log(), stuck_after=stuck_thresholds(stuck_after), **given)


def _zero(dtype: np.dtype[Any], **values: Any) -> np.void:
    record = np.zeros(1, dtype)[0]
    return _set(record, values)


def _set(record: np.void, values: dict[str, Any]) -> np.void:
    for name, value in values.items():
        record[name] = value
    return record


def _side(endpoint: str, given: dict[str, Any]) -> np.void:
    address, port = _split(endpoint)
    number = int(ip_address(address))
    if ip_address(address).version == 4:
        number |= 0xFFFF << 32
    times = dict.fromkeys(("first", "last", "last_data", "fin_time", "last_rst"), NO_TIME)
    times |= {name: at(value) for name, value in given.items() if name in times}
    counts = {"frames": 5} | {name: value for name, value in given.items() if name in (SIDES.names or ())}
    counts |= times
    return _zero(SIDES, addr_hi=number >> 64, addr_lo=number & (1 << 64) - 1, port=port, **counts)


def _conduct(given: dict[str, Any]) -> np.void:
    values = {name: value for name, value in given.items() if name in (CONDUCT.names or ())}
    if "unanswered_since" in values:
        values["unanswered_since"] = at(values["unanswered_since"])
    return _zero(CONDUCT, **values)


def _split(endpoint: str) -> tuple[str, int]:
    address, _, port = endpoint.rpartition(":")
    return address.strip("[]"), int(port)


def normal_close(builder: LogBuilder, **given: Any) -> LogBuilder:
    """A connection that the client closes after a second, and both sides to the end."""
    given.setdefault("client_side", {"fin_time": 1, "fins": 1})
    given.setdefault("server_side", {"fin_time": 1.2, "fins": 1})
    return builder.connection(
        f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.1 FIN_WAIT2 received_ack_of_fin, "
        "1.2 TIME_WAIT received_fin, 61.2 CLOSE timer_2msl",
        f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin, 1.2 LAST_ACK sent_fin, 1.25 CLOSE received_ack_of_fin",
        **{"first_closer": 1, "last": 1.25, **given},
    )


def leaked(builder: LogBuilder, **given: Any) -> LogBuilder:
    """A connection that the client closes after a second, and the server never."""
    given.setdefault("client_side", {"fin_time": 1, "fins": 1})
    return builder.connection(
        f"{OPENING_CLIENT}, 1 FIN_WAIT1 sent_fin, 1.1 FIN_WAIT2 received_ack_of_fin, "
        "61.1 CLOSE timer_fin_wait2",
        f"{OPENING_SERVER}, 1 CLOSE_WAIT received_fin",
        **{"first_closer": 1, "last": 1.1, **given},
    )
