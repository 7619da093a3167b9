"""Instants and durations as people give them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcpstates.errors import UsageError
from tcpstates.reports.when import parse_duration, parse_instant

T0 = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        ("500ms", 500_000_000),
        ("30s", 30_000_000_000),
        ("30", 30_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("2 min", 120_000_000_000),
        ("2m", 120_000_000_000),
        ("1d", 86_400_000_000_000),
        ("10us", 10_000),
        ("7ns", 7),
        (".25s", 250_000_000),
        (2, 2_000_000_000),
        (0.1, 100_000_000),
        (timedelta(minutes=1, microseconds=1), 60_000_001_000),
        (pd.Timedelta("1us 1ns"), 1_001),
        (np.timedelta64(3, "ms"), 3_000_000),
    ],
)
def test_durations(value: Any, nanoseconds: int) -> None:
    assert parse_duration(value) == nanoseconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "fast",
        "-1s",
        "1 fortnight",
        "1e3",
        -1,
        float("nan"),
        float("inf"),
        None,
        True,
        "300000d",
        pd.NaT,
    ],
)
def test_no_durations(value: Any) -> None:
    with pytest.raises(UsageError, match=r"not a duration: .*; write a number and a unit"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "offset"),
    [
        ("2023-11-14T22:13:20Z", 0),
        ("2023-11-14T22:13:20.123456789Z", 123_456_789),
        ("2023-11-14 22:13:20.5", 500_000_000),
        ("2023-11-14T22:13:20.1 UTC", 100_000_000),
        ("2023-11-14T17:13:20-05:00", 0),
        ("2023-11-15T03:43:20+0530", 0),
        ("2023-11-14T22:14", 40_000_000_000),
        ("2023-11-15", 6_400_000_000_000),
        ("1700000000.000000001", 1),
        ("+0", 0),
        ("+1.5s", 1_500_000_000),
        (np.datetime64("2023-11-14T22:13:20.000000001"), 1),
        (pd.Timestamp("2023-11-14T22:13:20.000000001"), 1),
        (pd.Timestamp("2023-11-14T23:13:20.000001001", tz="Europe/Berlin"), 1001),
        (datetime(2023, 11, 14, 22, 13, 21), 1_000_000_000),
        (1_700_000_001, 1_000_000_000),
    ],
)
def test_instants(value: Any, offset: int) -> None:
    assert parse_instant(value, T0) == T0 + offset


@pytest.mark.parametrize(
    "value",
    ["", "noon", "2023-02-31", "2023-11-14T25:00", "2023-11-14.5", "22:13:20", None, pd.NaT, True, 1e300, T0],
)
def test_no_instants(value: Any) -> None:
    with pytest.raises(UsageError, match=r"not a time: .*; write 2026-01-31T12:00:00Z"):
        parse_instant(value, T0)


def test_local_time_where_no_zone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert parse_instant("2023-11-15T03:43:20", T0, local=True) == T0
        assert parse_instant("2023-11-14T22:13:20Z", T0, local=True) == T0
    finally:
        monkeypatch.undo()
        time.tzset()
