"""The sockets that a namespace's kernel holds right now: what ``ss -tan`` shows, by the same netlink call."""

from __future__ import annotations

import socket
import struct
from functools import cache
from ipaddress import ip_address
from typing import NamedTuple

from .namespaces import Namespace

#: By the kernel's numbers (include/net/tcp_states.h); a request socket is SYN_RECV to netstat.
STATES = (
    "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "SYN_RECV",
)  # fmt: skip

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
#: inet_diag_msg up to the destination: family, state, timer, retransmits, ports, addresses
_SOCKET = struct.Struct("=BBBB2s2s16s16s")


class Endpoint(NamedTuple):
    """An address and a port."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


#: Local and remote.
Tuple4 = tuple[Endpoint, Endpoint]


class SocketTable:
    """Asks one namespace's kernel for its TCP sockets."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace.entered():
            self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        self._netlink.settimeout(10)

    def read(self) -> dict[Tuple4, str]:
        """Every socket's state by its local and remote endpoint."""
        return self._dump(socket.AF_INET) | self._dump(socket.AF_INET6)

    def close(self) -> None:
        """Ask no more."""
        self._netlink.close()

    def _dump(self, family: int) -> dict[Tuple4, str]:
        request = struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, 0, 0, 0xFFFF_FFFF)
        size = _HEADER.size + len(request)
        self._netlink.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0) + request)
        sockets: dict[Tuple4, str] = {}
        while True:
            answer = self._netlink.recv(1 << 18)
            while answer:
                length, kind = _HEADER.unpack_from(answer)[:2]
                if kind == _NLMSG_DONE:
                    return sockets
                if kind == _NLMSG_ERROR:
                    raise OSError("the kernel does not list its TCP sockets (inet_diag is missing)")
                tuple4, state = _socket_of(answer[_HEADER.size : length])
                sockets[tuple4] = state
                answer = answer[(length + 3) & ~3 :]


@cache
def endpoint(address: bytes, port: int) -> Endpoint:
    """The endpoint of an address of 4 or 16 bytes."""
    return Endpoint(str(ip_address(address)), port)


def _socket_of(message: bytes) -> tuple[Tuple4, str]:
    family, state, _, _, local_port, remote_port, local, remote = _SOCKET.unpack_from(message)
    size = 4 if family == socket.AF_INET else 16
    ends = (
        endpoint(local[:size], int.from_bytes(local_port, "big")),
        endpoint(remote[:size], int.from_bytes(remote_port, "big")),
    )
    return ends, STATES[state]
