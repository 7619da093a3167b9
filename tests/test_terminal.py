"""The summary in the terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from logs import OPENING_CLIENT, OPENING_SERVER, LogBuilder, leaked, normal_close
from tcpstates.show.terminal import print_summary


def shown(builder: LogBuilder, width: int = 80, **options: Any) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, **options)
    print_summary(builder.analysis().summary, console, builder.files)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits(width: int) -> None:
    builder = leaked(LogBuilder(), endpoints=("[2001:db8:1:2:3:4:5:6]:40000", "[2001:db8:6:5:4:3:2:1]:8080"))
    assert max(map(len, shown(builder, width).splitlines())) <= min(width, 100)


def test_plain_where_there_is_no_terminal() -> None:
    assert "\x1b" not in shown(leaked(LogBuilder()))
    assert "\x1b[1;31m" in shown(leaked(LogBuilder()), force_terminal=True, color_system="standard")


def test_the_next_command_can_be_pasted_into_a_shell() -> None:
    text = shown(leaked(LogBuilder(files=("my capture.pcap",))))
    assert "tcpstates timeline 'my capture.pcap' --conn 0" in text


def test_the_next_command_does_not_repeat_the_names_of_a_ring() -> None:
    text = shown(leaked(LogBuilder(files=tuple(f"ring{number}.pcap" for number in range(40)))))
    assert "tcpstates timeline CAPTURE... --conn 0" in text


def test_names_in_brackets_are_no_markup() -> None:
    assert "[bold]x.pcap" in shown(leaked(LogBuilder(files=("[bold]x.pcap",))))


def test_more_findings_than_are_shown() -> None:
    builder = LogBuilder()
    for port in range(7):
        leaked(builder, endpoints=("10.0.0.1:40000", f"10.0.0.5:{port}"))
    text = shown(builder)
    assert text.count("error  stuck_close_wait") == 5
    assert "and 2 findings more: tcpstates findings a.pcap" in text


def test_a_pattern_is_named_with_its_server_its_culprit_and_its_start() -> None:
    builder = LogBuilder(end=300)
    for number in range(20):
        since = 10 + 4 * number
        builder.connection(
            "0 SYN_SENT sent_syn, 1 ESTABLISHED received_syn_ack, "
            f"{since} FIN_WAIT1 sent_fin, {since + 0.1} FIN_WAIT2 received_ack_of_fin",
            f"0 SYN_RECV sent_syn_ack, 1 ESTABLISHED received_ack_of_syn, {since} CLOSE_WAIT received_fin",
            endpoints=(f"10.0.1.{number}:40000", "10.0.0.5:80"),
        )
    first_screen = shown(builder).splitlines()[:24]
    assert "  error  leak  10.0.0.5:80  to blame: server" in first_screen
    assert "    since      2023-11-14 22:13:30.000 UTC, the last one 22:14:46.000" in first_screen
    assert "  error  stuck_close_wait  10.0.0.5:80  to blame: server" in first_screen


def test_nothing_is_abnormal_only_where_no_pattern_is() -> None:
    silent = {"server_side": {"frames": 0}, "client_side": {"frames": 9}}
    text = shown(LogBuilder().connection(OPENING_CLIENT, OPENING_SERVER, **silent))
    assert "one_way_capture" in text
    assert "Nothing is stuck" not in text


def test_an_empty_capture() -> None:
    assert shown(LogBuilder(files=("a.pcap",))).splitlines()[0] == "a.pcap"


def test_states_are_counted_per_side() -> None:
    text = shown(leaked(normal_close(LogBuilder())))
    assert ["CLOSE", "2", "1"] in [line.split() for line in text.splitlines()]
