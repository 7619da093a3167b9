"""One connection of an analysis, for who looks at it in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tcpstates.reports.lanes import Lanes
    from tcpstates.reports.table import Table
    from tcpstates.show.plots import Plots


class _Analysis(Protocol):
    """What a connection asks of the analysis that it is of."""

    @property
    def connections(self) -> pd.DataFrame: ...
    @property
    def plot(self) -> Plots: ...
    def segments(self, conn: int) -> pd.DataFrame: ...
    def lanes(self, conn: int) -> Lanes: ...
    def table(self, name: str, *, conn: int | None = None) -> Table: ...


@dataclass(frozen=True, eq=False, repr=False)
class Connection:
    """One connection of an analysis.

    Attributes
    ----------
    analysis : where it comes from.
    conn : its number there.
    """

    analysis: _Analysis
    conn: int

    @property
    def row(self) -> pd.Series:
        """Its row in ``analysis.connections``."""
        return self.analysis.connections.iloc[self.conn]

    @property
    def timeline(self) -> pd.DataFrame:
        """Its rows in ``analysis.timeline``."""
        from tcpstates.reports.frames import to_pandas

        return to_pandas(self.analysis.table("timeline", conn=self.conn))

    @property
    def segments(self) -> pd.DataFrame:
        """Its segments; see ``Analysis.segments``."""
        return self.analysis.segments(self.conn)

    def lanes(self, **options: Any) -> Axes:
        """Both sides as lanes of states over time, drawn with matplotlib; see ``Analysis.plot.lanes``."""
        return self.analysis.plot.lanes(self.conn, **options)

    def ladder(self, **options: Any) -> Axes:
        """Its segments as a ladder, drawn with matplotlib; see ``Analysis.plot.ladder``."""
        return self.analysis.plot.ladder(self.conn, **options)

    def __repr__(self) -> str:
        from tcpstates.show.notebook import connection_line

        return connection_line(self._table)

    def _repr_html_(self) -> str:
        from tcpstates.show.notebook import connection_html

        return connection_html(self._table, self.analysis.lanes(self.conn))

    @property
    def _table(self) -> Table:
        return self.analysis.table("connections").take(slice(self.conn, self.conn + 1))
