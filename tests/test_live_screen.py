"""The screen of a live capture, in a terminal of its own."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import time

import pytest

from wires import Wire

pytestmark = pytest.mark.slow_without_jit


def begun(hosts: Wire) -> tuple[subprocess.Popen[str], int]:
    """The command with a terminal of 130 columns, once it listens, and the other end of that."""
    import fcntl
    import pty
    import termios

    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 130, 0, 0))
    command = [sys.executable, "-m", "tcpstates", "live", "-i", "eth0", "--stuck-after", "1s"]
    with hosts.client.entered():
        process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )
    os.close(terminal)
    assert process.stderr is not None
    while "listening on" not in process.stderr.readline():
        assert process.poll() is None
    return process, reader


def shown(reader: int, wanted: str, seconds: float = 60) -> str:
    """What is shown until ``wanted`` is, without colours and movements."""
    raw, deadline = b"", time.monotonic() + seconds
    text = ""
    while wanted not in text and time.monotonic() < deadline:
        if select.select([reader], [], [], 0.1)[0]:
            try:
                raw += os.read(reader, 1 << 16)
            except OSError:  # the terminal is gone
                break
            text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", raw.decode(errors="ignore"))
    return text


def test_what_becomes_true_is_shown_and_q_ends_with_the_report(hosts: Wire) -> None:
    process, reader = begun(hosts)
    client, server = hosts.connect(hosts.listen(8080))
    client.close()
    text = shown(reader, "stuck_close_wait")
    assert "Became true" in text
    assert "10.99.0.2:8080" in text
    os.write(reader, b"s")
    assert "oldest first" in shown(reader, "oldest first")
    os.write(reader, b"q")
    report = shown(reader, "States when the capture ends")
    assert "Findings, worst first" in report
    server.close()
    while shown(reader, "nothing more", 0.5):
        pass
    assert process.wait(60) == 0
    os.close(reader)
