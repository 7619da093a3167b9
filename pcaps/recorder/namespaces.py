"""Network namespaces without names: they vanish with the process, however it ends.

A socket belongs for good to the namespace that its thread was in when it was made. So one thread can
hold sockets of several hosts, and a scenario reads as one transcript.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWNET = 0x4000_0000
_MS_REC_PRIVATE = 0x4000 | 0x4_0000
_OWN = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: object) -> None:
    """Call the C library's ``function``; OSError where it fails."""
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


class Namespace:
    """A network namespace."""

    def __init__(self) -> None:
        outer = os.open(_OWN, os.O_RDONLY)
        try:
            _call("unshare", _CLONE_NEWNET)
            self._fd = os.open(_OWN, os.O_RDONLY)
            _call("setns", outer, _CLONE_NEWNET)
        finally:
            os.close(outer)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        """Where programs of this process find it."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread makes meanwhile (sockets, processes) is in the namespace."""
        outer = os.open(_OWN, os.O_RDONLY)
        try:
            _call("setns", self._fd, _CLONE_NEWNET)
            yield
        finally:
            _call("setns", outer, _CLONE_NEWNET)
            os.close(outer)

    def run(self, *command: str) -> None:
        """Run ``command`` in the namespace; RuntimeError with its own words where it fails."""
        with self.entered():
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

    def sysctl(self, name: str, value: object) -> None:
        """Set ``net.<name>`` in the namespace, ``name`` with slashes."""
        with self.entered():
            Path("/proc/sys/net", name).write_text(str(value))

    def close(self) -> None:
        """Let it go; the kernel removes it with its last socket and process."""
        os.close(self._fd)


def unshare_mounts() -> None:
    """Put this process into a mount namespace of its own: what it mounts, nobody else sees."""
    _call("unshare", _CLONE_NEWNS)
    _call("mount", b"none", b"/", None, _MS_REC_PRIVATE, None)


def mount(kind: str, folder: str) -> None:
    """Mount a file system of ``kind`` that has no device."""
    _call("mount", b"nodev", folder.encode(), kind.encode(), 0, None)
