"""Tunnels in the tables: shown, and hosts of equal addresses in different ones kept apart."""

from __future__ import annotations

import io

import numpy as np

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, leaked
from tcpstates.analysis import Analysis
from tcpstates.reports.addresses import Addresses
from tcpstates.reports.places import Places
from tcpstates.schema import TunnelKind
from tcpstates.show.plain import print_table

VXLAN, GRE, VLAN = (kind << 56 for kind in (TunnelKind.VXLAN, TunnelKind.GRE, TunnelKind.VLAN))


def leaks_in(*tunnels: int) -> Analysis:
    builder = LogBuilder()
    for tunnel in tunnels:
        leaked(
            builder,
            client_side={"fin_time": 1, "fins": 1, "tunnel": tunnel},
            server_side={"tunnel": tunnel},
        )
    return builder.analysis()


def shown(analysis: Analysis, name: str) -> str:
    stream = io.StringIO()
    print_table(analysis.table(name), stream, 300)
    return stream.getvalue()


def test_a_connections_tunnel_is_said() -> None:
    frame = leaks_in(VXLAN | 100, VXLAN | 200, 0).connections
    assert frame["tunnel"].tolist()[:2] == ["VXLAN 100", "VXLAN 200"]
    assert frame["tunnel"].isna().tolist() == [False, False, True]


def test_tunnels_of_one_name_are_one_category() -> None:
    frame = leaks_in(GRE | 1, GRE | 2).timeline
    assert set(frame["tunnel"]) == {"GRE"}


def test_equal_servers_in_different_tunnels_are_different_findings() -> None:
    analysis = leaks_in(VXLAN | 100, VXLAN | 100, VXLAN | 200)
    assert analysis.findings["connections"].tolist() == [2, 1]
    assert analysis.findings["tunnel"].tolist() == ["VXLAN 100", "VXLAN 200"]
    assert [finding.tunnel for finding in analysis.summary.findings] == ["VXLAN 100", "VXLAN 200"]


def test_equal_listeners_in_different_tunnels_are_different_rows() -> None:
    netstat = leaks_in(VXLAN | 100, VXLAN | 200).netstat("+100s")
    listeners = netstat[netstat["state"] == "LISTEN"]
    assert listeners["local_port"].tolist() == [80, 80]
    assert listeners["tunnel"].tolist() == ["VXLAN 100", "VXLAN 200"]


def test_a_router_between_vlans_does_not_split_its_servers() -> None:
    """The client's frames are of its own VLAN, the server's of another: it is one server."""
    builder = LogBuilder()
    for vlan in (10, 11):
        builder.connection(
            OPENING_CLIENT,
            OPENING_SERVER,
            client_side={"tunnel": VLAN | vlan},
            server_side={"tunnel": VLAN | 20},
        )
    netstat = builder.analysis().netstat("+1s")
    assert (netstat["state"] == "LISTEN").sum() == 1


def test_a_terminal_shows_the_column_where_there_is_a_tunnel() -> None:
    for name in ("connections", "timeline", "findings", "netstat"):
        assert "VXLAN 100" in shown(leaks_in(VXLAN | 100, 0), name)
        assert "TUNNEL" not in shown(leaks_in(0), name)


def test_places_without_tunnels_are_addresses() -> None:
    addresses = Addresses.of(np.zeros(3, np.uint64), np.array([7, 5, 7], np.uint64))
    places = Places.of(addresses, np.zeros(3, np.uint64))
    assert places.codes.tolist() == [1, 0, 1]
    assert places.address.tolist() == [0, 1]
