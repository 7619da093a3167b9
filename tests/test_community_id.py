"""The Community ID, against the vectors that its reference implementation publishes."""

from __future__ import annotations

import numpy as np
import pytest

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder
from tcpstates.reports.dialects import community_ids

#: Two ends, the ID with seed 0, and with seed 1 where it is published.
VECTORS = [
    (
        "128.232.110.120:34855", "66.35.250.204:80",
        "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "1:3V71V58M3Ksw/yuFALMcW0LAHvc=",
    ),
    (
        "[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943", "[2607:f8b0:400c:c03::1a]:25",
        "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=", None,
    ),
    ("10.0.0.1:10", "10.0.0.2:11569", "1:SXBGMX1lBOwhhoDrZynfROxnhnM=", "1:HmBRGR+fUyXF4t8WEtal7Y0gEAo="),
]  # fmt: skip


def log_of(*pairs: tuple[str, str]) -> LogBuilder:
    builder = LogBuilder()
    for pair in pairs:
        builder.connection(OPENING_CLIENT, OPENING_SERVER, endpoints=pair)
    return builder


@pytest.mark.parametrize(("one", "other", "unseeded", "seeded"), VECTORS)
def test_the_published_vectors_in_both_directions(
    one: str, other: str, unseeded: str, seeded: str | None
) -> None:
    log = log_of((one, other), (other, one)).log()
    assert community_ids(log, np.arange(2)).tolist() == [unseeded, unseeded]
    if seeded is not None:
        assert community_ids(log, np.arange(2), seed=1).tolist() == [seeded, seeded]


def test_of_one_address_the_lower_port_comes_first() -> None:
    log = log_of(("10.0.0.1:500", "10.0.0.1:80"), ("10.0.0.1:80", "10.0.0.1:500")).log()
    first, second = community_ids(log, np.arange(2)).tolist()
    assert first == second


def test_it_is_a_column_of_connections() -> None:
    table = log_of(VECTORS[0][:2]).analysis().connections
    assert table["community_id"].tolist() == [VECTORS[0][2]]
