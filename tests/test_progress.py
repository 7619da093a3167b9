"""What is said on stderr while a capture is read."""

from __future__ import annotations

import io

import pytest
from numba.core.event import Event, EventStatus, broadcast

from tcpstates.show import progress
from tcpstates.show.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def compiling(times: int) -> None:
    for _ in range(times):
        broadcast(Event("numba:compile", EventStatus.START))
        broadcast(Event("numba:compile", EventStatus.END))


def test_that_kernels_are_compiled_is_said_once() -> None:
    stream = io.StringIO()
    with Progress(stream):
        compiling(3)
    compiling(1)
    assert stream.getvalue() == "tcpstates: compiling for the first run, which takes some seconds\n"


def test_nothing_is_said_of_a_short_capture() -> None:
    stream = Terminal()
    with Progress(stream) as told:
        told(0, 100)
        told(100, 100)
    assert stream.getvalue() == ""


def test_a_bar_for_a_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", -1)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Progress(stream) as told:
        told(50, 100)
        told(60, None)
    assert "reading" in stream.getvalue()


def test_no_bar_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", -1)
    stream = io.StringIO()
    with Progress(stream) as told:
        told(50, 100)
    assert stream.getvalue() == ""
