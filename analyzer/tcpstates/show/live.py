"""Showing a capture that goes on: on a screen where there is a terminal, else line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TextIO

from tcpstates.reports.changes import Change
from tcpstates.show.lines import write_heading, write_json_lines, write_lines


class Capture(Protocol):
    """What is asked of a capture that goes on; ``session.Live`` is one."""

    messages: Any
    overlooked: int

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""

    @property
    def snapshot(self) -> Any:
        """What was known at the last tick."""

    def wait(self) -> None:
        """Wait for the next tick."""

    def stop(self) -> None:
        """End it."""

    def taken_changes(self) -> list[Change]:
        """The changes of state that were not taken yet."""


def follow(
    capture: Capture, stop: Callable[[], bool], out: TextIO, errors: TextIO, form: str | None = None
) -> None:
    """Show ``capture`` until it is over, or ``stop`` says so, and end it.

    Parameters
    ----------
    form : ``json`` or ``lines``; if None a screen, or lines where ``out`` is no terminal.
    """
    if form is None and out.isatty():
        from tcpstates.show.screen import Screen

        Screen(out).run(capture, stop)
        return
    _follow_lines(capture, stop, out, errors, form or "lines")


def _follow_lines(capture: Capture, stop: Callable[[], bool], out: TextIO, errors: TextIO, form: str) -> None:
    write: Callable[[Iterable[Change], TextIO], None] = write_json_lines
    if form == "lines":
        write = write_lines
        write_heading(out)
    while not capture.is_over and not stop():
        write(capture.taken_changes(), out)
        write_messages(capture, errors)
        capture.wait()
    capture.stop()
    write(capture.taken_changes(), out)
    write_messages(capture, errors)
    if capture.overlooked:
        errors.write(f"tcpstates: {capture.overlooked:,} changes came too fast to be written\n")


def write_messages(capture: Capture, errors: TextIO) -> None:
    """What happened to the interfaces."""
    while capture.messages:
        errors.write(f"tcpstates: {capture.messages.popleft()}\n")
    errors.flush()
