"""The capture that ``make demo`` analyses: two minutes of a small site on which several things go wrong."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass

from ..expectations import ends, holds, lasts, sends
from ..lab import Lab, abort
from ..link import Link
from ..recording import scenario

#: Does a step at each ``next`` and says how many seconds later the following one is due.
Conversation = Generator[float, None, None]

_DURATION = 112.0
_CLIENTS = 6
_LEAKED = 17
_TRYING = 2


@dataclass(frozen=True)
class Service:
    """Something that listens."""

    listener: socket.socket

    @property
    def address(self) -> tuple[str, int]:
        """Where."""
        address: tuple[str, int] = self.listener.getsockname()
        return address


class Site:
    """Clients, services, and what they say to each other."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.random = random.Random(9293)
        self.clients = [lab.numbered(11 + number) for number in range(_CLIENTS)]
        for address in self.clients:
            lab.client.add_address(address)
        self.web = self._service(10, 443)
        self.api = self._service(20, 8080)
        self.database = self._service(30, 5432)
        self.cache = self._service(40, 6379)
        self.legacy = self._service(50, 8443)
        lab.server.drop("tcp dport 8443")

    def _service(self, host: int, port: int) -> Service:
        address = self.lab.numbered(host, network=1)
        if address not in self.lab.server.addresses:
            self.lab.server.add_address(address)
        return Service(self.lab.server.listen(port, address))

    def _caller(self) -> socket.socket:
        return self.lab.client.new_socket(self.random.choice(self.clients))

    def open(self, service: Service) -> tuple[socket.socket, socket.socket]:
        """An established connection to ``service``."""
        client = self._caller()
        client.connect(service.address)
        server, _ = service.listener.accept()
        self.lab.server.sockets.append(server)
        return client, server

    def ask(self, client: socket.socket, server: socket.socket, size: int = 200) -> None:
        """A request and an answer of at most ``size`` bytes."""
        for sender, receiver in ((client, server), (server, client)):
            sender.sendall(bytes(self.random.randint(20, size)))
            receiver.recv(4096)

    def visit(self, service: Service, requests: int, *, server_first: bool = False) -> Conversation:
        """A connection as it should be; the peer closes as soon as it learns of the close."""
        client, server = self.open(service)
        for _ in range(requests):
            self.ask(client, server)
            yield self.random.uniform(0.1, 1.5)
        first, second = (server, client) if server_first else (client, server)
        first.close()
        yield self.random.uniform(0.005, 0.02)
        second.close()

    def leak(self) -> Conversation:
        """An upload that hangs in the server: the client loses patience and closes, the server never does."""
        client, server = self.open(self.api)
        self.ask(client, server)
        yield 0.5
        client.sendall(bytes(300))
        yield 2
        server.recv(4096)
        client.close()

    def keep_open(self, until: float) -> Conversation:
        """A pooled database connection, used now and then, never closed."""
        client, server = self.open(self.database)
        while time.monotonic() < until:
            self.ask(client, server)
            yield self.random.uniform(4, 9)

    def abort(self, service: Service, *, by_server: bool) -> Conversation:
        """A connection that one side's program loses by a crash."""
        client, server = self.open(service)
        self.ask(client, server)
        yield self.random.uniform(0.5, 3)
        abort(server if by_server else client)
        yield 0.1
        (client if by_server else server).close()

    def leave_unread(self) -> Conversation:
        """The server rejects a request without reading its body, and so resets the connection."""
        client, server = self.open(self.api)
        client.sendall(bytes(400))
        yield 0.05
        server.sendall(bytes(30))
        server.close()
        yield 0.1
        client.close()

    def call_nobody(self) -> Conversation:
        """The search engine has been moved away: nobody listens there any more."""
        client = self._caller()
        with contextlib.suppress(ConnectionRefusedError):
            client.connect((self.api.address[0], 9200))
        client.close()
        yield 0

    def call_into_the_void(self, patience: float) -> Conversation:
        """A firewall swallows what is sent to the legacy service."""
        client = self._caller()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(self.legacy.address)
        yield patience
        client.close()

    def schedule(self, until: float) -> list[tuple[float, Conversation]]:
        """Every conversation and the second at which it begins."""
        at = self.random.uniform
        ordinary = (
            [(at(0, 107), self.visit(self.web, self.random.randint(1, 3))) for _ in range(85)]
            + [(at(0, 104), self.visit(self.web, 2, server_first=True)) for _ in range(40)]
            + [(at(0, 107), self.visit(self.api, 1)) for _ in range(50)]
            + [(at(0, 107), self.visit(self.cache, 1, server_first=True)) for _ in range(50)]
            + [(at(0, 104), self.visit(self.database, 2)) for _ in range(20)]
            + [(at(0, 3), self.keep_open(until)) for _ in range(8)]
        )
        wrong = (
            [(6 + 2 * number + at(0, 1), self.leak()) for number in range(_LEAKED)]
            + [(at(60, 62), self.abort(self.api, by_server=True)) for _ in range(4)]
            + [(at(20, 100), self.abort(self.database, by_server=False)) for _ in range(3)]
            + [(at(20, 100), self.leave_unread()) for _ in range(3)]
            + [(at(5, 105), self.call_nobody()) for _ in range(9)]
            + [(at(10, 70), self.call_into_the_void(12)) for _ in range(4)]
            + [(at(95, 100), self.call_into_the_void(_DURATION)) for _ in range(_TRYING)]
        )
        return ordinary + wrong


def _play(schedule: list[tuple[float, Conversation]], until: float) -> None:
    """Run all conversations side by side, each step when it is due."""
    start, order = until - _DURATION, itertools.count()
    due = [(start + second, next(order), conversation) for second, conversation in schedule]
    heapq.heapify(due)
    while due and due[0][0] < until:
        when, _, conversation = heapq.heappop(due)
        time.sleep(max(0.0, when - time.monotonic()))
        pause = next(conversation, None)
        if pause is not None:
            heapq.heappush(due, (time.monotonic() + pause, next(order), conversation))
    time.sleep(max(0.0, until - time.monotonic()))


@scenario(
    ends("CLOSE", "CLOSE_WAIT", connections=_LEAKED),
    ends("SYN_SENT", "CLOSE", connections=_TRYING),
    ends("ESTABLISHED", "ESTABLISHED", connections=8),
    sends("server", "RA", 9),
    lasts(90),
    holds(connections=290, size=1_000_000),
    link=Link(delay=0.001),
    pace="long",
)
def demo(lab: Lab) -> None:
    """Two minutes of a small site, about 300 connections.

    Its API on port 8080 leaks 17 CLOSE_WAIT and resets some; port 9200 refuses, port 8443 is swallowed by a
    firewall, three database clients are killed.
    """
    site = Site(lab)
    until = time.monotonic() + _DURATION
    _play(site.schedule(until), until)
