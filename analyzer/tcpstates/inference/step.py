"""The compiled step: each segment finds its connection, and moves its two sides.

From top to bottom: sequence arithmetic, the event log, the flow table, and the step itself. What a
side's state is follows from its events alone: they are kept in time order, and the states are the
fold of ``states.TRANSITIONS`` over them. So an event that later evidence moves or withdraws leaves
no trace; the fold is done again from there.

How receipt is known (a captured segment was sent; that it arrived is another matter):

- A SYN-ACK or a FIN was received when its receiver acknowledges it. The event then stands at the
  copy that was answered, but not before the receiver's last segment that did not yet acknowledge it.
- The acknowledgement of a SYN-ACK or of a FIN is taken as received when it is captured. If the
  SYN-ACK or FIN is repeated more than a round trip later, it was not, and the event is withdrawn.
- A RST is taken as received when its number is one that the receiver accepts. If the receiver
  goes on to send, the event moves behind what crossed the RST, or is withdrawn.
- An ICMP error is taken as received by the sender of the segment that it quotes, and withdrawn if
  that goes on to send.

Sections are of RFC 9293 unless said otherwise. No jitted function comes from another file: numba's
disk cache would not notice its changes.
"""

# What a kernel's arguments are is numba's to say; annotations would only repeat Any.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any

import dpkt.icmp
import dpkt.icmp6
import dpkt.tcp
import numpy as np

from tcpstates.compiled import inlined, inner, kernel, prefetch
from tcpstates.inference.memory import (
    AUTO,
    DOUBTS_THIRD_ACK,
    ENTRIES_PER_SEGMENT,
    FIN_INFERRED,
    FIN_SEEN,
    FORGOTTEN,
    HELD,
    KNOWS_ACK,
    KNOWS_ISS,
    KNOWS_SACK,
    KNOWS_SEQUENCE,
    KNOWS_TIMESTAMP,
    LEAPT_AT_FIN,
    LOOKED_AHEAD,
    MISSED_FRAMES,
    NO_FIN,
    OPEN_FOR_SURE,
    RECENT,
    RESET_EXACT,
    RESET_HAS_ACK,
    SOCKETS,
    VERIFY,
)
from tcpstates.schema import NO_TIME, Checksum, Fate, FirstCloser, Mark
from tcpstates.states import Event, Evidence, State

Array = np.ndarray[Any, np.dtype[Any]]

FIN, SYN, RST, ACK = (
    int(flag) for flag in (dpkt.tcp.TH_FIN, dpkt.tcp.TH_SYN, dpkt.tcp.TH_RST, dpkt.tcp.TH_ACK)
)

# These are bytes, as the records hold them: for each plain integer numba would compile a function anew
UNKNOWN, CLOSE = map(np.uint8, (State.UNKNOWN, State.CLOSE))
SYN_SENT, SYN_RECV, ESTABLISHED = map(np.uint8, (State.SYN_SENT, State.SYN_RECV, State.ESTABLISHED))
FIN_WAIT2, IN_TIME_WAIT = map(np.uint8, (State.FIN_WAIT2, State.TIME_WAIT))
CLOSE_WAIT, CLOSING, LAST_ACK = map(np.uint8, (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK))

FIRST_FRAME, PICKED_UP = np.uint8(Event.FIRST_FRAME), np.uint8(Event.PICKED_UP)
SENT_SYN, RECEIVED_SYN = np.uint8(Event.SENT_SYN), np.uint8(Event.RECEIVED_SYN)
SENT_SYN_ACK, RECEIVED_SYN_ACK = np.uint8(Event.SENT_SYN_ACK), np.uint8(Event.RECEIVED_SYN_ACK)
RECEIVED_ACK_OF_SYN = np.uint8(Event.RECEIVED_ACK_OF_SYN)
SENT_FIN, RECEIVED_FIN = np.uint8(Event.SENT_FIN), np.uint8(Event.RECEIVED_FIN)
RECEIVED_ACK_OF_FIN = np.uint8(Event.RECEIVED_ACK_OF_FIN)
SENT_RST, RECEIVED_RST = np.uint8(Event.SENT_RST), np.uint8(Event.RECEIVED_RST)
TIMER_2MSL, TIMER_FIN_WAIT2 = np.uint8(Event.TIMER_2MSL), np.uint8(Event.TIMER_FIN_WAIT2)
TIMER_RETRANSMISSION = np.uint8(Event.TIMER_RETRANSMISSION)
REUSED, LOST_TRACK = np.uint8(Event.REUSED), np.uint8(Event.LOST_TRACK)
RECEIVED_ICMP_ERROR = np.uint8(Event.RECEIVED_ICMP_ERROR)

#: What a side can have met that only sent a SYN.
AFTER_A_LONE_SYN = np.uint32(
    1 << Event.SENT_SYN | 1 << Event.TIMER_RETRANSMISSION | 1 << Event.REUSED | 1 << Event.RECEIVED_ICMP_ERROR
)

#: What a side met whose SYN was answered.
ANSWERED = np.uint32(1 << Event.RECEIVED_SYN_ACK | 1 << Event.SENT_SYN_ACK)

OBSERVED, INFERRED, ASSUMED = map(np.uint8, (Evidence.OBSERVED, Evidence.INFERRED, Evidence.ASSUMED))

GOOD, BAD = int(Checksum.GOOD), int(Checksum.BAD)
HAS_TIMESTAMP, HAS_SACK = int(Mark.HAS_TIMESTAMP), int(Mark.HAS_SACK)
NO_CLOSER, CLOSED_BY_BOTH = int(FirstCloser.NONE), int(FirstCloser.BOTH)
CLOSED_BY_CLIENT, CLOSED_BY_SERVER = int(FirstCloser.CLIENT), int(FirstCloser.SERVER)

DUPLICATE, RETRANSMISSION, KEEP_ALIVE = int(Fate.DUPLICATE), int(Fate.RETRANSMISSION), int(Fate.KEEP_ALIVE)
SUSPICIOUS_RST, BAD_CHECKSUM, OPENING = int(Fate.SUSPICIOUS_RST), int(Fate.BAD_CHECKSUM), int(Fate.OPENING)

ICMP_UNREACH, ICMP_TIMEXCEED = int(dpkt.icmp.ICMP_UNREACH), int(dpkt.icmp.ICMP_TIMEXCEED)
ICMP_PARAMPROB, ICMP_NEEDFRAG = int(dpkt.icmp.ICMP_PARAMPROB), int(dpkt.icmp.ICMP_UNREACH_NEEDFRAG)
ICMP_HOST_UNREACH, ICMP_LAST_CODE = int(dpkt.icmp.ICMP_UNREACH_HOST), 15
ICMP_IN_REASSEMBLY = int(dpkt.icmp.ICMP_TIMEXCEED_REASS)
ICMP6_UNREACH, ICMP6_TOO_BIG = int(dpkt.icmp6.ICMP6_DST_UNREACH), int(dpkt.icmp6.ICMP6_PACKET_TOO_BIG)
ICMP6_TIMEXCEED, ICMP6_PARAMPROB = int(dpkt.icmp6.ICMP6_TIME_EXCEEDED), int(dpkt.icmp6.ICMP6_PARAM_PROB)
ICMP6_SOFT_CODES = (0, 2, 3)  # no route, beyond the scope, address unreachable (RFC 4443, 3.1)
#: What an ICMP message does to a socket, each as the one before it and more.
IS_NO_ERROR, IS_COUNTED, ENDS_ATTEMPT, ENDS_REQUEST = 0, 1, 2, 3

MILLISECOND = 1_000_000
#: Copies of one frame within this time are the capture's doing; the shortest RTO is ten times as long.
DUPLICATE_WINDOW = 20 * MILLISECOND
#: Where the IP header has no identification: before that no tail loss probe is due (Linux: two jiffies), and
#: nobody can have asked for a retransmission.
SHORTEST_PROBE = 2 * MILLISECOND
SHORTEST_ROUND_TRIP = MILLISECOND // 20
_TICK_SHIFT = 10
#: What may cross on the way where the handshake did not tell the round trip, and its bounds.
DEFAULT_CROSSING = 100 * MILLISECOND
LONGEST_CROSSING = 500 * MILLISECOND
CROSSING_SLACK = 5 * MILLISECOND
#: A SYN captured this much after its SYN-ACK was not sent after it (the initial RTO is 1 s, RFC 6298).
REORDERED_SYN = 500 * MILLISECOND
#: The retransmission timer: its least value, how late it may fire, and what no first one exceeds (RFC 6298).
SHORTEST_RTO = 200 * MILLISECOND
LATE_TIMER = 300 * MILLISECOND
LONGEST_FIRST_RTO = 3_000 * MILLISECOND
#: An old SYN may still arrive this long after the connection went on without it.
LATE_SYN = 2_000 * MILLISECOND
#: Sequence numbers further away than this are another connection's.
FAR = 1 << 24
#: The receive window where none is known.
LEAST_WINDOW = 1 << 16
#: So many keep-alives, or repeats, without an answer: the peer cannot be reached.
UNANSWERED = 2
#: How many connections of one 4-tuple are looked at, newest first.
CHAIN = 8
#: A connection whose sides are both gone is forgotten so long after its last frame: the longest 2MSL (3.4.2),
#: twice the longest time between two retransmissions.
FORGOTTEN_AFTER = 240_000 * MILLISECOND

_LOW = np.uint64(0xFFFFFFFF)
_MIX1, _MIX2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(32)

_prefetch = prefetch()
_LINE = 64  # bytes that a processor fetches at a time
_HOT = dict(SOCKETS.fields or {})["control_time"][1]  # what precedes it is asked for at every segment


# --- Sequence numbers (3.4): uint32, compared modulo 2^32 --------------------------------------


@inlined
def _ahead(number, other):
    """How far ``number`` is ahead of ``other``, negative if behind."""
    return ((np.int64(number) - np.int64(other) + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@inlined
def _plus(number, count):
    """``number + count`` modulo 2^32."""
    return np.uint32((np.int64(number) + np.int64(count)) & 0xFFFFFFFF)


# --- The event log: per side a list in time order, its states the fold of the table over it ------


@inlined
def _has_room(log, core):
    """Whether the log has room for all that one segment or error can add."""
    return len(log) - core["entry_count"] + core["free_entries"] >= ENTRIES_PER_SEGMENT


@inner
def _new_entry(log, core):
    """A free entry; the caller has made sure that there is one."""
    i = core["free_entry"]
    if i >= 0:
        core["free_entry"] = log[i]["following"]
        core["free_entries"] -= 1
        return np.int32(i)
    i = core["entry_count"]
    core["entry_count"] += 1
    return np.int32(i)


@inner
def _fold(log, core, x, i):
    """Compute the states from entry ``i`` of side ``x`` on."""
    state = x["state"]
    while i >= 0:
        entry = log[i]
        if entry["previous"] >= 0:
            state = core["transitions"][log[entry["previous"]]["state"], entry["event"]]
            entry["state"] = state
        else:
            state = entry["state"]
        i = entry["following"]
    x["state"] = state


@inner
def _begin(log, core, x, state, event, evidence, time, frame, file):
    """Give side ``x`` its first entry, which says the state that it begins in."""
    i = _new_entry(log, core)
    entry = log[i]
    entry["time"], entry["frame"], entry["file"] = time, frame, file
    entry["event"], entry["evidence"], entry["state"] = event, evidence, state
    entry["previous"] = entry["following"] = -1
    x["head"] = x["tail"] = i
    x["state"] = state


@inner
def _happen(log, core, x, event, evidence, time, frame, file):
    """Side ``x`` meets an event; one that it has met already is not met again."""
    if x["happened"] & (np.uint32(1) << np.uint32(event)):
        return
    x["happened"] |= np.uint32(1) << np.uint32(event)
    after = x["tail"]
    if log[after]["time"] > time:
        time = max(time, log[x["head"]]["time"])
        while log[after]["time"] > time:
            after = log[after]["previous"]
    i = _new_entry(log, core)
    entry = log[i]
    entry["time"], entry["frame"], entry["file"] = time, frame, file
    entry["event"], entry["evidence"] = event, evidence
    following = log[after]["following"]
    entry["previous"], entry["following"] = after, following
    log[after]["following"] = i
    if following >= 0:
        log[following]["previous"] = i
    else:
        x["tail"] = i
    _fold(log, core, x, i)


@inlined
def _withdraw(log, core, x, event):
    """Take an event of side ``x`` back, as if it had never been."""
    if _has(x, event):
        _take_back(log, core, x, event)


@inner
def _take_back(log, core, x, event):
    """Take back an event that side ``x`` has met."""
    x["happened"] &= ~(np.uint32(1) << np.uint32(event))
    i = x["tail"]
    while log[i]["event"] != event:
        i = log[i]["previous"]
    previous, following = log[i]["previous"], log[i]["following"]
    log[previous]["following"] = following
    if following >= 0:
        log[following]["previous"] = previous
    else:
        x["tail"] = previous
    log[i]["following"] = np.int32(core["free_entry"])
    core["free_entry"] = i
    core["free_entries"] += 1
    _fold(log, core, x, previous)


@inlined
def _has(x, event):
    """Whether side ``x`` has met this event."""
    return x["happened"] & (np.uint32(1) << np.uint32(event)) != 0


@inner
def _entry_of(log, x, event):
    """The entry of an event of side ``x``, -1 if it has not met it."""
    i = x["tail"]
    while i >= 0 and (log[i]["event"] != event or log[i]["previous"] < 0):
        i = log[i]["previous"]
    return i


@inner
def _restart(log, core, x, state, event, evidence):
    """Say anew what state side ``x`` was in when its connection's first frame was captured."""
    entry = log[x["head"]]
    entry["state"], entry["event"], entry["evidence"] = state, event, evidence
    _fold(log, core, x, x["head"])


# --- The flow table: 4-tuple to connections, newest first ---------------------------------------


@inlined
def _hash_end(seed, hi, lo, port):
    """A seeded hash of one end."""
    h = (hi ^ seed) * _MIX1
    h = (h ^ (h >> _SHIFT) ^ lo) * _MIX2
    h = (h ^ (h >> _SHIFT) ^ np.uint64(port)) * _MIX1
    return h ^ (h >> _SHIFT)


@inlined
def _hash(core, s):
    """The same for both directions of a 4-tuple."""
    seed = core["seed"]
    return _hash_end(seed, s["src_hi"], s["src_lo"], s["src_port"]) + _hash_end(
        seed, s["dst_hi"], s["dst_lo"], s["dst_port"]
    )


@inlined
def _sent_by(x, y, s):
    """Whether ``s`` goes from the end ``x`` to the end ``y``."""
    return (
        s["src_lo"] == x["addr_lo"]
        and s["dst_lo"] == y["addr_lo"]
        and s["src_port"] == x["port"]
        and s["dst_port"] == y["port"]
        and s["src_hi"] == x["addr_hi"]
        and s["dst_hi"] == y["addr_hi"]
    )


@inner
def _slot_of(slots, flows, sockets, s, h):
    """The slot of the segment's 4-tuple, or the free slot where it belongs."""
    mask, tag = np.int64(len(slots) - 1), _tag(h)
    slot = np.int64(h) & mask
    while True:
        entry = slots[slot]
        if entry < 0:
            return slot
        if entry >> 32 == tag:
            conn = entry & 0xFFFFFFFF
            client, server = sockets[2 * conn], sockets[2 * conn + 1]
            if flows[conn]["version"] == s["version"] and (
                _sent_by(client, server, s) or _sent_by(server, client, s)
            ):
                return slot
        slot = (slot + 1) & mask


@inlined
def _tag(h):
    """What of a hash a slot keeps: connections of other hashes are passed over without a look at them."""
    return np.int64(h >> np.uint64(33))


@inlined
def _put(slots, slot, h, conn):
    """Enter a connection."""
    slots[slot] = _tag(h) << 32 | conn


@inlined
def _in_slot(slots, slot):
    """The connection in a slot, -1 for none."""
    return slots[slot] & 0xFFFFFFFF if slots[slot] >= 0 else np.int64(-1)


@inlined
def _sender(sockets, conn, s):
    """The socket number of the side that sent ``s``."""
    client, server = sockets[2 * conn], sockets[2 * conn + 1]
    return 2 * conn if _sent_by(client, server, s) else 2 * conn + 1


@inner
def _is_opening(x):
    """Whether all that is known of ``x`` is that it, or somebody in its name, sent a SYN."""
    return (
        x["syns"] > 0 and x["fin"] == NO_FIN and not x["happened"] & ANSWERED and x["control_time"] != NO_TIME
    )


@inlined
def _fits(x, y, s, has_older):
    """Whether the numbers of a segment from ``x`` to ``y`` are near this connection's."""
    if x["known"] & KNOWS_SEQUENCE:
        if abs(_ahead(s["seq"], x["snd_nxt"])) > FAR:
            return False
        if has_older and _is_opening(x) and s["seq"] != x["snd_nxt"]:
            return False
    elif y["known"] & KNOWS_ACK and abs(_ahead(s["seq"], y["acked"])) > FAR:
        return False
    if s["flags"] & ACK and y["known"] & KNOWS_SEQUENCE:
        lag = _ahead(s["ack"], y["snd_nxt"])
        if _is_opening(y):
            return -np.int64(y["syn_payload"]) <= lag <= 0
        return abs(lag) <= FAR
    return True


@inner
def _owns_syn(flow, x, y, s):
    """Whether a SYN without ACK from ``x`` belongs to this connection."""
    if x["known"] & KNOWS_SEQUENCE:
        if x["iss"] != s["seq"]:
            return False
        if x["known"] & KNOWS_ISS:
            # A repeat comes while the SYN is unanswered; later, only a late copy
            return (
                x["state"] == SYN_SENT
                or s["time"] - flow["end"] <= LATE_SYN
                or (x["state"] == CLOSE and not _has(x, RECEIVED_SYN_ACK) and not _has(x, REUSED))
            )
        return s["time"] - flow["start"] <= REORDERED_SYN
    if y["state"] == SYN_SENT and x["state"] == CLOSE:  # simultaneous open (3.5, figure 7)
        return True
    return _is_refused_already(flow, x, y, s)


@inner
def _is_refused_already(flow, x, y, s):
    """Whether a RST that answers this SYN of ``x`` was captured before it, and nothing else."""
    return (
        not flow["handshake"]
        and x["frames"] == 0
        and y["frames"] == y["rsts"] + y["duplicates"]
        and y["known"] & RESET_HAS_ACK
        and 1 <= _ahead(y["reset_ack"], s["seq"]) <= 1 + np.int64(s["payload"])
        and s["time"] - y["last_rst"] <= DEFAULT_CROSSING
    )


@inner
def _owns_syn_ack(flow, x, y, s):
    """Whether a SYN-ACK from ``x`` belongs to this connection."""
    if y["known"] & KNOWS_ISS:
        covered = _ahead(s["ack"], y["iss"])
        return 1 <= covered <= 1 + np.int64(y["syn_payload"])
    return x["iss"] == s["seq"] and x["known"] & KNOWS_SEQUENCE and s["time"] - flow["start"] <= REORDERED_SYN


@inlined
def _owns(flows, sockets, log, core, conn, s):
    """Whether ``s`` belongs to this connection: 2 surely, 1 if no other claims it, 0 no."""
    flow = flows[conn]
    i = _sender(sockets, conn, s)
    x, y = sockets[i], sockets[i ^ 1]
    same_tunnel = x["tunnel"] == s["tunnel"] or x["frames"] == 0
    opening = s["flags"] & (SYN | RST)
    if opening == SYN:
        _run_timers(log, core, flow, x, y, s["time"])
        owned = _owns_syn_ack(flow, x, y, s) if s["flags"] & ACK else _owns_syn(flow, x, y, s)
        return (2 if same_tunnel else 1) if owned else 0
    if not _fits(x, y, s, flow["before"] >= 0):
        return 0
    return 2 if same_tunnel else 1


@inner
def _is_over(flow, x, y, time_wait, now):
    """Whether both sides of a connection are gone for so long that only a new one can follow."""
    gone = (x["state"] == CLOSE or x["state"] == IN_TIME_WAIT) and (
        y["state"] == CLOSE or y["state"] == IN_TIME_WAIT
    )
    return gone and now - flow["end"] > time_wait


@inlined
def _choose(flows, sockets, log, core, newest, s):
    """The connection of this 4-tuple that ``s`` belongs to, -1 for a new one."""
    second_best = -1
    conn, looked_at = newest, 0
    while conn >= 0 and looked_at < CHAIN:
        claim = _owns(flows, sockets, log, core, conn, s)
        if claim == 2:
            return conn
        if claim == 1 and second_best < 0:
            second_best = conn
        conn = flows[conn]["before"]
        looked_at += 1
    if second_best >= 0:
        return second_best
    i = _sender(sockets, newest, s)
    x, y = sockets[i], sockets[i ^ 1]
    other_tunnel = x["tunnel"] != s["tunnel"] and x["frames"] > 0
    is_open = s["flags"] & (SYN | RST) == SYN
    _run_timers(log, core, flows[newest], x, y, s["time"])
    if is_open or other_tunnel or _is_over(flows[newest], x, y, core["time_wait"], s["time"]):
        return -1
    return newest


@inner
def _put_end(x, hi, lo, port, tunnel):
    """Fill in a socket that nothing is known of yet."""
    x["addr_hi"], x["addr_lo"], x["port"], x["tunnel"] = hi, lo, port, tunnel
    x["first"] = x["last"] = x["last_data"] = x["fin_time"] = x["last_rst"] = NO_TIME
    x["last_sent"] = x["control_time"] = x["first_control_time"] = NO_TIME
    x["ack_of_syn_time"] = x["ack_of_fin_time"] = x["reset_time"] = x["time_wait_restart"] = NO_TIME
    x["leap_time"] = NO_TIME
    x["wscale"] = -1


@inner
def _open(slots, flows, sockets, log, core, slot, before, h, s):
    """A new connection that begins with ``s``; returns its place."""
    conn = core["flow_count"]
    core["flow_count"] += 1
    flow = flows[conn]
    flow["number"] = core["next_number"]
    core["next_number"] += 1
    flow["start"] = flow["end"] = s["time"]
    flow["tunnel"], flow["version"], flow["hash"] = s["tunnel"], s["version"], h
    flow["first_frame"], flow["first_file"] = s["frame"], s["file"]
    flow["rtt"], flow["older"], flow["before"], flow["newer"] = -1, before, before, -1
    if before >= 0:
        flows[before]["newer"] = conn
    _put(slots, slot, h, conn)
    handshake = s["flags"] & (SYN | ACK)
    from_client = handshake == SYN or (not handshake & SYN and s["src_port"] >= s["dst_port"])
    if handshake == ACK and s["flags"] & RST and s["seq"] == 0:  # it answers a SYN (3.10.7.1)
        from_client = False
    source = sockets[2 * conn + (0 if from_client else 1)]
    target = sockets[2 * conn + (1 if from_client else 0)]
    sockets[2 * conn]["closer"], sockets[2 * conn + 1]["closer"] = CLOSED_BY_CLIENT, CLOSED_BY_SERVER
    _put_end(source, s["src_hi"], s["src_lo"], s["src_port"], s["tunnel"])
    _put_end(target, s["dst_hi"], s["dst_lo"], s["dst_port"], s["tunnel"])
    _begin_both(log, core, flow, source, target, s)
    return conn


@inner
def _begin_both(log, core, flow, source, target, s):
    """The states in which the two sides of a new connection begin."""
    flags, time, frame, file = s["flags"], s["time"], s["frame"], s["file"]
    state, peer_state, event, evidence = CLOSE, CLOSE, FIRST_FRAME, OBSERVED
    if flags & RST:
        state = peer_state = UNKNOWN
    elif flags & SYN and flags & ACK:
        peer_state, evidence = SYN_SENT, INFERRED
    elif flags & ACK and flags & FIN:
        # Which of FIN_WAIT1 and LAST_ACK follows depends on whether the peer's FIN came before
        state = peer_state = UNKNOWN
    elif flags & ACK:
        state = peer_state = ESTABLISHED
        event, evidence = PICKED_UP, ASSUMED
    flow["handshake"] = 1 if flags & SYN and not flags & (FIN | RST) else 0
    flow["probe"] = 1 if not flags & (SYN | ACK | RST) or flags & (SYN | FIN) == SYN | FIN else 0
    _begin(log, core, source, state, event, OBSERVED if state == CLOSE else evidence, time, frame, file)
    _begin(log, core, target, peer_state, event, evidence, time, frame, file)


@inlined
def _look_ahead(slots, flows, sockets, core, segments, start):
    """Hash the segments from ``start`` on, and have what they will need fetched ahead of need."""
    mask = np.int64(len(slots) - 1)
    hashes, count = core["hashes"], min(LOOKED_AHEAD, len(segments) - start)
    for i in range(count):
        h = _hash(core, segments[start + i])
        hashes[i] = h
        _prefetch(slots, np.int64(h) & mask, 0)
    for i in range(count):
        conn = _in_slot(slots, np.int64(hashes[i]) & mask)
        if conn >= 0:
            _prefetch(flows, conn, 0)
            _prefetch(flows, conn, _LINE)
            for offset in range(0, _HOT + _LINE, _LINE):
                _prefetch(sockets, 2 * conn, offset)
                _prefetch(sockets, 2 * conn + 1, offset)


@inlined
def _find(slots, flows, sockets, log, core, s, h):
    """The connection that ``s`` belongs to, opened if it is new; ``h`` is its hash."""
    slot = _slot_of(slots, flows, sockets, s, h)
    newest = _newest(slots, flows, sockets, log, core, slot, s["time"])
    conn = _choose(flows, sockets, log, core, newest, s) if newest >= 0 else newest
    return conn if conn >= 0 else _open(slots, flows, sockets, log, core, slot, newest, h, s)


@inner
def _is_to_forget(log, core, flow, client, server, now):
    """Whether both sides are gone for so long that no segment can belong to the connection any more."""
    if now - flow["end"] <= FORGOTTEN_AFTER:
        return False
    _run_timers(log, core, flow, client, server, now)
    return client["state"] == CLOSE and server["state"] == CLOSE


@inner
def _unlink(flows, conn):
    """Take a connection out of those of its 4-tuple."""
    flow = flows[conn]
    if flow["newer"] >= 0:
        flows[flow["newer"]]["before"] = flow["before"]
    if flow["before"] >= 0:
        flows[flow["before"]]["newer"] = flow["newer"]
    flow["before"], flow["newer"] = -1, FORGOTTEN


@inlined
def _newest(slots, flows, sockets, log, core, slot, now):
    """The newest connection of a 4-tuple, -1 for none, once those that are over for long are forgotten."""
    conn = _in_slot(slots, slot)
    if conn < 0 or flows[conn]["newer"] == FORGOTTEN:
        return -1
    newest, looked_at, kept = -1, 0, 0
    while conn >= 0 and kept <= CHAIN and looked_at < 2 * CHAIN:
        before = flows[conn]["before"]
        if _is_to_forget(log, core, flows[conn], sockets[2 * conn], sockets[2 * conn + 1], now):
            _unlink(flows, conn)
        else:
            kept += 1
            if newest < 0:
                newest = conn
        conn = before
        looked_at += 1
    if newest < 0:
        newest = conn
    if newest >= 0:
        _put(slots, slot, flows[newest]["hash"], newest)
    return newest


@inner
def _disown(flows, sockets, log, core, conn, s):
    """The sender of ``s`` lives on in an older connection: SYNs that began later ones were not its own."""
    while conn >= 0:
        x = sockets[_sender(sockets, conn, s)]
        if x["happened"] & ~AFTER_A_LONE_SYN == 0 and _has(x, SENT_SYN):
            flows[conn]["probe"] = 1
            for event in (SENT_SYN, TIMER_RETRANSMISSION, REUSED, RECEIVED_ICMP_ERROR):
                _withdraw(log, core, x, event)
        conn = flows[conn]["newer"]


@inner
def _end_old_socket(flows, sockets, log, core, old, s):
    """The sender of a SYN or SYN-ACK has a new socket: the one it had in connection ``old`` is gone."""
    i = _sender(sockets, old, s)
    x = sockets[i]
    _run_timers(log, core, flows[old], x, sockets[i ^ 1], s["time"])
    if x["tunnel"] == s["tunnel"] and x["state"] != CLOSE:
        _happen(log, core, x, REUSED, INFERRED, s["time"], s["frame"], s["file"])


# --- Timers (3.10.8) ---------------------------------------------------------------------------


@inner
def _state_since(log, x):
    """When side ``x`` entered the state that it is in."""
    i = x["tail"]
    while log[i]["previous"] >= 0 and log[log[i]["previous"]]["state"] == x["state"]:
        i = log[i]["previous"]
    return log[i]["time"]


@inlined
def _awaits_time(x):
    """Whether time alone may end what ``x`` is in: where not, ``_expire`` has nothing to do."""
    if x["state"] == IN_TIME_WAIT or x["state"] == FIN_WAIT2 or x["state"] == SYN_RECV:
        return True
    return x["sent_times"] > 1 or (x["sent_times"] > 0 and x["fin"] == FIN_SEEN)


@inlined
def _run_timers(log, core, flow, x, y, now):
    """End what time has ended on both sides; what one timer ends can start another."""
    if _awaits_time(x) or _awaits_time(y):
        _expire_both(log, core, flow, x, y, now)


@inner
def _expire_both(log, core, flow, x, y, now):
    for _ in range(2):
        _expire(log, core, flow, x, y, now)
        _expire(log, core, flow, y, x, now)


@inner
def _expire(log, core, flow, x, y, now):
    """End what time has ended for side ``x``: TIME_WAIT, FIN_WAIT2, an attempt that it gave up."""
    if x["state"] == IN_TIME_WAIT:
        due = max(_state_since(log, x), x["time_wait_restart"]) + core["time_wait"]
        if due <= now:
            _happen(log, core, x, TIMER_2MSL, ASSUMED, due, np.uint32(0), x["control_file"])
    elif x["state"] == FIN_WAIT2 and not x["known"] & HELD:
        due = _state_since(log, x) + core["fin_timeout"]
        if due <= now:
            _happen(log, core, x, TIMER_FIN_WAIT2, ASSUMED, due, np.uint32(0), x["control_file"])
    elif (
        x["state"] == SYN_RECV and x["known"] & DOUBTS_THIRD_ACK and x["ack_of_syn_time"] > x["control_time"]
    ):
        if now - x["control_time"] > 2 * x["backoff"] + LATE_TIMER:  # no further SYN-ACK: it has been taken
            _take_third_ack(log, core, x)
    elif x["sent_times"] and (y["frames"] or x["state"] == SYN_SENT):
        _end_in_silence(log, core, flow, x, y, now)


@inner
def _end_in_silence(log, core, flow, x, y, now):
    """``x`` awaits an acknowledgement: it repeats what it sent, or has got it, or is gone (3.8.1, 3.8.3)."""
    if x["sent_times"] > 1:
        is_linear = x["state"] == SYN_SENT and x["syns"] <= 1 + core["linear_syn_retries"]
        interval = max(x["backoff"] if is_linear else 2 * x["backoff"], SHORTEST_RTO + max(flow["rtt"], 0))
        due = x["sent_at"] + min(interval, core["maximum_rto"])
        if now - due > max(x["backoff"] // 4, LATE_TIMER):
            _happen(log, core, x, TIMER_RETRANSMISSION, ASSUMED, due, np.uint32(0), x["control_file"])
    elif (
        x["fin"] == FIN_SEEN
        and not _has(x, RECEIVED_ACK_OF_FIN)
        and x["state"] != CLOSE
        and now - x["control_time"] > LONGEST_FIRST_RTO
    ):
        # A FIN that was never repeated was acknowledged, but the capture missed it
        time, frame, file = max(x["control_time"], y["last_sent"]), x["control_frame"], x["control_file"]
        _happen(log, core, y, RECEIVED_FIN, INFERRED, time, frame, file)
        _happen(log, core, x, RECEIVED_ACK_OF_FIN, INFERRED, time, frame, file)
        x["ack_of_fin_time"], x["ack_of_fin_frame"], x["ack_of_fin_file"] = time, frame, file


# --- The step ----------------------------------------------------------------------------------


@inlined
def _fingerprint(core, s):
    """What is equal in two captures of one frame; never 0."""
    h = core["seed"] ^ (np.uint64(s["seq"]) << _SHIFT | np.uint64(s["ack"]))
    h = (h ^ (h >> _SHIFT)) * _MIX1
    h ^= np.uint64(s["flags"]) << np.uint64(48) | np.uint64(s["window"]) << _SHIFT | np.uint64(s["payload"])
    h = (h ^ (h >> _SHIFT)) * _MIX2
    h ^= np.uint64(s["tsval"]) << _SHIFT | np.uint64(s["tsecr"])
    h = (h ^ (h >> _SHIFT)) * _MIX1 + np.uint64(s["ip_id"])
    h = (h ^ (h >> _SHIFT)) * _MIX2
    h ^= np.uint64(s["sack_left"]) << _SHIFT | np.uint64(s["sack_right"])
    h = (h ^ (h >> _SHIFT)) * _MIX1
    return np.uint32(h >> _SHIFT) | np.uint32(1)


@inlined
def _path(s):
    """By which way a frame came: two of one segment that differ in it are copies."""
    inside = (s["tunnel"] * _MIX1) >> np.uint64(56) ^ np.uint64(s["interface"] << 1 & 0xFF)
    return np.uint16(inside << np.uint64(8) | np.uint64(s["ttl"]))


@inlined
def _is_duplicate(core, x, y, s):
    """Whether this very frame was captured a moment ago; remembers it if not."""
    mark, path, heard = _fingerprint(core, s), _path(s), np.uint16((y["frames"] - y["duplicates"]) & 0xFFFF)
    tick = np.uint32(s["time"] >> _TICK_SHIFT & 0xFFFFFFFF)
    if s["time"] - x["last_sent"] <= DUPLICATE_WINDOW:
        for i in range(RECENT):
            if x["recent_mark"][i] == mark:
                age = _ahead(tick, x["recent_tick"][i])
                if age <= DUPLICATE_WINDOW >> _TICK_SHIFT and (
                    s["ip_id"] != 0
                    or x["recent_path"][i] != path
                    or _is_too_soon_to_repeat(x, y, s, age, x["recent_heard"][i] == heard)
                ):
                    return True
    i = x["recent_next"]
    x["recent_mark"][i], x["recent_tick"][i] = mark, tick
    x["recent_path"][i], x["recent_heard"][i] = path, heard
    x["recent_next"] = (i + 1) % RECENT
    return False


@inner
def _is_too_soon_to_repeat(x, y, s, age, has_heard_nothing):
    """Whether ``x`` could not have sent ``s`` again by now, for all that the peer said meanwhile.

    It takes an answer that asks for it (RFC 5681, 3.2; RFC 8985) or a probe's time, in which the clock
    of the timestamps goes on.
    """
    if y["frames"] == 0:  # its answers are not captured
        return age <= SHORTEST_ROUND_TRIP >> _TICK_SHIFT
    if not s["marks"] & HAS_TIMESTAMP and age > SHORTEST_PROBE >> _TICK_SHIFT:
        return False
    if has_heard_nothing:
        return True
    taken = np.int64(s["payload"]) + (1 if s["flags"] & SYN else 0) + (1 if s["flags"] & FIN else 0)
    return taken > 0 and y["known"] & KNOWS_ACK != 0 and _ahead(y["acked"], _plus(s["seq"], taken)) >= 0


@inner
def _crossing(flow):
    """How long after an acknowledgement a repeat of what it acknowledges may have crossed it."""
    if flow["rtt"] < 0:
        return DEFAULT_CROSSING
    return min(flow["rtt"], LONGEST_CROSSING) + CROSSING_SLACK


@inlined
def _is_too_old(x, y, s):
    """Whether PAWS makes the receiver drop data or a FIN, as an old duplicate (RFC 7323, 5.3)."""
    if not s["marks"] & HAS_TIMESTAMP or s["flags"] & RST or s["tsval"] == 0:
        return False
    if not s["flags"] & SYN and x["known"] & KNOWS_TIMESTAMP and _ahead(s["tsval"], x["ts_recent"]) < 0:
        return s["payload"] > 0 or s["flags"] & FIN != 0
    if s["flags"] & SYN or (y["known"] & KNOWS_ACK and _ahead(s["seq"], y["acked"]) <= 0):
        x["ts_recent"] = s["tsval"]
        x["known"] |= KNOWS_TIMESTAMP
    return False


@inlined
def _step(log, core, flow, x, y, s):
    """Move the two sides of a connection by the segment ``s`` from ``x`` to ``y``."""
    now = max(s["time"], flow["end"])
    flow["end"], flow["last_frame"], flow["last_file"] = now, s["frame"], s["file"]
    if x["frames"] == 0:
        x["first"] = now
    x["last"] = now
    x["frames"] += 1
    if _is_duplicate(core, x, y, s):
        x["duplicates"] += 1
        return
    last = x["last_sent"]
    y["probes"] = 0
    x["tunnel"] = s["tunnel"]
    x["bytes"] += np.uint64(s["payload"])
    flags = s["flags"]
    if s["checksum"] == GOOD:
        x["has_good_checksums"] = 1
    elif s["checksum"] == BAD and _believes_checksums(core, x):
        core["bad_checksums"] += 1
        x["last_sent"] = now
        return
    _run_timers(log, core, flow, x, y, now)
    x["last_sent"] = now
    if _is_too_old(x, y, s):
        return
    if flags & RST:
        _reset(log, core, flow, x, y, s, now)
        return
    if not flags & (SYN | ACK) or flags & (SYN | FIN) == SYN | FIN:
        return  # 3.10.7.4, fifth: without ACK the segment is dropped; SYN and FIN together: a probe
    retime_reset = _show_life(log, core, flow, x, y, s, now)
    if not flags & SYN:
        _acknowledge(log, core, flow, x, y, s, now, last)
    elif flags & ACK:
        _syn_ack(log, core, flow, x, y, s, now, last)
    else:
        _syn(log, core, flow, x, y, s, now)
    _advance(log, core, flow, x, y, s, now)
    if flags & FIN:
        _fin(log, core, flow, x, y, s, now)
    if retime_reset:
        x["reset_time"] = now
        _happen(log, core, x, RECEIVED_RST, OBSERVED, now, s["frame"], s["file"])
    if y["state"] == IN_TIME_WAIT and flags & (ACK if core["any_ack_restarts"] else FIN):
        y["time_wait_restart"] = now


@inlined
def _believes_checksums(core, x):
    """Whether a wrong checksum is the segment's fault, not that of the capture or of what rewrote it."""
    return core["checksums"] == VERIFY or (core["checksums"] == AUTO and x["has_good_checksums"])


@inlined
def _forget(x, bits):
    """Clear ``bits`` of what is known of ``x``."""
    x["known"] &= 0xFFFF ^ bits


@inner
def _transmit(x, now, is_repeat):
    """Note that ``x`` sends what its peer must acknowledge: how often by now, and after what interval."""
    if not is_repeat or not x["sent_times"]:
        if not x["sent_times"]:
            x["sent_times"], x["sent_at"] = 1, now
        return
    x["backoff"], x["sent_at"] = now - x["sent_at"], now
    if x["sent_times"] < 255:
        x["sent_times"] += 1


@inner
def _note_control(x, s, now, is_first):
    """Remember a copy of the latest SYN, SYN-ACK or FIN of ``x``."""
    x["control_time"], x["control_frame"], x["control_file"] = now, s["frame"], s["file"]
    if is_first:
        x["first_control_time"], x["first_control_frame"] = now, s["frame"]
        x["first_control_file"], x["first_control_tsval"] = s["file"], s["tsval"]


@inner
def _confirm(log, core, x, y, event, s, last, now):
    """``x`` acknowledges the SYN, SYN-ACK or FIN of ``y``: place its receipt.

    It stands at the copy that was answered: the last one, but for a timestamp echo that names the first;
    and not before the last segment of ``x``, which did not acknowledge it yet.
    """
    if y["control_time"] == NO_TIME:
        _happen(log, core, x, event, INFERRED, now, s["frame"], s["file"])
        return
    time, frame, file = y["control_time"], y["control_frame"], y["control_file"]
    if s["marks"] & HAS_TIMESTAMP and s["tsecr"] and s["tsecr"] == y["first_control_tsval"]:
        time, frame, file = y["first_control_time"], y["first_control_frame"], y["first_control_file"]
    _happen(log, core, x, event, OBSERVED, max(time, last), frame, file)


@inlined
def _show_life(log, core, flow, x, y, s, now):
    """``x`` sends what only a live socket sends: whatever is thought to have ended it did not.

    Returns whether a RST that it received has to be put behind this segment, which crossed it.
    """
    return x["state"] == CLOSE and x["happened"] != 0 and _revive(log, core, flow, x, y, s, now)


@inner
def _revive(log, core, flow, x, y, s, now):
    """Take back what is thought to have ended ``x``, see ``_show_life``."""
    crossing = _crossing(flow)
    is_new = not x["known"] & KNOWS_SEQUENCE or _ahead(_plus(s["seq"], s["payload"]), x["snd_nxt"]) > 0
    _withdraw(log, core, x, TIMER_2MSL)
    _withdraw(log, core, x, TIMER_FIN_WAIT2)
    _withdraw(log, core, x, TIMER_RETRANSMISSION)
    _withdraw(log, core, x, RECEIVED_ICMP_ERROR)
    if _has(x, REUSED) and is_new:
        _withdraw(log, core, x, REUSED)
    if _has(x, SENT_RST) and (
        now - x["last_rst"] > crossing or _ahead(_plus(s["seq"], s["payload"]), x["reset_seq"]) > 0
    ):
        _withdraw(log, core, x, SENT_RST)
    if _has(x, RECEIVED_ACK_OF_FIN) and x["state"] == CLOSE and now - x["ack_of_fin_time"] > crossing:
        _withdraw(log, core, x, RECEIVED_ACK_OF_FIN)
    if _has(x, RECEIVED_RST):
        _withdraw(log, core, x, RECEIVED_RST)
        if x["known"] & RESET_EXACT and now - x["reset_time"] <= crossing:
            return True
        y["suspicious_rsts"] += 1
    return False


# Opening (3.5)


@inner
def _syn(log, core, flow, x, y, s, now):
    """A SYN without ACK."""
    x["syns"] += 1
    is_first = not x["known"] & KNOWS_ISS
    if not flow["handshake"] and x["frames"] == 1:  # its RST was captured before it
        flow["handshake"] = 1
        _restart(log, core, x, CLOSE, FIRST_FRAME, OBSERVED)
        _restart(log, core, y, CLOSE, FIRST_FRAME, OBSERVED)
    if is_first:
        _learn_iss(x, s)
        x["syn_payload"] = s["payload"]
        if not x["happened"] and x["state"] == CLOSE:
            _happen(log, core, x, SENT_SYN, OBSERVED, now, s["frame"], s["file"])
            _transmit(x, now, False)
    elif x["syns"] > 1:
        x["retransmits"] += 1
        _transmit(x, now, True)
    else:
        x["wscale"] = s["wscale"]  # captured after the SYN-ACK that answers it
    if _has(x, SENT_SYN) and not _has(x, SENT_SYN_ACK) and x["fin"] == NO_FIN:
        _note_control(x, s, now, is_first)


@inner
def _learn_iss(x, s):
    """Take the initial sequence number from a SYN or SYN-ACK."""
    x["known"] |= KNOWS_ISS
    x["iss"], x["wscale"] = s["seq"], s["wscale"]
    if not x["known"] & KNOWS_SEQUENCE:
        x["known"] |= KNOWS_SEQUENCE
        x["snd_nxt"] = _plus(s["seq"], np.int64(s["payload"]) + 1)
        x["contiguous"] = _plus(s["seq"], 1)
        x["beyond_left"] = x["beyond_right"] = x["contiguous"]


@inner
def _take_iss(y, ack):
    """Take the numbers of ``y`` from an acknowledgement of its SYN or SYN-ACK."""
    y["known"] |= KNOWS_ISS | KNOWS_SEQUENCE
    y["iss"], y["snd_nxt"], y["contiguous"] = _plus(ack, -1), ack, ack
    y["beyond_left"] = y["beyond_right"] = ack


@inner
def _syn_ack(log, core, flow, x, y, s, now, last):
    """A SYN-ACK."""
    x["syn_acks"] += 1
    if not y["known"] & KNOWS_ISS:
        _take_iss(y, s["ack"])
    is_first = not _has(x, SENT_SYN_ACK)
    _transmit(x, now, not is_first)
    if is_first:
        _first_syn_ack(log, core, flow, x, y, s, now, last)
    else:
        x["retransmits"] += 1
        if x["iss"] != s["seq"] and x["state"] == SYN_RECV:
            _forget(x, KNOWS_ISS | KNOWS_SEQUENCE)
            _learn_iss(x, s)
        if x["control_time"] != NO_TIME:
            x["backoff"] = now - x["control_time"]
        is_late = now - x["ack_of_syn_time"] > _crossing(flow)
        if _has(x, RECEIVED_ACK_OF_SYN) and is_late and not x["known"] & OPEN_FOR_SURE:
            _withdraw(log, core, x, RECEIVED_ACK_OF_SYN)
            x["known"] |= DOUBTS_THIRD_ACK
    if x["fin"] == NO_FIN:
        _note_control(x, s, now, is_first)
    _note_ack(log, core, x, y, s, now)
    _raise_contiguous(y, s["ack"])


@inner
def _first_syn_ack(log, core, flow, x, y, s, now, last):
    """The first SYN-ACK of ``x``, which answers the SYN of ``y`` or crosses a SYN-ACK of it."""
    if not x["known"] & KNOWS_ISS:
        _learn_iss(x, s)
    if _has(x, SENT_SYN):  # simultaneous open: this SYN-ACK confirms the peer's SYN
        _confirm(log, core, x, y, RECEIVED_SYN, s, last, now)
    was_open = _has(x, RECEIVED_SYN_ACK)
    _withdraw(log, core, x, RECEIVED_SYN_ACK)
    _happen(log, core, x, SENT_SYN_ACK, OBSERVED, now, s["frame"], s["file"])
    if was_open or _has(y, SENT_SYN_ACK):
        # The peer's SYN-ACK acknowledged our SYN before, and ours acknowledges the peer's
        _happen(log, core, x, RECEIVED_SYN_ACK, OBSERVED, now, s["frame"], s["file"])
        _happen(log, core, y, RECEIVED_SYN_ACK, OBSERVED, now, s["frame"], s["file"])


# Acknowledging


@inlined
def _note_ack(log, core, x, y, s, now):
    """Remember the highest acknowledgement, the window and the SACK edge of ``x``."""
    is_ahead = x["known"] & KNOWS_ACK and _ahead(s["ack"], x["acked"]) > 0
    if _ahead(s["ack"], y["snd_nxt"]) >= 0 or s["window"] == 0:  # a window of zero: probes, not repeats
        y["sent_times"] = 0
    elif y["sent_times"] and is_ahead:
        y["sent_times"], y["sent_at"] = 1, now
    if is_ahead or y["sent_times"] == 0:
        _withdraw(log, core, y, TIMER_RETRANSMISSION)
    if not x["known"] & KNOWS_ACK or _ahead(s["ack"], x["acked"]) > 0:
        x["acked"] = s["ack"]
        x["known"] |= KNOWS_ACK
    shift = x["wscale"] if x["wscale"] > 0 and not s["flags"] & SYN else 0
    x["window"] = np.uint32(s["window"]) << np.uint32(min(shift, 14))
    if s["marks"] & HAS_SACK:
        x["sack_right"] = s["sack_right"]
        x["known"] |= KNOWS_SACK


@inlined
def _acknowledge(log, core, flow, x, y, s, now, last):
    """The ACK number of ``x``: what it has received, and what it lets ``y`` know."""
    ack = s["ack"]
    if flow["handshake"]:
        _complete_handshake(log, core, flow, x, y, s, now, last)
    elif flow["probe"] or x["state"] == UNKNOWN or y["state"] == UNKNOWN:
        _pick_up(log, core, flow, x, y, s)
    if not y["known"] & KNOWS_SEQUENCE:
        y["known"] |= KNOWS_SEQUENCE
        y["iss"], y["snd_nxt"], y["contiguous"] = _plus(ack, -1), ack, ack
        y["beyond_left"] = y["beyond_right"] = ack
    elif 0 < _ahead(ack, y["snd_nxt"]) < FAR:
        _miss_frames(log, core, flow, x, y, s, now)
    elif _acknowledges_leap(y, ack):
        _infer_fin_at_leap(log, core, flow, y, x)
    if y["fin"] != NO_FIN and _ahead(ack, y["fin_end"]) >= 0:
        _acknowledge_fin(log, core, x, y, s, now, last)
    elif (
        y["fin"] == FIN_SEEN
        and _has(x, RECEIVED_FIN)
        and (not x["known"] & KNOWS_ACK or _ahead(ack, x["acked"]) >= 0)
    ):
        _take_back_unseen_ack(log, core, x, y)
    if (
        x["state"] == FIN_WAIT2
        and y["fin"] == NO_FIN
        and x["known"] & KNOWS_ACK
        and _ahead(ack, x["acked"]) > 0
    ):
        x["known"] |= HELD
    _note_ack(log, core, x, y, s, now)
    _raise_contiguous(y, ack)


@inlined
def _complete_handshake(log, core, flow, x, y, s, now, last):
    """What a segment with ACK and without SYN says of the handshake (3.10.7.3, 3.10.7.4)."""
    ack = s["ack"]
    speaks = s["payload"] > 0 or s["flags"] & FIN
    if _has(y, SENT_SYN_ACK) or y["state"] == CLOSE:
        if x["state"] == SYN_SENT and not _has(x, RECEIVED_SYN_ACK):
            if not _has(y, SENT_SYN_ACK):  # the capture missed it
                _happen(log, core, y, SENT_SYN_ACK, INFERRED, now, s["frame"], s["file"])
                if not y["known"] & KNOWS_SEQUENCE:
                    _take_iss(y, ack)
            _confirm(log, core, x, y, RECEIVED_SYN_ACK, s, last, now)
    elif y["state"] == SYN_SENT and not x["happened"] and x["state"] == CLOSE:
        # The server speaks, and the capture missed its SYN-ACK and the third ACK
        _happen(log, core, x, SENT_SYN_ACK, INFERRED, now, s["frame"], s["file"])
        _happen(log, core, y, RECEIVED_SYN_ACK, INFERRED, now, s["frame"], s["file"])
        x["ack_of_syn_time"], x["ack_of_syn_frame"], x["ack_of_syn_file"] = now, s["frame"], s["file"]
        _happen(log, core, x, RECEIVED_ACK_OF_SYN, INFERRED, now, s["frame"], s["file"])
    if not y["known"] & KNOWS_ISS:
        return
    if _has(y, SENT_SYN_ACK) and _ahead(ack, y["iss"]) >= 1:
        _acknowledge_syn(log, core, flow, x, y, s, now)
    if _has(x, SENT_SYN_ACK) and y["syn_payload"] == 0 and (speaks or _ahead(ack, y["iss"]) > 1):
        # Without Fast Open only an established socket sends data or acknowledges it
        x["known"] |= OPEN_FOR_SURE
        if x["known"] & DOUBTS_THIRD_ACK and x["ack_of_syn_time"] > x["control_time"]:
            _take_third_ack(log, core, x)
        _happen(
            log,
            core,
            y,
            RECEIVED_SYN_ACK,
            INFERRED,
            max(x["control_time"], y["last_sent"]),
            s["frame"],
            s["file"],
        )
        _happen(log, core, x, RECEIVED_ACK_OF_SYN, INFERRED, now, s["frame"], s["file"])


@inner
def _take_third_ack(log, core, x):
    """``x`` took the third ACK that was in doubt."""
    time, frame, file = x["ack_of_syn_time"], x["ack_of_syn_frame"], x["ack_of_syn_file"]
    _happen(log, core, x, RECEIVED_ACK_OF_SYN, OBSERVED, time, frame, file)


@inner
def _acknowledge_syn(log, core, flow, x, y, s, now):
    """The third ACK: the SYN-ACK of ``y`` is acknowledged."""
    if _has(y, RECEIVED_ACK_OF_SYN):
        return
    y["ack_of_syn_time"], y["ack_of_syn_frame"], y["ack_of_syn_file"] = now, s["frame"], s["file"]
    if y["known"] & DOUBTS_THIRD_ACK:
        return  # it did not take one before: the next SYN-ACK, or its absence, will tell
    if flow["rtt"] < 0 and x["syns"] == 1 and y["syn_acks"] == 1:
        flow["rtt"] = now - x["control_time"]
    _happen(log, core, y, RECEIVED_ACK_OF_SYN, OBSERVED, now, s["frame"], s["file"])


@inner
def _pick_up(log, core, flow, x, y, s):
    """A connection of which the capture missed the beginning: what can be said by now."""
    speaks = s["payload"] > 0 or s["flags"] & FIN
    if flow["probe"]:
        flow["probe"] = 0
    elif not speaks or y["fin"] != FIN_SEEN or x["fin"] != NO_FIN:
        return
    # Both had sent no FIN before: the first FIN was of an established side
    if log[x["head"]]["event"] == FIRST_FRAME:
        _restart(log, core, x, ESTABLISHED, PICKED_UP, ASSUMED)
    if log[y["head"]]["event"] == FIRST_FRAME:
        _restart(log, core, y, ESTABLISHED, PICKED_UP, ASSUMED)


@inner
def _miss_frames(log, core, flow, x, y, s, now):
    """``x`` acknowledges what the capture has not: exactly one number more is a FIN, else none can tell."""
    ack = s["ack"]
    beyond = _ahead(ack, y["snd_nxt"])
    y["snd_nxt"] = ack
    if y["frames"] == 0 or y["fin"] == FIN_SEEN:
        return
    y["missed_end"] = ack
    if beyond == 1 and y["fin"] == NO_FIN and y["state"] != SYN_SENT:
        y["fin"], y["fin_end"], y["fin_time"] = FIN_INFERRED, ack, now
        if flow["first_closer"] == NO_CLOSER:
            flow["first_closer"] = y["closer"]
        y["control_time"] = NO_TIME
        _withdraw(log, core, x, LOST_TRACK)
        _withdraw(log, core, y, LOST_TRACK)
        _happen(log, core, y, SENT_FIN, INFERRED, now, s["frame"], s["file"])
        return
    if y["fin"] == FIN_INFERRED:
        _retract_fin(log, core, flow, x, y)
    y["known"] |= MISSED_FRAMES
    _happen(log, core, x, LOST_TRACK, INFERRED, now, s["frame"], s["file"])
    _happen(log, core, y, LOST_TRACK, INFERRED, now, s["frame"], s["file"])


@inner
def _acknowledges_leap(y, ack):
    """Whether ``ack`` covers what ``y`` leapt over, and nothing more: that was its FIN."""
    return (
        y["fin"] == NO_FIN
        and y["leap_time"] != NO_TIME
        and ack == y["leap_end"]
        and ack == y["snd_nxt"]
        and y["state"] != SYN_SENT
    )


@inner
def _infer_fin_at_leap(log, core, flow, x, y):
    """``x`` leapt over one number, and ``y`` acknowledges it: it was a FIN that the capture missed."""
    x["fin"], x["fin_end"], x["fin_time"] = FIN_INFERRED, x["leap_end"], x["leap_time"]
    x["missed_end"], x["control_time"] = x["leap_end"], NO_TIME
    if flow["first_closer"] == NO_CLOSER:
        flow["first_closer"] = x["closer"]
    _withdraw(log, core, y, LOST_TRACK)
    _withdraw(log, core, x, LOST_TRACK)
    _date_fin_by_leap(log, core, flow, x, y)


@inner
def _retract_fin(log, core, flow, x, y):
    """The FIN of ``y`` that an acknowledgement of ``x`` seemed to reveal was data."""
    y["fin"], y["fin_time"] = NO_FIN, NO_TIME
    if flow["first_closer"] == y["closer"]:
        flow["first_closer"] = NO_CLOSER if x["fin"] == NO_FIN else x["closer"]
    _withdraw(log, core, y, SENT_FIN)
    _withdraw(log, core, y, RECEIVED_ACK_OF_FIN)
    _withdraw(log, core, x, RECEIVED_FIN)


@inner
def _take_back_unseen_ack(log, core, x, y):
    """``x`` has not received the FIN of ``y`` that it was thought to have acknowledged unseen."""
    _withdraw(log, core, x, RECEIVED_FIN)
    _withdraw(log, core, y, RECEIVED_ACK_OF_FIN)
    y["sent_times"] = 0  # and it is not thought so again before the FIN is repeated


@inner
def _acknowledge_fin(log, core, x, y, s, now, last):
    """``x`` acknowledges the FIN of ``y``: it has received it, and ``y`` is taken to know."""
    if not _has(x, RECEIVED_FIN):
        _confirm(log, core, x, y, RECEIVED_FIN, s, last, now)
        if _leaps(x, s) and y["fins"] == 1 and not _is_d_sack(s):
            _note_leap(x, s, now)
            x["known"] |= LEAPT_AT_FIN
    y["ack_of_fin_time"], y["ack_of_fin_frame"], y["ack_of_fin_file"] = now, s["frame"], s["file"]
    evidence = INFERRED if y["fin"] == FIN_INFERRED else OBSERVED
    _happen(log, core, y, RECEIVED_ACK_OF_FIN, evidence, now, s["frame"], s["file"])


# Sending


@inner
def _raise_contiguous(y, end):
    """All of the numbers of ``y`` before ``end`` have arrived."""
    if _ahead(end, y["contiguous"]) > 0:
        y["contiguous"] = end
    if _ahead(y["contiguous"], y["beyond_left"]) >= 0 and _ahead(y["beyond_right"], y["contiguous"]) > 0:
        y["contiguous"] = y["beyond_right"]


@inlined
def _advance(log, core, flow, x, y, s, now):
    """The sequence numbers that ``x`` uses: what is new, what is repeated."""
    payload = np.int64(s["payload"])
    if not x["known"] & KNOWS_SEQUENCE:
        x["known"] |= KNOWS_SEQUENCE
        x["iss"], x["snd_nxt"], x["contiguous"] = _plus(s["seq"], -1), s["seq"], s["seq"]
        x["beyond_left"] = x["beyond_right"] = s["seq"]
    if s["flags"] & SYN:
        return
    end = _plus(s["seq"], payload)
    if _leaps(x, s):
        if x["leap_time"] != now or x["leap_end"] != end:
            _forget(x, LEAPT_AT_FIN)
        _note_leap(x, s, now)
    if _is_keep_alive(x, y, s):
        x["keepalives"] += 1
        if x["probes"] < 255:
            x["probes"] += 1
    elif payload > 0 or s["flags"] & FIN:
        is_new = _ahead(_plus(end, s["flags"] & FIN), x["snd_nxt"]) > 0
        is_oldest = not y["known"] & KNOWS_ACK or _ahead(s["seq"], y["acked"]) <= 0
        if is_new or is_oldest:
            _transmit(x, now, not is_new)
    if payload > 0:
        if x["fin"] == FIN_INFERRED and _ahead(end, x["fin_end"]) >= 0:
            _retract_fin(log, core, flow, y, x)
        _regain_track(log, core, x, y, end)
        _count_retransmission(flow, x, y, s, end, now)
    if abs(_ahead(end, x["snd_nxt"])) > 1 << 30:
        return
    if _ahead(end, x["snd_nxt"]) > 0:
        x["snd_nxt"] = end
        if payload > 0:
            x["last_data"] = now
    _arrive(x, s["seq"], end)


@inner
def _leaps(x, s):
    """Whether a bare ACK of ``x`` shows that it used one number more than was captured: maybe its FIN."""
    return (
        x["fin"] == NO_FIN
        and x["known"] & KNOWS_SEQUENCE
        and s["payload"] == 0
        and not s["flags"] & (SYN | FIN)
        and _ahead(s["seq"], x["snd_nxt"]) == 1
    )


@inner
def _is_d_sack(s):
    """Whether a segment reports that it received something twice (RFC 2883)."""
    return s["marks"] & HAS_SACK != 0 and _ahead(s["sack_right"], s["ack"]) <= 0


@inner
def _note_leap(x, s, now):
    x["leap_time"], x["leap_end"] = now, s["seq"]
    x["leap_frame"], x["leap_file"] = s["frame"], s["file"]


@inlined
def _regain_track(log, core, x, y, end):
    """``x`` uses numbers up to ``end``: if that is all that was missed, no FIN was in it."""
    if x["known"] & MISSED_FRAMES and _ahead(end, x["missed_end"]) >= 0:
        _forget(x, MISSED_FRAMES)
        _withdraw(log, core, x, LOST_TRACK)
        _withdraw(log, core, y, LOST_TRACK)


@inlined
def _is_keep_alive(x, y, s):
    """Whether ``s`` repeats the last, acknowledged number only to be answered (3.8.4; window probes too)."""
    if s["flags"] & FIN or s["payload"] > 1 or _ahead(s["seq"], x["snd_nxt"]) != -1:
        return False
    return s["payload"] == 0 or (y["known"] & KNOWS_ACK != 0 and _ahead(y["acked"], x["snd_nxt"]) >= 0)


@inlined
def _count_retransmission(flow, x, y, s, end, now):
    """Tell a retransmission from new data, a keep-alive and a late frame; a FIN's is counted with it."""
    if (
        _ahead(end, x["snd_nxt"]) > 0
        or _is_keep_alive(x, y, s)
        or (s["flags"] & FIN and x["fin"] == FIN_SEEN)
    ):
        return
    if _ahead(s["seq"], x["contiguous"]) < 0 or now - x["last_data"] > _crossing(flow):
        x["retransmits"] += 1


@inlined
def _arrive(x, left, right):
    """Note the captured numbers from ``left`` to ``right`` of ``x``; one range beyond a hole is kept."""
    if _ahead(left, x["contiguous"]) <= 0:
        _raise_contiguous(x, right)
    elif _ahead(left, x["beyond_right"]) <= 0 and _ahead(right, x["beyond_left"]) >= 0:
        if _ahead(x["beyond_left"], left) > 0:
            x["beyond_left"] = left
        if _ahead(right, x["beyond_right"]) > 0:
            x["beyond_right"] = right
    elif _ahead(x["contiguous"], x["beyond_left"]) >= 0:
        x["beyond_left"], x["beyond_right"] = left, right


# Closing (3.6)


@inner
def _fin(log, core, flow, x, y, s, now):
    """A FIN: the first, a repeat, or the one whose acknowledgement came first."""
    fin_end = _plus(s["seq"], np.int64(s["payload"]) + 1)
    if x["fin"] == FIN_SEEN:
        if fin_end == x["fin_end"]:
            _repeat_fin(log, core, flow, x, y, s, now)
        return
    x["fins"] += 1
    if x["fin"] == FIN_INFERRED and fin_end != x["fin_end"]:
        _retract_fin(log, core, flow, y, x)
    _regain_track(log, core, x, y, fin_end)
    x["fin"], x["fin_end"], x["fin_time"] = FIN_SEEN, fin_end, now
    if flow["first_closer"] == NO_CLOSER:
        flow["first_closer"] = x["closer"]
    elif flow["first_closer"] == y["closer"] and _ahead(s["ack"], y["fin_end"]) < 0:
        flow["first_closer"] = CLOSED_BY_BOTH
    if _ahead(fin_end, x["snd_nxt"]) > 0:
        x["snd_nxt"] = fin_end
    _arrive(x, s["seq"], fin_end)
    _note_control(x, s, now, True)
    if x["leap_time"] != NO_TIME and x["leap_end"] == fin_end:
        x["retransmits"] += 1
        _date_fin_by_leap(log, core, flow, x, y)
    _happen(log, core, x, SENT_FIN, OBSERVED, now, s["frame"], s["file"])


@inner
def _date_fin_by_leap(log, core, flow, x, y):
    """A copy of the FIN of ``x`` was missed: a bare ACK used the number after it."""
    time, received = x["leap_time"], _entry_of(log, x, RECEIVED_FIN)
    crossed = received >= 0 and x["known"] & LEAPT_AT_FIN
    if flow["first_closer"] == y["closer"] and (crossed or y["fin_time"] > time):
        flow["first_closer"] = CLOSED_BY_BOTH
    if not crossed:
        _happen(log, core, x, SENT_FIN, INFERRED, time, x["leap_frame"], x["leap_file"])
        return
    # Its first ACK of the peer's FIN came after its own FIN, and not with it: they crossed
    time, frame, file = log[received]["time"], log[received]["frame"], log[received]["file"]
    evidence = log[received]["evidence"]
    _withdraw(log, core, x, RECEIVED_FIN)
    _happen(log, core, x, SENT_FIN, INFERRED, time, x["leap_frame"], x["leap_file"])
    _happen(log, core, x, RECEIVED_FIN, evidence, time, frame, file)


@inner
def _repeat_fin(log, core, flow, x, y, s, now):
    """A retransmitted FIN: the acknowledgement, if there was one, did not arrive."""
    x["fins"] += 1
    x["retransmits"] += 1
    _note_control(x, s, now, False)
    if _has(x, RECEIVED_ACK_OF_FIN):
        _withdraw(log, core, x, RECEIVED_ACK_OF_FIN)
        if now - x["ack_of_fin_time"] <= _crossing(flow):  # the last one may have crossed this repeat
            time, frame, file = x["ack_of_fin_time"], x["ack_of_fin_frame"], x["ack_of_fin_file"]
            _happen(log, core, x, RECEIVED_ACK_OF_FIN, OBSERVED, time, frame, file)
    if not y["known"] & KNOWS_ACK or _ahead(y["acked"], x["fin_end"]) < 0:
        _withdraw(log, core, y, RECEIVED_FIN)  # it was thought acknowledged unseen


# Resetting (3.5.2, 3.5.3, RFC 5961)


@inner
def _accepts_reset(x, y, s):
    """How ``y`` takes a RST from ``x``: 2 it has the expected number, 1 it may be good, 0 it is ignored."""
    seq, flags = s["seq"], s["flags"]
    if y["state"] == SYN_SENT and not _has(y, SENT_SYN_ACK):
        if not flags & ACK:
            # After a SYN-ACK that the peer did not confirm the number is all there is
            return 2 if x["known"] & KNOWS_ISS and seq == x["snd_nxt"] else 0
        if not y["known"] & KNOWS_ISS:
            return 2
        return 2 if 1 <= _ahead(s["ack"], y["iss"]) <= 1 + np.int64(y["syn_payload"]) else 0
    expected = x["known"] & KNOWS_SEQUENCE and seq == x["contiguous"]
    if not y["known"] & KNOWS_ACK:
        return (
            2 if expected or not x["known"] & KNOWS_SEQUENCE else (1 if _ahead(seq, x["snd_nxt"]) == 0 else 0)
        )
    behind = _ahead(seq, y["acked"])
    if expected or behind == 0:
        return 2
    if y["known"] & KNOWS_SACK and seq == y["sack_right"]:
        return 2
    if behind == -1 and (y["state"] == CLOSE_WAIT or y["state"] == LAST_ACK or y["state"] == CLOSING):
        return 2  # Linux tcp_reset_check: rcv_nxt - 1
    if y["state"] == IN_TIME_WAIT:
        return 0
    return 1 if 0 < behind < max(np.int64(y["window"]), LEAST_WINDOW) else 0


@inner
def _reset(log, core, flow, x, y, s, now):
    """A RST: ends its receiver if it is acceptable, and its sender if the sender had a socket."""
    x["rsts"] += 1
    accepted = _accepts_reset(x, y, s)
    if _is_answer_to_probe(flow, x, y, s):
        flow["probe"] = 1
        _restart(log, core, x, CLOSE, FIRST_FRAME, OBSERVED)
        _restart(log, core, y, CLOSE, FIRST_FRAME, OBSERVED)
    if flow["handshake"] and x["frames"] == 1 and x["syns"] == 0 and x["state"] == SYN_SENT:
        _restart(log, core, x, CLOSE, FIRST_FRAME, OBSERVED)  # it refuses a SYN-ACK that it never asked for
    if not accepted:
        x["suspicious_rsts"] += 1
        return
    if _is_of_sender(x, y, s):
        if x["state"] == SYN_SENT and y["syn_acks"] and s["seq"] == x["snd_nxt"]:
            # It answers a SYN-ACK that was good: the attempt is over (3.10.7.3 speaks of bad ones)
            _happen(
                log,
                core,
                x,
                RECEIVED_SYN_ACK,
                OBSERVED,
                y["control_time"],
                y["control_frame"],
                y["control_file"],
            )
        _happen(log, core, x, SENT_RST, OBSERVED, now, s["frame"], s["file"])
    x["last_rst"], x["reset_seq"], x["reset_ack"] = now, s["seq"], s["ack"]
    _forget(x, RESET_HAS_ACK)
    if s["flags"] & ACK:
        x["known"] |= RESET_HAS_ACK
    if x["probes"] >= UNANSWERED or x["sent_times"] > UNANSWERED:
        return  # nothing arrives there any more, so neither does the RST
    y["reset_time"] = now
    _forget(y, RESET_EXACT)
    if accepted == 2:
        y["known"] |= RESET_EXACT
    _happen(log, core, y, RECEIVED_RST, OBSERVED, now, s["frame"], s["file"])


@inner
def _is_of_sender(x, y, s):
    """Whether a RST's number lies between the peer's last ACK and the sender's own ``snd_nxt``."""
    if not x["known"] & KNOWS_SEQUENCE:
        return True
    if _ahead(s["seq"], x["snd_nxt"]) > 0:
        return False
    return not y["known"] & KNOWS_ACK or _ahead(s["seq"], y["acked"]) >= 0


@inner
def _is_answer_to_probe(flow, x, y, s):
    """Whether ``x`` refuses the one bare ACK that ``y`` sent out of nowhere."""
    return (
        not flow["handshake"]
        and x["frames"] == 1
        and y["frames"] - y["duplicates"] == 1
        and y["bytes"] == 0
        and y["fin"] == NO_FIN
        and y["known"] & KNOWS_ACK
        and s["seq"] == y["acked"]
        and not s["flags"] & ACK
    )


# ICMP errors (3.9.2.2; Linux tcp_v4_err and tcp_v6_err)


@inner
def _may_quote(x, seq):
    """Whether a segment of ``x`` with that number is near what was captured of it."""
    if not x["known"] & KNOWS_SEQUENCE:
        return False
    lead = _ahead(seq, x["snd_nxt"])
    if _is_opening(x):
        return -1 - np.int64(x["syn_payload"]) <= lead <= 0
    return abs(lead) <= FAR


@inner
def _find_quoted(slots, flows, sockets, log, core, e):
    """The connection whose segment the error ``e`` quotes, -1 for none."""
    slot, second_best = _slot_of(slots, flows, sockets, e, _hash(core, e)), -1
    conn = _newest(slots, flows, sockets, log, core, slot, e["time"])
    for _ in range(CHAIN):
        if conn < 0:
            break
        x = sockets[_sender(sockets, conn, e)]
        if _may_quote(x, e["seq"]):
            if x["tunnel"] == e["tunnel"]:
                return conn
            if second_best < 0:
                second_best = conn
        conn = flows[conn]["before"]
    return second_best


@inner
def _effect(e):
    """What Linux does with an ICMP message: to a socket that attempts to open, to a request to open one."""
    kind, code = e["type"], e["code"]
    if e["version"] == 4:
        if kind == ICMP_UNREACH:
            if code == ICMP_NEEDFRAG or code > ICMP_LAST_CODE:
                return IS_COUNTED
            return ENDS_REQUEST if code <= ICMP_HOST_UNREACH else ENDS_ATTEMPT
        if kind == ICMP_TIMEXCEED:
            return IS_COUNTED if code == ICMP_IN_REASSEMBLY else ENDS_REQUEST
        return ENDS_REQUEST if kind == ICMP_PARAMPROB else IS_NO_ERROR
    if kind == ICMP6_UNREACH:
        return ENDS_ATTEMPT if code in ICMP6_SOFT_CODES else ENDS_REQUEST
    if kind == ICMP6_TIMEXCEED:
        return ENDS_ATTEMPT
    if kind == ICMP6_TOO_BIG:
        return IS_COUNTED
    return ENDS_REQUEST if kind == ICMP6_PARAMPROB else IS_NO_ERROR


@inner
def _is_ended_by(x, y, e, effect):
    """Whether ``x``, in the state that it is in, ends by an error: only what is not open yet does."""
    if x["state"] != SYN_SENT and x["state"] != SYN_RECV:
        return False
    took_data = y["syn_payload"] > 0 and x["known"] & KNOWS_ACK and _ahead(x["acked"], y["iss"]) > 1
    if x["state"] == SYN_SENT or _has(x, SENT_SYN) or took_data:
        outstanding = 0 <= _ahead(e["seq"], x["iss"]) <= _ahead(x["snd_nxt"], x["iss"])
        return effect >= ENDS_ATTEMPT and outstanding
    return effect == ENDS_REQUEST and e["seq"] == x["iss"]


@inner
def _is_error_again(x, e):
    """Whether this very message was captured a moment ago."""
    return (
        x["icmp_errors"] > 0
        and e["time"] - x["icmp_time"] <= DUPLICATE_WINDOW
        and e["type"] == x["icmp_type"]
        and e["code"] == x["icmp_code"]
        and e["seq"] == x["icmp_seq"]
        and e["router_lo"] == x["icmp_router_lo"]
        and e["router_hi"] == x["icmp_router_hi"]
    )


@inner
def _icmp_error(log, core, flow, x, y, e):
    """An ICMP error ``e`` about a segment from ``x`` to ``y``, which ``x`` is taken to receive."""
    effect = _effect(e)
    if effect == IS_NO_ERROR:
        return
    if e["checksum"] == BAD and _believes_checksums(core, x):
        core["bad_checksums"] += 1
        return
    now = max(e["time"], flow["end"])
    _run_timers(log, core, flow, x, y, now)
    if _is_error_again(x, e):
        return
    x["icmp_errors"] += 1
    x["icmp_time"], x["icmp_seq"], x["icmp_type"], x["icmp_code"] = e["time"], e["seq"], e["type"], e["code"]
    x["icmp_router_hi"], x["icmp_router_lo"] = e["router_hi"], e["router_lo"]
    x["icmp_frame"], x["icmp_file"] = e["frame"], e["file"]
    if _is_ended_by(x, y, e, effect):
        _happen(log, core, x, RECEIVED_ICMP_ERROR, OBSERVED, now, e["frame"], e["file"])


# --- Kernels -----------------------------------------------------------------------------------


@inlined
def _fate(core, x, before, is_opening):
    """What ``x``'s last segment was taken for: what has been counted since ``before``, see ``_counts``."""
    fate = 0
    if x["duplicates"] != before[0]:
        fate = DUPLICATE
    if x["retransmits"] != before[1]:
        fate |= RETRANSMISSION
    if x["keepalives"] != before[2]:
        fate |= KEEP_ALIVE
    if x["suspicious_rsts"] != before[3]:
        fate |= SUSPICIOUS_RST
    if core["bad_checksums"] != before[4]:
        fate |= BAD_CHECKSUM
    return fate | OPENING if is_opening else fate


@inlined
def _counts(core, x):
    return x["duplicates"], x["retransmits"], x["keepalives"], x["suspicious_rsts"], core["bad_checksums"]


@kernel
def feed(
    slots: Array,
    flows: Array,
    sockets: Array,
    log: Array,
    core: Any,
    segments: Array,
    notes: Array,
    start: int,
) -> int:
    """Move connections by the segments from ``start`` on, in their order.

    Parameters
    ----------
    slots, flows, sockets, log, core : the fields of memory.Memory
    segments : SEGMENTS array (n,)
    notes : NOTES array (n,), filled in
    start : int

    Returns
    -------
    int
        How many segments were taken; fewer than all if the memory has to grow first.
    """
    core = core[0]
    looked_ahead = start
    for i in range(start, len(segments)):
        used = core["flow_count"]
        if not _has_room(log, core) or used >= len(flows) or 2 * used >= len(slots):
            return i
        if i >= looked_ahead:
            _look_ahead(slots, flows, sockets, core, segments, i)
            looked_ahead = i + LOOKED_AHEAD
        s = segments[i]
        conn = _find(slots, flows, sockets, log, core, s, core["hashes"][i - looked_ahead + LOOKED_AHEAD])
        if s["flags"] & SYN and flows[conn]["before"] >= 0:
            _end_old_socket(flows, sockets, log, core, flows[conn]["before"], s)
        i_x = _sender(sockets, conn, s)
        x, was_reused = sockets[i_x], _has(sockets[i_x], REUSED)
        before, is_opening = _counts(core, x), core["flow_count"] != used
        _step(log, core, flows[conn], x, sockets[i_x ^ 1], s)
        if was_reused and not _has(x, REUSED):
            _disown(flows, sockets, log, core, flows[conn]["newer"], s)
        notes[i]["side"], notes[i]["fate"] = i_x, _fate(core, x, before, is_opening)
    return len(segments)


@kernel
def take_errors(
    slots: Array, flows: Array, sockets: Array, log: Array, core: Any, errors: Array, start: int
) -> int:
    """Take the ICMP errors from ``start`` on, in their order.

    One may end a side of the connection that it is about, if that is known. ``errors`` is an ICMP_ERRORS
    array, the others, and what is returned, are as for ``feed``. It is a kernel of its own since most
    captures have none, and need not compile it.
    """
    core = core[0]
    for i in range(start, len(errors)):
        e = errors[i]
        if not _has_room(log, core):
            return i
        conn = _find_quoted(slots, flows, sockets, log, core, e)
        if conn < 0:
            core["stray_errors"] += 1
            continue
        side = _sender(sockets, conn, e)
        _icmp_error(log, core, flows[conn], sockets[side], sockets[side ^ 1], e)
    return len(errors)


@kernel
def rehash(flows: Array, core: Array, slots: Array) -> None:
    """Enter the newest flow of each 4-tuple into the empty table ``slots``."""
    mask = np.int64(len(slots) - 1)
    for conn in range(core[0]["flow_count"]):
        if flows[conn]["newer"] != -1:
            continue
        slot = np.int64(flows[conn]["hash"]) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        _put(slots, slot, flows[conn]["hash"], conn)


@kernel
def forget(flows: Array, sockets: Array, log: Array, core: Any, now: int, gone: Array, start: int) -> int:
    """Take what is over for long at ``now``, and what ``gone`` says, out of its 4-tuple; note it in ``gone``.

    ``gone`` is a uint8 array, one value for each flow, 0 or 1. It begins with connection ``start``, and
    returns the first one that is left, because the log has to grow first; else how many there are.
    """
    core = core[0]
    count = int(core["flow_count"])
    for conn in range(start, count):
        if not _has_room(log, core):
            return conn
        flow = flows[conn]
        if not gone[conn] and not _is_to_forget(
            log, core, flow, sockets[2 * conn], sockets[2 * conn + 1], now
        ):
            continue
        gone[conn] = 1
        if flow["newer"] != FORGOTTEN:
            _unlink(flows, conn)
    return count


@kernel
def give_back(heads: Array, log: Array, core: Any) -> None:
    """Free the entries of some sides, whose first ones are ``heads`` (int32)."""
    core = core[0]
    for i in range(len(heads)):
        tail, count = heads[i], 1
        while log[tail]["following"] >= 0:
            tail = log[tail]["following"]
            count += 1
        log[tail]["following"] = np.int32(core["free_entry"])
        core["free_entry"] = heads[i]
        core["free_entries"] += count


@kernel
def copy_entries(sockets: Array, log: Array, target: Array) -> int:
    """Copy the entries of ``sockets`` into ``target``, side by side, and link them anew; how many."""
    count = 0
    for i in range(len(sockets)):
        x, previous = sockets[i], np.int32(-1)
        j = x["head"]
        x["head"] = count
        while j >= 0:
            entry, old = target[count], log[j]
            entry["time"], entry["file"], entry["frame"] = old["time"], old["file"], old["frame"]
            entry["event"], entry["evidence"], entry["state"] = old["event"], old["evidence"], old["state"]
            entry["previous"], entry["following"] = previous, -1
            if previous >= 0:
                target[previous]["following"] = count
            previous = np.int32(count)
            count += 1
            j = old["following"]
        x["tail"] = previous
    return count


@kernel
def expire(flows: Array, sockets: Array, log: Array, core: Any, now: int, start: int) -> int:
    """End what a timer ends until ``now``, from connection ``start`` on.

    Returns the first connection that is left, because the log has to grow first; else how many there are.
    """
    core = core[0]
    count = int(core["flow_count"])
    for conn in range(start, count):
        if not _has_room(log, core):
            return conn
        _run_timers(log, core, flows[conn], sockets[2 * conn], sockets[2 * conn + 1], now)
    return count


@inner
def _first_row(log, head):
    """The entry that a side's timeline begins with: no CLOSE of no length before its first event."""
    following = log[head]["following"]
    if (
        following >= 0
        and log[head]["event"] == FIRST_FRAME
        and log[head]["evidence"] == OBSERVED
        and log[following]["time"] == log[head]["time"]
        and log[following]["state"] != log[head]["state"]
    ):
        return following
    return head


@kernel
def collect(heads: Array, log: Array, rows: Array) -> int:
    """Write every side's states, in order, into the TRANSITIONS array ``rows``; returns how many.

    ``heads`` has each side's first entry in the log, int32.
    """
    n = 0
    for i in range(len(heads)):
        j, state = _first_row(log, heads[i]), -1
        while j >= 0:
            entry = log[j]
            if entry["state"] != state:
                state = entry["state"]
                row = rows[n]
                row["conn"], row["side"], row["state"] = i >> 1, i & 1, state
                row["start"], row["frame"], row["file"] = entry["time"], entry["frame"], entry["file"]
                row["cause"], row["evidence"] = entry["event"], entry["evidence"]
                n += 1
            j = entry["following"]
    return n
