"""Pictures with matplotlib: each shows what it says, for no connection as for many."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tcpstates
from logs import LogBuilder, leaked, normal_close
from tcpstates.show.colours import STATE_COLOURS
from tcpstates.states import State

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is an extra: plot")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402

WHOLE = ("census", "durations", "heatmap")


@pytest.fixture(autouse=True)
def _figures_are_closed() -> object:
    yield
    pyplot.close("all")


@pytest.fixture(scope="session")
def demo(captures: Path) -> tcpstates.Analysis:
    return tcpstates.analyze(captures / "demo.pcap")


def texts(ax: Axes) -> str:
    return "\n".join(text.get_text() for text in ax.texts)


@pytest.mark.parametrize("name", WHOLE)
def test_a_picture_of_all_is_drawn_into_the_axes_given(demo: tcpstates.Analysis, name: str) -> None:
    ax = pyplot.subplots()[1]
    assert getattr(demo.plot, name)(ax=ax) is ax
    assert ax.get_title(loc="left")
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("builder", [LogBuilder(), LogBuilder(end=0), leaked(LogBuilder())])
def test_a_picture_of_little_or_nothing(builder: LogBuilder, name: str) -> None:
    ax = getattr(builder.analysis().plot, name)()
    ax.figure.canvas.draw()
    if name == "heatmap" and not len(builder.log().connections):
        assert texts(ax) == "nothing to show"


@pytest.mark.parametrize("name", ["lanes", "ladder"])
def test_a_picture_of_one_is_drawn_into_the_axes_given(demo: tcpstates.Analysis, name: str) -> None:
    for conn in (0, 23, 151, 177):
        ax = pyplot.subplots()[1]
        assert getattr(demo.plot, name)(conn, ax=ax) is ax
        ax.figure.canvas.draw()
    assert "connection 177" in ax.get_title(loc="left")


def test_states_have_their_colours_and_names(demo: tcpstates.Analysis) -> None:
    ax = demo.plot.lanes(23)
    legend = ax.get_legend()
    assert legend is not None
    labels = {text.get_text() for text in legend.get_texts()}
    assert {"CLOSE_WAIT", "FIN_WAIT2", "SYN", "FIN", "assumed"} <= labels
    drawn = {to_hex(colour) for bars in ax.collections for colour in bars.get_facecolor()}
    assert STATE_COLOURS[State.CLOSE_WAIT] in drawn


def test_what_is_assumed_is_dotted_as_the_legend_says(demo: tcpstates.Analysis) -> None:
    ax = demo.plot.lanes(23)
    [bar] = [bar for bar in ax.collections if bar.get_hatch()]
    assert to_hex(bar.get_facecolor()[0]) == STATE_COLOURS[State.CLOSE]
    ax.figure.canvas.draw()
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())[::-1]
    left, bottom = ax.transData.transform(bar.get_paths()[0].get_extents().min).astype(int) + 5
    within = pixels[bottom : bottom + 8, left : left + 20, :3]
    assert within.std(axis=(0, 1)).max() > 5  # dots, not one colour


def test_time_is_to_scale_on_request(demo: tcpstates.Analysis) -> None:
    assert "stretched" in demo.plot.lanes(23).get_xlabel()
    assert "stretched" not in demo.plot.lanes(23, linear=True).get_xlabel()


def test_the_census_is_stacked_to_all_sockets(demo: tcpstates.Analysis) -> None:
    ax = demo.plot.census("1s")
    most = demo.census("1s").groupby("time")["sockets"].sum().max()
    assert most <= ax.get_ylim()[1] <= most * 1.1


def test_a_ladder_names_states_where_they_change(demo: tcpstates.Analysis) -> None:
    shown = texts(demo.plot.ladder(177))
    assert shown.count("ESTABLISHED") == 2
    assert "RST ACK  seq 128  ack 145" in shown


def test_what_is_wrong_raises_in_one_line(demo: tcpstates.Analysis) -> None:
    with pytest.raises(tcpstates.UsageError, match="no connection 999"):
        demo.plot.lanes(999)
    with pytest.raises(tcpstates.CaptureError, match="no capture to read segments from"):
        normal_close(LogBuilder()).analysis().plot.ladder(0)


def test_without_matplotlib_the_error_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import tcpstates\n"
        "from tcpstates.reports.log import Log\n"
        "import numpy as np\n"
        "from tcpstates.schema import CONNECTIONS, SIDES, TRANSITIONS\n"
        "log = Log(*(np.zeros(0, dtype) for dtype in (CONNECTIONS, SIDES, TRANSITIONS)))\n"
        "try:\n    tcpstates.Analysis(log).plot\n"
        "except tcpstates.UsageError as error:\n    print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "plots need matplotlib, which is missing: pip install 'tcpstates[plot]'\n"
