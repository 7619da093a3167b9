"""Every table has the schema's columns, in its order, with the dtypes that its words stand for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from logs import LogBuilder, leaked, normal_close
from tcpstates.analysis import Analysis
from tcpstates.reports.frames import to_pandas
from tcpstates.reports.outcomes import SEVERITY
from tcpstates.reports.table import CATEGORIES
from tcpstates.schema import CLOSERS, CULPRITS, OUTCOMES, SEVERITIES, TABLES, TunnelKind, tunnel_name
from tcpstates.states import EVENT_LABELS, EVIDENCE_LABELS, SIDE_LABELS, STATE_NAMES

DTYPES = {
    "time": "datetime64[ns, UTC]",
    "duration": "timedelta64[ns]",
    "category": "category",
    "address": "category",
    "port": "uint16",
    "count": "int64",
    "nullable": "Int64",
    "number": "float64",
    "text": "str",
}


def full() -> Analysis:
    return leaked(normal_close(LogBuilder())).analysis()


def empty() -> Analysis:
    return LogBuilder().analysis()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("make", [full, empty])
def test_every_table_has_the_columns_of_the_schema(name: str, make: object) -> None:
    analysis: Analysis = make()  # type: ignore[operator]
    frame = to_pandas(analysis.table(name))
    assert [(column, str(dtype)) for column, dtype in frame.dtypes.items()] == [
        (column.name, DTYPES[column.dtype]) for column in TABLES[name]
    ]


@pytest.mark.parametrize("name", TABLES)
def test_categories_are_ordered_and_addresses_are_not(name: str) -> None:
    frame = to_pandas(full().table(name))
    for column in TABLES[name]:
        if column.dtype in ("category", "address"):
            assert frame[column.name].cat.ordered == (column.dtype == "category"), column.name


def test_states_sort_as_the_machine_lists_them() -> None:
    states = full().timeline["state"].cat
    assert tuple(states.categories) == STATE_NAMES


def test_categories_have_the_names_of_the_enumerations() -> None:
    assert CATEGORIES["cause"] == EVENT_LABELS
    assert CATEGORIES["evidence"] == EVIDENCE_LABELS
    assert CATEGORIES["side"] == SIDE_LABELS
    assert (CATEGORIES["outcome"], CATEGORIES["culprit"]) == (OUTCOMES, CULPRITS)
    assert (CATEGORIES["severity"], CATEGORIES["first_closer"]) == (SEVERITIES, CLOSERS)
    assert all(severity in SEVERITIES for severity in SEVERITY.values())


def test_addresses_list_only_those_that_occur() -> None:
    frame = full().connections
    assert list(frame["client_addr"].cat.categories) == ["10.0.0.1"]
    assert frame["server_addr"].value_counts().to_dict() == {"10.0.0.5": 2}


def test_none_is_missing_not_a_number() -> None:
    timeline = full().timeline
    timers = timeline[timeline["cause"] == "timer_2msl"]
    assert timers["frame"].isna().all()
    assert timers["file"].isna().all()
    assert np.issubdtype(timeline["frame"].dropna().astype(np.int64).dtype, np.integer)
    assert timeline["end"].isna().sum() == 4
    assert full().connections["culprit"].isna().tolist() == [True, False]
    assert pd.api.types.is_integer_dtype(timeline["conn"])


def test_a_tunnels_key_in_words() -> None:
    def named(kind: TunnelKind, identifier: int = 0) -> str:
        return tunnel_name(kind << 56 | identifier)

    assert tunnel_name(0) == ""
    assert named(TunnelKind.VLAN, 42) == "VLAN 42"
    assert named(TunnelKind.VLAN, 5 << 12 | 6) == "VLAN 5.6"
    assert named(TunnelKind.VXLAN, 100) == "VXLAN 100"
    assert named(TunnelKind.GRE, 0xDEADBEEF) == "GRE"
    assert all(named(kind, 1) for kind in TunnelKind if kind)
    assert tunnel_name(np.uint64(TunnelKind.GENEVE << 56 | 7)) == "Geneve 7"  # type: ignore[arg-type]
