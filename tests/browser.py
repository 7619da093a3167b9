"""A headless Chromium for the tests that look at pages as people do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)


class Opened:
    """A page, and all that its console said."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("request", self._note_request)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.said.append(f"request: {request.url}")

    def open(self, path: Path) -> Opened:
        """Go there, and wait until the charts are drawn, if there are any."""
        self.page.goto(path.absolute().as_uri())
        self.page.wait_for_load_state("load")
        return self


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright comes with the extra: test")
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        # Chromium refuses to run as root within its sandbox; what it opens here are our own files
        chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()
