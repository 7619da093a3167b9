"""Tables as CSV, JSON and Parquet."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow.parquet import ParquetFile, ParquetWriter

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, leaked, normal_close
from tcpstates.analysis import Analysis
from tcpstates.reports.frames import to_pandas
from tcpstates.schema import DIALECTS, TABLES
from tcpstates.show.export import seconds, write_csv, write_json, write_parquet


def analysis(**given: tuple[str, ...]) -> Analysis:
    return leaked(normal_close(LogBuilder(**given))).analysis()  # type: ignore[arg-type]


def aborted() -> Analysis:
    """A connection that the server aborts."""
    return (
        LogBuilder()
        .connection(f"{OPENING_CLIENT}, 5 CLOSE received_rst", f"{OPENING_SERVER}, 5 CLOSE sent_rst")
        .analysis()
    )


def csv_of(name: str, **given: tuple[str, ...]) -> list[dict[str, str]]:
    stream = io.StringIO()
    write_csv(analysis(**given).table(name), stream)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def json_of(name: str, **given: tuple[str, ...]) -> list[dict[str, object]]:
    stream = io.StringIO()
    write_json(analysis(**given).table(name), stream)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("name", TABLES)
def test_csv_and_json_have_the_same_columns_and_values(name: str) -> None:
    columns = [column.name for column in TABLES[name]]
    as_csv, as_json = csv_of(name), json_of(name)
    assert len(as_csv) == len(as_json) == len(analysis().table(name))
    for text, value in zip(as_csv, as_json, strict=True):
        assert list(text) == list(value) == columns
        assert {key: "" if cell is None else cell for key, cell in value.items()} == {
            key: type(value[key])(cell) if value[key] is not None else cell for key, cell in text.items()
        }


def test_times_are_rfc_3339_with_nine_digits() -> None:
    assert csv_of("connections")[0]["start"] == "2023-11-14T22:13:20.000000000Z"


def test_durations_are_seconds() -> None:
    assert csv_of("connections")[0]["duration"] == "1.25"
    assert json_of("connections")[0]["duration"] == 1.25


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0"), (1, "0.000000001"), (60_000_000_000, "60"), (10_250_000_000, "10.25"), (-500_000_000, "-0.5")],
)
def test_seconds_are_exact(nanoseconds: int, text: str) -> None:
    assert seconds(nanoseconds) == text


def test_what_is_not_known_is_empty_in_csv_and_null_in_json() -> None:
    assert csv_of("connections")[0]["culprit"] == ""
    assert json_of("connections")[0]["culprit"] is None
    assert [row["end"] for row in json_of("timeline")].count(None) == 4


def test_a_hostile_file_name_stays_in_its_cell() -> None:
    name = 'a,"b"\n=1.pcap'
    assert csv_of("timeline", files=(name,))[0]["file"] == name
    assert json_of("timeline", files=(name,))[0]["file"] == name


def test_an_empty_table_is_a_heading() -> None:
    stream = io.StringIO()
    write_csv(LogBuilder().analysis().table("census"), stream)
    assert stream.getvalue() == "time,state,sockets\n"


def scanned() -> Analysis:
    """A log with a pattern."""
    builder = LogBuilder()
    for port in range(1, 31):
        builder.connection(
            "1 SYN_SENT sent_syn, 1.1 CLOSE received_rst",
            "1 CLOSE first_frame",
            endpoints=("10.0.0.1:40000", f"10.0.0.5:{port}"),
            client_side={"syns": 1},
            server_side={"rsts": 1},
        )
    return builder.analysis()


@pytest.mark.parametrize("rows", [1 << 17, 2, 1])
@pytest.mark.parametrize("name", TABLES)
def test_parquet_gives_back_the_same_table(name: str, rows: int, tmp_path: Path) -> None:
    table = {"resets": aborted, "patterns": scanned}.get(name, analysis)().table(name)
    write_parquet(table, tmp_path / "table.parquet", rows)
    groups = ParquetFile(tmp_path / "table.parquet").num_row_groups
    assert groups == max(-(-len(table) // rows), 1)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), to_pandas(table))


def test_a_failed_parquet_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(writer: ParquetWriter, table: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ParquetWriter, "write_table", fail)
    with pytest.raises(OSError):
        write_parquet(analysis().table("census"), tmp_path / "table.parquet")
    assert list(tmp_path.iterdir()) == []


def test_more_rows_than_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    table = analysis().table("timeline")
    whole = io.StringIO()
    write_csv(table, whole)
    pieces = io.StringIO()
    chunks = type(table).chunks
    monkeypatch.setattr(type(table), "chunks", lambda self: chunks(self, 3))
    write_csv(table, pieces)
    assert pieces.getvalue() == whole.getvalue()


@pytest.mark.parametrize("name", TABLES)
def test_parts_say_what_the_whole_does(name: str) -> None:
    made = aborted() if name == "resets" else analysis()
    made = replace(made, log=replace(made.log, dialects=np.zeros(len(made.log.connections), DIALECTS)))
    whole, pieces = to_pandas(made.table(name)), made.pieces(name)
    assert len(pieces) == len(whole)
    parts = [to_pandas(pieces.take(slice(start, start + 3))) for start in range(0, max(len(whole), 1), 3)]
    addresses = [column.name for column in TABLES[name] if column.dtype in ("address", "category")]
    found = pd.concat([part.astype(dict.fromkeys(addresses, "str")) for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(found, whole.astype(dict.fromkeys(addresses, "str")))
