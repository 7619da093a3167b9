"""Instants and durations as people give them, as exact nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from tcpstates.errors import UsageError

SECOND = 1_000_000_000
_UNITS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000,
    "": SECOND, "s": SECOND, "sec": SECOND,
    "m": 60 * SECOND, "min": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]*)", re.IGNORECASE)
_INSTANT = re.compile(
    r"(?P<whole>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?P<fraction>\.\d{1,9})?)?)?)\s*"
    r"(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"\d+(\.\d{1,9})?")
_LIMIT = 2**63 - 1  # nanoseconds in an int64: 292 years either way

_HOW_DURATION = "write a number and a unit, such as 500ms, 30s, 2min or 1h"
_HOW_INSTANT = "write 2026-01-31T12:00:00Z, seconds since 1970, or +12.5s from the first frame"


def parse_duration(value: Any) -> int:
    """A duration in nanoseconds.

    Parameters
    ----------
    value : text such as ``"500ms"`` or ``"1.5h"``, a number of seconds, a ``timedelta`` (pandas' too), a
        ``numpy.timedelta64``.

    Raises
    ------
    UsageError
        If it is none of these, negative, or longer than 292 years.
    """
    nanoseconds = _duration(value)
    if nanoseconds is None or not 0 <= nanoseconds <= _LIMIT:
        raise UsageError(f"not a duration: {value!r}; {_HOW_DURATION}")
    return nanoseconds


def _duration(value: Any) -> int | None:
    if isinstance(value, np.timedelta64):
        return None if np.isnat(value) else int(value.astype("timedelta64[ns]").astype(np.int64))
    if isinstance(value, timedelta):
        extra = getattr(value, "nanoseconds", 0)  # pandas keeps what a timedelta cannot
        return (value // timedelta(microseconds=1)) * 1000 + extra
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(Decimal(str(value)) * SECOND) if np.isfinite(value) else None
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        return None
    return int(Decimal(match[1]) * _UNITS[match[2].lower()])


def parse_instant(value: Any, first: int, *, local: bool = False) -> int:
    """An instant in nanoseconds since the epoch.

    Parameters
    ----------
    value : RFC 3339 text (to nine digits), seconds since the epoch (text or number), ``"+12.5s"`` after the
        capture's first frame, a ``datetime`` (pandas' too), a ``numpy.datetime64``.
    first : the capture's first frame, ns since the epoch.
    local : whether a time that names no zone is local time, not UTC.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    nanoseconds = _instant(value, first, local)
    if nanoseconds is None or abs(nanoseconds) > _LIMIT:
        raise UsageError(f"not a time: {value!r}; {_HOW_INSTANT}")
    return nanoseconds


def _instant(value: Any, first: int, local: bool) -> int | None:
    if isinstance(value, str):
        return _instant_of_text(value.strip(), first, local)
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else int(value.astype("datetime64[ns]").astype(np.int64))
    if isinstance(value, datetime) and value == value:  # pandas' NaT is a datetime, and equals nothing
        return _instant_of_datetime(value, local) + int(getattr(value, "nanosecond", 0))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value):
        return int(Decimal(str(value)) * SECOND)
    return None


def _instant_of_text(text: str, first: int, local: bool) -> int | None:
    if text.startswith("+"):
        return first + parse_duration(text[1:])
    if _EPOCH.fullmatch(text):
        return int(Decimal(text) * SECOND)
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    fraction, zone = match["fraction"] or "", (match["zone"] or "").upper().replace("UTC", "Z")
    whole = match["whole"].removesuffix(fraction)
    try:
        moment = datetime.fromisoformat(whole + zone)
    except ValueError:  # the 31st of February
        return None
    return _instant_of_datetime(moment, local) + int(fraction[1:].ljust(9, "0"))


def _instant_of_datetime(moment: datetime, local: bool) -> int:
    if moment.tzinfo is None:
        moment = moment.astimezone() if local else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
