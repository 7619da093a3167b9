"""What tshark says of a capture's TCP: which segments are in which frame, innermost ones only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

_FIELDS = (
    "frame.number",
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
)
_QUOTING = {"icmp", "icmpv6", "sflow"}


class Ends(NamedTuple):
    """Between whom a segment was."""

    src: str
    src_port: int
    dst: str
    dst_port: int


class Frame(NamedTuple):
    """A segment as tshark tells it in its second pass, when it knows the whole capture."""

    number: int
    ends: Ends
    stream: int
    completeness: int


def segments(path: Path) -> Iterator[tuple[int, Ends]]:
    """The frame's number and the ends of each segment that tshark finds; fragments put together."""
    for number, ends, _rest in _read(path):
        yield number, ends


def frames(path: Path) -> Iterator[Frame]:
    """Each segment that tshark finds, with its stream and that stream's completeness so far."""
    for number, ends, (stream, completeness) in _read(path, "tcp.stream", "tcp.completeness"):
        yield Frame(number, ends, int(stream), int(completeness))


def _read(path: Path, *more: str) -> Iterator[tuple[int, Ends, tuple[str, ...]]]:
    """The frame's number, the ends of each segment in it, and its values of the fields ``more``."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    options = ["-o", "ip.defragment:TRUE", "-o", "ipv6.defragment:TRUE", "-Y", "tcp", "-T", "fields"]
    options += ["-E", "occurrence=a", "-E", "aggregator= ", "-E", "separator=|"]
    fields = [word for field in (*_FIELDS, *more) for word in ("-e", field)]
    command = ["tshark", "-n", *(["-2"] if more else []), "-r", str(path), *options, *fields]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # 2 where the file is cut
    for line in done.stdout.splitlines():
        number, protocols, *values = line.split("|")
        for ends, rest in _innermost(protocols.split(":"), [value.split() for value in values]):
            yield int(number), ends, rest


def _innermost(protocols: list[str], values: list[list[str]]) -> Iterator[tuple[Ends, tuple[str, ...]]]:
    """The segments of a frame: each with the addresses of the IP header before it, none that is quoted."""
    ipv4 = zip(values[0], values[1], strict=False)
    ipv6 = zip(values[2], values[3], strict=False)
    headers = zip(*values[4:], strict=False)
    addresses = None
    for protocol in protocols:
        if protocol in _QUOTING:
            return
        if protocol in ("ip", "ipv6"):
            addresses = next(ipv4 if protocol == "ip" else ipv6, None)
        elif protocol == "tcp":
            header = next(headers, None)
            if header and addresses:
                src, dst = (str(ip_address(address)) for address in addresses)
                yield Ends(src, int(header[0]), dst, int(header[1])), header[2:]
