"""Figures as people read them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tcpstates.schema import NO_TIME

_LARGE = ((86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s"))
_SMALL = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
#: Of more captures than these a command that is to be run next does not repeat the names.
_MOST_NAMED = 3


def command(verb: str, captures: Sequence[str], *options: str) -> str:
    """What to run next on the same ``captures``, as a shell takes it."""
    named = captures if len(captures) <= _MOST_NAMED else ["CAPTURE..."]
    return shlex.join(["tcpstates", verb, *named, *options])


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


#: ICMP's and ICMPv6's destination unreachable, by code (IANA's registries, as short as they can be).
_UNREACHABLE = {
    4: (
        "network unreachable", "host unreachable", "protocol unreachable", "port unreachable",
        "fragmentation needed", "source route failed", "network unknown", "host unknown",
        "source host isolated", "network prohibited", "host prohibited",
        "network unreachable for this type of service", "host unreachable for this type of service",
        "administratively prohibited", "host precedence violation", "precedence cut off",
    ),
    6: (
        "no route", "administratively prohibited", "beyond scope of source address",
        "address unreachable", "port unreachable", "source address failed policy", "route rejected",
        "error in source routing header",
    ),
}  # fmt: skip
#: Other messages, by version and type; of two names the second is that of code 1.
_ICMP_MESSAGES = {
    (4, 3): ("destination unreachable",),
    (4, 4): ("source quench",),
    (4, 5): ("redirect",),
    (4, 11): ("time to live exceeded", "fragment reassembly time exceeded"),
    (4, 12): ("parameter problem",),
    (6, 1): ("destination unreachable",),
    (6, 2): ("packet too big",),
    (6, 3): ("hop limit exceeded", "fragment reassembly time exceeded"),
    (6, 4): ("parameter problem",),
}
_IS_UNREACHABLE = {(4, 3), (6, 1)}


def icmp_words(version: int, kind: int, code: int) -> str:
    """What an ICMP (version 4) or ICMPv6 (6) error says: ``"host unreachable (ICMP 3/1)"``."""
    names = _ICMP_MESSAGES.get((version, kind), ("error",))
    name = names[min(code, len(names) - 1)]
    if (version, kind) in _IS_UNREACHABLE and code < len(_UNREACHABLE[version]):
        name = _UNREACHABLE[version][code]
    return f"{name} ({'ICMPv6' if version == 6 else 'ICMP'} {kind}/{code})"


def counted(number: int, noun: str) -> str:
    """``"1 connection"``, ``"31 connections"``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def frame_name(frame: int, file: str = "") -> str:
    """``"frame 7"``, ``"frame 7 of b.pcap"``."""
    return f"frame {frame}" + (f" of {file}" if file else "")


def located(address: str, port: int, tunnel: str) -> str:
    """An endpoint with the tunnel that it is in: ``10.0.0.1:80 in VXLAN 100``."""
    return endpoint(address, port) + (f" in {tunnel}" if tunnel else "")


def figure(value: float) -> str:
    """``"0.125"``, ``"33.4"``, ``"12,345"``: three figures, or all of a whole number's."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    """``"12 %"``, ``"0.3 %"``."""
    return f"{100 * value:.2g} %" if value < 0.995 else "100 %"


def endpoint(address: str, port: int) -> str:
    """``10.0.0.1:80``, ``[2001:db8::1]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
