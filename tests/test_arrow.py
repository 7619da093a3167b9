"""Tables as Arrow: other libraries read them as they are, with the values that pandas has."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import tcpstates
from logs import LogBuilder
from tcpstates.reports.frames import to_pandas
from tcpstates.schema import TABLES


@pytest.fixture(scope="session")
def demo(captures: Path) -> tcpstates.Analysis:
    return tcpstates.analyze(captures / "demo.pcap")


@pytest.mark.parametrize("name", TABLES)
def test_arrow_has_the_values_of_pandas(demo: tcpstates.Analysis, name: str) -> None:
    table = demo.table(name)
    by_arrow, by_pandas = pa.table(table).to_pandas(), to_pandas(table)
    assert list(by_arrow.columns) == list(by_pandas.columns)
    for column in by_arrow:
        left, right = by_arrow[column].astype(object), by_pandas[column].astype(object)
        pd.testing.assert_series_equal(
            left.where(left.notna()), right.where(right.notna()), check_names=False
        )


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_is_an_empty_table(name: str) -> None:
    assert pa.table(LogBuilder().analysis().table(name)).num_rows == 0


def test_polars_reads_a_table_and_a_dataframe(demo: tcpstates.Analysis) -> None:
    polars = pytest.importorskip("polars", reason="polars is needed by this test only")
    for source in (demo.table("connections"), demo.connections):
        frame = polars.DataFrame(source)
        stuck = frame.filter(polars.col("outcome").cast(polars.String) == "stuck_close_wait")
        assert len(stuck) == 17
        assert frame["start"].dtype == polars.Datetime("ns", "UTC")


def test_duckdb_queries_a_table_and_a_dataframe(demo: tcpstates.Analysis) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is needed by this test only")
    for source in (demo.table("timeline"), demo.timeline):
        assert len(source)  # DuckDB finds it by its name
        query = "select count(distinct conn) from source where state = 'CLOSE_WAIT' and \"end\" is null"
        assert duckdb.sql(query).fetchall() == [(17,)]
