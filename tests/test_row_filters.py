"""Rows by state, address and port."""

from __future__ import annotations

from typing import Any

import pytest

from logs import LogBuilder, leaked, normal_close
from tcpstates.errors import UsageError
from tcpstates.reports.filters import Where
from tcpstates.reports.table import Labels


def builder() -> LogBuilder:
    """Connections 0 and 1 to port 80, of which 1 leaks; 2 to port 443, over IPv6."""
    both = leaked(normal_close(LogBuilder()), endpoints=("10.0.0.2:40001", "10.0.0.5:80"))
    return normal_close(both, endpoints=("[2001:db8::1]:40000", "[2001:db8::5]:443"))


def conns(name: str, **wanted: Any) -> list[int]:
    table = builder().analysis().table(name, at="+2s", where=Where.of(**wanted))
    column = table.values["conn"]
    assert not isinstance(column, Labels)
    return sorted(set(column.tolist()) - {-1})


@pytest.mark.parametrize("name", ["connections", "timeline", "netstat"])
def test_by_address_of_either_end(name: str) -> None:
    assert conns(name, addresses=["10.0.0.2"]) == [1]
    assert conns(name, addresses=["10.0.0.5"]) == [0, 1]
    assert conns(name, addresses=["10.0.0.0/8", "2001:db8::/64"]) == [0, 1, 2]
    assert conns(name, addresses=["192.0.2.1"]) == []


@pytest.mark.parametrize("name", ["connections", "timeline", "netstat"])
def test_by_port_of_either_end(name: str) -> None:
    assert conns(name, ports=[443]) == [2]
    assert conns(name, ports=[40001, 443]) == [1, 2]


def test_by_state_in_any_spelling() -> None:
    assert conns("connections", states=["close-wait"]) == [1]  # it ends there
    assert conns("timeline", states=["CLOSE_WAIT"]) == [0, 1, 2]  # it passes through
    assert conns("netstat", states=["fin-wait-2", "TIME-WAIT"]) == [0, 1, 2]


def test_all_that_is_asked_for_must_hold() -> None:
    assert conns("timeline", states=["LAST_ACK"], addresses=["10.0.0.0/8"], ports=[80]) == [0]


def test_listeners_have_an_address_and_a_port() -> None:
    table = builder().analysis().table("netstat", at="+2s", where=Where.of(states=["LISTEN"], ports=[443]))
    assert len(table) == 1


def test_what_is_no_state_and_no_address() -> None:
    with pytest.raises(UsageError, match="not a TCP state: 'HALF_CLOSED'"):
        Where.of(states=["HALF_CLOSED"])
    with pytest.raises(UsageError, match=r"not an address: 'example\.com'; write one such as"):
        Where.of(addresses=["example.com"])
