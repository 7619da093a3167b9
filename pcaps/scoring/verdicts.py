"""How far the verdicts on recordings are what was really done: precision and recall of every outcome."""

from __future__ import annotations

import gzip
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import dpkt
import numpy as np

import tcpstates
from recorder.verdicts import WAYS, Verdict, verdicts
from tcpstates.reports.table import Labels, Table
from tcpstates.states import State

from .lives import FOREVER
from .recordings import Recording

_CLOSED_PORT = 9999
_CLOSED = Verdict("closed")


class Pair(NamedTuple):
    """What one connection came to, and what the analysis says of it; None if it has no such connection."""

    true: Verdict | None
    said: Verdict | None
    where: str  # recording, vantage and client, where it is known


def compared(recording: Recording, vantage: str) -> list[Pair]:
    """Every connection of a capture, with both verdicts."""
    name = f"{recording.name} {vantage}"
    table = tcpstates.analyze(recording.capture(vantage)).table("connections")
    expected = verdicts(recording.name, vantage)
    if expected is not None:
        return list(_matched(expected, Counter(_said(table)), name))
    true = _by_requests(recording, vantage)
    true |= {key: Verdict("closing") for key in _left_open(recording) & true.keys() if true[key] == _CLOSED}
    keys = zip(_texts(table, "client_addr"), _numbers(table, "client_port"), strict=True)
    said = dict(zip(_counted(keys), _said(table), strict=True))
    return [
        Pair(true.get(key), said.get(key), f"{name} {key[0][0]}:{key[0][1]}")
        for key in sorted(true.keys() | said.keys())
    ]


def _matched(true: Counter[Verdict], said: Counter[Verdict], name: str) -> Iterator[Pair]:
    """Verdicts that are alike belong together, the rest as it comes."""
    for verdict, count in (true & said).items():
        yield from [Pair(verdict, verdict, name)] * count
    missed, wrong = sorted((true - said).elements()), sorted((said - true).elements())
    for place in range(max(len(missed), len(wrong))):
        yield Pair(
            missed[place] if place < len(missed) else None, wrong[place] if place < len(wrong) else None, name
        )


_Key = tuple[tuple[str, int], int]


def _counted(keys: Iterable[tuple[str, int]]) -> list[_Key]:
    """Each with how often it was there before: a port may serve twice."""
    seen: Counter[tuple[str, int]] = Counter()
    result = []
    for key in keys:
        result.append((key, seen[key]))
        seen[key] += 1
    return result


def _by_requests(recording: Recording, vantage: str) -> dict[_Key, Verdict]:
    """What each connection of a crowd was to come to, by the first word that its client says."""
    numbers: dict[tuple[str, int], list[int]] = {}
    found: dict[_Key, Verdict] = {}
    for address, tcp in _segments(recording, vantage):
        client = (address, tcp.sport)
        if tcp.flags & dpkt.tcp.TH_SYN and not tcp.flags & dpkt.tcp.TH_ACK:
            known = numbers.setdefault(client, [])
            if tcp.seq not in known:
                known.append(tcp.seq)
            if tcp.dport == _CLOSED_PORT:
                found[client, len(known) - 1] = WAYS["refused"]
        elif client in numbers and tcp.data:
            word = bytes(tcp.data).split()[0].decode("ascii", "replace") if tcp.data.strip() else ""
            if word in WAYS:
                found.setdefault((client, len(numbers[client]) - 1), WAYS[word])
    return found


def _left_open(recording: Recording) -> set[_Key]:
    """The clients whose server was to close as well, but by the kernel's word still had not at the end."""
    waiting = [
        life.ends.remote.rpartition(":")
        for life in recording.lives
        if life.side == "server" and life.spans[-1].state == State.CLOSE_WAIT and life.died == FOREVER
    ]
    return {((address, int(port)), 0) for address, _, port in waiting}


def _segments(recording: Recording, vantage: str) -> Iterator[tuple[str, dpkt.tcp.TCP]]:
    with gzip.open(recording.capture(vantage)) as file:
        for _, frame in dpkt.pcap.UniversalReader(file):
            packet = dpkt.ethernet.Ethernet(frame).data
            if isinstance(packet, dpkt.ip.IP) and isinstance(packet.data, dpkt.tcp.TCP):
                yield ".".join(map(str, struct.unpack("4B", packet.src))), packet.data


def _said(table: Table) -> list[Verdict]:
    pairs = zip(_texts(table, "outcome"), _texts(table, "culprit"), strict=True)
    return [Verdict(*pair) for pair in pairs]


def _texts(table: Table, name: str) -> list[str]:
    values = table.values[name]
    assert isinstance(values, Labels)
    names = [*values.names, ""]
    return [names[code] for code in values.codes.tolist()]


def _numbers(table: Table, name: str) -> list[int]:
    values = table.values[name]
    assert isinstance(values, np.ndarray)
    numbers: list[int] = values.tolist()
    return numbers


def lines(pairs: list[Pair]) -> Iterator[str]:
    """Precision and recall of every outcome, of outcomes and culprits together, and what is wrong."""
    yield f"{'outcome':24}{'true':>7}{'said':>7}{'right':>7}{'precision':>11}{'recall':>9}"
    for outcome in sorted({verdict.outcome for pair in pairs for verdict in pair[:2] if verdict}):
        true = sum(pair.true is not None and pair.true.outcome == outcome for pair in pairs)
        said = sum(pair.said is not None and pair.said.outcome == outcome for pair in pairs)
        right = sum(
            pair.true == pair.said and pair.true is not None and pair.true.outcome == outcome
            for pair in pairs
        )
        yield f"{outcome:24}{true:7}{said:7}{right:7}{_percent(right, said):>11}{_percent(right, true):>9}"
    wrong = [pair for pair in pairs if pair.true != pair.said]
    yield f"{'outcomes and culprits':24}{len(pairs):7}{'':7}{len(pairs) - len(wrong):7}"
    yield from (f"  {pair.where}: {pair.true}, said to be {pair.said}" for pair in wrong)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
