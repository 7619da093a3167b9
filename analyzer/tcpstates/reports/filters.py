"""Rows of a table by state, address and port."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import numpy as np

from tcpstates.errors import UsageError
from tcpstates.reports.table import Labels, Table
from tcpstates.states import State, parse_state

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Where:
    """Which rows to keep: any of ``states``, of ``networks`` and of ``ports``; all where there is none."""

    states: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls, states: Iterable[str] = (), addresses: Iterable[str] = (), ports: Iterable[int] = ()
    ) -> Where:
        """What to keep, as people say it.

        Parameters
        ----------
        states : in any spelling that ``parse_state`` knows.
        addresses : addresses, or networks such as ``"10.1.0.0/16"``.
        ports : port numbers.

        Raises
        ------
        UsageError
            If a state or an address is none.
        """
        return cls(
            frozenset(_state(name).name for name in states),
            tuple(_network(text) for text in addresses),
            frozenset(ports),
        )


def filtered(table: Table, where: Where) -> Table:
    """The rows of ``table`` that have a wanted state, and a wanted address and port at either end."""
    wanted = [
        (where.states, _in_states(table, where.states)),
        (where.networks, _in_networks(table, where.networks)),
        (where.ports, _at_ports(table, where.ports)),
    ]
    masks = [mask for asked, mask in wanted if asked]
    return table.take(np.flatnonzero(np.logical_and.reduce(masks))) if masks else table


def _in_states(table: Table, states: frozenset[str]) -> np.ndarray:
    columns = [table.values[column.name] for column in table.columns if column.name.endswith("state")]
    return _any(_having(column, states) for column in columns if isinstance(column, Labels))


def _in_networks(table: Table, networks: tuple[Network, ...]) -> np.ndarray:
    columns = [table.values[column.name] for column in table.columns if column.dtype == "address"]
    return _any(_within(column, networks) for column in columns if isinstance(column, Labels))


def _within(column: Labels, networks: tuple[Network, ...]) -> np.ndarray:
    return _having(column, {name for name in column.names if _inside(name, networks)} if networks else set())


def _inside(name: str, networks: tuple[Network, ...]) -> bool:
    """Whether one of ``networks`` holds the address; ``*`` is none."""
    if name == "*":
        return False
    address = ip_address(name)
    return any(address in network for network in networks)


def _at_ports(table: Table, ports: frozenset[int]) -> np.ndarray:
    columns = [table.values[column.name] for column in table.columns if column.dtype == "port"]
    return _any(np.isin(column, [*ports]) for column in columns if isinstance(column, np.ndarray))


def _having(column: Labels, names: AbstractSet[str]) -> np.ndarray:
    wanted = np.array([name in names for name in column.names] + [False])  # the last one serves code -1
    return np.asarray(wanted[column.codes])


def _any(masks: Iterable[np.ndarray]) -> np.ndarray:
    return np.asarray(np.logical_or.reduce([*masks]))


def _state(name: str) -> State:
    try:
        return parse_state(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise UsageError(
            f"not an address: {text!r}; write one such as 10.0.0.5, or a network such as 10.0.0.0/8"
        ) from None
