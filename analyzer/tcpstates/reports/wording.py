"""Figures as people read them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tcpstates.schema import NO_TIME

_LARGE = ((86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s"))
_SMALL = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


def duration(nanoseconds: int) -> str:
    """``"5 min 12 s"``, ``"1.5 s"``, ``"37 ms"``: two units or two to three figures."""
    if nanoseconds >= 60_000_000_000:
        return _two_units(nanoseconds)
    for size, unit in _SMALL:
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return "0 s"


def _two_units(nanoseconds: int) -> str:
    nanoseconds = round(nanoseconds, -9)
    for (size, unit), (smaller, smaller_unit) in pairwise(_LARGE):
        if nanoseconds >= size:
            rest = nanoseconds % size // smaller
            return f"{nanoseconds // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{nanoseconds // 1_000_000_000} s"


def instant(nanoseconds: int) -> str:
    """``2026-01-31T12:00:00.000000000Z``: RFC 3339, to the nanosecond."""
    if nanoseconds == NO_TIME:
        return "never"
    return f"{np.datetime64(nanoseconds, 'ns')}Z"


def clock(nanoseconds: int) -> str:
    """``2026-01-31 12:00:00.000``: to the millisecond, in UTC."""
    return str(np.datetime64(nanoseconds // 1_000_000, "ms")).replace("T", " ")


def counted(number: int, noun: str) -> str:
    """``"1 connection"``, ``"31 connections"``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def endpoint(address: str, port: int) -> str:
    """``10.0.0.1:80``, ``[2001:db8::1]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
