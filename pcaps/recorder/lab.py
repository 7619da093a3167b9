"""A laboratory: two hosts, the link between them, and what watches both."""

from __future__ import annotations

import ctypes
import fcntl
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .diag import SocketTable, Tuple4
from .forge import continued, link_address, segment_bytes
from .link import Link, Loss, Predicate
from .namespaces import Namespace
from .truth import Sampler
from .wire import Wire

SIDES = ("client", "server")
_NO_TIME = struct.pack("ii", 1, 0)  # SO_LINGER
_SIOCETHTOOL = 0x8946
#: Checksums and segmentation that the card would do: a forwarded frame must be complete
_OFFLOADS = {"tx checksum": 0x17, "TCP segmentation": 0x1F, "generic segmentation": 0x24}
_PAIRED_WITH = ("type", "veth", "peer", "name", "eth0", "netns")
_STARTING = 10
_DISCARD = 9
_GOOD = Link()


def abort(made: socket.socket) -> None:
    """Close it with a RST."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_TIME)
    made.close()


class Host:
    """One side: a namespace with an interface ``eth0``, and the sockets made on it."""

    def __init__(self, addresses: list[str], *, ipv6: bool) -> None:
        self.addresses = addresses
        self.namespace = Namespace()
        self.sockets: list[socket.socket] = []
        self._ipv6 = ipv6
        self.namespace.sysctl("ipv6/conf/all/disable_ipv6", int(not ipv6))
        self.namespace.sysctl("ipv6/conf/default/disable_ipv6", int(not ipv6))

    @property
    def address(self) -> str:
        """Its first address."""
        return self.addresses[0]

    def up(self, *, offload: bool) -> None:
        """Give the interface its address and start it."""
        self._assign(self.address)
        if not offload:
            self._leave_nothing_to_the_card()
        self.namespace.run("ip", "link", "set", "eth0", "up")

    def add_address(self, address: str) -> None:
        """Give the host one more address."""
        self.addresses.append(address)
        self._assign(address)

    def _assign(self, address: str) -> None:
        options = ("/64", "nodad") if self._ipv6 else ("/16",)
        self.namespace.run("ip", "address", "add", address + options[0], "dev", "eth0", *options[1:])

    def new_socket(self, address: str | None = None, port: int = 0) -> socket.socket:
        """A TCP socket bound to one of its addresses, and to a port if one is given."""
        family = socket.AF_INET6 if self._ipv6 else socket.AF_INET
        with self.namespace.entered():
            made = socket.socket(family, socket.SOCK_STREAM)
        self.sockets.append(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(30)
        made.bind((address or self.address, port))
        return made

    def listen(self, port: int, address: str | None = None, backlog: int = 128) -> socket.socket:
        """A listening socket."""
        listener = self.new_socket(address, port)
        listener.listen(backlog)
        return listener

    def drop(self, match: str) -> None:
        """Silently drop what arrives here and matches, behind the point where the capture looks."""
        self._filter(match, "drop")

    def reject(self, match: str, reason: str = "port-unreachable") -> None:
        """Answer what arrives here and matches with an ICMP message, by its name in nftables."""
        self._filter(match, f"reject with icmpx {reason}")

    def let_pass(self) -> None:
        """Drop and reject nothing any more."""
        self.namespace.run("nft", "delete table inet lab")

    def _filter(self, match: str, verdict: str) -> None:
        self.namespace.run("nft", "add table inet lab")
        self.namespace.run("nft", "add chain inet lab input { type filter hook input priority 0; }")
        self.namespace.run("nft", f"add rule inet lab input {match} {verdict}")

    def close(self) -> None:
        """Close what the scenario left open."""
        for made in self.sockets:
            made.close()
        self.namespace.close()

    def _leave_nothing_to_the_card(self) -> None:
        with self.namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for command in _OFFLOADS.values():
                value = ctypes.create_string_buffer(struct.pack("=II", command, 0))
                fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", b"eth0", ctypes.addressof(value)))


class Lab:
    """Two linked hosts, watched.

    Parameters
    ----------
    number : tells the laboratory's addresses from every other's: 10.<number>.0.0/16, fd00:<number>::/64.
    folder : where the two captures go, ``client.pcap`` and ``server.pcap``.
    link : what it does to frames; None for a direct link, which may leave checksums and
        segmentation to the other end, as a host's own capture shows.
    """

    def __init__(self, number: int, folder: Path, *, link: Link | None = _GOOD, ipv6: bool = False) -> None:
        self.folder = folder
        self.link = link
        self._ipv6 = ipv6
        self._prefix = f"fd00:{number:x}::" if ipv6 else f"10.{number}."
        self.client = Host([self.numbered(1)], ipv6=ipv6)
        self.server = Host([self.numbered(2)], ipv6=ipv6)
        self.sampler = Sampler({side: SocketTable(self.host(side).namespace) for side in SIDES})
        #: Both hosts' sockets just before the captures ended, and just after
        self.looks: list[dict[str, dict[Tuple4, str]]] = []
        self.ended = 0  # when, in nanoseconds since the epoch
        #: What of the captures is kept: from when and until when, if not all
        self.begin: int | None = None
        self.end: int | None = None

    def numbered(self, host: int, network: int = 0) -> str:
        """An address of this laboratory."""
        return (
            f"{self._prefix}{host:x}" if self._prefix.startswith("f") else f"{self._prefix}{network}.{host}"
        )

    @property
    def round_trip(self) -> float:
        """Seconds from a segment to its answer, at most if nothing is lost."""
        return 2 * (self.link.delay + self.link.jitter) if self.link else 0.0

    def host(self, side: str) -> Host:
        """The host of that side."""
        return self.client if side == "client" else self.server

    @contextmanager
    def running(self) -> Iterator[None]:
        """Link the hosts and watch them; captures and samples are complete when it ends."""
        with ExitStack() as ends:
            for side in SIDES:
                ends.callback(self.host(side).close)
            self._connect_hosts(ends)
            with self._captured():
                self.sampler.start()
                try:
                    yield
                    self._part()
                finally:
                    self.sampler.stop()
                self.looks.append(self.sampler.look())
            self.looks.append(self.sampler.look())
            self.ended = time.time_ns()

    def connect(self, port: int = 8080) -> tuple[socket.socket, socket.socket]:
        """One established connection: the client's and the server's socket."""
        return self.connect_to(self.server.listen(port))

    def connect_to(self, listener: socket.socket, port: int = 0) -> tuple[socket.socket, socket.socket]:
        """One more, from ``port`` if it matters."""
        client = self.client.new_socket(port=port)
        client.connect(listener.getsockname())
        return client, self.accept(listener)

    def accept(self, listener: socket.socket) -> socket.socket:
        """The server's socket of the connection that waits for longest."""
        server, _ = listener.accept()
        self.server.sockets.append(server)
        return server

    def pass_on(self, text: bytes, chain: list[socket.socket]) -> None:
        """Send ``text`` from each pair's first socket to its second."""
        for sender, receiver in zip(chain[::2], chain[1::2], strict=True):
            sender.sendall(text)
            receiver.recv(4096)

    def exchange(self, client: socket.socket, server: socket.socket) -> None:
        """A request and its answer, both read."""
        for sender, receiver, text in (
            (client, server, b"GET /status HTTP/1.1\r\nHost: example.org\r\n\r\n"),
            (server, client, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"),
        ):
            sender.sendall(text)
            receiver.recv(4096)
        self.settle()

    def settle(self) -> None:
        """Wait until what is under way has arrived and been acknowledged (delayed at most 40 ms)."""
        time.sleep(0.06 + 2 * self.round_trip)

    def pause(self, seconds: float) -> None:
        """Let time pass, so that a state lasts."""
        time.sleep(seconds)

    @property
    def impaired(self) -> bool:
        """Whether more happened between the captures than that segments came late."""
        return self.link is not None and (self.link.chancy or self._wire.meddled)

    def lose(self, meant: Predicate, times: int | None = None) -> Loss:
        """Lose the next so many segments that are meant, or all until it is mended."""
        return self._wire.lose(meant, times)

    def cut(self) -> Loss:
        """Lose every segment until it is mended."""
        return self.lose(lambda side, segment: True)

    def pretend(self, address: str) -> None:
        """Let the server believe that the client's host has an address, which it does not answer for."""
        with self.client.namespace.entered():
            lladdr = link_address("eth0")
        self.server.namespace.run("ip", "neighbour", "add", address, "lladdr", lladdr, "dev", "eth0")

    def send_raw(
        self, source: tuple[str, int], destination: tuple[str, int], flags: str, seq: int = 0
    ) -> None:
        """Send a segment from the client's host that none of its sockets has to do with."""
        with self.client.namespace.entered():
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with raw:
            raw.sendto(segment_bytes(source, destination, flags, seq), (destination[0], 0))

    def forge(self, sender: str, flags: str, offset: int = 0) -> None:
        """Have somebody between the hosts send a segment as if it followed the sender's last one."""
        frame = continued(self._wire.last[sender], flags, offset)
        self._wire.inject("server" if sender == "client" else "client", frame)

    def capture_from_now(self) -> None:
        """Keep nothing of the captures before."""
        self.begin = time.time_ns()

    def capture_until_now(self) -> None:
        """Keep nothing of the captures after."""
        self.end = time.time_ns()

    def _connect_hosts(self, ends: ExitStack) -> None:
        client, server = self.client.namespace, self.server.namespace
        if self.link is None:
            client.run("ip", "link", "add", "eth0", *_PAIRED_WITH, server.path)
        else:
            self._link_by_wire(ends, self.link)
        for side in SIDES:
            self.host(side).up(offload=self.link is None)
        self._acquaint()

    def _link_by_wire(self, ends: ExitStack, link: Link) -> None:
        middle = Namespace()
        ends.callback(middle.close)
        for side in SIDES:
            middle.run("ip", "link", "add", side, *_PAIRED_WITH, self.host(side).namespace.path)
            middle.sysctl(f"ipv6/conf/{side}/disable_ipv6", 1)
            middle.run("ip", "link", "set", side, "up")
        self._wire = Wire(middle, SIDES, link)
        self._wire.start()
        ends.callback(self._wire.stop)

    def _acquaint(self) -> None:
        """Let the hosts learn each other's link addresses before it matters."""
        self._greet("client")
        time.sleep(0.2 + 2 * self.round_trip)

    def _part(self) -> None:
        """Mark the captures' ends: a datagram each, so that they show how long nothing happened."""
        for side in SIDES:
            self._greet(side)
        time.sleep(2 * self.round_trip)

    def _greet(self, side: str) -> None:
        """Send a datagram to the other host's discard port; where nobody has it, an ICMP message answers."""
        own, other = self.host(side), self.host("server" if side == "client" else "client")
        with own.namespace.entered():
            greeting = socket.socket(socket.AF_INET6 if self._ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        with greeting:
            greeting.sendto(b"", (other.address, _DISCARD))

    @contextmanager
    def _captured(self) -> Iterator[None]:
        """Capture what passes both interfaces."""
        dumps = [_tcpdump(self.host(side).namespace, self.folder / f"{side}.pcap") for side in SIDES]
        try:
            yield
            time.sleep(0.1)
        finally:
            for dump in dumps:
                dump.terminate()
            words = [dump.communicate(timeout=10)[1] for dump in dumps]
        if any("\n0 packets dropped by kernel" not in word for word in words):
            raise RuntimeError(f"tcpdump did not see everything: {words}")


def _tcpdump(namespace: Namespace, path: Path) -> subprocess.Popen[str]:
    """A running tcpdump, which ends with us at the latest."""
    options = ["--immediate-mode", "--time-stamp-precision=nano", "-U", "-n", "-Z", "root", "-w", str(path)]
    command = ["setpriv", "--pdeathsig", "TERM", "tcpdump", "-i", "eth0", *options]
    with namespace.entered():
        dump = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert dump.stderr is not None
    if not select.select([dump.stderr], [], [], _STARTING)[0] or "listening" not in dump.stderr.readline():
        dump.kill()
        raise RuntimeError(f"tcpdump did not start within {_STARTING} s")
    return dump
