"""Fields come out as they are in the records."""

from __future__ import annotations

import numpy as np
import pytest

from tcpstates.reports.columns import columns, counts

RECORD = [("time", "i8"), ("frames", "u4"), ("side", "u1")]


@pytest.mark.parametrize("count", (0, 1, 8192, 8193))
def test_columns_are_the_fields_of_all_records(count: int) -> None:
    records = np.zeros(count, RECORD)
    records["time"], records["side"] = np.arange(count) << 40, np.arange(count) % 251
    found = columns(records, "side", "time")
    assert [(name, values.dtype) for name, values in found.items()] == [
        ("side", np.uint8),
        ("time", np.int64),
    ]
    assert all(values.tolist() == records[name].tolist() for name, values in found.items())


def test_counts_stop_at_255() -> None:
    records = np.zeros(6, RECORD)
    records["frames"] = (0, 1, 254, 255, 256, 2**32 - 1)
    assert counts(records, "frames")["frames"].tolist() == [0, 1, 254, 255, 255, 255]
