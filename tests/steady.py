"""Connections of real sockets at a steady rate, for as long as is wanted, at little cost."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque

from wires import Wire

_NO_LINGER = struct.pack("ii", 1, 0)
_STEP = 0.05  # seconds between two bursts


def abort(end: socket.socket) -> None:
    """Close with a RST."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    end.close()


class Steady(threading.Thread):
    """Opens so many connections a second; each carries a word both ways, and closes a second later.

    What is behind time is made up for. The thread enters the client's namespace once, and sleeps between
    bursts, so that it takes little from what is measured.

    Attributes
    ----------
    count : how many were opened.
    took : how many seconds that took.
    """

    def __init__(self, hosts: Wire, per_second: int, seconds: float, port: int = 8080) -> None:
        super().__init__(daemon=True)
        self._hosts, self._listener = hosts, hosts.listen(port)
        # Most ports stay in TIME_WAIT for a minute; the kernel would look for long for one of the few others
        hosts.client.sysctl("ipv4/ip_local_port_range", "1024 65535")
        self._rate, self._seconds = per_second, seconds
        self._open: deque[tuple[socket.socket, socket.socket]] = deque()
        self.count, self.took = 0, 0.0

    def run(self) -> None:
        began = time.monotonic()
        with self._hosts.client.entered():
            while self.count < self._rate * self._seconds:
                due = min(time.monotonic() - began, self._seconds) * self._rate
                while self.count < due:
                    self._next()
                time.sleep(_STEP)
        self.took = time.monotonic() - began
        while self._open:
            self._close(0)

    def _next(self) -> None:
        client = socket.socket()
        client.connect(self._listener.getsockname())
        server = self._listener.accept()[0]
        client.send(b"question")
        server.send(b"answer")
        self._open.append((client, server))
        self.count += 1
        if len(self._open) > self._rate:
            self._close(self.count % 50)

    def _close(self, way: int) -> None:
        """Close the oldest: mostly the client first, some the server first, some by a RST."""
        client, server = self._open.popleft()
        first, second = (server, client) if way % 5 == 1 else (client, server)
        first.recv(64)
        second.recv(64)
        abort(first) if way == 0 else first.close()
        second.close()
