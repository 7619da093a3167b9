"""Reading ahead: in whatever number of threads, the result is the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import tcpstates
from tcpstates.capture.ahead import WAITING, ahead

PCAPS = Path(__file__).parent.parent / "pcaps"


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("path", sorted(PCAPS.rglob("*.pcap*")), ids=lambda path: path.name)
def test_threads_change_nothing(path: Path) -> None:
    one, two = (tcpstates.analyze(path, threads=number) for number in (1, 2))
    assert one.counts == two.counts
    assert one.damage == two.damage
    for field in fields(one.log):
        np.testing.assert_equal(getattr(one.log, field.name), getattr(two.log, field.name))


def test_no_threads_are_refused() -> None:
    with pytest.raises(tcpstates.UsageError, match="0 threads cannot do anything; use 1 or more"):
        tcpstates.analyze(PCAPS / "demo.pcap", threads=0)


def test_items_come_in_order() -> None:
    assert list(ahead(range(1, 100))) == list(range(1, 100))


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    read = ahead(items())
    assert next(read) == 1
    with pytest.raises(ValueError, match="broken"):
        next(read)


def test_no_more_is_read_than_may_wait_and_nothing_once_nobody_asks() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1, 100):
            made.append(number)
            yield number

    read = ahead(items())
    assert isinstance(read, Iterator)
    next(read)
    read.close()  # type: ignore[attr-defined]
    assert len(made) <= WAITING + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tcpstates-ahead")]
