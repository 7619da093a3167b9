"""How far a long capture is read: a bar on stderr, if that is a terminal and it takes more than a moment."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self, TextIO

from tcpstates.compiled import is_cold

_PATIENCE = 0.7  # seconds without a bar; most captures are done by then


class Progress:
    """Called with the bytes read so far and all there are; a context that clears its bar when it ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began: float | None = None
        self._bar: Any = None

    def __call__(self, read: int, total: int | None) -> None:
        """Say how far it is; the first time also that kernels are about to be compiled."""
        if self._began is None:
            self._began = time.monotonic()
            self._announce_compilation()
        if self._bar is None and self._is_due():
            self._bar = _bar(self._stream)
            self._bar.add_task("reading", total=total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=read)

    def _announce_compilation(self) -> None:
        if is_cold():
            self._stream.write("tcpstates: compiling for this first run, which takes some seconds\n")
            self._stream.flush()

    def _is_due(self) -> bool:
        assert self._began is not None
        return self._stream.isatty() and time.monotonic() - self._began > _PATIENCE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar(stream: TextIO) -> Any:
    """A bar of rich, which is imported only when there is something to show."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = ("[dim]reading", BarColumn(30), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(file=stream), transient=True)
