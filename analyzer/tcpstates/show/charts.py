"""A whole capture as charts for plotly.js: plain data, in which there is no text but states and addresses."""

from __future__ import annotations

from typing import Any

import numpy as np

from tcpstates.reports.census import stacked
from tcpstates.reports.log import Log
from tcpstates.reports.spread import EDGES, Durations, Heat, duration_ticks
from tcpstates.reports.wording import counted, duration
from tcpstates.show.colours import HEAT_COLOURS, STATE_COLOURS

Chart = dict[str, Any]

_LAYOUT: Chart = {
    "margin": {"l": 60, "r": 24, "t": 10, "b": 40},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "legend": {"orientation": "h", "y": -0.15},
}


#: An axis of instants; times that do not fit beside each other are left out, never turned.
_TIME: Chart = {"type": "date", "tickangle": 0, "automargin": True}


def census_chart(log: Log, every: int) -> Chart:
    """Sockets per state over time, stacked."""
    times, sockets = stacked(log, every)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": state.name,
            "x": _moments(times),
            "y": counts.tolist(),
            "stackgroup": "sockets",
            "line": {"shape": "hv", "width": 0},
            "fillcolor": STATE_COLOURS[state],
        }
        for state, counts in sockets.items()
    ]
    axes = {"xaxis": _TIME, "yaxis": {"title": {"text": "sockets"}, "rangemode": "tozero"}}
    if sum(int(counts.max(initial=0)) for counts in sockets.values()) < 10:
        axes["yaxis"]["dtick"] = 1  # there is no half a socket
    return {"data": traces, "layout": {**_LAYOUT, **axes, "hovermode": "x unified", "height": 380}}


def _moments(times: np.ndarray) -> list[str]:
    """To the millisecond, as plotly reads them."""
    moments: list[str] = np.datetime_as_string(
        np.asarray(times, np.int64).view("datetime64[ns]"), unit="ms"
    ).tolist()
    return moments


def durations_chart(spread: list[Durations]) -> Chart:
    """One histogram per state, each to its own height, on a logarithmic axis."""
    traces = [_ridge(one, row) for row, one in enumerate(reversed(spread))]
    rows = {
        "tickvals": [row + 0.3 for row in range(len(spread))],
        "ticktext": [one.state.name for one in reversed(spread)],
        "zeroline": False,
    }
    ticks = duration_ticks(spread)
    lengths = {"type": "log", "tickvals": list(ticks), "ticktext": list(ticks.values())}
    margin = {**_LAYOUT["margin"], "l": 100}
    layout = {**_LAYOUT, "xaxis": lengths, "yaxis": rows, "margin": margin, "showlegend": False}
    return {"data": traces, "layout": {**layout, "height": 90 + 40 * len(spread)}}


def _ridge(one: Durations, row: int) -> Chart:
    """A histogram as a filled outline; what is beyond the bins that are used is left out."""
    used = np.flatnonzero(one.counts)
    bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
    heights = row + 0.8 * one.counts[bins] / max(int(one.counts.max()), 1)
    edges = np.repeat(EDGES[bins.start : bins.stop + 1], 2) if len(used) else np.empty(0)
    about = f"{counted(int(one.counts.sum()), 'stay')}, median {duration(one.median)}"
    lasting = f", {one.lasting:,} not ended" if one.lasting else ""
    return {
        "type": "scatter",
        "mode": "lines",
        "fill": "toself",
        "x": edges.round(9).tolist(),
        "y": np.concatenate([[row], np.repeat(heights, 2), [row]]).round(3).tolist() if len(used) else [],
        "fillcolor": STATE_COLOURS[one.state],
        "line": {"color": STATE_COLOURS[one.state], "width": 1},
        "name": one.state.name,
        "text": f"{one.state.name}: {about}{lasting}",
        "hoverinfo": "text",
    }


def heat_chart(picture: Heat) -> Chart:
    """Connections that went wrong, by server and time."""
    places = np.linspace(0, 1, len(HEAT_COLOURS)).round(3).tolist()
    trace = {
        "type": "heatmap",
        "x": _moments(picture.starts),
        "y": list(picture.hosts),
        "z": [[count or None for count in row] for row in picture.counts.tolist()],
        "zmin": 1,
        "zmax": max(int(picture.counts[: picture.named].max(initial=0)), 2),
        "colorscale": [[place, colour] for place, colour in zip(places, HEAT_COLOURS, strict=True)],
        "colorbar": {"thickness": 12, "nticks": 4, "tickformat": "d"},
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{y}<br>%{x}<br>%{z} connections<extra></extra>",
    }
    hosts = {"type": "category", "autorange": "reversed", "automargin": True}
    height = 110 + 22 * len(picture.hosts)
    return {"data": [trace], "layout": {**_LAYOUT, "xaxis": _TIME, "yaxis": hosts, "height": height}}
