"""Reading what is still being written: when to wait for more, and when to stop."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Any

#: Seconds between two looks at a file that may grow.
_PAUSE = 0.2
#: Seconds that the writer of a pipe, who was asked to stop too, may take to write its last.
_GRACE = 2.0


class Watch:
    """Says whether there is more to wait for.

    Parameters
    ----------
    follow : bool
        Whether to wait at the end of a file for it to grow, as ``tail -F`` does.
    stop : callable
        Asked again and again; once it says True, nothing more is waited for.
    """

    def __init__(self, follow: bool, stop: Callable[[], bool]) -> None:
        self.follow = follow
        self._stop = stop
        self._asked: float | None = None  # when it was first seen to say so

    @property
    def is_over(self) -> bool:
        """Whether to stop, wherever we are."""
        if self._asked is None and self._stop():
            self._asked = time.monotonic()
        return self._asked is not None

    def wait_for_file(self) -> bool:
        """Wait a moment for a file to grow; False if it is not worth it."""
        if not self.follow or self.is_over:
            return False
        time.sleep(_PAUSE)
        return True

    def wait_for_pipe(self, file: Any) -> bool:
        """Wait until there is something to read; False to stop. What cannot be waited for is just read."""
        while not _is_ready(file):
            if self.is_over:
                return False
        return not self.is_over or time.monotonic() - (self._asked or 0.0) < _GRACE


def _is_ready(file: Any) -> bool:
    try:
        return bool(select.select([file], [], [], _PAUSE)[0])
    except (OSError, TypeError, ValueError):  # no file of the system, or one of Windows
        return True


def was_replaced(file: Any, path: str | os.PathLike[str], position: int) -> bool:
    """Whether another file is at ``path`` now, or the same one was cut: to be read from its start."""
    try:
        there, ours = os.stat(path), os.fstat(file.fileno())  # noqa: PTH116
    except OSError:
        return False  # it was moved away, and the next one is not there yet
    return not os.path.samestat(there, ours) or there.st_size < position
