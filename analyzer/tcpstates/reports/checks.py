"""What to run next on the host concerned, to see there what the capture shows from outside."""

from __future__ import annotations


def on_host(host: str, command: str) -> str:
    """``"on 10.0.0.5: ss -s"``."""
    return f"on {host}: {command}"


#: By outcome: on which side (``other`` is the one that is not to blame), and what. ``{filter}`` is the
#: server's port, as a filter of ``ss`` on that side.
_CHECKS: dict[str, tuple[str, str]] = {
    "scan": ("server", "ss -ltn"),
    "refused": ("server", "ss -ltnp '{filter}'"),
    "unreachable": ("client", "traceroute -T -p {port} {server}"),
    "no_answer": ("server", "tcpdump -ni any 'tcp dst port {port} and tcp[tcpflags] & tcp-syn != 0'"),
    "half_open": ("server", "ss -tan state syn-recv '{filter}'; nstat -az TcpExtListenOverflows"),
    "timed_out": ("client", "ss -tinpo '{filter}'"),
    "stuck_close_wait": ("culprit", "ss -tanp state close-wait '{filter}'"),
    "stuck_fin_wait1": ("other", "ss -tano state fin-wait-1 '{filter}'"),
    "stuck_fin_wait2": ("other", "ss -tano state fin-wait-2 '{filter}'"),
    "stuck_closing": ("other", "ss -tano state closing '{filter}'"),
    "stuck_last_ack": ("other", "ss -tano state last-ack '{filter}'"),
    "reset_by_client": ("client", "the program's log, at that time"),
    "reset_by_server": ("server", "the service's log, at that time"),
    "reset_stale": ("culprit", "sysctl net.ipv4.tcp_keepalive_time; and the idle timeouts between the two"),
    "reset_while_closing": ("culprit", "nstat -az TcpExtTCPAbortOnData TcpExtTCPAbortOnClose"),
    "peer_vanished": ("other", "ss -tinpo '{filter}'"),
    "fragment": ("capture", "capinfos CAPTURE"),
}


def check(outcome: str, culprit: str, server: str, port: int) -> str:
    """What to run next because of a finding, and where."""
    where, command = _CHECKS[outcome]
    side = {"culprit": culprit, "other": "client" if culprit == "server" else "server"}.get(where, where)
    direction = "sport" if side == "server" else "dport"
    command = command.format(filter=f"{direction} = :{port}", port=port, server=server)
    if side == "capture":
        return command
    return on_host(server if side == "server" else "the client", command)
