"""Hundreds of connections between programs that do as they like, on good and on bad links."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Coroutine

from ..expectations import loses
from ..lab import Lab, abort
from ..link import Link
from ..recording import Expectation, Recording, proof
from ..spans import sequences

#: How often each way to end is chosen; a request's first word tells the server.
_WAYS = {
    "client": 40, "server": 25, "half": 12, "together": 8, "abort": 5, "aborted": 5, "unread": 3, "late": 4,
    "leak": 4, "refused": 3,
}  # fmt: skip
#: In these the server loses patience (seconds); otherwise the client ends it.
_PATIENCE = dict.fromkeys(("server", "together", "aborted", "late"), 1.5)
_PORT, _CLOSED_PORT = 8080, 9999
_AT_MOST = 30  # seconds of one conversation


class Crowd:
    """A service and its many clients, all in one thread, which never waits for one of them.

    Parameters
    ----------
    lab : where.
    connections, seconds : how many begin within which time.
    """

    def __init__(self, lab: Lab, connections: int, seconds: float) -> None:
        self._lab = lab
        self._random = random.Random(connections)
        self._listener = lab.server.listen(_PORT, backlog=512)
        self._listener.setblocking(False)
        ways = self._random.choices(list(_WAYS), list(_WAYS.values()), k=connections)
        self._plan = [(self._random.uniform(0, seconds), way) for way in ways]

    async def play(self) -> None:
        """Go on until all have ended."""
        serving = asyncio.create_task(self._serve())
        await asyncio.gather(*(_quietly(self._call(begin, way)) for begin, way in self._plan))
        serving.cancel()

    async def _serve(self) -> None:
        loop, answering = asyncio.get_running_loop(), []
        while True:
            server, _ = await loop.sock_accept(self._listener)
            self._lab.server.sockets.append(server)
            answering.append(asyncio.create_task(_quietly(self._answer(server))))

    async def _call(self, begin: float, way: str) -> None:
        """One client, from its begin to its end."""
        await asyncio.sleep(begin)
        loop = asyncio.get_running_loop()
        client = self._lab.client.new_socket()
        client.setblocking(False)
        port = _CLOSED_PORT if way == "refused" else _PORT
        await loop.sock_connect(client, (self._lab.server.address, port))
        for number in range(self._random.randint(1, 4)):
            await loop.sock_sendall(client, way.encode().ljust(20 + 50 * number))
            if way != "unread":
                await loop.sock_recv(client, 4096)
            await asyncio.sleep(self._random.uniform(0, 1))
        await self._end(client, way)

    async def _end(self, client: socket.socket, way: str) -> None:
        """What the client does when it has no more requests."""
        if way not in _PATIENCE:
            await asyncio.sleep(self._random.uniform(0.2, 3))
        if way == "half":
            client.shutdown(socket.SHUT_WR)
        if way in ("half", "server", "aborted"):
            await _read_all(client)
        if way == "together":
            await self._await_the_servers_close(client, way)
        if way == "late":
            await asyncio.sleep(2 * _PATIENCE[way])
            client.send(way.encode())
            await asyncio.sleep(0.5)
        (abort if way == "abort" else socket.socket.close)(client)

    async def _await_the_servers_close(self, client: socket.socket, way: str) -> None:
        """Wait until the server closes, whose FIN is then still under way."""
        loop = asyncio.get_running_loop()
        close = loop.time() + _PATIENCE[way] + self._lab.round_trip / 2
        await loop.sock_sendall(client, way.encode())
        await loop.sock_recv(client, 4096)
        await asyncio.sleep(close - loop.time())

    async def _answer(self, server: socket.socket) -> None:
        """The server's side of one connection."""
        loop, way = asyncio.get_running_loop(), "client"
        server.setblocking(False)
        with contextlib.suppress(TimeoutError):
            while request := await asyncio.wait_for(loop.sock_recv(server, 4096), _PATIENCE.get(way)):
                way = request.split()[0].decode()
                await loop.sock_sendall(server, bytes(self._random.randint(20, 900)))
        if way == "half":
            for _ in range(3):
                await asyncio.sleep(0.3)
                await loop.sock_sendall(server, bytes(300))
        if way != "leak":
            (abort if way == "aborted" else socket.socket.close)(server)


async def _quietly(conversation: Coroutine[None, None, None]) -> None:
    """What one program suffers is no concern of the others."""
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(conversation, _AT_MOST)


async def _read_all(one: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(one, 4096):
        pass


#: How clients' sockets end, by each of the ways
_ENDS = (
    "FIN_WAIT1 FIN_WAIT2 TIME_WAIT",
    "ESTABLISHED CLOSE_WAIT LAST_ACK",
    "FIN_WAIT1 CLOSING TIME_WAIT",
    "ESTABLISHED FIN_WAIT1 FIN_WAIT2",
    "SYN_SENT ESTABLISHED",
    "SYN_SENT",
)


def mixes(clients: int, ends: tuple[str, ...] = _ENDS) -> Expectation:
    """So many clients' sockets, and all ways to end; a port may serve twice."""

    def check(recording: Recording) -> None:
        passed = [" ".join(states) for states in sequences(recording.spans, "client").values()]
        recording.demand(len(passed) >= clients, f"only {len(passed)} clients, not {clients}")
        for end in ends:
            recording.demand(any(one.endswith(end) for one in passed), f"no client ends by {end}")

    return check


@proof(mixes(225), pace="heavy")
def many_clean(lab: Lab) -> None:
    """240 connections of all kinds within 20 seconds, nothing lost."""
    asyncio.run(Crowd(lab, 240, 20).play())


_BAD = Link(delay=0.01, jitter=0.002, loss=0.025, duplicate=0.01, reorder=0.02)


@proof(
    mixes(300), loses("client", "S"), loses("server", "SA"), loses("client", "FA"), link=_BAD, pace="heavy"
)
def many_impaired(lab: Lab) -> None:
    """320 connections of all kinds within 25 seconds, under loss, reordering and duplication."""
    asyncio.run(Crowd(lab, 320, 25).play())


_FAR = Link(delay=0.1, jitter=0.04, loss=0.01, duplicate=0.005, reorder=0.02, overtaken_by=0.05)


@proof(mixes(140), loses("client", "A"), link=_FAR, pace="heavy")
def many_far(lab: Lab) -> None:
    """150 connections of all kinds within 15 seconds over a far and unsteady link."""
    asyncio.run(Crowd(lab, 150, 15).play())


_ROUGH = Link(delay=0.005, jitter=0.001, loss=0.1, duplicate=0.03, reorder=0.05)


@proof(mixes(55, _ENDS[:2]), loses("client", "FA"), link=_ROUGH, rest=5, pace="heavy")
def many_rough(lab: Lab) -> None:
    """60 connections within ten seconds over a link that loses every tenth segment."""
    asyncio.run(Crowd(lab, 60, 10).play())
