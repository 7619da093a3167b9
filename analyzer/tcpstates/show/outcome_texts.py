"""What each outcome means, when it is normal, whose fault it is otherwise, and what to look at next."""

from __future__ import annotations

from tcpstates.show.texts import Text

_TIMELINE = (
    "tcpstates timeline CAPTURE --conn N",
    "the states of one such connection, with the frames behind them",
)
_CONNECTIONS = ("tcpstates connections CAPTURE --csv", "all of them, to sort by client or by time")
_CLOSE_WAIT = ("ss -tanp state close-wait", "which process holds the sockets, on the side to blame")

OUTCOME_TEXTS: dict[str, Text] = {
    "scan": Text(
        "A probe that is no connection: a FIN, no flag at all, FIN with PSH and URG, or a lone ACK, to see "
        "whether a port answers.",
        "When it is your own scanner, or a health check of a load balancer.",
        "Otherwise somebody explores the network. The client is to blame.",
        (),
        (_CONNECTIONS,),
    ),
    "refused": Text(
        "The SYN was answered by a RST: the host is there, but nothing listens on that port.",
        "While a service restarts, or when a client tries one address after the other.",
        "The service does not run, listens on another address or port, or a firewall rejects with a RST.",
        (("net.ipv4.tcp_abort_on_overflow", "if set, a full accept queue answers with a RST as well"),),
        (("ss -ltnp", "on the server: what listens where"), _TIMELINE),
    ),
    "unreachable": Text(
        "An ICMP error ended the attempt to connect.",
        "When an address is tried that is known to be down.",
        "A router has no route, or a firewall rejects. The network is to blame.",
        (),
        (("traceroute -T -p PORT SERVER", "who sends the error"), _TIMELINE),
    ),
    "no_answer": Text(
        "The SYN got no answer at all, for three seconds or more, or it had to be repeated.",
        "Never for long. One repeated SYN can be chance.",
        "A firewall drops silently, the host is down, or the listener's queue is full, which a capture "
        "cannot tell apart. If others reach the same server meanwhile, suspect the queue or a firewall "
        "rule.",
        (
            ("net.ipv4.tcp_syn_retries", "how often the client tries"),
            ("net.core.somaxconn", "how long the accept queue may be that, when full, drops SYNs"),
        ),
        (
            ("nstat -az TcpExtListenDrops", "on the server: whether a full queue dropped SYNs"),
            ("tcpdump -ni any 'tcp[tcpflags] & tcp-syn != 0'", "on the server: whether the SYN arrives"),
        ),
    ),
    "half_open": Text(
        "The server answered the SYN, but the client never completed the handshake.",
        "A few, from clients on bad networks, and from port scanners.",
        "Many, from many addresses: a SYN flood. From one client: the way back to it is blocked, or it "
        "loses the SYN-ACK.",
        (
            ("net.ipv4.tcp_syncookies", "whether the server stays reachable in a flood"),
            ("net.ipv4.tcp_synack_retries", "how long it waits for each of them"),
        ),
        (("ss -tan state syn-recv", "on the server: who does not complete"), _TIMELINE),
    ),
    "timed_out": Text(
        "A side retransmitted until it gave up, without an answer.",
        "When the peer was switched off or left the network.",
        "Packets are lost for minutes, or a firewall forgot the connection. The network is to blame.",
        (("net.ipv4.tcp_retries2", "retransmissions before giving up: 15, about a quarter of an hour"),),
        (("ss -tio", "retransmissions of what is still open"), _TIMELINE),
    ),
    "stuck_close_wait": Text(
        "One side closed, and the application on the other never did: its socket sits in CLOSE_WAIT.",
        "While it still sends data, which does not count here.",
        "The program on the side in CLOSE_WAIT leaks sockets: it does not notice the end of the stream, or "
        "forgets to close. No setting of the kernel helps.",
        (("ulimit -n", "how many descriptors may leak before accept() fails; raising it only buys time"),),
        (_CLOSE_WAIT, ("tcpstates explain CLOSE_WAIT", "how a socket gets there"), _TIMELINE),
    ),
    "stuck_fin_wait1": Text(
        "A side closed and sent its FIN, and the other never acknowledged it.",
        "Never for long.",
        "The peer vanished, its receive window is closed because its application does not read, or something "
        "between the two dropped the connection.",
        (("net.ipv4.tcp_orphan_retries", "how long a closed socket keeps on retransmitting"),),
        (("ss -tano state fin-wait-1", "the send queue and the timer"), _TIMELINE),
    ),
    "stuck_fin_wait2": Text(
        "A side closed, the other acknowledged that, and never closed itself.",
        "A half-close: the other side still has something to send, and does.",
        "The application on the other side does not close; see stuck_close_wait.",
        (("net.ipv4.tcp_fin_timeout", "how long the kernel keeps it once no process does"),),
        (_CLOSE_WAIT, _TIMELINE),
    ),
    "stuck_closing": Text(
        "Both sides closed at once, and one never acknowledged the other's FIN.",
        "Never for long.",
        "Acknowledgements are lost on the way to this side.",
        (("net.ipv4.tcp_orphan_retries", "how long a closed socket keeps on retransmitting"),),
        (_TIMELINE,),
    ),
    "stuck_last_ack": Text(
        "The side that closed second never got the last acknowledgement.",
        "Never for long.",
        "The peer no longer has the connection: it waited too long for this FIN, or a firewall dropped its "
        "state.",
        (("net.ipv4.tcp_orphan_retries", "how long a closed socket keeps on retransmitting"),),
        (("ss -tano state last-ack", "the timer"), _TIMELINE),
    ),
    "reset_by_client": Text(
        "The client aborted an open connection with a RST, without a FIN before.",
        "Some programs do so on purpose: load balancers' health checks, clients that set SO_LINGER to zero.",
        "The client crashed, was stopped, or closed with data unread. What was under way is lost.",
        (("SO_LINGER", "a socket option: with a time of zero, close() sends a RST"),),
        (("journalctl -u SERVICE", "on the client: what happened at that time"), _TIMELINE),
    ),
    "reset_by_server": Text(
        "The server aborted an open connection with a RST, without a FIN before.",
        "When the server closes idle connections that way.",
        "The server's process crashed or was stopped, closed with data unread, or a middlebox sent the RST "
        "in its name: compare the TTL with that of other packets.",
        (("SO_LINGER", "a socket option: with a time of zero, close() sends a RST"),),
        (("journalctl -u SERVICE", "on the server: what happened at that time"), _TIMELINE),
    ),
    "reset_stale": Text(
        "A side sent on a connection that its peer no longer knew, and got a RST for it.",
        "After the peer was restarted.",
        "The peer, a NAT or a firewall forgot the connection, often for having been idle too long.",
        (("net.ipv4.tcp_keepalive_time", "probes that keep idle connections known"),),
        (_TIMELINE,),
    ),
    "reset_while_closing": Text(
        "A RST came after a FIN: the connection was being closed, but not to the end.",
        "When one side is done and does not care for the rest, as browsers do when a page is left.",
        "Data that came after the close were thrown away, or data were left unread: the last part of an "
        "answer may be missing.",
        (),
        (_TIMELINE,),
    ),
    "peer_vanished": Text(
        "When the capture ends, a side retransmits or probes, and nobody answers.",
        "For some seconds, on a bad network.",
        "The peer is gone, or the way to it is interrupted.",
        (("net.ipv4.tcp_retries2", "how long the side will go on trying"),),
        (("ss -tio", "retransmissions of what is still open"), _TIMELINE),
    ),
    "closed": Text(
        "Both sides sent a FIN, and both were acknowledged.",
        "Always. A side in TIME_WAIT is done.",
        "Never.",
        (),
        (_CONNECTIONS,),
    ),
    "closing": Text(
        "A FIN was sent, and the close is under way, not yet for long.",
        "For a round trip, or while the other side finishes.",
        "Only if it lasts; then the outcome is one of the stuck ones.",
        (),
        (_CONNECTIONS,),
    ),
    "open": Text(
        "The connection was open, or opening, when the capture ended.",
        "Always.",
        "Never by itself.",
        (),
        (_CONNECTIONS,),
    ),
    "fragment": Text(
        "Too little of the connection was captured to say what became of it.",
        "At the edges of a capture.",
        "If there are many, the capture is at fault: it misses a direction, or lost packets.",
        (),
        (("capinfos CAPTURE", "whether the capture lost packets"), _TIMELINE),
    ),
}
