"""The documentation of the tables is that of the tables as they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from logs import LogBuilder, normal_close
from tcpstates.schema import SCHEMA_VERSION, TABLES
from tcpstates.show.export import write_parquet
from tcpstates.show.schema_page import MEANINGS, ROWS, page

DOCUMENT = Path(__file__).parent.parent / "docs" / "tables.md"


def test_the_page_is_generated_from_the_schema() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == page(), (
        "run: python -m tcpstates.show.schema_page docs/tables.md, and raise SCHEMA_VERSION if it is released"
    )


def test_every_table_is_described_and_nothing_else() -> None:
    assert set(ROWS) == set(TABLES)
    columns = {column.name for table in TABLES.values() for column in table}
    sided = {name.partition("_")[2] for name in columns if name.startswith(("client_", "server_"))}
    assert {name.rpartition(".")[2] for name in MEANINGS} <= columns | sided


def test_the_version_goes_with_the_data(tmp_path: Path) -> None:
    table = normal_close(LogBuilder()).analysis().table("connections")
    write_parquet(table, tmp_path / "connections.parquet")
    attributes = pd.read_parquet(tmp_path / "connections.parquet").attrs
    assert attributes == {"table": "connections", "schema_version": SCHEMA_VERSION}
