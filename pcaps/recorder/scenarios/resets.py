"""Ways in which a RST ends a connection."""

from __future__ import annotations

import contextlib
import socket
import subprocess

from ..expectations import sends, undergoes
from ..lab import Lab, abort
from ..recording import proof


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED"),
    undergoes("server", "SYN_RECV ESTABLISHED"),
    sends("client", "R"),
)
def reset_unread_by_client(lab: Lab) -> None:
    """The client closes without having read the answer."""
    client, server = lab.connect()
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    server.recv(100)
    server.sendall(bytes(700))
    lab.pause(0.5)
    client.close()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED CLOSE_WAIT"),
    undergoes("server", "SYN_RECV ESTABLISHED FIN_WAIT1 FIN_WAIT2"),
    sends("server", "R"),
)
def idle_connection_closed(lab: Lab) -> None:
    """A server closes an idle connection; its client notices only when its next request is reset."""
    client, server = lab.connect()
    lab.exchange(client, server)
    lab.pause(1)
    server.close()
    lab.pause(1.5)
    client.sendall(b"GET /again HTTP/1.1\r\nHost: example.org\r\n\r\n")
    lab.settle()
    client.close()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT"),
    sends("client", "R"),
)
def data_to_closed(lab: Lab) -> None:
    """The client closed fully, the server still has something to say: its data is answered by a RST."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    lab.pause(0.8)
    server.sendall(bytes(500))
    lab.settle()
    server.close()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED"),
    undergoes("server", "SYN_RECV ESTABLISHED"),
    sends("client", "R"),
)
def killed_process(lab: Lab) -> None:
    """The client's process is killed with an answer unread."""
    client, server = lab.connect()
    lab.exchange(client, server)
    holder = subprocess.Popen(["sleep", "60"], pass_fds=(client.fileno(),))
    client.close()
    server.sendall(bytes(300))
    lab.pause(1)
    holder.kill()
    holder.wait()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT"),
    sends("server", "R"),
)
def reset_in_close_wait(lab: Lab) -> None:
    """The server aborts instead of answering the client's FIN with its own."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.shutdown(socket.SHUT_WR)
    lab.pause(0.7)
    abort(server)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT"),
    sends("client", "R"),
)
def reset_in_fin_wait2(lab: Lab) -> None:
    """The client, having half-closed, loses patience and aborts."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.shutdown(socket.SHUT_WR)
    lab.pause(0.7)
    abort(client)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED"),
    undergoes("server", "SYN_RECV ESTABLISHED"),
    sends("server", "R"),
    vantage="client",
)
def stale_connection(lab: Lab) -> None:
    """The server aborts while the link is down; long after, the client's next request is reset."""
    client, server = lab.connect()
    lab.exchange(client, server)
    cut = lab.cut()
    abort(server)
    lab.pause(2)
    cut.mend()
    client.sendall(b"still there?")
    lab.settle()


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED", 6), undergoes("server", "SYN_RECV ESTABLISHED", 6), ipv6=True
)
def ipv6_resets(lab: Lab) -> None:
    """Three connections aborted by either side, over IPv6."""
    listener = lab.server.listen(8080)
    for number in range(6):
        client, server = lab.connect_to(listener)
        lab.exchange(client, server)
        abort(client if number % 2 else server)
        lab.pause(0.4)


@proof(
    undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"),
    undergoes("server", "SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK"),
    undergoes("server", "SYN_SENT ESTABLISHED CLOSE_WAIT LAST_ACK"),
    undergoes("client", "SYN_RECV ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT"),
)
def proxy(lab: Lab) -> None:
    """A proxy on the server's host passes on to a service on the client's; each end closes in turn."""
    service_address = lab.numbered(3)
    lab.client.add_address(service_address)
    back = lab.client.listen(9000, service_address)
    client, inward = lab.connect()
    outward = lab.server.new_socket()
    outward.connect(back.getsockname())
    service, _ = back.accept()
    lab.client.sockets.append(service)
    chain = [client, inward, outward, service]
    lab.pass_on(b"GET / HTTP/1.0\r\n\r\n", chain)
    lab.pass_on(b"HTTP/1.0 200 OK\r\n\r\n", chain[::-1])
    lab.settle()
    service.close()
    lab.pause(0.2)
    client.close()
    lab.pause(0.2)
    inward.close()
    outward.close()


@proof(undergoes("client", "SYN_SENT ESTABLISHED FIN_WAIT1"), undergoes("server", "SYN_RECV ESTABLISHED"))
def crossing_fin_and_reset(lab: Lab) -> None:
    """The client's FIN and the server's RST cross."""
    client, server = lab.connect()
    lab.exchange(client, server)
    client.close()
    with contextlib.suppress(OSError):
        abort(server)
