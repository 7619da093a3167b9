"""The link between two hosts: carries every frame, each one a little late, and not all if it is a bad one."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import select
import socket
import threading
import time

from .link import Chances, Link, Loss, Predicate
from .namespaces import Namespace
from .packets import Frame, segment_of

_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_LARGEST_FRAME = 65_536
_IDLE = 0.2


class Wire(threading.Thread):
    """Forwards frames between two interfaces of a namespace in the middle.

    Parameters
    ----------
    middle : the namespace that both interfaces are in, each named as the side that it leads to.
    sides : of the client and the server.
    link : what it does to the frames.
    """

    def __init__(self, middle: Namespace, sides: tuple[str, str], link: Link) -> None:
        super().__init__(name="wire", daemon=True)
        self._sides = sides
        self._link = link
        self._chances = Chances(link)
        self._ends = [_packet_socket(middle, side) for side in sides]
        self._under_way: list[tuple[float, int, socket.socket, bytes]] = []
        self._order = itertools.count()
        self._latest = dict.fromkeys(self._ends, 0.0)
        self._losses: list[Loss] = []
        #: The last segment's frame that each side sent
        self.last: dict[str, bytes] = {}
        self._injected = False
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

    def lose(self, meant: Predicate, times: int | None = None) -> Loss:
        """Lose the next so many segments that are meant, or all until it is mended."""
        loss = Loss(meant, times)
        self._losses.append(loss)
        return loss

    @property
    def meddled(self) -> bool:
        """Whether segments were lost because it was meant so, or came from nowhere."""
        return self._injected or any(loss.lost for loss in self._losses)

    def inject(self, side: str, frame: bytes) -> None:
        """Deliver a frame to a side as if it came from the other."""
        self._injected = True
        self._ends[self._sides.index(side)].send(frame)

    def _patience(self) -> float:
        """Seconds until the next frame is due."""
        return max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else _IDLE

    def _take(self, end: socket.socket) -> None:
        frame, address = end.recvfrom(_LARGEST_FRAME)
        if address[2] == _PACKET_OUTGOING:  # that is what we delivered ourselves
            return
        index = self._ends.index(end)
        other = self._ends[1 - index]
        segment = segment_of(Frame(0, frame))
        if segment is None:
            self._carry(other, frame)
            return
        self.last[self._sides[index]] = frame
        fate = self._chances.fate(self._sides[index], segment)
        lost = [loss for loss in self._losses if loss.takes(self._sides[index], segment)]
        for overtaken in fate if not lost else ():
            self._carry(other, frame, overtaken=overtaken)

    def _carry(self, end: socket.socket, frame: bytes, *, overtaken: bool = False) -> None:
        due = time.monotonic() + self._link.delay + random.uniform(0, self._link.jitter)
        if overtaken:
            due += self._link.overtaken_by
        else:
            due = self._latest[end] = max(due, self._latest[end])
        heapq.heappush(self._under_way, (due, next(self._order), end, frame))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, _, end, frame = heapq.heappop(self._under_way)
            with contextlib.suppress(OSError):  # the interface may be going down
                end.send(frame)


def _packet_socket(namespace: Namespace, interface: str) -> socket.socket:
    with namespace.entered():
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        end.bind((interface, 0))
    return end
