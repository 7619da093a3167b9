"""A coverage-guided fuzzer of everything between bytes and tables, for long runs: ``make fuzz``.

Runs as plain Python, so that the kernels are seen too. What it finds is written to the current folder.
Usage: fuzz.py [options of libFuzzer] [CORPUS...]
"""

from __future__ import annotations

import io
import os
import sys

os.environ["NUMBA_DISABLE_JIT"] = "1"

import atheris

with atheris.instrument_imports(include=["tcpstates"]):
    from tcpstates.analysis import analyze
    from tcpstates.errors import CaptureError


def one_input(data: bytes) -> None:
    """Any bytes are refused or analysed."""
    try:
        analysis = analyze(io.BytesIO(data))
        for name in ("findings", "timeline"):
            analysis.table(name)
    except CaptureError:
        pass


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=4096", "-timeout=5", "-rss_limit_mb=500"], one_input)
    atheris.Fuzz()
