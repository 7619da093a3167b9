"""Long tables in plain text."""

from __future__ import annotations

import io

import pytest

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, leaked, normal_close
from tcpstates.schema import TABLES
from tcpstates.show.plain import VIEWS, print_table


def printed(name: str, width: int | None, builder: LogBuilder | None = None) -> list[str]:
    stream = io.StringIO()
    print_table((builder or leaked(normal_close(LogBuilder()))).analysis().table(name), stream, width)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_table_fits_the_terminal(name: str, width: int) -> None:
    assert max(map(len, printed(name, width))) <= width


@pytest.mark.parametrize("name", TABLES)
def test_without_a_terminal_every_column_is_there(name: str) -> None:
    heading = printed(name, None)[0]
    of_one_instant = {"time"} if name == "netstat" else set()
    titles = {view.title for view in VIEWS[name]} - of_one_instant
    assert all(title.upper() in heading for title in titles)


@pytest.mark.parametrize("name", TABLES)
def test_views_are_of_columns_that_there_are(name: str) -> None:
    columns = {column.name for column in TABLES[name]}
    assert all(set(view.source) <= columns for view in VIEWS[name])


def test_columns_stay_aligned_whatever_the_addresses() -> None:
    builder = normal_close(LogBuilder())
    builder.connection(
        OPENING_CLIENT, OPENING_SERVER, endpoints=("[2001:db8::1234]:40000", "[2001:db8::2]:443")
    )
    heading, *rows = printed("connections", None, builder)
    place = heading.index("OUTCOME")
    assert [row[place:].split()[0] for row in rows] == ["closed", "open"]
    assert "[2001:db8::1234]:40000" in rows[1]


def test_the_date_is_shown_when_there_is_more_than_one() -> None:
    builder = LogBuilder(end=200_000)
    builder.connection("0 SYN_SENT sent_syn", "0 CLOSE first_frame")
    assert "22:13:20.000000" in printed("timeline", None, builder)[1]
    assert "2023-11-14" not in printed("timeline", None, builder)[1]
    builder.connection("100000 SYN_SENT sent_syn", "100000 CLOSE first_frame")
    assert "2023-11-14 22:13:20.000000" in printed("timeline", None, builder)[1]


def test_a_listening_socket_has_any_peer() -> None:
    builder = LogBuilder().connection(OPENING_CLIENT, OPENING_SERVER)
    listening = next(line for line in printed("netstat", 80, builder) if line.startswith("LISTEN"))
    assert listening.split()[:3] == ["LISTEN", "10.0.0.5:80", "*:*"]
