"""The link between two hosts: carries every frame, each one a little late."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque

from .namespaces import Namespace

_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_LARGEST_FRAME = 65_536
_IDLE = 0.2


class Wire(threading.Thread):
    """Forwards frames between two interfaces of a namespace in the middle, in order.

    Parameters
    ----------
    middle : the namespace that both interfaces are in.
    interfaces : the client's and the server's end.
    delay : seconds that each frame is under way; the round trip takes twice as long.
    """

    def __init__(self, middle: Namespace, interfaces: tuple[str, str], delay: float) -> None:
        super().__init__(name="wire", daemon=True)
        self._delay = delay
        self._ends = [_packet_socket(middle, interface) for interface in interfaces]
        self._under_way: deque[tuple[float, socket.socket, bytes]] = deque()
        self._running = True

    def run(self) -> None:
        """Forward until stopped."""
        while self._running:
            for end in select.select(self._ends, [], [], self._patience())[0]:
                self._take(end)
            self._deliver()
        for end in self._ends:
            end.close()

    def stop(self) -> None:
        """Cut the wire."""
        self._running = False
        self.join()

    def _patience(self) -> float:
        """Seconds until the next frame is due."""
        return max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else _IDLE

    def _take(self, end: socket.socket) -> None:
        frame, address = end.recvfrom(_LARGEST_FRAME)
        if address[2] != _PACKET_OUTGOING:  # that is what we delivered ourselves
            other = self._ends[1 - self._ends.index(end)]
            self._under_way.append((time.monotonic() + self._delay, other, frame))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, end, frame = self._under_way.popleft()
            with contextlib.suppress(OSError):  # the interface may be going down
                end.send(frame)


def _packet_socket(namespace: Namespace, interface: str) -> socket.socket:
    with namespace.entered():
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        end.bind((interface, 0))
    return end
