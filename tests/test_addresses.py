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
    labels = addresses.labels(addresses.codes)
    given_back = [labels.names[code] for code in labels.codes]
    assert [halves(text) for text in given_back] == [halves(text) for text in texts]
    assert len(set(labels.names)) == len(labels.names)


def test_labels_of_some_are_those_that_occur_in_their_order() -> None:
    pairs = np.array([halves(f"10.0.0.{last}") for last in (9, 1, 5, 7)], np.uint64)
    addresses = Addresses.of(pairs[:, 0], pairs[:, 1])
    labels = addresses.labels(np.array([addresses.codes[3], -1, addresses.codes[1], addresses.codes[3]]))
    assert (labels.codes.tolist(), labels.names) == ([1, -1, 0, 1], ["10.0.0.1", "10.0.0.7"])
    assert addresses.labels(np.zeros(0, np.int64)).names == []
    assert addresses.labels(np.array([-1])).codes.tolist() == [-1]
