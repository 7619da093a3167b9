"""Segments that no kernel's socket sent: scans, floods, and RSTs in another one's name."""

from __future__ import annotations

import socket

import dpkt

#: TCP's flags by their first letters
FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10, "U": 0x20}


def segment_bytes(source: tuple[str, int], destination: tuple[str, int], flags: str, seq: int = 0) -> bytes:
    """An IPv4 packet with a segment that has no payload."""
    tcp = dpkt.tcp.TCP(
        sport=source[1], dport=destination[1], seq=seq, flags=sum(FLAGS[flag] for flag in flags)
    )
    addresses = {"src": socket.inet_aton(source[0]), "dst": socket.inet_aton(destination[0])}
    return bytes(dpkt.ip.IP(**addresses, p=socket.IPPROTO_TCP, data=tcp, len=40))


def continued(frame: bytes, flags: str, offset: int = 0) -> bytes:
    """A frame whose segment seems to follow the one in ``frame``, ``offset`` bytes further on."""
    ethernet = dpkt.ethernet.Ethernet(frame)
    tcp = ethernet.data.data
    length = len(tcp.data) + sum(bool(tcp.flags & FLAGS[flag]) for flag in "SF")
    forged = segment_bytes(
        (socket.inet_ntoa(ethernet.data.src), tcp.sport),
        (socket.inet_ntoa(ethernet.data.dst), tcp.dport),
        flags,
        (tcp.seq + length + offset) & 0xFFFF_FFFF,
    )
    return frame[:14] + forged


def link_address(interface: str) -> str:
    """The link address of an interface of this thread's namespace."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packet:
        packet.bind((interface, 0))
        address: bytes = packet.getsockname()[4]
    return address.hex(":")
