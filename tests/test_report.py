"""The page of a capture: complete by itself, harmless whatever the capture holds, and usable by clicks."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import tcpstates
from browser import DESKTOP, PHONE, Opened, browser
from builders import START, Section, tcp_frame
from logs import LogBuilder, leaked, normal_close
from tcpstates.reports.log import Log
from tcpstates.reports.spread import EDGES, Durations, Heat, duration_ticks
from tcpstates.show.charts import heat_chart
from tcpstates.show.report import MOST_ROWS
from tcpstates.states import State

pytest.importorskip("jinja2", reason="jinja2 is an extra: report")
pytest.importorskip("plotly", reason="plotly is an extra: report")

SCRIPT = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'`{{7*7}}"


@pytest.fixture(scope="session")
def demo_page(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "demo.html"
    tcpstates.analyze(captures / "demo.pcap").report(path)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


def opened(
    chromium: Any, path: Path, size: tuple[int, int] = DESKTOP, scheme: Literal["light", "dark"] = "light"
) -> Opened:
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page.set_default_timeout(120_000)  # other tests may keep the machine busy
    return Opened(page).open(path)


def text_of(path: Path) -> str:
    """What the page says in its elements, scripts left out."""
    html = path.read_text()
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style).*?</\1>", "", html)))


def many(log: Log, copies: int) -> Log:
    """The same connections again and again, each as one more."""
    transitions = np.tile(log.transitions, copies)
    number = np.repeat(np.arange(copies, dtype=np.int32), len(log.transitions))
    transitions["conn"] += number * len(log.connections)
    arrays = {one.name: getattr(log, one.name) for one in dataclasses.fields(log)}
    records = {
        name: np.tile(array, copies)
        for name, array in arrays.items()
        if isinstance(array, np.ndarray) and len(array) in (len(log.connections), len(log.sides))
    }
    return dataclasses.replace(log, **records | {"transitions": transitions})


# --- what it says ------------------------------------------------------------------------------


def test_the_findings_come_first_in_words(demo_page: Path) -> None:
    text = text_of(demo_page)
    assert text.index("17 connections from 6 clients sat in CLOSE_WAIT") < text.index("Census")
    assert text.index("Census") < text.index("The worst connections") < text.index("All connections")
    assert "28 frames hold no TCP segment" in text


def test_each_finding_has_connections_that_open(demo_page: Path) -> None:
    html = demo_page.read_text()
    linked = set(re.findall(r'href="#conn-(\d+)"', html))
    assert linked == set(re.findall(r'<details id="conn-(\d+)"', html))
    assert len(linked) == 15
    assert html.count('aria-label="States of connection') == html.count('aria-label="Segments of connection')


def test_of_few_connections_all_are_shown(captures: Path, tmp_path: Path) -> None:
    tcpstates.analyze(captures / "close_by_client.pcap").report(tmp_path / "a.html")
    text = text_of(tmp_path / "a.html")
    assert "Connections, one by one" in text
    assert "Nothing is stuck or abnormal." in text
    assert "TIME_WAIT from 2026-" in text


@pytest.mark.parametrize("builder", [LogBuilder(), LogBuilder(end=0)])
def test_a_capture_without_connections(builder: LogBuilder, tmp_path: Path) -> None:
    builder.analysis().report(tmp_path / "a.html")
    assert "There is none." in text_of(tmp_path / "a.html")


def test_standard_input_has_no_ladders_and_the_page_says_why(captures: Path, tmp_path: Path) -> None:
    stream = io.BytesIO((captures / "close_wait_leak.pcap").read_bytes())
    tcpstates.analyze(stream).report(tmp_path / "a.html")
    text = text_of(tmp_path / "a.html")
    assert "No ladder diagrams: a file object: cannot be read a second time" in text
    assert "CLOSE_WAIT from 2026-" in text


def test_damage_is_said(captures: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pcap").write_bytes((captures / "close_wait_leak.pcap").read_bytes()[:-10])
    tcpstates.analyze(tmp_path / "cut.pcap").report(tmp_path / "a.html")
    assert "frames before it were read" in text_of(tmp_path / "a.html")


def test_of_many_connections_the_worst_are_listed_and_the_page_stays_small(tmp_path: Path) -> None:
    builder = normal_close(leaked(LogBuilder()))
    log = many(normal_close(builder).log(), MOST_ROWS)
    path = tmp_path / "a.html"
    tcpstates.Analysis(log).report(path)
    assert path.stat().st_size < 10_000_000
    text = text_of(path)
    assert f"The {MOST_ROWS:,} worst of {3 * MOST_ROWS:,}" in text
    assert path.read_text().count("stuck_close_wait") > MOST_ROWS  # the errors, not what is in order
    assert text.count("connection 0 ") >= 1


def text_of_leaks(servers: int, path: Path) -> str:
    """What a page says of connections that so many servers do not close."""
    builder = LogBuilder()
    for number in range(servers):
        leaked(builder, endpoints=("10.1.0.1:4000", f"10.0.{number}.1:80"))
    builder.analysis().report(path)
    return text_of(path)


def test_each_outcome_is_explained_once(tmp_path: Path) -> None:
    text = text_of_leaks(3, tmp_path / "a.html")
    assert text.count("What stuck_close_wait means") == 1


def test_of_many_findings_the_worst_are_open_and_no_number_is_kept_back(tmp_path: Path) -> None:
    text = text_of_leaks(40, tmp_path / "a.html")
    assert "20 more findings" in text
    assert re.search("and 10 more findings, less bad: +tcpstates findings", text)


# --- what it must not do -----------------------------------------------------------------------


def hostile() -> tcpstates.Analysis:
    """All that a page takes from outside, made to inject: names of files, and what is said of damage."""
    builder = leaked(normal_close(LogBuilder(files=(f"{SCRIPT}.pcap", f"b{SCRIPT}.pcap"))))
    return builder.analysis(damage=(f"{SCRIPT}: cut",))


def test_nothing_from_outside_is_markup(tmp_path: Path) -> None:
    hostile().report(tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text()
    assert "<script>window.hacked" not in html
    assert "<img" not in html.split("<script")[0]
    assert "{{7*7}}" in html  # and no template of its own
    assert html.count("</script>") == 4 + _in_plotly()


def _in_plotly() -> int:
    from tcpstates.show.report import _plotly

    return _plotly().count("</script>")


def test_a_hostile_page_runs_nothing(chromium: Any, tmp_path: Path) -> None:
    hostile().report(tmp_path / "a.html")
    page = opened(chromium, tmp_path / "a.html")
    page.page.locator("#all tbody tr").first.click()
    page.page.locator("#search").fill("<img src=x onerror=window.hacked=1>")
    assert page.page.evaluate("window.hacked") is None
    assert page.said == []


def test_a_hostile_capture_runs_nothing(chromium: Any, tmp_path: Path) -> None:
    """Names of interfaces, comments and payload are not even in the page."""
    section = Section()
    frames = [
        tcp_frame("10.0.0.1:4000", "10.0.0.2:80", "S"),
        tcp_frame("10.0.0.1:4000", "10.0.0.2:80", "A", payload=SCRIPT.encode()),
    ]
    blocks = [section.enhanced((START // 1000) + number, data) for number, data in enumerate(frames)]
    comment = section.option(1, SCRIPT.encode())
    header = section.block(0x0A0D0D0A, section._pack("IHHq", 0x1A2B3C4D, 1, 0, -1) + comment)
    name = "<img src=x onerror=window.hacked=1>.pcapng"
    path = tmp_path / name
    try:
        path.write_bytes(header + section.interface(name=SCRIPT.encode()) + b"".join(blocks))
    except OSError:
        pytest.skip("this file system does not take such a name")
    analysis = tcpstates.analyze(path)
    assert len(analysis.connections) == 1
    analysis.report(tmp_path / "a.html")
    assert "window.hacked=1</script>" not in (tmp_path / "a.html").read_text()
    page = opened(chromium, tmp_path / "a.html")
    assert page.page.evaluate("window.hacked") is None
    assert page.page.title() == str(path)
    assert page.said == []


def test_the_policy_stops_a_script_that_got_in(chromium: Any, demo_page: Path, tmp_path: Path) -> None:
    """As if escaping had failed."""
    html = demo_page.read_text().replace("<header>", "<header><script>window.hacked=1</script>", 1)
    (tmp_path / "a.html").write_text(html)
    page = opened(chromium, tmp_path / "a.html")
    assert page.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in line for line in page.said)


# --- by clicks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_opens_without_an_error_and_without_the_network(
    chromium: Any, demo_page: Path, size: tuple[int, int]
) -> None:
    page = opened(chromium, demo_page, size)
    page.page.wait_for_selector("#chart-heat .plot-container")
    assert page.said == []
    for chart in ("census", "durations", "heat"):
        assert page.page.locator(f"#chart-{chart} .main-svg").count() > 0
    width = page.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0], "the page itself must not scroll sideways"


def test_search_narrows_the_table_and_a_row_opens_its_connection(chromium: Any, demo_page: Path) -> None:
    page = opened(chromium, demo_page).page
    assert page.locator("#count").inner_text() == "100 of 295"
    page.locator("#search").fill("10.20.0.16:46029 close_wait")
    assert page.locator("#all tbody tr").count() == 1
    assert not page.locator("#conn-23").evaluate("one => one.open")
    page.locator("#all tbody tr").click()
    assert page.locator("#conn-23").evaluate("one => one.open")
    assert page.locator("#conn-23 svg").first.is_visible()


def test_a_row_that_is_not_drawn_says_what_to_run(chromium: Any, demo_page: Path) -> None:
    page = opened(chromium, demo_page).page
    page.locator("#outcome").select_option("closed")
    page.locator("#all tbody tr").first.click()
    command = page.locator("tr.about code").inner_text()
    assert re.fullmatch(r"tcpstates timeline \S+demo\.pcap --conn \d+", command)
    page.locator("#all tbody tr").first.click()
    assert page.locator("tr.about").count() == 0


def test_more_rows_and_another_order(chromium: Any, demo_page: Path) -> None:
    page = opened(chromium, demo_page).page
    page.locator("#more").click()
    assert page.locator("#count").inner_text() == "200 of 295"
    page.locator("#all th", has_text="seconds").click()
    page.locator("#all th", has_text="seconds").click()
    seconds = [float(text) for text in page.locator("#all tbody td:nth-child(7)").all_inner_texts()]
    assert seconds == sorted(seconds, reverse=True)


def test_a_finding_leads_to_its_example(chromium: Any, demo_page: Path) -> None:
    page = opened(chromium, demo_page, PHONE).page
    page.locator("#findings a", has_text="connection 177").click()
    assert page.locator("#conn-177").evaluate("one => one.open")


def test_names_of_states_stay_within_their_bars(chromium: Any, demo_page: Path) -> None:
    page = opened(chromium, demo_page).page
    page.locator("#worst details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    over = """bars => bars.filter(bar => {
        const box = bar.querySelector("rect").getBoundingClientRect();
        return [...bar.querySelectorAll("text")].some(text => {
            const own = text.getBoundingClientRect();
            return own.left < box.left || own.right > box.right;
        });
    }).map(bar => bar.textContent)"""
    assert page.locator("#worst svg g:has(rect):has(text)").evaluate_all(over) == []


def test_no_chart_can_be_sent_elsewhere(chromium: Any, demo_page: Path) -> None:
    """plotly.js would offer to upload what it shows."""
    page = opened(chromium, demo_page).page
    page.wait_for_selector("#chart-heat .plot-container")
    buttons = page.locator(".modebar-btn").evaluate_all("all => all.map(one => one.dataset.title)")
    assert set(buttons) == {"Download plot as a PNG", "Zoom", "Pan", "Reset axes"}


def test_what_a_chart_says_of_a_place_is_read_in_the_dark(chromium: Any, demo_page: Path) -> None:
    page = opened(chromium, demo_page, DESKTOP, "dark").page
    page.wait_for_selector("#chart-heat .plot-container")
    page.locator("#chart-census").hover()
    page.wait_for_selector("#chart-census .hoverlayer .bg")
    assert colours(page, "#chart-census .hoverlayer .bg", "fill") == {"rgb(27, 33, 41)"}
    assert colours(page, "#chart-census .hoverlayer .legendtext", "fill") == {"rgb(228, 232, 236)"}


def test_a_finger_on_a_chart_scrolls_the_page(chromium: Any, demo_page: Path) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    Opened(page).open(demo_page)
    page.wait_for_selector("#chart-heat .plot-container")
    page.evaluate("document.querySelector('#chart-census').scrollIntoView()")
    before = page.evaluate("scrollY")
    finger = page.context.new_cdp_session(page)
    for kind, y in (("Start", 100), *(("Move", 100 - 6 * step) for step in range(10)), ("End", None)):
        points = [] if y is None else [{"x": 200, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    page.wait_for_function(f"scrollY > {before}")


# --- on paper ----------------------------------------------------------------------------------


@pytest.fixture
def paper(chromium: Any, demo_page: Path) -> Any:
    """The page as a browser that is set to dark prints it on A4: what lies between its margins."""
    page = opened(chromium, demo_page, DESKTOP, "dark").page
    page.wait_for_selector("#chart-heat .plot-container")
    page.set_viewport_size({"width": 690, "height": 1000})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    return page


def colours(page: Any, selector: str, name: str) -> set[str]:
    return set(page.locator(selector).evaluate_all(f"all => all.map(one => getComputedStyle(one).{name})"))


def test_paper_is_white_and_its_ink_dark(paper: Any) -> None:
    dark = {"rgb(27, 31, 36)"}
    assert colours(paper, "body", "backgroundColor") == {"rgb(255, 255, 255)"}
    assert colours(paper, "body, summary, .card p", "color") == dark
    assert colours(paper, "#census .main-svg text", "fill") == dark
    assert colours(paper, ".swatch", "printColorAdjust") == {"exact"}


def test_nothing_is_wider_than_the_paper(paper: Any) -> None:
    over = "all => all.filter(one => one.getBoundingClientRect().right > 690).map(one => one.outerHTML)"
    assert paper.locator("td, svg, .main-svg, code, p").evaluate_all(over) == []


def test_on_paper_all_is_open_and_afterwards_closed_again(paper: Any) -> None:
    drawings = paper.locator("#worst details svg")
    assert drawings.count() == 30
    assert all(one.is_visible() for one in drawings.all())
    paper.evaluate("dispatchEvent(new Event('afterprint'))")
    assert paper.locator("details[open]").count() == 0


def test_on_paper_nothing_asks_to_be_clicked(paper: Any) -> None:
    for selector in ("#search", "#more", ".screen", ".modebar"):
        assert not paper.locator(selector).first.is_visible()
    assert paper.locator("#count").inner_text() == "100 of 295"
    assert re.search(r"tcpstates connections \S+demo.pcap", paper.locator("#all .print").inner_text())


def test_a_search_is_printed_with_what_it_found(chromium: Any, demo_page: Path) -> None:
    page = opened(chromium, demo_page).page
    page.locator("#search").fill("close_wait")
    page.emulate_media(media="print")
    assert page.locator("#search").is_visible()
    assert not page.locator("#all .print").is_visible()  # what was found is all there


# --- the command -------------------------------------------------------------------------------


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tcpstates", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_writes_the_page(captures: Path, tmp_path: Path) -> None:
    result = run(captures / "refused.pcap", "-o", tmp_path / "a.html", "--fail-on", "warning")
    assert (result.returncode, result.stderr) == (1, "")
    assert "refused" in text_of(tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.html"]


@pytest.mark.parametrize(
    ("output", "message"),
    [("", "Missing option '-o'"), ("nowhere/a.html", "name a file in a folder that exists")],
)
def test_where_the_page_cannot_be_written(captures: Path, tmp_path: Path, output: str, message: str) -> None:
    options = ["-o", tmp_path / output] if output else []
    result = run(captures / "refused.pcap", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_without_plotly_the_error_says_how_to_get_it(captures: Path, tmp_path: Path) -> None:
    (tmp_path / "plotly.py").write_text("raise ModuleNotFoundError(name='plotly')")
    path = os.pathsep.join([str(tmp_path), str(Path(tcpstates.__file__).parent.parent)])
    command = [sys.executable, "-m", "tcpstates", "report", captures / "refused.pcap", "-o", tmp_path / "a"]
    environment = os.environ | {"PYTHONPATH": path}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "tcpstates: the report needs plotly, which is missing: pip install 'tcpstates[report]'"
    ]


# --- the charts --------------------------------------------------------------------------------


def test_plotly_knows_every_property_of_the_charts(captures: Path) -> None:
    from plotly import graph_objects

    from tcpstates.show.report import Material, _charts

    analysis = tcpstates.analyze(captures / "demo.pcap")
    nothing: Any = None
    material = Material(
        analysis.log, analysis.outcomes, nothing, nothing, (), [], {}, "", "linux"
    )  # fmt: skip
    charts = _charts(material)
    assert set(charts) == {"census", "durations", "heat"}
    for chart in charts.values():
        graph_objects.Figure(chart)  # raises at what it does not know


def test_the_colours_of_counts_do_not_rest_on_a_name_that_plotly_js_may_not_know() -> None:
    """It passes over the names that it does not know, without a word."""
    few = Heat(("10.0.0.1",), 1, np.array([START, START + 1]), 1, np.array([[1, 900]]))
    trace = heat_chart(few)["data"][0]
    assert [place for place, _colour in trace["colorscale"]] == [0, 0.25, 0.5, 0.75, 1]
    assert trace["zmin"] == 1  # one is not as white as none


@pytest.mark.parametrize(
    ("lengths", "names"),
    [
        ([2e-6, 60.0], ["1 µs", "1 ms", "1 s", "1 min"]),
        ([2e-3, 0.5], ["1 ms", "10 ms", "100 ms", "1 s"]),
        ([], ["1 ms", "1 s", "1 min"]),
    ],
)
def test_lengths_of_time_are_named_as_people_name_them(lengths: list[float], names: list[str]) -> None:
    counts = np.histogram(lengths, EDGES)[0]
    ticks = duration_ticks([Durations(State.ESTABLISHED, counts, 0, 0)])
    assert list(ticks.values()) == names
