"""Every record and every table, stated once: what kernels, pandas and the documentation agree on.

Two kinds of shape are here. *Records* are numpy structured dtypes: what flows from the capture to
the engine (``FRAMES``, ``SEGMENTS``, ``ICMP_ERRORS``) and out of it (``NOTES``, ``CONNECTIONS``,
``SIDES``, ``TRANSITIONS``).
*Tables* are what people get: the names, dtypes, units and titles of their columns.

Times are int64 nanoseconds since the epoch, ``NO_TIME`` for none. Addresses are 128 bits in two
uint64, IPv4 in its mapped form (``::ffff:a.b.c.d``) so that one path serves both. Frame numbers
count from 1 within their file, 0 for none. Sequence numbers are uint32, compared modulo 2^32.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np

NO_TIME = np.iinfo(np.int64).min


class Mark(IntFlag):
    """What else is to be said of a segment (``SEGMENTS.marks``)."""

    HAS_TIMESTAMP = 1
    HAS_SACK = 2
    SACK_PERMITTED = 4
    CUT = 8  # by the snap length: fewer bytes were captured than the frame had
    LENGTH_ZERO = 16  # IP length 0 (segmentation offload): the payload's length is the captured one
    DISSECTED = 32  # by dpkt, not by the fast path
    OPTIONS_CUT = 64  # the TCP options reach beyond what was captured, or are malformed
    LENGTH_BEYOND = 128  # the IP length is more than the frame held: sliced by a tap or a switch


class Checksum(IntEnum):
    """What a segment's TCP checksum says (``SEGMENTS.checksum``)."""

    UNKNOWN = 0  # not all of the segment was captured, or it was not looked at
    GOOD = 1
    BAD = 2
    OFFLOADED = 3  # only the pseudo-header's sum, or zero: left to the network card, never computed


class TunnelKind(IntEnum):
    """What an encapsulation key identifies: the upper byte of ``tunnel``."""

    NONE = 0
    VLAN = 1  # outer VLAN id << 12 | inner VLAN id
    VXLAN = 2
    GENEVE = 3
    GRE = 4  # a digest of the outer addresses, in whatever order; also for the next
    IP_IN_IP = 5
    PBB = 6  # service id
    L2TP = 7  # as GRE
    LISP = 8  # instance id
    GTP_U = 9  # this and the following have nothing that is the same in both directions
    ERSPAN = 10
    TZSP = 11
    TEREDO = 12
    AYIYA = 13


#: How a kind is called, and whether its identifier is one that people know.
_TUNNEL_NAMES = {
    TunnelKind.VXLAN: ("VXLAN", True),
    TunnelKind.GENEVE: ("Geneve", True),
    TunnelKind.GRE: ("GRE", False),
    TunnelKind.IP_IN_IP: ("IP in IP", False),
    TunnelKind.PBB: ("PBB", True),
    TunnelKind.L2TP: ("L2TP", False),
    TunnelKind.LISP: ("LISP", True),
    TunnelKind.GTP_U: ("GTP-U", False),
    TunnelKind.ERSPAN: ("ERSPAN", False),
    TunnelKind.TZSP: ("TZSP", False),
    TunnelKind.TEREDO: ("Teredo", False),
    TunnelKind.AYIYA: ("AYIYA", False),
}


def tunnel_name(tunnel: int) -> str:
    """An encapsulation key in words.

    Parameters
    ----------
    tunnel : int
        A value of ``SEGMENTS.tunnel`` or ``CONNECTIONS.tunnel``.

    Returns
    -------
    str
        ``VLAN 42``, outer before inner ``VLAN 5.6``, ``VXLAN 100``, ``GRE``; empty for none.
    """
    kind, identifier = TunnelKind(int(tunnel) >> 56), int(tunnel) & (1 << 56) - 1
    if kind == TunnelKind.NONE:
        return ""
    if kind == TunnelKind.VLAN:
        ids = [identifier >> shift & 0xFFF for shift in (48, 36, 24, 12, 0)]
        return "VLAN " + ".".join(str(vlan) for vlan in ids if vlan)
    name, is_known = _TUNNEL_NAMES[kind]
    return f"{name} {identifier}" if is_known else name


#: A frame within a block of captured bytes, as the framing kernels and the live capture give it.
FRAMES = np.dtype(
    [
        ("time", "i8"),
        ("offset", "i8"),  # of the frame's first byte in its block
        ("captured", "u4"),  # bytes that are there
        ("length", "u4"),  # bytes that the frame had on the wire
        ("number", "u4"),
        ("interface", "i4"),
        ("linktype", "u4"),  # LINKTYPE_ value
        ("file", "i4"),
    ],
    align=True,
)

#: One TCP segment.
SEGMENTS = np.dtype(
    [
        ("time", "i8"),
        ("src_hi", "u8"),
        ("src_lo", "u8"),
        ("dst_hi", "u8"),
        ("dst_lo", "u8"),
        ("tunnel", "u8"),  # TunnelKind << 56 | identifier; 0 for none
        ("frame", "u4"),
        ("file", "i4"),
        ("interface", "i4"),
        ("seq", "u4"),
        ("ack", "u4"),
        ("payload", "u4"),  # bytes, from the IP length
        ("tsval", "u4"),
        ("tsecr", "u4"),
        ("sack_left", "u4"),  # the first SACK block
        ("sack_right", "u4"),
        ("src_port", "u2"),
        ("dst_port", "u2"),
        ("flags", "u2"),  # the nine flag bits, FIN = 1
        ("window", "u2"),  # as in the header, unscaled
        ("ip_id", "u2"),  # 0 for IPv6
        ("mss", "u2"),  # 0 for none
        ("version", "u1"),  # 4 or 6
        ("ttl", "u1"),  # TTL or hop limit
        ("wscale", "i1"),  # window scale option, -1 for none
        ("checksum", "u1"),  # Checksum
        ("marks", "u1"),  # Mark
    ],
    align=True,
)

#: One ICMP or ICMPv6 error about TCP. Source and destination are those of the segment that it quotes.
ICMP_ERRORS = np.dtype(
    [
        ("time", "i8"),
        ("src_hi", "u8"),
        ("src_lo", "u8"),
        ("dst_hi", "u8"),
        ("dst_lo", "u8"),
        ("router_hi", "u8"),  # who sent the error
        ("router_lo", "u8"),
        ("tunnel", "u8"),
        ("frame", "u4"),
        ("file", "i4"),
        ("interface", "i4"),
        ("seq", "u4"),
        ("ack", "u4"),  # 0 if not quoted, as the flags
        ("mtu", "u4"),  # of the next hop, 0 where none is given
        ("src_port", "u2"),
        ("dst_port", "u2"),
        ("flags", "u2"),
        ("version", "u1"),  # 4 for ICMP, 6 for ICMPv6
        ("type", "u1"),
        ("code", "u1"),
        ("checksum", "u1"),  # Checksum, of the ICMP message
    ],
    align=True,
)


class Fate(IntFlag):
    """What the engine took a segment for (``NOTES.fate``)."""

    DUPLICATE = 1  # the capture's second copy of a frame
    RETRANSMISSION = 2
    KEEP_ALIVE = 4  # or a window probe
    SUSPICIOUS_RST = 8  # its receiver had no reason to accept it
    BAD_CHECKSUM = 16  # left out
    OPENING = 32  # the first segment of its connection


#: What the engine noted of one segment, in the segments' order: for who looks at segments after it.
NOTES = np.dtype(
    [
        ("side", "i4"),  # whose it is: 2 * conn for the client, 2 * conn + 1 for the server
        ("fate", "u1"),
    ],
    align=True,
)


class Completeness(IntFlag):
    """What Wireshark has seen of a stream (``tcp.completeness``)."""

    SYN = 1
    SYN_ACK = 2
    ACK = 4
    DATA = 8
    FIN = 16
    RST = 32


class ZeekState(IntEnum):
    """The states that Zeek has for each end of a connection, which are not those of netstat."""

    INACTIVE = 0
    SYN_SENT = 1
    SYN_ACK_SENT = 2
    PARTIAL = 3  # picked up midway
    ESTABLISHED = 4
    CLOSED = 5  # it sent a FIN
    RESET = 6  # it sent a RST


#: The most letters of Zeek's history that are kept; after that many stands MORE_LETTERS.
HISTORY_LENGTH = 47
MORE_LETTERS = "+"

#: What Zeek and Wireshark say of one connection: of theirs that its first frame is in.
DIALECTS = np.dtype(
    [
        ("history", f"S{HISTORY_LENGTH + 1}"),
        ("originator", "u1"),  # ZeekState
        ("responder", "u1"),
        ("is_empty", "u1"),  # neither sent any payload, by Zeek's count
        ("reversed", "u1"),  # Zeek's originator is our server
        ("zeek_splits", "u1"),  # Zeek has later frames of it in another record
        ("completeness", "u1"),  # Completeness
        ("wireshark_splits", "u1"),  # Wireshark has later frames of it in another stream
    ],
    align=True,
)

#: One connection; its two sides are SIDES[2 * conn] (client) and SIDES[2 * conn + 1] (server).
CONNECTIONS = np.dtype(
    [
        ("start", "i8"),  # the first and the last frame's time
        ("end", "i8"),
        ("tunnel", "u8"),
        ("first_frame", "u4"),
        ("last_frame", "u4"),
        ("first_file", "i4"),
        ("last_file", "i4"),
        ("version", "u1"),  # 4 or 6
        ("first_closer", "u1"),  # FirstCloser
        ("handshake", "u1"),  # 1 if it began with a SYN or SYN-ACK, 0 if picked up midway
        ("probe", "u1"),  # 1 while nothing but segments that no socket sends were seen
    ],
    align=True,
)


class FirstCloser(IntEnum):
    """Who sent the first FIN."""

    NONE = 0
    CLIENT = 1
    SERVER = 2
    BOTH = 3  # the FINs crossed


#: One side of a connection: what it sent, and what is known of what it received.
SIDES = np.dtype(
    [
        ("addr_hi", "u8"),
        ("addr_lo", "u8"),
        ("tunnel", "u8"),  # of its last frame that was no duplicate; its peer's as long as it has sent none
        ("bytes", "u8"),  # TCP payload, from the IP length, retransmissions included
        ("first", "i8"),  # time of its first and last frame, NO_TIME for none
        ("last", "i8"),
        ("last_data", "i8"),  # time of its last payload that was new
        ("fin_time", "i8"),  # time of its first FIN
        ("last_rst", "i8"),
        ("icmp_router_hi", "u8"),  # who sent the last ICMP error about a segment of its
        ("icmp_router_lo", "u8"),
        ("frames", "u4"),  # every record, duplicates too
        ("retransmits", "u4"),
        ("duplicates", "u4"),
        ("keepalives", "u4"),
        ("syns", "u4"),  # SYN without ACK, copies included, duplicates of the capture not
        ("syn_acks", "u4"),
        ("fins", "u4"),
        ("rsts", "u4"),
        ("suspicious_rsts", "u4"),  # that its peer had no reason to accept
        ("icmp_errors", "u4"),  # about segments of its; the other fields are the last one's
        ("icmp_frame", "u4"),
        ("icmp_file", "i4"),
        ("port", "u2"),
        ("icmp_type", "u1"),
        ("icmp_code", "u1"),
    ],
    align=True,
)

#: The log: one side in one state, from ``start`` to the next row of that side or the capture's end.
TRANSITIONS = np.dtype(
    [
        ("start", "i8"),
        ("conn", "i4"),
        ("file", "i4"),
        ("frame", "u4"),  # 0 for a timer
        ("side", "u1"),
        ("state", "u1"),
        ("evidence", "u1"),
        ("cause", "u1"),  # states.Event
    ],
    align=True,
)

#: How one side behaved, beside its states; row ``i`` is of the side ``SIDES[i]``. Duplicates, RSTs and what
#: was left out for its checksum do not count.
CONDUCT = np.dtype(
    [
        ("last", "i8"),  # time of its last segment
        ("unanswered_since", "i8"),  # since when it has asked in vain; holds if ``unanswered``
        ("unanswered", "u4"),  # how often it asked the same (payload, SYN, FIN, probe) since the peer spoke
        ("unanswered_frame", "u4"),  # the first of them
        ("first_frame", "u4"),
        ("last_frame", "u4"),
        ("last_data_frame", "u4"),  # its last segment with payload
        ("pending", "u4"),  # new bytes of payload that it sent since the peer last did, or sent its FIN
        ("snd_nxt", "u4"),  # beyond the last number that it used; holds if ``known`` says so
        ("acked", "u4"),  # its last ACK number; the same
        ("fin_end", "u4"),  # the number after its FIN; the same
        ("ip_id", "u2"),  # of its last segment
        ("known", "u1"),  # Known
        ("ttl_least", "u1"),  # of its segments, TTL or hop limit
        ("ttl_most", "u1"),
        ("id_steps", "u1"),  # how often its IP ID rose by little; 255 at most
        ("id_jumps", "u1"),  # how often it did otherwise
        ("reset", "i4"),  # the row in RESETS that tells of its RST, plus 1; 0 for none
    ],
    align=True,
)


class Known(IntFlag):
    """What is known of a side (``CONDUCT.known``, ``RESETS.known``)."""

    SEEN = 1  # any segment of it
    SEQUENCE = 2
    ACK = 4
    FIN = 8


#: When frames were lost on the way into the capture: one row for each such time, in order, without overlap.
LOSSES = np.dtype([("start", "i8"), ("end", "i8"), ("frames", "i8")])

#: The RST that tells most of one side: the first that its peer had reason to accept, else the first. Fields
#: of CONDUCT are repeated as they were then: of the sender, and with ``peer_`` of the other side.
RESETS = np.dtype(
    [
        ("time", "i8"),
        ("waited", "i8"),  # since the peer's last segment, if that is the last of both; else -1
        (
            "idle",
            "i8",
        ),  # how long nothing was sent, by either, before that segment or, without it, before the RST
        ("asked_for", "i8"),  # for how long the side had been asking in vain; 0 if it had not
        ("lived_on", "i8"),  # when the side first sent what shows that it has not ended; NO_TIME for never
        ("side", "i4"),  # row in SIDES
        ("file", "i4"),
        ("frame", "u4"),
        ("seq", "u4"),
        ("ack", "u4"),
        ("lived_on_frame", "u4"),
        ("challenge_frame", "u4"),  # an ACK without payload with which the peer met it at once; 0 for none
        ("snd_nxt", "u4"),
        ("unanswered", "u4"),
        ("unanswered_frame", "u4"),
        ("peer_snd_nxt", "u4"),
        ("peer_acked", "u4"),
        ("peer_pending", "u4"),
        ("peer_last_frame", "u4"),
        ("peer_fin_end", "u4"),
        ("flags", "u2"),
        ("window", "u2"),
        ("ip_id", "u2"),
        ("last_ip_id", "u2"),
        ("ttl", "u1"),
        ("ttl_least", "u1"),  # 0 if the side had sent nothing
        ("ttl_most", "u1"),
        ("id_steps", "u1"),
        ("id_jumps", "u1"),
        ("known", "u1"),
        ("peer_known", "u1"),
        ("fate", "u1"),  # Fate
    ],
    align=True,
)


@dataclass
class Disorder:
    """How far a capture's frames were out of the order of time; times in ns.

    Attributes
    ----------
    sorted, latest : frames that stood behind later ones and were sorted, and by how much at most.
    steps, longest_step : how often the clock of an interface went back, and by how much at most.
    kept : frames whose stamps contradict what was acknowledged: left in the file's order.
    """

    sorted: int = 0
    latest: int = 0
    steps: int = 0
    longest_step: int = 0
    kept: int = 0


class Column(NamedTuple):
    """One column of a table."""

    name: str
    dtype: str  # time, duration, category, address, port, count, nullable, number, text
    title: str
    unit: str = ""


def _sided(name: str, dtype: str, title: str, unit: str = "") -> tuple[Column, Column]:
    return (
        Column(f"client_{name}", dtype, f"client {title}", unit),
        Column(f"server_{name}", dtype, f"server {title}", unit),
    )


_LOCAL_REMOTE = (
    Column("local_addr", "address", "local address"),
    Column("local_port", "port", "local port"),
    Column("remote_addr", "address", "remote address"),
    Column("remote_port", "port", "remote port"),
)

#: Of ``TABLES``: the second number rises with what is added, the first with what is removed or redefined.
SCHEMA_VERSION = "1.0"

#: Every table's columns, in order. What a dtype word means in pandas is in ``reports.frames``.
TABLES: dict[str, tuple[Column, ...]] = {
    "connections": (
        Column("conn", "nullable", "conn"),
        Column("client_addr", "address", "client"),
        Column("client_port", "port", "client port"),
        Column("server_addr", "address", "server"),
        Column("server_port", "port", "server port"),
        Column("tunnel", "category", "tunnel"),
        Column("start", "time", "start", "UTC"),
        Column("end", "time", "end", "UTC"),
        Column("duration", "duration", "duration", "s"),
        *_sided("state", "category", "state"),
        Column("first_closer", "category", "first closer"),
        Column("outcome", "category", "outcome"),
        Column("culprit", "category", "culprit"),
        Column("severity", "category", "severity"),
        *_sided("frames", "count", "frames"),
        *_sided("bytes", "count", "bytes", "bytes"),
        *_sided("retransmits", "count", "retransmits"),
        *_sided("duplicates", "count", "duplicates"),
        Column("conn_state", "category", "Zeek's conn_state"),
        Column("history", "text", "Zeek's history"),
        Column("completeness", "nullable", "Wireshark's tcp.completeness"),
        Column("community_id", "text", "Community ID"),
        Column("diagnosis", "text", "diagnosis"),
    ),
    "timeline": (
        Column("conn", "nullable", "conn"),
        Column("side", "category", "side"),
        *_LOCAL_REMOTE,
        Column("tunnel", "category", "tunnel"),
        Column("state", "category", "state"),
        Column("start", "time", "start", "UTC"),
        Column("end", "time", "end", "UTC"),
        Column("evidence", "category", "evidence"),
        Column("cause", "category", "cause"),
        Column("frame", "nullable", "frame"),
        Column("file", "category", "file"),
    ),
    "findings": (
        Column("outcome", "category", "outcome"),
        Column("severity", "category", "severity"),
        Column("server_addr", "address", "server"),
        Column("server_port", "port", "port"),
        Column("tunnel", "category", "tunnel"),
        Column("culprit", "category", "culprit"),
        Column("connections", "count", "connections"),
        Column("clients", "count", "clients"),
        Column("first", "time", "first", "UTC"),
        Column("last", "time", "last", "UTC"),
        Column("median", "duration", "median", "s"),
        Column("p95", "duration", "95th percentile", "s"),
        Column("longest", "duration", "longest", "s"),
        Column("top_clients", "text", "clients involved most"),
        Column("explanation", "text", "explanation"),
        Column("check", "text", "what to run next, and where"),
        Column("example", "nullable", "example"),
        Column("wireshark_filter", "text", "Wireshark filter"),
    ),
    "patterns": (
        Column("pattern", "category", "pattern"),
        Column("severity", "category", "severity"),
        Column("server_addr", "address", "server"),
        Column("server_port", "nullable", "port"),
        Column("client_addr", "address", "client"),
        Column("tunnel", "category", "tunnel"),
        Column("culprit", "category", "culprit"),
        Column("connections", "count", "connections"),
        Column("clients", "count", "clients"),
        Column("first", "time", "first", "UTC"),
        Column("last", "time", "last", "UTC"),
        Column("per_minute", "number", "connections a minute", "connections/min"),
        Column("measured", "number", "the figure that decided"),
        Column("threshold", "number", "what it had to reach"),
        Column("unit", "text", "the unit of both"),
        Column("explanation", "text", "explanation"),
        Column("check", "text", "what to run next, and where"),
        Column("example", "nullable", "example"),
    ),
    "netstat": (
        Column("time", "time", "time", "UTC"),
        *_LOCAL_REMOTE,
        Column("tunnel", "category", "tunnel"),
        Column("state", "category", "state"),
        Column("since", "time", "since", "UTC"),
        Column("conn", "nullable", "conn"),
        Column("side", "category", "side"),
    ),
    "resets": (
        Column("conn", "nullable", "conn"),
        Column("side", "category", "side"),
        *_LOCAL_REMOTE,
        Column("time", "time", "time", "UTC"),
        Column("reason", "category", "reason"),
        Column("rsts", "count", "RSTs"),
        Column("ignored", "count", "ignored"),
        Column("ttl", "count", "TTL"),
        Column("frame", "nullable", "frame"),
        Column("file", "category", "file"),
        Column("explanation", "text", "explanation"),
    ),
    "census": (
        Column("time", "time", "time", "UTC"),
        Column("state", "category", "state"),
        Column("sockets", "count", "sockets"),
    ),
    "compare": (
        Column("conn", "nullable", "conn"),
        Column("client_addr", "address", "client"),
        Column("client_port", "port", "client port"),
        Column("server_addr", "address", "server"),
        Column("server_port", "port", "server port"),
        Column("dialect", "category", "whose word it is"),
        Column("says", "text", "what it says"),
        *_sided("state", "category", "state"),
        Column("outcome", "category", "outcome"),
        Column("disagreement", "category", "disagreement"),
        Column("explanation", "text", "explanation"),
    ),
}

#: The columns of what an analysis does not keep, and reads again for one connection.
SEGMENTS_TABLE = (
    Column("conn", "nullable", "conn"),
    Column("time", "time", "time", "UTC"),
    Column("side", "category", "sender"),
    Column("flags", "category", "flags"),
    Column("seq", "count", "relative sequence number"),
    Column("ack", "nullable", "relative ACK number"),
    Column("payload", "count", "payload", "bytes"),
    Column("window", "count", "window, unscaled"),
    Column("fate", "category", "taken for"),
    *_sided("state", "category", "state"),
    Column("frame", "nullable", "frame"),
    Column("file", "category", "file"),
)

OUTCOMES = (
    "scan",
    "refused",
    "unreachable",
    "no_answer",
    "half_open",
    "timed_out",
    "stuck_close_wait",
    "stuck_fin_wait1",
    "stuck_fin_wait2",
    "stuck_closing",
    "stuck_last_ack",
    "reset_by_client",
    "reset_by_server",
    "reset_stale",
    "reset_while_closing",
    "peer_vanished",
    "closed",
    "closing",
    "open",
    "fragment",
)
#: What a RST was sent for, ``reports.resets`` has the rules.
REASONS = (
    "refused",
    "probe",
    "aborted",
    "unread_data",
    "late_data",
    "stale",
    "gave_up",
    "middlebox",
    "ignored",
    "assassination",
    "after_close",
    "unknown",
)
PATTERNS = (
    "leak",
    "syn_flood",
    "backlog_overflow",
    "port_exhaustion",
    "idle_timeout_race",
    "one_way_capture",
    "port_scan",
    "host_scan",
)
CULPRITS = ("client", "server", "network")
SEVERITIES = ("ok", "note", "warning", "error")
CLOSERS = ("client", "server", "both")
#: Zeek's summary of a connection.
CONN_STATES = (
    "S0",
    "S1",
    "SF",
    "REJ",
    "S2",
    "S3",
    "RSTO",
    "RSTR",
    "RSTOS0",
    "RSTRH",
    "SH",
    "SHR",
    "OTH",
)
DIALECT_NAMES = ("zeek", "wireshark")
#: What a dialect says that the evidence does not bear out.
DISAGREEMENTS = (
    "still_open",
    "unacknowledged_fin",
    "ignored_reset",
    "unfinished_handshake",
    "missed_fin",
    "missed_syn",
    "refusal_as_ack",
    "wrong_checksums",
    "reversed_roles",
    "split",
)
