"""Zeek's word on each connection: the states of its ends and its ``history``, by the rules of Zeek.

A record is what Zeek logs as one line of conn.log: all that passes between two ends until a SYN with another
number comes, or one of Zeek's timers removes it. A FIN or RST counts by its flag, whatever its number. The
rules, what of them is left out, and where a record is not what we call a connection, are in
docs/dialects.md. No jitted function comes from another file: see ``step``.
"""

# What a kernel's arguments are is numba's to say; annotations would only repeat Any.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any

import dpkt.tcp
import numpy as np

from tcpstates.compiled import inner, kernel
from tcpstates.schema import HISTORY_LENGTH, MORE_LETTERS, NO_TIME, Checksum, Fate, Mark, ZeekState

Array = np.ndarray[Any, np.dtype[Any]]

FIN, SYN, RST, ACK = (
    int(flag) for flag in (dpkt.tcp.TH_FIN, dpkt.tcp.TH_SYN, dpkt.tcp.TH_RST, dpkt.tcp.TH_ACK)
)
OPENING, CUT = int(Fate.OPENING), int(Mark.CUT)
BAD, OFFLOADED = int(Checksum.BAD), int(Checksum.OFFLOADED)
INACTIVE, SYN_SENT = int(ZeekState.INACTIVE), int(ZeekState.SYN_SENT)
SYN_ACK_SENT, PARTIAL = int(ZeekState.SYN_ACK_SENT), int(ZeekState.PARTIAL)
ESTABLISHED, CLOSED = int(ZeekState.ESTABLISHED), int(ZeekState.CLOSED)
RESET = int(ZeekState.RESET)

SECOND = 1_000_000_000
#: Zeek's default timers.
ATTEMPT_DELAY = SYN_TIMEOUT = LINGER = CLOSE_DELAY = 5 * SECOND
SESSION_TIMER, PARTIAL_CLOSE_DELAY = 6 * SECOND, 3 * SECOND
EMBRYONIC_TIMEOUT, INACTIVITY_TIMEOUT = 60 * SECOND, 300 * SECOND

#: A SYN or RST further away than this tells nothing of the numbers in use.
TOO_FAR = 1 << 20
#: What may be pending beyond a hole of an end of which nothing was acknowledged.
MOST_ABOVE_HOLE = 16_384
#: How many ranges beyond a hole are remembered; further ones are joined to the last.
RANGES = 3

# Letters of which an end has one for each kind, or one more for each new number
SYN_LETTER, FIN_LETTER, RST_LETTER, FIN_RST_LETTER, DATA_LETTER, ACK_LETTER, MULTI_LETTER = range(7)
#: Upper case to lower case, in ASCII.
LOWER = 32

#: One record of Zeek's, but for its two ends: 0, the one with the lower address and port, and 1.
RECORDS = np.dtype(
    [
        ("last", "i8"),  # the last frame before both ends were done
        ("attempt", "i8"),  # when a timer looks whether the SYN was answered, NO_TIME for none
        ("partial_close", "i8"),  # the same for the other end's close
        ("expire", "i8"),  # the first of the ticks at which a finished connection is removed
        ("second_expire", "i8"),
        ("removal", "i8"),  # when it is removed, being closed
        ("conn", "i4"),  # the connection whose segment began it
        ("letters", "u1", (HISTORY_LENGTH + 1,)),
        ("length", "u1"),
        ("originator", "u1"),  # which end
        ("seen", "u1", (2,)),  # by role, the letters that it has, one bit each
        ("has_sent", "u1", (2,)),  # by role, whether its first frame is past
        ("is_partial", "u1"),
        ("is_past_handshake", "u1"),
        ("is_finished", "u1"),
        ("close_deferred", "u1"),
    ],
    align=True,
)

#: One end in Zeek. Numbers are relative to its first, as if that were a SYN's.
ENDS = np.dtype(
    [
        ("last", "i8"),  # after the last number that it used
        ("acked", "i8"),
        ("delivered", "i8"),  # all before it has been captured, or was given up
        ("trimmed", "i8"),  # up to where it has been acknowledged
        ("fin_end", "i8"),
        ("left", "i8", (RANGES,)),  # what was captured beyond a hole, in order
        ("right", "i8", (RANGES,)),
        ("start", "u4"),
        ("last_syn", "u4"),  # the numbers of its last SYN, FIN and RST
        ("last_fin", "u4"),
        ("last_rst", "u4"),
        ("checksum_errors", "u4"),
        ("retransmissions", "u4"),
        ("zero_windows", "u4"),
        ("gaps", "u4"),
        ("ranges", "u1"),
        ("state", "u1"),
        ("previous", "u1"),
        ("is_closed", "u1"),
        ("has_fin", "u1"),
        ("skips", "u1"),  # too much was beyond a hole: holes are not looked at any more
        ("reached_end", "u1"),
    ],
    align=True,
)

_MORE = ord(MORE_LETTERS)
_A, _C, _D, _F, _G, _H, _I, _Q, _R, _S, _T, _W, _FLIP = (ord(letter) for letter in "ACDFGHIQRSTW^")


# --- Numbers and letters -------------------------------------------------------------------------


@inner
def _ahead(number, other):
    """How far ``number`` is ahead of ``other`` modulo 2^32, negative if behind."""
    return ((np.int64(number) - np.int64(other) + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@inner
def _relative(number, start, near):
    """``number``, counted from ``start``, as near as possible to ``near``, which is counted so."""
    return near + _ahead(number, (np.int64(start) + near) & 0xFFFFFFFF)


@inner
def _end(s):
    """Which end sent ``s``: 0 the one with the lower address and port, else 1."""
    if s["src_hi"] != s["dst_hi"]:
        return 0 if s["src_hi"] < s["dst_hi"] else 1
    if s["src_lo"] != s["dst_lo"]:
        return 0 if s["src_lo"] < s["dst_lo"] else 1
    return 0 if s["src_port"] <= s["dst_port"] else 1


@inner
def _write(record, letter):
    """Append to the history; what is too much of it is one MORE_LETTERS."""
    if record["length"] < HISTORY_LENGTH:
        record["letters"][record["length"]] = letter
        record["length"] += 1
    else:
        record["letters"][HISTORY_LENGTH] = _MORE


@inner
def _write_for(record, end, letter):
    """Append a letter of ``end``: upper case if it is the originator."""
    _write(record, letter if record["originator"] == end else letter + LOWER)


@inner
def _write_first(record, end, kind, letter):
    """Append a letter that its role has not had; whether it had."""
    role, bit = 0 if record["originator"] == end else 1, 1 << kind
    if record["seen"][role] & bit:
        return True
    record["seen"][role] |= bit
    _write_for(record, end, letter)
    return False


@inner
def _is_power_of_ten(count):
    """Whether ``count`` is one of those at which a letter is written again."""
    power = 1
    while power < count:
        power *= 10
    return power == count


@inner
def _flip(record):
    """Zeek finds that it took the responder for the originator."""
    record["originator"] ^= 1
    record["has_sent"][0], record["has_sent"][1] = record["has_sent"][1], record["has_sent"][0]
    record["is_partial"] = 0
    _write(record, _FLIP)


# --- Which record: timers and reuse --------------------------------------------------------------


@inner
def _next_tick(first, after):
    """The first tick of the session timer after an instant."""
    if first > after:
        return first
    return first + ((after - first) // SESSION_TIMER + 1) * SESSION_TIMER


@inner
def _is_unanswered(o, r):
    return (o["state"] == SYN_SENT or o["state"] == SYN_ACK_SENT) and r["state"] == INACTIVE


@inner
def _is_done(o, r):
    """Whether a record of which one end has closed is removed when nothing more comes."""
    if not o["is_closed"] and not r["is_closed"]:
        return False
    if o["is_closed"] and r["is_closed"]:
        return True
    return o["state"] == RESET or r["state"] == RESET or o["state"] == INACTIVE or r["state"] == INACTIVE


@inner
def _is_removed(record, o, r, now):
    """Whether one of Zeek's timers has removed a record by now; ``o`` and ``r`` are its ends by role."""
    if record["removal"] != NO_TIME and record["removal"] <= now:
        return True
    idle = INACTIVITY_TIMEOUT if record["is_past_handshake"] else EMBRYONIC_TIMEOUT
    if record["last"] + idle <= now:
        return True
    if record["is_finished"]:
        return False
    if record["attempt"] != NO_TIME and record["attempt"] <= now and _is_unanswered(o, r):
        return True
    if (
        record["partial_close"] != NO_TIME
        and record["partial_close"] <= now
        and not (o["state"] == INACTIVE or r["state"] == INACTIVE)
        and not (o["is_closed"] and r["is_closed"])
        and not (o["state"] == RESET or r["state"] == RESET)
    ):
        return True
    if not _is_done(o, r):
        return False
    quiet = record["last"] + LINGER
    first, second = record["expire"], record["second_expire"]
    return (first != NO_TIME and _next_tick(first, quiet) <= now) or (
        second != NO_TIME and _next_tick(second, quiet) <= now
    )


@inner
def _cancel_timers(record):
    record["attempt"] = record["partial_close"] = record["expire"] = record["second_expire"] = NO_TIME


@inner
def _is_reuse(o, r, s):
    """Whether a SYN or SYN-ACK begins another record."""
    flags = s["flags"]
    if not flags & SYN:
        return False
    opener = o
    if flags & ACK:
        if o["state"] != INACTIVE:
            return False
        opener = r
    if o["is_closed"] and r["is_closed"]:
        return True
    if s["seq"] == opener["start"]:
        return False
    # The SYN of a SYN-ACK that was captured before it
    return not (
        not flags & ACK
        and opener["state"] == SYN_ACK_SENT
        and r["state"] == INACTIVE
        and s["seq"] == r["start"]
    )


@inner
def _clear_end(x):
    """An end of which nothing has been seen."""
    x["last"] = x["acked"] = x["fin_end"] = x["start"] = 0
    x["delivered"] = x["trimmed"] = 1
    x["last_syn"] = x["last_fin"] = x["last_rst"] = 0
    x["checksum_errors"] = x["retransmissions"] = x["zero_windows"] = x["gaps"] = 0
    x["ranges"] = x["is_closed"] = x["has_fin"] = x["skips"] = x["reached_end"] = 0
    x["state"] = x["previous"] = INACTIVE


@inner
def _is_likely_flipped(s, server_ports):
    """Whether what is no SYN seems to come from the server, by its port."""
    flags = s["flags"]
    if flags & (SYN | ACK) == SYN or not server_ports[s["src_port"]]:
        return False
    return not server_ports[s["dst_port"]] or (not flags & SYN and s["src_port"] < s["dst_port"])


@inner
def _begin(record, x, y, s, server_ports):
    """A record that begins with ``s``."""
    _clear_end(x)
    _clear_end(y)
    record["last"] = s["time"]
    record["removal"] = NO_TIME
    _cancel_timers(record)
    record["expire"] = s["time"] + SYN_TIMEOUT
    record["originator"] = _end(s)
    if _is_likely_flipped(s, server_ports):
        _flip(record)


# --- Reassembly: only to know what is missing -----------------------------------------------------


@inner
def _forget_range(x, k):
    for j in range(k, x["ranges"] - 1):
        x["left"][j], x["right"][j] = x["left"][j + 1], x["right"][j + 1]
    x["ranges"] -= 1


@inner
def _join_delivered(x):
    """What follows what is delivered is delivered too."""
    while x["ranges"] and x["left"][0] <= x["delivered"]:
        x["delivered"] = max(x["delivered"], x["right"][0])
        _forget_range(x, 0)


@inner
def _keep_range(x, left, right):
    """Remember what was captured beyond a hole."""
    k = 0
    while k < x["ranges"] and x["right"][k] < left:
        k += 1
    if k == RANGES:
        x["right"][k - 1] = right
        return
    if k == x["ranges"] or right < x["left"][k]:
        if x["ranges"] == RANGES:
            x["left"][k], x["right"][k] = min(left, x["left"][k]), max(right, x["right"][k])
            return
        for j in range(x["ranges"], k, -1):
            x["left"][j], x["right"][j] = x["left"][j - 1], x["right"][j - 1]
        x["left"][k], x["right"][k] = left, right
        x["ranges"] += 1
        return
    x["left"][k], x["right"][k] = min(left, x["left"][k]), max(right, x["right"][k])
    while k + 1 < x["ranges"] and x["left"][k + 1] <= x["right"][k]:
        x["right"][k] = max(x["right"][k], x["right"][k + 1])
        _forget_range(x, k + 1)


@inner
def _is_clean(x):
    return x["state"] == ESTABLISHED or (x["state"] == CLOSED and x["previous"] == ESTABLISHED)


@inner
def _miss(record, end, x, y):
    """A hole in what ``x`` sent has been acknowledged."""
    if _is_clean(x) and _is_clean(y):
        x["gaps"] += 1
        if _is_power_of_ten(x["gaps"]):
            _write_for(record, end, _G)


@inner
def _give_up_holes(record, end, x, y, ack):
    """Everything of ``x`` up to ``ack`` has been acknowledged, captured or not."""
    if ack <= 2 and record["is_partial"]:
        return
    while x["ranges"] and x["left"][0] < ack:
        if not x["skips"]:
            _miss(record, end, x, y)
        x["delivered"] = x["left"][0]
        _join_delivered(x)
    if ack > x["delivered"]:
        if not x["skips"]:
            _miss(record, end, x, y)
        x["delivered"] = ack


@inner
def _has_pending(x, y):
    """Whether the close of ``x`` waits for what has not been captured yet."""
    if x["skips"] or x["last"] < x["delivered"]:
        return False
    if x["delivered"] != x["last"] and x["delivered"] != x["last"] - 1:
        return True
    return x["state"] != RESET and y["ranges"] > 0


@inner
def _check_end(record, ends, z, end):
    """Once nothing of an end that has closed is pending, its deferred close takes place."""
    x, y = ends[2 * z + end], ends[2 * z + (end ^ 1)]
    if x["reached_end"] or not (x["has_fin"] or x["state"] == CLOSED or x["state"] == RESET):
        return
    if _has_pending(x, y):
        return
    x["reached_end"] = 1
    if record["close_deferred"]:
        _close(record, x, y, True)
        record["close_deferred"] = 0


@inner
def _acknowledge(record, ends, z, end, ack):
    """The peer of ``end`` acknowledges up to ``ack``."""
    x, y = ends[2 * z + end], ends[2 * z + (end ^ 1)]
    if x["has_fin"] and ack >= x["fin_end"]:
        ack = x["fin_end"] - 1
    if ack <= x["trimmed"]:
        return
    if ack > x["delivered"]:
        _give_up_holes(record, end, x, y, ack)
    _join_delivered(x)
    x["trimmed"] = ack
    _check_end(record, ends, z, end)


@inner
def _deliver(x, left, right):
    """``x`` sent these numbers, and they were captured."""
    if x["skips"] or right <= x["acked"] or right <= x["trimmed"]:
        return
    if left <= x["delivered"]:
        x["delivered"] = max(x["delivered"], right)
        _join_delivered(x)
    else:
        _keep_range(x, left, right)
        if x["acked"] <= 1 and x["right"][x["ranges"] - 1] - x["delivered"] > MOST_ABOVE_HOLE:
            x["skips"], x["ranges"] = 1, 0


# --- The states ----------------------------------------------------------------------------------


@inner
def _set_state(record, x, y, state):
    if x["state"] == state:
        return
    if state > SYN_ACK_SENT and x["state"] <= SYN_ACK_SENT and y["state"] <= SYN_ACK_SENT:
        record["is_past_handshake"] = 1
    x["previous"], x["state"] = x["state"], state


@inner
def _start_numbers(x, s, length):
    x["start"], x["acked"], x["last"] = s["seq"], 0, length


@inner
def _init_end(x, s, length):
    """The numbers that ``x`` begins with; a further SYN begins them anew."""
    is_syn, state = s["flags"] & SYN != 0, x["state"]
    if state == INACTIVE and not is_syn:
        x["start"], x["acked"], x["last"] = np.uint32((np.int64(s["seq"]) - 1) & 0xFFFFFFFF), 0, 1
    elif is_syn and (
        state == INACTIVE
        or PARTIAL <= state <= ESTABLISHED
        or (SYN_SENT <= state <= SYN_ACK_SENT and s["seq"] != x["start"])
        or (state == RESET and x["previous"] == INACTIVE)
    ):
        _start_numbers(x, s, length)


@inner
def _write_flags(record, end, x, s, number):
    """The letters that a segment's flags make; ``number`` is its first, relative."""
    flags, number = s["flags"], np.uint32(number & 0xFFFFFFFF)
    which = flags & (SYN | FIN | RST)
    if which == SYN:
        letter = _H if flags & ACK else _S
        if _write_first(record, end, SYN_LETTER, letter) and number != x["last_syn"]:
            _write_for(record, end, letter)
        x["last_syn"] = number
    elif which == FIN:
        number = np.uint32((np.int64(number) + np.int64(s["payload"])) & 0xFFFFFFFF)
        if _write_first(record, end, FIN_LETTER, _F) and number != x["last_fin"]:
            _write_for(record, end, _F)
        x["last_fin"] = number
    elif which == RST:
        if _write_first(record, end, RST_LETTER, _R) and number != x["last_rst"]:
            _write_for(record, end, _R)
        x["last_rst"] = number
    elif which:
        if which & (FIN | RST) == FIN | RST:
            _write_first(record, end, FIN_RST_LETTER, _I)
        else:
            _write_first(record, end, MULTI_LETTER, _Q)
    elif s["payload"]:
        _write_first(record, end, DATA_LETTER, _D)
    elif flags & ACK:
        _write_first(record, end, ACK_LETTER, _A)


@inner
def _count_zero_window(record, end, x, y, s):
    if s["window"] == 0 and not s["flags"] & RST and y["state"] != CLOSED and x["state"] != RESET:
        x["zero_windows"] += 1
        if _is_power_of_ten(x["zero_windows"]):
            _write_for(record, end, _W)


@inner
def _note_ack(y, s):
    """The number, relative, up to which a segment acknowledges what ``y`` sent."""
    if y["state"] == INACTIVE:
        y["start"], y["acked"], y["last"] = np.uint32((np.int64(s["ack"]) - 1) & 0xFFFFFFFF), 0, 0
        return np.int64(1)
    ack = _relative(s["ack"], y["start"], y["acked"])
    if ack < 0:
        return np.int64(0)
    is_broken = s["ack"] == 0 and ack - y["acked"] > TOO_FAR
    if not s["flags"] & RST and ack > y["acked"] and not is_broken:
        y["acked"] = ack
    return ack


@inner
def _note_last(record, end, x, s, beyond):
    """The numbers that ``x`` used, up to ``beyond``; what is not new is a retransmission."""
    delta = beyond - x["last"]
    if s["flags"] & (SYN | RST) and abs(delta) > TOO_FAR:
        return
    if s["flags"] & FIN and x["last"] == 1:
        x["last"] = beyond
    elif x["state"] == RESET:
        return
    elif delta > 0:
        x["last"] = beyond
    elif s["payload"] > 0:
        x["retransmissions"] += 1
        if _is_power_of_ten(x["retransmissions"]):
            _write_for(record, end, _T)


@inner
def _from_inactive(record, end, x, y, s, now):
    """The first frame of an end; whether it closes, and whether that is an end worth an event."""
    flags, is_originator = s["flags"], record["originator"] == end
    closes = is_finish = False
    if flags & SYN:
        if is_originator:
            _set_state(record, x, y, SYN_ACK_SENT if flags & ACK else SYN_SENT)
            record["attempt"] = now + ATTEMPT_DELAY
        else:
            if not flags & ACK and y["state"] == SYN_ACK_SENT:  # the SYN was captured after its SYN-ACK
                _flip(record)
                _set_state(record, y, x, ESTABLISHED)
                record["has_sent"][0] = 1
            if y["state"] == SYN_SENT:
                _set_state(record, y, x, ESTABLISHED)
            _set_state(record, x, y, ESTABLISHED)
    if flags & FIN:
        _set_state(record, x, y, CLOSED)
        closes = is_finish = True
    if flags & RST:
        _set_state(record, x, y, RESET)
        if is_originator:
            is_finish = y["state"] != ESTABLISHED
        else:
            is_finish = y["state"] != SYN_SENT and y["state"] != SYN_ACK_SENT
        closes = True
    if x["state"] == INACTIVE:
        if not is_originator and s["payload"] == 0 and y["state"] == SYN_SENT:
            return closes, is_finish
        if flags & ACK and y["state"] == ESTABLISHED:
            _set_state(record, x, y, ESTABLISHED)
            record["is_partial"] = 0
            record["has_sent"][0 if is_originator else 1] = 1
        else:
            _set_state(record, x, y, PARTIAL)
    return closes, is_finish


@inner
def _from_open(record, x, y, s):
    """A frame of an end that has begun and not closed; whether it closes, and whether by a FIN."""
    flags, state, closes, is_finish = s["flags"], x["state"], False, False
    is_opening = SYN_SENT <= state <= SYN_ACK_SENT
    if flags & SYN and not flags & ACK and state == PARTIAL and y["state"] == INACTIVE:
        _set_state(record, x, y, SYN_SENT)
    if flags & FIN and (is_opening or not flags & RST):
        _set_state(record, x, y, CLOSED)
        if not is_opening and y["state"] == RESET and y["previous"] == CLOSED:
            _set_state(record, y, x, CLOSED)  # a RST after the FIN, which was answered by this FIN
        closes = is_finish = True
    if flags & RST:
        _set_state(record, x, y, RESET)
        closes = True
        if is_opening or y["state"] != RESET or y["previous"] != ESTABLISHED:
            record["is_finished"] = 1
    return closes, is_finish


@inner
def _move(record, end, x, y, s, now):
    """Move the states by a segment; whether its sender closes, and whether by a FIN."""
    if x["state"] == INACTIVE:
        return _from_inactive(record, end, x, y, s, now)
    if x["state"] < CLOSED:
        return _from_open(record, x, y, s)
    if x["state"] == CLOSED and s["flags"] & RST and y["state"] != CLOSED:
        _set_state(record, x, y, RESET)
        return not x["is_closed"], False
    return False, False


@inner
def _close(record, x, y, is_finish):
    """An end has closed: when the other has too, the record is removed soon."""
    if _has_pending(x, y):
        record["close_deferred"] = 1
        return
    record["close_deferred"] = 0
    if x["is_closed"]:
        return
    x["is_closed"] = 1
    if x["state"] == RESET or y["is_closed"] or y["state"] == INACTIVE:
        if is_finish and (x["previous"] != INACTIVE or y["state"] != INACTIVE):
            record["is_finished"] = 1
        _cancel_timers(record)
        record["removal"] = record["last"] + CLOSE_DELAY
    elif x["previous"] == INACTIVE:
        record["partial_close"] = record["last"] + PARTIAL_CLOSE_DELAY
    else:
        record["second_expire"] = record["last"] + SESSION_TIMER


@inner
def _note_partial(record, role, flags):
    """Whether the connection is picked up midway, by the first frame of either role."""
    if role == 0:
        if not record["has_sent"][0]:
            record["is_partial"] = 1 if flags & (SYN | ACK) != SYN else 0
    elif not record["has_sent"][1] and not record["is_partial"]:
        record["is_partial"] = 0 if flags & SYN else 1


@inner
def _starts_with_lone_syn_ack(record, s):
    """Whether what follows a SYN-ACK shows that its sender is the responder."""
    return (
        record["length"] == 1
        and record["letters"][0] == _H
        and not s["flags"] & (SYN | FIN | RST)
        and (s["flags"] & ACK or s["payload"] > 0)
    )


@inner
def _take(record, ends, z, s):
    """Fold a segment into its record."""
    end, flags, now = _end(s), s["flags"], s["time"]
    x, y = ends[2 * z + end], ends[2 * z + (end ^ 1)]
    if s["checksum"] == BAD or s["checksum"] == OFFLOADED:
        x["checksum_errors"] += 1
        if _is_power_of_ten(x["checksum_errors"]):
            _write_for(record, end, _C)
        return
    if _starts_with_lone_syn_ack(record, s):
        record["length"] = 0
        _flip(record)
        _write(record, _H + LOWER)
    _note_partial(record, 0 if record["originator"] == end else 1, flags)
    length = (
        np.int64(0 if flags & RST else s["payload"]) + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
    )
    _init_end(x, s, length)
    number = _relative(s["seq"], x["start"], x["last"])
    _write_flags(record, end, x, s, number)
    _count_zero_window(record, end, x, y, s)
    if not x["is_closed"] or not y["is_closed"]:
        record["last"] = max(record["last"], now)
    if flags & FIN:
        x["has_fin"], x["fin_end"] = 1, number + length
    ack = _note_ack(y, s) if flags & ACK else np.int64(0)
    _note_last(record, end, x, s, number + length)
    closes, is_finish = _move(record, end, x, y, s, now)
    if flags & ACK:
        _acknowledge(record, ends, z, end ^ 1, ack)
    record["has_sent"][0 if record["originator"] == end else 1] = 1
    if s["payload"] and not flags & RST and not s["marks"] & CUT and number >= 0:
        left = number + 1 if flags & SYN else number
        _deliver(x, left, left + np.int64(s["payload"]))
    _check_end(record, ends, z, end)
    if closes:
        _close(record, x, y, is_finish)


@inner
def _is_over(records, ends, z, s):
    """Whether a segment does not belong to the record ``z`` any more."""
    record = records[z]
    o, r = ends[2 * z + record["originator"]], ends[2 * z + (record["originator"] ^ 1)]
    return _is_removed(record, o, r, s["time"]) or _is_reuse(o, r, s)


@kernel
def observe(
    places: Array,
    records: Array,
    ends: Array,
    counts: Array,
    server_ports: Array,
    flows: Array,
    segments: Array,
    notes: Array,
    start: int,
) -> int:
    """Fold the segments from ``start`` on into Zeek's records.

    Parameters
    ----------
    places : dialects.PLACES array, one for each connection
    records, ends : RECORDS and ENDS arrays, two ends for each record
    counts : int64 array (1,), how many records there are
    server_ports : uint8 array (65536,), 1 for those that Zeek takes for a server's
    flows : FLOWS array, the engine's connections
    segments, notes : SEGMENTS and NOTES arrays (n,)
    start : int

    Returns
    -------
    int
        How many segments were taken; fewer than all if there has to be room for more records first.
    """
    for i in range(start, len(segments)):
        if counts[0] >= len(records):
            return i
        s, conn = segments[i], notes[i]["side"] >> 1
        place = places[conn]
        if notes[i]["fate"] & OPENING:
            older = flows[conn]["older"]
            place["root"] = places[older]["root"] if older >= 0 else conn
            place["newest"] = place["first"] = -1
        root = places[place["root"]]
        if root["newest"] < 0 or _is_over(records, ends, root["newest"], s):
            root["newest"], end = counts[0], _end(s)
            counts[0] += 1
            z = root["newest"]
            records[z]["conn"] = conn
            _begin(records[z], ends[2 * z + end], ends[2 * z + (end ^ 1)], s, server_ports)
        _take(records[root["newest"]], ends, root["newest"], s)
        if place["first"] < 0:
            place["first"] = root["newest"]
        elif place["first"] != root["newest"]:
            place["later"] = 1
    return len(segments)
