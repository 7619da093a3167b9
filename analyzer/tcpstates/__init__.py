"""Which netstat state each side of every TCP connection in a capture was in, from when to when, and why.

    >>> import tcpstates
    >>> analysis = tcpstates.analyze("capture.pcap")
    >>> analysis.findings, analysis.connections, analysis.timeline
    >>> analysis.netstat("+12.5s"), analysis.census("1s")
    >>> with tcpstates.live("eth0") as capture:
    ...     capture.netstat()

The data pass these stations, and none of them knows of a later one:

    capture/      bytes -> frames -> SEGMENTS      files or interfaces; decode (compiled) or dissect (dpkt)
    inference/    SEGMENTS -> TRANSITIONS          flows and the engine, which does no input or output
    reports/      TRANSITIONS -> tables            connections, timeline, findings, patterns, netstat, census
    show/         tables -> people                 terminal, plots, notebook, CSV, JSON, explanations

``schema`` says once what every record and every table holds; no Python object is made per packet.
``states`` is the machine, one table of (state, event) -> (state, section of the RFC). ``analysis`` puts
the stations together: ``inferring`` passes a file through them, ``shelf`` keeps what is over before its end;
``session`` does so while a capture goes on, ``archive`` keeps what is over then, and
``drops`` what the kernel had no room for. ``distributed`` shares the work out to many machines.
``cli`` is thin over all. ``compiled`` is how hot loops are compiled.

Names are imported when they are used, so that ``import tcpstates`` and ``tcpstates --help`` are quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tcpstates.analysis import Analysis, analyze
    from tcpstates.errors import (
        CaptureError,
        CapturePermissionError,
        ClusterError,
        TcpstatesError,
        UsageError,
    )
    from tcpstates.session import Live, live
    from tcpstates.states import Event, Evidence, Side, State

__all__ = [
    "Analysis",
    "CaptureError",
    "CapturePermissionError",
    "ClusterError",
    "Event",
    "Evidence",
    "Live",
    "Side",
    "State",
    "TcpstatesError",
    "UsageError",
    "analyze",
    "live",
]

_HOMES = {
    "analysis": ("Analysis", "analyze"),
    "errors": ("CaptureError", "CapturePermissionError", "ClusterError", "TcpstatesError", "UsageError"),
    "session": ("Live", "live"),
    "states": ("Event", "Evidence", "Side", "State"),
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at its first use (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"tcpstates.{module}"), name)
    raise AttributeError(f"module 'tcpstates' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
