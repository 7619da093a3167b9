"""Make the pictures of the report that the documentation shows, with headless Chromium.

Usage: docs/screenshots.py [CAPTURE]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

import tcpstates

FOLDER = Path(__file__).parent
#: Width, height, and what is scrolled to, by the picture's name.
VIEWS = {
    "report-findings": (1100, 760, "h1", "light"),
    "report-census": (1100, 1000, "#census", "light"),
    "report-connection": (1100, 640, "#conn-23", "light"),
    "report-phone": (390, 844, "h1", "dark"),
    "report-phone-connection": (390, 844, "#conn-23", "dark"),
}


def main(capture: str) -> None:
    """Write a report to a temporary folder, and what Chromium shows of it to this one."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = Path(folder) / "report.html"
        tcpstates.analyze(capture).report(page)
        path = shutil.which("chromium") or shutil.which("google-chrome")
        chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, view in VIEWS.items():
            _take(chromium, page, FOLDER / f"{name}.png", view)
        chromium.close()


def _take(chromium: Any, page: Path, target: Path, view: tuple[int, int, str, Any]) -> None:
    width, height, shown, scheme = view
    tab = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab.goto(page.as_uri())
    tab.wait_for_selector("#chart-heat .plot-container")
    tab.evaluate("document.getElementById('conn-23').open = true")
    tab.evaluate(f"document.querySelector('{shown}').scrollIntoView()")
    tab.screenshot(path=target)
    with Image.open(target) as picture:  # few colours: a third of the size
        picture.convert("RGB").quantize(128).save(target, optimize=True)
    tab.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "pcaps/demo.pcap")
