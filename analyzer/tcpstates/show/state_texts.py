"""What each state means, when it is normal, whose fault it is otherwise, and what to look at next."""

from __future__ import annotations

from tcpstates.show.texts import Text
from tcpstates.states import State


def _elsewhere(windows: str, unix: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """How to list the sockets of a state on other systems, and what else matters there."""
    return (
        (f"Windows: Get-NetTCPConnection -State {windows}", "the sockets; OwningProcess is whose"),
        (f"BSD, macOS: netstat -an -p tcp | grep {unix}", "the same, without the process"),
        *more,
    )


_TW_BUCKETS = (
    "net.ipv4.tcp_max_tw_buckets",
    "how many TIME_WAIT sockets the host keeps; beyond that they are dropped at once, with a line in the log",
)
_ORPHAN_RETRIES = (
    "net.ipv4.tcp_orphan_retries",
    "retransmissions of a socket that no process holds any more, before it is dropped (0 means 8)",
)
_FIN_TIMEOUT = ("net.ipv4.tcp_fin_timeout", "how long an orphaned FIN_WAIT2 lasts, 60 s by default")
_RETRIES2 = (
    "net.ipv4.tcp_retries2",
    "retransmissions of data before the connection is given up: 15, which takes about a quarter of an hour",
)

STATE_TEXTS: dict[State, Text] = {
    State.UNKNOWN: Text(
        "Nothing in the capture allows a statement about this side. It is no state of TCP, but an "
        "abstention: a wrong state would be worse than none.",
        "At the start of a capture that began midway, for a side whose packets were not captured, and after "
        "frames that the capture missed.",
        "The connection has none. If most sides are unknown, the capture is at fault: taken in one direction "
        "only, on one of several paths, or with drops.",
        (),
        (
            ("capinfos CAPTURE", "whether the capture itself lost packets"),
            ("tcpdump -i any -w FILE", "capture again, on a host where both directions pass"),
        ),
    ),
    State.CLOSE: Text(
        "There is no socket for this connection on this side: not yet, or no longer.",
        "Before the SYN and after the close. Every connection ends here.",
        "Never by itself. How it came about tells: see the cause in the timeline, such as received_rst or "
        "timer_2msl.",
        (),
        (("tcpstates timeline CAPTURE --conn N", "the cause and the frame that ended the socket"),),
    ),
    State.LISTEN: Text(
        "A server waits for connections at this address and port. It belongs to the endpoint, not to a "
        "connection, and is inferred: whoever answers a SYN with a SYN-ACK was listening.",
        "For as long as the service runs. It has no peer: netstat shows 0.0.0.0:* or *:* for that.",
        "If connections to it are refused from some moment on, the service stopped or its accept queue "
        "overflowed with tcp_abort_on_overflow set.",
        (
            ("net.core.somaxconn", "the longest accept queue that listen() may ask for"),
            (
                "net.ipv4.tcp_max_syn_backlog",
                "how many half-open connections a listener keeps without SYN cookies",
            ),
            (
                "net.ipv4.tcp_abort_on_overflow",
                "whether a full accept queue answers with a RST instead of silence",
            ),
        ),
        (
            ("ss -ltn", "listeners, with the length of their accept queue (Recv-Q) and its limit (Send-Q)"),
            ("nstat -az TcpExtListenOverflows TcpExtListenDrops", "how often a queue was full"),
        ),
        elsewhere=(
            ("Windows: Get-NetTCPConnection -State Listen", "listeners; OwningProcess is whose"),
            ("BSD, macOS: netstat -Lan", "listeners, with the lengths of their queues"),
            ("FreeBSD: sysctl kern.ipc.soacceptqueue", "the longest accept queue; macOS: kern.ipc.somaxconn"),
        ),
    ),
    State.SYN_SENT: Text(
        "This side called connect(), sent its SYN, and waits for the answer.",
        "For one round trip.",
        "Longer than a second: the SYN or its answer is lost, a firewall drops it, or no host has that "
        "address. It is the network's or the server's doing, not the client's.",
        (
            (
                "net.ipv4.tcp_syn_retries",
                "retransmissions of the SYN: 6, which takes a little over two minutes",
            ),
            (
                "net.ipv4.tcp_syn_linear_timeouts",
                "how many more come a second apart before the wait doubles: 4",
            ),
        ),
        (
            ("ss -tanp state syn-sent", "which process connects to where"),
            ("traceroute -T -p PORT SERVER", "how far a SYN gets"),
        ),
        elsewhere=_elsewhere(
            "SynSent",
            "SYN_SENT",
            ("FreeBSD, macOS: sysctl net.inet.tcp.keepinit", "after how many ms connect() gives up"),
            ("Windows: Get-NetTCPSetting", "MaxSynRetransmissions: how often it is repeated"),
        ),
    ),
    State.SYN_RECV: Text(
        "This side received a SYN and answered with a SYN-ACK; the client's acknowledgement is still "
        "missing. On Linux it is a request, not yet a socket.",
        "For one round trip. Longer with TCP_DEFER_ACCEPT, which waits for the first data.",
        "Many of them at once, from addresses that never go on, are a SYN flood. A few that stay mean that "
        "the SYN-ACK or its acknowledgement is lost, or that the server's accept queue is full.",
        (
            ("net.ipv4.tcp_synack_retries", "retransmissions of the SYN-ACK: 5, which takes about a minute"),
            ("net.ipv4.tcp_syncookies", "whether a full queue is answered without keeping state"),
            ("net.ipv4.tcp_max_syn_backlog", "how many half-open connections a listener keeps"),
        ),
        (
            ("ss -tan state syn-recv", "which addresses do not complete"),
            ("nstat -az TcpExtTCPReqQFullDoCookies TcpExtListenOverflows", "whether queues ran full"),
            ("tcpstates patterns CAPTURE", "whether it is a flood, or a full queue"),
        ),
        elsewhere=_elsewhere(
            "SynReceived",
            "SYN_RCVD",
            (
                "FreeBSD: sysctl net.inet.tcp.syncookies",
                "whether a full queue is answered without keeping state",
            ),
        ),
    ),
    State.ESTABLISHED: Text(
        "The connection is open: both sides may send data.",
        "For as long as the application wants it. Idle connections stay in it, for days if nobody probes.",
        "When the peer is gone without a word: with data under way it ends after about a quarter of an hour, "
        "without data and without keep-alive never.",
        (
            _RETRIES2,
            (
                "net.ipv4.tcp_keepalive_time",
                "idle time before the first keep-alive probe: two hours, if asked for",
            ),
            ("TCP_USER_TIMEOUT", "a socket option: how long data may stay unacknowledged"),
        ),
        (
            ("ss -tanpio state established", "round trip, retransmissions and timers of each connection"),
            ("tcpstates connections CAPTURE", "which of them moved how many bytes"),
        ),
        elsewhere=_elsewhere(
            "Established",
            "ESTABLISHED",
            (
                "BSD, macOS: sysctl net.inet.tcp.keepidle",
                "idle time before the first keep-alive probe, in ms",
            ),
            ("Windows: KeepAliveTime in the registry", "the same"),
        ),
    ),
    State.FIN_WAIT1: Text(
        "This side closed and sent its FIN, which the peer has not acknowledged yet.",
        "For one round trip, or for as long as data in the send queue takes to leave before the FIN.",
        "Longer: the peer does not acknowledge. It is gone, a firewall forgot the connection, or the peer's "
        "receive window is closed because its application does not read.",
        (
            _ORPHAN_RETRIES,
            ("net.ipv4.tcp_max_orphans", "how many sockets without a process the host keeps"),
        ),
        (
            ("ss -tano state fin-wait-1", "the send queue and the retransmission timer"),
            ("tcpstates timeline CAPTURE --conn N", "whether the peer sends anything after the FIN"),
        ),
        elsewhere=_elsewhere("FinWait1", "FIN_WAIT_1"),
    ),
    State.FIN_WAIT2: Text(
        "This side's FIN is acknowledged; it waits for the peer's FIN. It can still receive.",
        "For as long as the peer needs to finish, and while it still has something to send: a half-close, as "
        "ssh and rsh use it.",
        "Longer: the peer's application does not close its socket, and the peer sits in CLOSE_WAIT. Its "
        "program is at fault. If this side called close(), Linux drops the socket after a minute; after "
        "shutdown() never.",
        (_FIN_TIMEOUT,),
        (
            ("ss -tanp state fin-wait-2", "with a process: after shutdown(); without one: orphaned"),
            ("ss -tanp state close-wait", "on the peer: the process that does not close"),
        ),
        elsewhere=_elsewhere(
            "FinWait2",
            "FIN_WAIT_2",
            ("FreeBSD: sysctl net.inet.tcp.finwait2_timeout", "how long it lasts without a process, in ms"),
        ),
    ),
    State.CLOSE_WAIT: Text(
        "The peer has closed; this side's kernel acknowledged that, and waits for the application to close "
        "too. No timer ends this state.",
        "For as long as the application needs to notice the end of the stream and to finish its answer.",
        "Longer: the application on this side leaks sockets. It does not read the end of the stream, or "
        "never calls close(): a connection pool that keeps dead connections, an error path that forgets to "
        "close, a blocked thread. In the end it runs out of file descriptors. The peer, in FIN_WAIT2, is not "
        "to blame.",
        (
            ("ulimit -n", "how many descriptors may leak before accept() fails; raising it only buys time"),
            (
                "net.ipv4.tcp_keepalive_time",
                "does not help: a probe may draw a RST that ends the connection, but the program's "
                "descriptor stays open",
            ),
        ),
        (
            ("ss -tanp state close-wait", "which process holds the sockets, and for which peers"),
            ("ls /proc/PID/fd | wc -l", "how many descriptors it holds by now"),
            ("tcpstates patterns CAPTURE", "whether their number only ever grows, since when and how fast"),
        ),
        elsewhere=_elsewhere("CloseWait", "CLOSE_WAIT"),
    ),
    State.CLOSING: Text(
        "Both sides closed at the same time: this side's FIN is not acknowledged yet, and the peer's has "
        "arrived.",
        "For at most one round trip, and rarely seen.",
        "Longer: the acknowledgement is lost, and the peer does not answer the repeated FIN.",
        (_ORPHAN_RETRIES,),
        (("tcpstates timeline CAPTURE --conn N", "whose FIN crossed whose, and what is missing"),),
        elsewhere=_elsewhere("Closing", "CLOSING"),
    ),
    State.LAST_ACK: Text(
        "The peer closed first, now this side has too and sent its FIN; it waits for the last "
        "acknowledgement.",
        "For one round trip.",
        "Longer: the peer no longer answers. Often its socket is gone already: an orphaned FIN_WAIT2 that "
        "timed out, or a firewall that forgot the connection. This side retransmits its FIN until it gives "
        "up.",
        (_ORPHAN_RETRIES, _FIN_TIMEOUT),
        (
            ("ss -tano state last-ack", "the retransmission timer"),
            ("tcpstates timeline CAPTURE --conn N", "how long the peer had waited for this FIN"),
        ),
        elsewhere=_elsewhere("LastAck", "LAST_ACK"),
    ),
    State.TIME_WAIT: Text(
        "The connection is closed on both sides, and this one waits for what may still be under way. It is "
        "as a rule the side that closed first; it stays to answer a repeated FIN, and to keep late segments "
        "out of a new connection with the same ports. No process holds it any more.",
        "Always: 60 s on Linux, up to four minutes by RFC 9293. Thousands of them are no fault, and cost "
        "little.",
        "Only if ports run out: a client that opens and closes connections to one server faster than about "
        "470 a second (28,232 ports in 60 s) gets EADDRNOTAVAIL. Keep connections open and reuse them.",
        (
            (
                "net.ipv4.tcp_tw_reuse",
                "whether connect() may take a port in TIME_WAIT after a second: 2, on loopback only",
            ),
            ("net.ipv4.ip_local_port_range", "how many ports there are for connect()"),
            _TW_BUCKETS,
        ),
        (
            ("ss -tan state time-wait | wc -l", "how many there are"),
            ("ss -s", "how they compare to all other sockets"),
        ),
        elsewhere=_elsewhere(
            "TimeWait",
            "TIME_WAIT",
            ("BSD, macOS: sysctl net.inet.tcp.msl", "half of how long it lasts, in ms"),
            ("BSD, macOS: sysctl net.inet.ip.portrange", "how many ports there are for connect()"),
            ("Windows: netsh int ipv4 show dynamicport tcp", "the same: 16,384"),
        ),
    ),
}
