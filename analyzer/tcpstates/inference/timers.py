"""Timer profiles: how long each kind of host waits before it changes a state by itself."""

from __future__ import annotations

from dataclasses import dataclass

from tcpstates.errors import UsageError

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Timers:
    """The timers of one kind of host; durations in nanoseconds.

    Attributes
    ----------
    time_wait : 2MSL, how long TIME_WAIT lasts (RFC 9293, 3.4.2).
    any_ack_restarts_time_wait : whether each segment with ACK and without RST restarts it, or only a FIN.
    fin_timeout : how long a FIN_WAIT2 lasts that no process holds any more.
    syn_retries, syn_ack_retries : retransmissions before an attempt is given up.
    linear_syn_retries : how many of them come at the initial timeout, before it doubles.
    initial_rto, maximum_rto : the retransmission timer's bounds at an attempt (RFC 6298).
    """

    name: str
    time_wait: int
    any_ack_restarts_time_wait: bool
    fin_timeout: int
    syn_retries: int
    syn_ack_retries: int
    linear_syn_retries: int = 0
    initial_rto: int = SECOND
    maximum_rto: int = 120 * SECOND


PROFILES: dict[str, Timers] = {
    profile.name: profile
    for profile in (
        # Linux include/net/tcp.h, Documentation/networking/ip-sysctl.rst
        Timers("linux", 60 * SECOND, True, 60 * SECOND, 6, 5, linear_syn_retries=4),
        # RFC 9293, 3.4.2 (MSL of two minutes) and 3.8.3 (R2 of three minutes for a SYN)
        Timers("rfc9293", 240 * SECOND, False, 240 * SECOND, 7, 7),
        # TcpTimedWaitDelay 120 s before Windows 10, FinWait2Delay 120 s, TcpMaxConnectRetransmissions 2
        Timers("windows", 120 * SECOND, False, 120 * SECOND, 2, 2),
        # FreeBSD net.inet.tcp.msl 30 s, net.inet.tcp.finwait2_timeout 60 s, syncache retries 3
        Timers("bsd", 60 * SECOND, False, 60 * SECOND, 12, 3),
        # XNU net.inet.tcp.msl 15 s, net.inet.tcp.fin_timeout 60 s
        Timers("macos", 30 * SECOND, False, 60 * SECOND, 10, 3),
    )
}


def profile_named(name: str) -> Timers:
    """The profile of that name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name in PROFILES:
        return PROFILES[name]
    raise UsageError(f"no timer profile {name!r}; use one of {', '.join(PROFILES)}")
