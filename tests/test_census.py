"""The table of how many sockets were in each state."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, leaked, normal_close
from tcpstates.analysis import Analysis
from tcpstates.errors import UsageError


def counts(analysis: Analysis, state: str, every: str = "1s") -> list[int]:
    frame = analysis.census(every)
    counted: list[int] = frame[frame["state"] == state]["sockets"].tolist()
    return counted


def test_sockets_over_time() -> None:
    builder = LogBuilder(end=4)
    builder.connection("0 SYN_SENT sent_syn, 1.5 ESTABLISHED received_syn_ack", "0 CLOSE first_frame")
    builder.connection("2 SYN_SENT sent_syn, 2.5 ESTABLISHED received_syn_ack", "2 CLOSE first_frame")
    assert counts(builder.analysis(), "SYN_SENT") == [1, 1, 1, 0, 0]
    assert counts(builder.analysis(), "ESTABLISHED") == [0, 0, 1, 2, 2]


def test_only_states_that_occur_are_listed() -> None:
    frame = normal_close(LogBuilder()).analysis().census()
    assert "CLOSING" not in set(frame["state"])
    assert "CLOSE" not in set(frame["state"])


def test_who_listens_is_counted() -> None:
    builder = normal_close(LogBuilder(end=4))
    builder.connection("1 SYN_SENT sent_syn, 1.5 CLOSE received_rst", "1 CLOSE first_frame")
    assert counts(builder.analysis(), "LISTEN") == [0, 1, 0, 0, 0]


def test_bins_are_aligned_to_the_epoch() -> None:
    """The capture begins at 22:13:20."""
    frame = normal_close(LogBuilder(end=100)).analysis().census("1min")
    assert frame["time"].dt.strftime("%H:%M:%S").drop_duplicates().tolist() == [
        "22:13:00",
        "22:14:00",
        "22:15:00",
    ]


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=5),
    st.sampled_from(["250ms", "1s", "3s"]),
)
def test_a_census_counts_what_netstat_lists(starts: list[int], every: str) -> None:
    builder = LogBuilder(end=10)
    for start in starts:
        reset = start + 1.5
        builder.connection(
            f"{start} SYN_SENT sent_syn, {start + 1} ESTABLISHED received_syn_ack, {reset} CLOSE sent_rst",
            f"{start} CLOSE first_frame, {start + 0.5} SYN_RECV sent_syn_ack, {reset} CLOSE received_rst",
            endpoints=("10.0.0.1:40000", f"10.0.0.5:{start}"),
        )
    analysis = builder.analysis()
    for time, census in analysis.census(every).groupby("time"):
        if time.value < analysis.log.start:
            assert census["sockets"].sum() == 0
            continue
        listed = analysis.netstat(time)["state"].value_counts()
        assert census.set_index("state")["sockets"].to_dict() == {
            state: listed[state] for state in census["state"]
        }


def test_too_many_bins() -> None:
    analysis = leaked(LogBuilder()).analysis()
    with pytest.raises(
        UsageError, match="a census every 1 ns has 200,000,000,001 bins; use a step of 200 µs or more"
    ):
        analysis.census("1ns")


def test_no_step_at_all() -> None:
    with pytest.raises(UsageError, match="use a longer step"):
        leaked(LogBuilder()).analysis().census("0s")


def test_without_a_step_it_suits_the_capture() -> None:
    table = LogBuilder(end=10 * 86_400).connection(OPENING_CLIENT, OPENING_SERVER).analysis().table("census")
    assert 1_000 < len(table) < 100_000


def test_nothing_of_nothing() -> None:
    assert LogBuilder().analysis().census().empty
