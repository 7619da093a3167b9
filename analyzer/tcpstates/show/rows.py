"""Rows of the table of connections as a page shows them: text, and numbers where it sorts by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tcpstates.reports.table import Labels, Table, Values
from tcpstates.reports.wording import endpoint


def page_columns(table: Table) -> dict[str, list[Any]]:
    """What the page's table shows of each connection, by heading; tunnels only where there are any."""
    values = table.values
    columns = {
        "conn": _numbers(values["conn"]),
        "client": _endpoints(table, "client"),
        "server": _endpoints(table, "server"),
        "tunnel": column_texts(values["tunnel"]),
        "outcome": column_texts(values["outcome"]),
        "to blame": column_texts(values["culprit"]),
        "start": _moments(values["start"]),
        "seconds": (np.asarray(values["duration"]) / 1e9).round(6).tolist(),
        "client state": column_texts(values["client_state"]),
        "server state": column_texts(values["server_state"]),
        "bytes": _both(table, "bytes"),
        "retransmits": _both(table, "retransmits"),
    }
    return {name: column for name, column in columns.items() if name != "tunnel" or any(column)}


def severities(table: Table) -> list[str]:
    """The severity of each connection of ``table``."""
    return column_texts(table.values["severity"])


def facts(table: Table, row: int) -> dict[str, str]:
    """The values of one row, as text; empty for none."""
    return {name: text(values, row) for name, values in table.values.items()}


def text(values: Values, row: int) -> str:
    """One value of a column, as text; empty for none."""
    if isinstance(values, Labels):
        code = int(values.codes[row])
        return values.names[code] if code >= 0 else ""
    return str(values[row : row + 1].tolist()[0])


def column_texts(values: Values) -> list[str]:
    """A column of labels or of text as text."""
    if not isinstance(values, Labels):
        return [str(value) for value in values.tolist()]
    names = [*values.names, ""]
    return [names[code] for code in values.codes.tolist()]


def _numbers(values: Values) -> list[int]:
    assert isinstance(values, np.ndarray)
    numbers: list[int] = values.tolist()
    return numbers


def _endpoints(table: Table, side: str) -> list[str]:
    ports = _numbers(table.values[f"{side}_port"])
    names = column_texts(table.values[f"{side}_addr"])
    return [endpoint(name, port) for name, port in zip(names, ports, strict=True)]


def _moments(values: Values) -> list[str]:
    assert isinstance(values, np.ndarray)
    moments = np.datetime_as_string(values.view("datetime64[ns]"), unit="ms").tolist()
    return [moment.replace("T", " ") for moment in moments]


def _both(table: Table, name: str) -> list[int]:
    return [
        client + server
        for client, server in zip(
            _numbers(table.values[f"client_{name}"]), _numbers(table.values[f"server_{name}"]), strict=True
        )
    ]
