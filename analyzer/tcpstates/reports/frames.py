"""Tables as pandas: what each dtype word of the schema means there. The only module that needs pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tcpstates.reports.table import Labels, Table, Values
from tcpstates.schema import SCHEMA_VERSION, Column


def to_pandas(table: Table) -> pd.DataFrame:
    """``table`` as a DataFrame, without a Python object per row.

    Returns
    -------
    pandas.DataFrame
        Times are ``datetime64[ns, UTC]``, durations ``timedelta64[ns]``, categories ordered categoricals,
        addresses categoricals of text, ports ``uint16``, counts ``int64``, nullable columns ``Int64``.
        ``attrs`` name the table and the schema's version, in Parquet too.
    """
    columns = {column.name: _series(column, table.values[column.name]) for column in table.columns}
    frame = pd.DataFrame(columns)
    frame.attrs = {"table": table.name, "schema_version": SCHEMA_VERSION}
    return frame


def _series(column: Column, values: Values) -> Any:
    if isinstance(values, Labels):
        names = pd.Index(list(values.names), dtype="str")
        return pd.Categorical.from_codes(values.codes, names, ordered=column.dtype == "category")
    return _CONVERSIONS[column.dtype](values)


def _time(values: np.ndarray) -> Any:
    return pd.DatetimeIndex(values.view("datetime64[ns]")).tz_localize("UTC")


def _nullable(values: np.ndarray) -> Any:
    return pd.arrays.IntegerArray(values.astype(np.int64), values < 0)


_CONVERSIONS: dict[str, Any] = {
    "time": _time,
    "duration": lambda values: pd.TimedeltaIndex(values.view("timedelta64[ns]")),
    "nullable": _nullable,
    "port": lambda values: values.astype(np.uint16),
    "count": lambda values: values.astype(np.int64),
    "number": lambda values: values.astype(np.float64),
    "text": lambda values: pd.array(values.tolist(), dtype="str"),
}
