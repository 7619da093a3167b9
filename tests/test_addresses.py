"""Addresses as text, once per unique one."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpstates.reports.addresses import Addresses, address_text


def halves(text: str) -> tuple[int, int]:
    """The 128 bits of an address, IPv4 in its mapped form."""
    address = ip_address(text)
    number = int(address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{text}"))
    return number >> 64, number & (1 << 64) - 1


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:0:0:2"]
)
def test_addresses_are_written_as_people_do(text: str) -> None:
    assert address_text(*halves(text)) == text


@given(st.lists(st.ip_addresses().map(str), max_size=20))
def test_codes_name_the_addresses_given(texts: list[str]) -> None:
    pairs = np.array([halves(text) for text in texts], np.uint64).reshape(-1, 2)
    addresses = Addresses.of(pairs[:, 0], pairs[:, 1])
    given_back = [addresses.names[code] for code in addresses.codes]
    assert [halves(text) for text in given_back] == [halves(text) for text in texts]
    assert len(set(addresses.names)) == len(addresses.names)
