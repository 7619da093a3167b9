"""The captures in ``pcaps/``: each ends in the states that the kernels themselves reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tcpstates

PCAPS = Path(__file__).parent.parent / "pcaps"
EXPECTED = json.loads((PCAPS / "expected.json").read_text(encoding="utf-8"))

#: What a capture cannot show: (capture, inferred, the kernel's), with the reason.
UNKNOWABLE = {
    ("deferred_accept", "ESTABLISHED", "SYN_RECV"): "the third ACK is dropped in silence",
    ("close_wait_leak", "TIME_WAIT", "CLOSE"): "the timer's grid: it ended within two seconds of the end",
    ("demo", "TIME_WAIT", "CLOSE"): "the same",
    ("demo", "CLOSE", "TIME_WAIT"): "the same",
}


def ends(name: str) -> dict[tuple[str, str], tuple[str, str]]:
    """By the two ends of a connection, the states in which its last use of them ended."""
    table = tcpstates.analyze(PCAPS / f"{name}.pcap").connections
    return {
        (_end(row.client_addr, row.client_port), _end(row.server_addr, row.server_port)): (
            str(row.client_state),
            str(row.server_state),
        )
        for row in table.itertuples()
    }


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@pytest.mark.parametrize("name", EXPECTED)
def test_connections_end_as_the_kernels_said(name: str) -> None:
    found = ends(name)
    for said in EXPECTED[name]:
        states = found[said["client"], said["server"]]
        for inferred, kernels in zip(states, (said["client_state"], said["server_state"]), strict=True):
            # null: its segments came from no kernel socket
            assert kernels in (None, inferred) or (name, inferred, kernels) in UNKNOWABLE, said


def test_variants_say_the_same_as_their_originals() -> None:
    for variant, original in (
        ("close_by_client_qinq.pcap", "close_by_client.pcap"),
        ("close_by_server_vlan.pcap", "close_by_server.pcap"),
        ("half_close.pcapng", "half_close.pcap"),
        ("simultaneous_close.pcap.gz", "simultaneous_close.pcap"),
    ):
        ours, theirs = (
            tcpstates.analyze(PCAPS / name).timeline.drop(columns=["file", "tunnel"])
            for name in (variant, original)
        )
        assert ours.astype(str).equals(theirs.astype(str)), variant


def test_every_state_but_unknown_occurs_in_them() -> None:
    seen: set[str] = set()
    for name in EXPECTED:
        analysis = tcpstates.analyze(PCAPS / f"{name}.pcap")
        seen |= set(analysis.timeline["state"].astype(str))
    seen |= set(tcpstates.analyze(PCAPS / "demo.pcap").netstat("+60s")["state"].astype(str))
    assert seen == {state.name for state in tcpstates.State} - {"UNKNOWN"}
