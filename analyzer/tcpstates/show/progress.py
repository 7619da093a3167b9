"""How far a long capture is read: a bar on stderr, if that is a terminal and it takes more than a moment."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self, TextIO

from numba.core.event import Event, Listener, register, unregister

_PATIENCE = 0.7  # seconds without a bar; most captures are done by then
_COMPILE = "numba:compile"  # said before a kernel is compiled, not when it comes from the cache


class Progress:
    """Called with the bytes read so far and all there are; a context that clears its bar when it ends.

    Also says when kernels have to be compiled, which makes the first run take longer.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._bar: Any = None
        self._compilations = _Compilations(stream)

    def __call__(self, read: int, total: int | None) -> None:
        """Say how far it is."""
        if self._bar is None and self._is_due():
            self._bar = _bar(self._stream)
            self._bar.add_task("reading", total=total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=read)

    def _is_due(self) -> bool:
        return self._stream.isatty() and time.monotonic() - self._began > _PATIENCE

    def __enter__(self) -> Self:
        register(_COMPILE, self._compilations)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unregister(_COMPILE, self._compilations)
        if self._bar is not None:
            self._bar.stop()


class _Compilations(Listener):  # type: ignore[misc]  # numba has no types
    """Says at the first compilation that there is one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said = False

    def on_start(self, event: Event) -> None:
        """A kernel is about to be compiled."""
        if not self._said:
            self._stream.write("tcpstates: compiling for the first run, which takes some seconds\n")
            self._stream.flush()
        self._said = True

    def on_end(self, event: Event) -> None:
        """It is compiled."""


def _bar(stream: TextIO) -> Any:
    """A bar of rich, which is imported only when there is something to show."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = ("[dim]reading", BarColumn(30), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(file=stream), transient=True)
