"""What can go wrong, each with the exit code that the command ends with.

An error's text is one line: what, which value, what to do.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The command's exit codes."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    UNREADABLE = 3
    DAMAGED = 4
    NO_PERMISSION = 5
    CLUSTER = 6


class TcpstatesError(Exception):
    """Base of every error that the package raises on purpose."""

    exit_code = ExitCode.USAGE


class UsageError(TcpstatesError, ValueError):
    """An argument or option that cannot be understood."""

    exit_code = ExitCode.USAGE


class ClusterError(TcpstatesError):
    """Workers, their scheduler or their disk failed; what is in the working folder stays of use."""

    exit_code = ExitCode.CLUSTER


class CaptureError(TcpstatesError):
    """Something that cannot be read as a capture at all."""

    exit_code = ExitCode.UNREADABLE


class CapturePermissionError(CaptureError):
    """A capture that exists, but that this user may not read."""

    exit_code = ExitCode.NO_PERMISSION
