"""What each pattern over many connections means, and what it takes to be named; see ``reports.patterns``."""

from __future__ import annotations

from tcpstates.reports import patterns_capture as capture
from tcpstates.reports import patterns_closing as closing
from tcpstates.reports import patterns_opening as opening
from tcpstates.reports.wording import duration, share
from tcpstates.show.texts import Text

_PATTERNS = ("tcpstates patterns CAPTURE", "the figures, each with the threshold that it reached")
_LINUX_PORTS = closing.PORT_RANGES[0][1] - closing.PORT_RANGES[0][0] + 1
_OTHER_PORTS = closing.PORT_RANGES[1][1] - closing.PORT_RANGES[1][0] + 1

PATTERN_TEXTS: dict[str, Text] = {
    "leak": Text(
        "The number of sockets in CLOSE_WAIT on one side of a service only ever grows: its program is told "
        "that the peer has closed, and does not close. FIN_WAIT2 is named instead where the side that does "
        "not close cannot be seen to be in CLOSE_WAIT.",
        "When the program closes, only late: a pool that looks after its connections every few minutes.",
        "The program on the side to blame leaks. When its descriptors are used up, accept() and open() fail, "
        "and the service is down. A restart helps until the next time; only a fix of the program does for "
        "good.",
        (("ulimit -n", "how many descriptors may leak; raising it only buys time"),),
        (
            ("ss -tanp state close-wait", "which process holds the sockets"),
            ("tcpstates census CAPTURE --every 10s", "the number over time"),
            _PATTERNS,
        ),
        rule=f"At least {closing.LEAK_AT_LEAST} sockets of one server and side are stuck when the capture "
        f"ends (--stuck-after), they are {share(closing.LEAK_NEVER_CLOSED)} or more of those that ever were, "
        f"and they got stuck in at least {closing.LEAK_PARTS} of 5 equal parts of the time from the first to "
        "the last. Where the program closes some of them late, only those count that waited twice as long.",
    ),
    "syn_flood": Text(
        "SYNs come by masses and are not followed up, neither by an ACK nor by a second SYN, as a system "
        "that means to connect would send.",
        "When it is your own load test.",
        "Somebody wants to keep the server busy, from forged addresses if there are many, or a broken client "
        "or a blocked way back is behind it if there is one.",
        (
            ("net.ipv4.tcp_syncookies", "whether the server stays reachable when its queue is full"),
            ("net.ipv4.tcp_max_syn_backlog", "how many half-open connections a listener keeps"),
        ),
        (
            ("ss -tan state syn-recv | wc -l", "on the server: how many there are"),
            ("nstat -az TcpExtSyncookiesSent", "whether cookies had to help"),
            _PATTERNS,
        ),
        rule=f"Within {duration(opening.FLOOD_WINDOW)} at least {opening.FLOOD_AT_LEAST} attempts at one "
        f"server send a single SYN and, for {duration(opening.FLOOD_AGE)} or more, nothing else; "
        "they are more than the connections that are completed in that time, and the server answers some.",
    ),
    "backlog_overflow": Text(
        "A listener ignores SYNs, or the last ACK of handshakes, while it accepts other connections: one of "
        "its two queues is full.",
        "Right after a start, when all clients come back at once.",
        "The application calls accept() too rarely, as its threads are busy, or asked listen() for too short "
        "a queue. Clients wait a second or more for their connection.",
        (
            ("net.core.somaxconn", "the longest accept queue that listen() may ask for"),
            ("net.ipv4.tcp_max_syn_backlog", "how many half-open connections a listener keeps"),
            ("net.ipv4.tcp_abort_on_overflow", "whether a full accept queue answers with a RST instead"),
        ),
        (
            ("ss -ltn", "Recv-Q is the queue's length, Send-Q its limit"),
            ("nstat -az TcpExtListenOverflows TcpExtListenDrops", "how often a queue was full"),
            _PATTERNS,
        ),
        rule=f"At least {opening.BACKLOG_AT_LEAST} attempts at one server, and "
        f"{share(opening.BACKLOG_SHARE)} of all in that time, needed a second SYN, or got a second SYN-ACK "
        f"although the client had acknowledged the first; that is {opening.BACKLOG_TIMES_LOSS} times the "
        "share of later segments that were sent again, and others were accepted meanwhile. "
        "TCP_DEFER_ACCEPT with clients that stay silent looks the same.",
    ),
    "port_exhaustion": Text(
        "One client has so many sockets to one server, most of them in TIME_WAIT, that its ephemeral ports "
        "come to an end.",
        "In a load test.",
        "The client opens a connection for each request instead of keeping some. When no port is left, "
        "connect() fails with EADDRNOTAVAIL.",
        (
            ("net.ipv4.ip_local_port_range", "how many ports there are for connect()"),
            ("net.ipv4.tcp_tw_reuse", "whether connect() may take a port in TIME_WAIT after a second"),
        ),
        (
            ("ss -s", "on the client: how many sockets are in TIME_WAIT"),
            ("ss -tan state time-wait 'dport = :PORT' | wc -l", "those to this service"),
            _PATTERNS,
        ),
        rule=f"At one instant a client has sockets to one server on {share(closing.PORTS_IN_USE)} of the "
        f"ports of the range that it seems to use: {_LINUX_PORTS:,} as Linux, {_OTHER_PORTS:,} as Windows "
        "and macOS, 64,512 if neither fits.",
        elsewhere=(
            ("Windows: netsh int ipv4 show dynamicport tcp", "the range of ephemeral ports"),
            ("BSD, macOS: sysctl net.inet.ip.portrange", "the same"),
        ),
    ),
    "idle_timeout_race": Text(
        "The server closes connections that were idle for some time, each in the moment in which the client "
        "uses it again; the request is answered by a RST, and lost.",
        "Now and then it cannot be avoided; a client repeats such a request, if it may.",
        "The server's idle timeout is shorter than the time for which the client, often a proxy or a "
        "connection pool, keeps idle connections. Users see errors 502 now and then.",
        (),
        (
            ("keepalive_timeout, KeepAliveTimeout, idle_timeout, ...", "in the service's configuration"),
            _PATTERNS,
        ),
        rule=f"In at least {closing.RACE_AT_LEAST} connections to one server the client's data come within "
        f"{duration(closing.RACE_WITHIN)} of the server's close or RST, after {duration(closing.RACE_IDLE)} "
        f"or more of silence, which differs by at most {share(closing.RACE_SPREAD)} from the median.",
    ),
    "one_way_capture": Text(
        "The capture shows what one side sent, and nothing of what the other answered.",
        "When only one direction was mirrored on purpose.",
        "The capture is at fault, not the connections: a filter on the source address, a mirror port of one "
        "direction, or a way back that leads past the point of capture.",
        (),
        (("tcpdump -i any -w FILE tcp", "capture again on one of the two hosts"), _PATTERNS),
        rule=f"Of the connections with {capture.ONE_WAY_SEGMENTS} or more segments beside SYN and RST, "
        f"{share(capture.ONE_WAY_SHARE)} have frames of one side only.",
    ),
    "port_scan": Text(
        "One client tries many ports of one host, and uses none of them.",
        "When it is your own scanner or inventory.",
        "Somebody explores the host.",
        (),
        (("ss -ltn", "on the host: what listens, and so was found"), _PATTERNS),
        rule=f"At least {opening.SCAN_AT_LEAST} ports were tried in vain, and "
        f"{share(opening.SCAN_SHARE)} of the client's attempts there: refused, reset without any data, such "
        f"as no socket sends, or unanswered for {duration(opening.SCAN_AGE)} and given up after two SYNs at "
        "most.",
    ),
    "host_scan": Text(
        "One client tries one port on many hosts, and uses none of them.",
        "When it is your own scanner or monitoring.",
        "Somebody, or something, looks for hosts with that service: a worm does as well.",
        (),
        (
            ("tcpstates connections CAPTURE --addr CLIENT", "which hosts it tried, and what came of it"),
            _PATTERNS,
        ),
        rule=f"As port_scan, with {opening.SCAN_AT_LEAST} hosts.",
    ),
}
