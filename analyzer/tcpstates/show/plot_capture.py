"""A whole capture drawn with matplotlib: census, durations of states, and where and when it went wrong."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator, NullLocator

from tcpstates.reports.census import stacked
from tcpstates.reports.log import Log
from tcpstates.reports.spread import EDGES, Durations, Heat, duration_ticks, visible
from tcpstates.reports.wording import counted, duration
from tcpstates.show.colours import HEAT_COLOURS, STATE_COLOURS

_NOTHING = "nothing to show"
_HEAT = LinearSegmentedColormap.from_list("heat", HEAT_COLOURS)


def draw_census(ax: Axes, log: Log, every: int) -> Axes:
    """Sockets per state, counted ``every`` ns, as stacked steps."""
    times, sockets = stacked(log, every)
    bottom = np.zeros(len(times))
    for state, counts in sockets.items():
        top = bottom + counts
        ax.fill_between(
            _moments(times), bottom, top, step="post", color=STATE_COLOURS[state], lw=0, label=state.name
        )
        bottom = top
    ax.set_ylabel("sockets")
    ax.set_title(f"sockets per state, counted every {duration(every)}", loc="left")
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    if not sockets:
        return _empty(ax)
    _date_axis(ax)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
    return ax


def draw_durations(ax: Axes, spread: list[Durations]) -> Axes:
    """One histogram per state, each to its own height."""
    middles = np.sqrt(EDGES[1:] * EDGES[:-1])
    for row, one in enumerate(reversed(spread)):
        heights = one.counts / max(int(one.counts.max()), 1) * 0.8
        colour = STATE_COLOURS[one.state]
        ax.bar(middles, heights, np.diff(EDGES), bottom=row, color=colour, ec="#00000066", lw=0.4)
        ax.text(1.01, row + 0.25, _about(one), transform=ax.get_yaxis_transform(), size=8, va="center")
        ax.axhline(row, color="#bbbbbb", lw=0.6)
        if one.median:
            ax.plot([max(one.median / 1e9, EDGES[0])] * 2, [row, row + 0.85], color="#000000", lw=1.2)
    ax.set_xscale("log")
    ax.set_xlim(*visible(spread))
    ticks = duration_ticks(spread)
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_yticks([row + 0.25 for row in range(len(spread))], [one.state.name for one in reversed(spread)])
    ax.set_xlabel("time in the state, on a logarithmic axis; the line is the median")
    ax.set_title("how long sides stay in each state", loc="left")
    return ax if spread else _empty(ax)


def _about(one: Durations) -> str:
    ended = int(one.counts.sum())
    parts = [f"{counted(ended, 'stay')}, median {duration(one.median)}"] if ended else []
    return "\n".join([*parts, *([f"{one.lasting:,} not ended"] if one.lasting else [])])


def draw_heatmap(ax: Axes, picture: Heat) -> Axes:
    """Servers down, time across, the darker the more connections went wrong."""
    ax.set_title("connections that went wrong, by server and time", loc="left")
    if not picture.hosts:
        return _empty(ax)
    edges = _moments(np.append(picture.starts, picture.starts[-1] + picture.every))
    counts = np.ma.masked_equal(picture.counts, 0)
    most = max(int(picture.counts[: picture.named].max()), 2)
    mesh = ax.pcolormesh(edges, np.arange(len(picture.hosts) + 1), counts, cmap=_HEAT, vmin=1, vmax=most)
    ax.set_yticks(np.arange(len(picture.hosts)) + 0.5, picture.hosts, fontsize=8)
    ax.invert_yaxis()
    _date_axis(ax)
    label = f"connections in {duration(picture.every)}"
    assert ax.figure is not None
    ax.figure.colorbar(mesh, ax=ax, label=label, ticks=MaxNLocator(integer=True))
    return ax


def _moments(times: np.ndarray) -> np.ndarray:
    moments: np.ndarray = np.asarray(times, np.int64).view("datetime64[ns]").astype("datetime64[us]")
    return moments


def _date_axis(ax: Axes) -> None:
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    ax.set_xlabel("UTC")
    ax.margins(x=0)


def _empty(ax: Axes) -> Axes:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.text(0.5, 0.5, _NOTHING, transform=ax.transAxes, ha="center", va="center", color="#777777")
    return ax
