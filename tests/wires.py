"""Two hosts with a wire between them, for what captures live: namespaces that vanish with the process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "pcaps"))

from recorder.namespaces import Namespace

ADDRESSES = ("10.99.0.1", "10.99.0.2")
#: A frame from the one host to the other that no socket is meant for.
_ETHERNET = bytes.fromhex("020000000002" "020000000001" "0800")  # fmt: skip


class Wire:
    """The hosts ``client`` and ``server``, each with an interface ``eth0``."""

    def __init__(self) -> None:
        self.client, self.server = Namespace(), Namespace()
        pair = ("type", "veth", "peer", "name", "eth0", "netns", self.server.path)
        self.client.run("ip", "link", "add", "eth0", *pair)
        for place, (host, address) in enumerate(zip(self.hosts, ADDRESSES, strict=True), 1):
            host.run("ip", "link", "set", "eth0", "address", f"02:00:00:00:00:0{place}")
            host.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
            host.run("ip", "link", "set", "eth0", "up")

    @property
    def hosts(self) -> tuple[Namespace, Namespace]:
        return self.client, self.server

    def socket(self, host: Namespace, *options: int) -> socket.socket:
        """A socket of one of the hosts."""
        with host.entered():
            return socket.socket(*options)

    def listen(self, port: int = 0) -> socket.socket:
        listener = self.socket(self.server)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESSES[1], port))
        listener.listen(256)
        return listener

    def connect(self, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
        """Both ends of a new connection."""
        client = self.socket(self.client)
        client.connect(listener.getsockname())
        return client, listener.accept()[0]

    def raw(self) -> socket.socket:
        """What sends frames from the client as they are."""
        sender = self.socket(self.client, socket.AF_PACKET, socket.SOCK_RAW, 0)
        sender.bind(("eth0", 0))
        return sender

    def close(self) -> None:
        for host in self.hosts:
            host.close()


@contextmanager
def wire() -> Iterator[Wire]:
    """Two hosts, if this user may make them."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("needs Linux and root, to make network namespaces")
    try:
        made = Wire()
    except (OSError, RuntimeError, FileNotFoundError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        yield made
    finally:
        made.close()


def syn(source: int, sequence: int = 1) -> bytes:
    """A SYN frame of the host with that number."""
    address = (11 << 24) + source
    ip = bytes.fromhex("4500002800000000400600 00".replace(" ", "")) + address.to_bytes(4, "big")
    tcp = (4000).to_bytes(2, "big") + (9).to_bytes(2, "big") + sequence.to_bytes(4, "big")
    return _ETHERNET + ip + socket.inet_aton(ADDRESSES[1]) + tcp + bytes.fromhex("00000000500200ff00000000")


def run_in(host: Namespace, *arguments: str) -> subprocess.Popen[str]:
    """The command, begun on a host."""
    command = [sys.executable, "-m", "tcpstates", *arguments]
    with host.entered():
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_start(process: subprocess.Popen[str]) -> None:
    """Until it says that it has begun."""
    assert process.stderr is not None
    said = []
    while "listening on eth0" not in "".join(said):
        said.append(process.stderr.readline())
        assert said[-1], said
