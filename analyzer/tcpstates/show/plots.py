"""An analysis drawn with matplotlib, for notebooks and print: ``Analysis.plot``.

Each method draws one picture and returns its Axes. Colours are those of ``colours.STATE_COLOURS`` everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tcpstates.reports.census import drawing_step
from tcpstates.reports.exchange import Exchange
from tcpstates.reports.ladder import ladder
from tcpstates.reports.lanes import Lanes
from tcpstates.reports.log import Log
from tcpstates.reports.outcomes import Outcomes
from tcpstates.reports.spread import durations, heat
from tcpstates.reports.when import parse_duration
from tcpstates.show.extras import needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Plots:
    """The pictures of one analysis.

    ``lanes`` and ``ladder`` show one connection, ``census``, ``durations`` and ``heatmap`` all of them. Each
    takes ``ax=``, the Axes to draw into (a new figure if not given), and returns the Axes.
    """

    def __init__(
        self,
        log: Log,
        outcomes: Callable[[], Outcomes],
        lanes: Callable[[int], Lanes],
        exchange: Callable[[int], Exchange],
    ) -> None:
        needed("matplotlib", "plots need", "plot")
        self._log, self._outcomes, self._lanes, self._exchange = log, outcomes, lanes, exchange

    def lanes(self, conn: int, *, linear: bool = False, ax: Axes | None = None) -> Axes:
        """Both sides of one connection as lanes of states over time.

        SYN, FIN, RST and retransmissions are marked where they were sent. A plain bar was observed, a hatched
        one inferred, a dotted one assumed.

        Parameters
        ----------
        conn : its number.
        linear : whether time is to scale; if not, it is stretched where more happens, so that every state can
            be seen.
        ax : where to draw.

        Raises
        ------
        UsageError
            If there is no such connection.
        """
        from tcpstates.show import plot_connection

        return plot_connection.draw_lanes(ax or _axes(11, 3), self._lanes(conn), linear)

    def ladder(self, conn: int, *, most: int = 60, ax: Axes | None = None) -> Axes:
        """One connection's segments as a ladder: client left, server right, their states down the margins.

        Parameters
        ----------
        conn : its number.
        most : how many lines at most; segments that say nothing new are put together.
        ax : where to draw.

        Raises
        ------
        CaptureError
            If the capture cannot be read a second time: an analysis keeps no segments.
        UsageError
            If there is no such connection.
        """
        from tcpstates.show import plot_connection

        picture = ladder(self._log, conn, self._exchange(conn), most)
        return plot_connection.draw_ladder(ax or _axes(9, 1.2 + 0.3 * len(picture.rungs)), picture)

    def census(self, every: Any = None, *, ax: Axes | None = None) -> Axes:
        """Sockets per state over time, stacked: a leak and a wave of TIME_WAIT are seen at once.

        Parameters
        ----------
        every : how often to count, such as ``"10s"``; what suits the width if not given.
        ax : where to draw.
        """
        from tcpstates.show import plot_capture

        step = drawing_step(self._log) if every is None else parse_duration(every)
        return plot_capture.draw_census(ax or _axes(11, 4.5), self._log, step)

    def durations(self, *, ax: Axes | None = None) -> Axes:
        """How long sides stay in each state, as one histogram per state on a logarithmic axis."""
        from tcpstates.show import plot_capture

        return plot_capture.draw_durations(ax or _axes(11, 4.5), durations(self._log))

    def heatmap(self, *, hosts: int = 20, bins: int = 60, ax: Axes | None = None) -> Axes:
        """Where and when connections went wrong: servers down, time across.

        Parameters
        ----------
        hosts : servers that get a row of their own, the worst first.
        bins : columns.
        ax : where to draw.
        """
        from tcpstates.show import plot_capture

        picture = heat(self._log, self._outcomes(), hosts, bins)
        return plot_capture.draw_heatmap(ax or _axes(11, 1.5 + 0.3 * max(len(picture.hosts), 4)), picture)


def _axes(width: float, height: float) -> Axes:
    """The Axes of a new figure of that size, in inches."""
    from matplotlib import pyplot

    axes: Axes = pyplot.subplots(figsize=(width, height), layout="constrained")[1]
    return axes
