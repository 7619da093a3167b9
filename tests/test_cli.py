"""The command: what each verb prints, where to, and with which exit code."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tcpstates.cli import main
from tcpstates.errors import ExitCode
from tcpstates.schema import TABLES

TABLE_VERBS = {
    "connections": [],
    "timeline": [],
    "findings": [],
    "patterns": [],
    "netstat": ["--at", "+1s"],
    "census": [],
}


class Result(NamedTuple):
    status: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["tcpstates", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        status = exit_info.value.code
        return Result(0 if status is None else int(status), *capsys.readouterr())

    return run


@pytest.fixture
def leak(captures: Path) -> Path:
    return captures / "close_wait_leak.pcap"


@pytest.fixture
def clean(captures: Path) -> Path:
    return captures / "close_by_client.pcap"


def test_analyze_says_what_is_wrong_whose_fault_it_is_and_what_to_run(run: Run, leak: Path) -> None:
    result = run("analyze", leak)
    assert result.status == ExitCode.DONE
    for text in (
        "20 connections",
        "stuck_close_wait",
        "to blame: server",
        "tcpstates timeline",
        "--conn",
        "ip.addr==",
    ):
        assert text in result.stdout
    assert "CLOSE_WAIT                 0        6" in result.stdout


def test_analyze_fits_80_columns_in_plain_text(run: Run, captures: Path) -> None:
    text = run("analyze", captures / "demo.pcap").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_analyze_of_what_is_in_order(run: Run, clean: Path) -> None:
    result = run("analyze", clean)
    assert "Nothing is stuck or abnormal." in result.stdout
    assert result.status == ExitCode.DONE


def test_analyze_writes_all_tables_to_a_folder(run: Run, demo: Path, tmp_path: Path) -> None:
    assert run("analyze", demo, "-o", tmp_path / "new" / "tables").status == ExitCode.DONE
    for name, columns in TABLES.items():
        frame = pd.read_parquet(tmp_path / "new" / "tables" / f"{name}.parquet")
        assert list(frame.columns) == [column.name for column in columns]
        assert len(frame) or name == "resets"  # nobody sent a RST there


def test_analyze_does_not_write_into_a_file(run: Run, leak: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = run("analyze", leak, "-o", tmp_path / "file")
    assert (result.status, result.stdout) == (ExitCode.USAGE, "")
    assert "is not a folder" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def demo(captures: Path) -> Path:
    """It has rows in every table."""
    return captures / "demo.pcap"


@pytest.mark.parametrize("verb", TABLE_VERBS)
def test_a_table_as_csv_and_as_json(run: Run, demo: Path, verb: str) -> None:
    as_csv = list(csv.DictReader(io.StringIO(run(verb, demo, *TABLE_VERBS[verb], "--csv").stdout)))
    as_json = [json.loads(line) for line in run(verb, demo, *TABLE_VERBS[verb], "--json").stdout.splitlines()]
    assert [list(row) for row in as_csv] == [list(row) for row in as_json]
    assert list(as_csv[0]) == [column.name for column in TABLES[verb]]


@pytest.mark.parametrize("verb", TABLE_VERBS)
def test_a_table_as_text_has_all_rows(run: Run, demo: Path, verb: str) -> None:
    text = run(verb, demo, *TABLE_VERBS[verb]).stdout
    rows = run(verb, demo, *TABLE_VERBS[verb], "--csv").stdout
    assert len(text.splitlines()) == len(rows.splitlines())
    assert not any(line.endswith(" ") for line in text.splitlines())


#: How many of the connections in ``leak`` are stuck.
LEAKED = 6


def test_compare_explains_each_disagreement_once(run: Run, leak: Path) -> None:
    text = run("compare", leak).stdout
    rows, notes = text.split("\n\n", 1)
    assert rows.count("still_open") == len(rows.splitlines()) - 1 == LEAKED
    assert notes.count("still_open") == 1
    assert "Wireshark calls a conversation complete" in notes


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_compare_as_data_has_no_notes_below(run: Run, leak: Path, form: str) -> None:
    lines = run("compare", leak, form).stdout.splitlines()
    assert len(lines) == LEAKED + (form == "--csv")


def test_a_table_as_parquet(run: Run, leak: Path, tmp_path: Path) -> None:
    result = run("connections", leak, "--parquet", tmp_path / "c.parquet")
    assert result.stdout == ""
    assert len(pd.read_parquet(tmp_path / "c.parquet")) == 20


def test_parquet_is_not_written_over_the_capture(run: Run, leak: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pcap"
    copy.write_bytes(leak.read_bytes())
    result = run("connections", copy, "--parquet", copy)
    assert result.status == ExitCode.USAGE
    assert "is the capture itself" in result.stderr
    assert copy.read_bytes() == leak.read_bytes()


def test_timeline_of_one_connection(run: Run, leak: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("timeline", leak, "--conn", 3, "--csv").stdout)))
    assert {row["conn"] for row in rows} == {"3"}
    assert run("timeline", leak, "--conn", 99).status == ExitCode.USAGE


def test_rows_by_state_address_and_port(run: Run, leak: Path) -> None:
    rows = run("connections", leak, "--state", "close-wait", "--port", 8080, "--csv").stdout.splitlines()
    assert len(rows) == 1 + 6
    nobody = run("timeline", leak, "--addr", "192.0.2.0/24", "--csv").stdout
    assert len(nobody.splitlines()) == 1


def test_netstat_steps_over_time(run: Run, leak: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("netstat", leak, "--every", "10s", "--csv").stdout)))
    assert len({row["time"] for row in rows}) > 3
    text = run("netstat", leak, "--every", "10s").stdout
    assert text.startswith("TIME ")
    assert run("netstat", leak, "--at", "+10s").stdout.startswith("STATE ")


def test_a_connection_is_drawn_above_its_timeline(run: Run, leak: Path) -> None:
    text = run("timeline", leak, "--conn", 3).stdout
    drawing, table, _diagnosis = text.split("\n\n")
    assert drawing.startswith("connection 3 from 2026-")
    assert "│CLOSE" in drawing
    assert len(table.splitlines()) == len(run("timeline", leak, "--conn", 3, "--csv").stdout.splitlines())
    assert "│" not in run("timeline", leak).stdout


def test_a_connection_of_standard_input_is_drawn(
    run: Run, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clean.open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        assert "│FIN_WAIT2" in run("timeline", "-", "--conn", 0).stdout


def test_stuck_after_decides_what_is_stuck(run: Run, captures: Path) -> None:
    """The capture ends soon after the client's close."""
    capture = captures / "server_never_closes.pcap"
    assert "stuck" not in run("findings", capture).stdout
    assert "stuck_close_wait" in run("findings", capture, "--stuck-after", "CLOSE_WAIT=1ms").stdout


def test_several_captures_are_one_stream(run: Run, leak: Path, clean: Path) -> None:
    rows = run("connections", leak, clean, "--csv").stdout.splitlines()
    assert len(rows) == 1 + 20 + 1


def test_standard_input(run: Run, clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with clean.open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        assert run("connections", "-", "--csv").stdout.count("\n") == 2


def test_the_commands_to_run_next_name_the_captures_as_they_were_given(run: Run, leak: Path) -> None:
    assert f"tcpstates timeline {leak} --conn" in " ".join(run("analyze", leak).stdout.split())


@pytest.mark.parametrize(
    ("severity", "status"),
    [("note", ExitCode.FINDINGS), ("warning", ExitCode.FINDINGS), ("error", ExitCode.DONE)],
)
def test_fail_on_a_severity(run: Run, captures: Path, severity: str, status: ExitCode) -> None:
    """A refused connection is a warning."""
    assert run("analyze", captures / "refused.pcap", "--fail-on", severity).status == status


def test_damage_is_said_before_findings(run: Run, leak: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(leak.read_bytes()[:-10])
    result = run("analyze", cut, "--fail-on", "note")
    assert result.status == ExitCode.DAMAGED
    assert "20 connections" in result.stdout
    assert str(cut) in result.stderr


def test_a_gzip_that_ends_early_is_read_as_far_as_it_goes(run: Run, leak: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap.gz"
    cut.write_bytes(gzip.compress(leak.read_bytes())[:-2000])
    result = run("connections", cut, "--csv")
    assert result.status == ExitCode.DAMAGED
    assert len(result.stdout.splitlines()) > 1


def nothing(path: Path) -> None:
    """No file at all."""


BAD: dict[str, Callable[[Path], object]] = {
    "missing": nothing,
    "folder": Path.mkdir,
    "empty": Path.touch,
    "text": lambda path: path.write_text("not a capture\n" * 100),
    "short": lambda path: path.write_bytes(bytes.fromhex("d4c3b2a1")),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_capture(run: Run, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    BAD[kind](path)
    result = run("analyze", path)
    assert (result.status, result.stdout) == (ExitCode.UNREADABLE, "")
    assert result.stderr.startswith("tcpstates: ")
    assert str(path) in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze"], "Missing argument 'CAPTURE...'"),
        (["dance"], "No such command 'dance'"),
        (["netstat", "{capture}"], "Missing option '--at'"),
        (["netstat", "{capture}", "--at", "+1s", "--addr", "here"], "not an address: 'here'"),
        (["timeline", "{capture}", "--state", "HALF"], "not a TCP state: 'HALF'"),
        (["connections", "{capture}", "--port", "70000"], "70000 is not in the range"),
        (["netstat", "{capture}", "--at", "noon"], "not a time: 'noon'"),
        (["netstat", "{capture}", "--at", "1999-12-31"], "outside of the capture"),
        (["census", "{capture}", "--every", "0s"], "use a longer step"),
        (["analyze", "{capture}", "--stuck-after", "SYN_SENT=1s"], "no side is stuck in SYN_SENT"),
        (["analyze", "{capture}", "--timers", "vax"], "'vax' is not one of"),
        (
            ["connections", "{capture}", "--parquet", "/nonexistent/x.parquet"],
            "name a file in a folder that exists",
        ),
        (["explain", "HALF_CLOSED"], "nothing to explain about 'HALF_CLOSED'"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, clean: Path, arguments: list[str], message: str) -> None:
    result = run(*(argument.format(capture=clean) for argument in arguments))
    assert (result.status, result.stdout) == (ExitCode.USAGE, "")
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("tcpstates: ")


def test_a_name_that_is_no_text_is_no_obstacle(clean: Path, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xe9.pcap"
    try:
        Path(os.fsdecode(path)).write_bytes(clean.read_bytes())
    except OSError:
        pytest.skip("this file system takes text only")
    for verb in ("analyze", "timeline", "connections"):
        command = [sys.executable, "-m", "tcpstates", verb, path]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_terminal_that_knows_only_ascii(leak: Path) -> None:
    command = [sys.executable, "-m", "tcpstates", "analyze", str(leak)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert result.stdout.isascii()
    assert b"######" in result.stdout
    assert b"\\u" not in result.stdout


def test_microseconds_where_there_is_only_ascii(captures: Path) -> None:
    command = [sys.executable, "-m", "tcpstates", "timeline", captures / "demo.pcap", "--conn", "177"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert b"+44 us " in result.stdout


def test_what_was_skipped_is_counted_on_stderr(run: Run, captures: Path) -> None:
    result = run("connections", captures / "demo.pcap", "--csv")
    assert "28 of 3,734 frames hold no TCP segment: " in result.stderr


def test_explain(run: Run) -> None:
    assert run("explain", "close-wait").stdout.startswith("CLOSE_WAIT\n")
    assert "reset_while_closing" in run("explain").stdout


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.startswith("tcpstates, version ")
    assert "4  the capture is cut or damaged" in run("--help").stdout


@pytest.mark.parametrize("verb", ["analyze", *TABLE_VERBS])
def test_every_verb_has_the_options_of_reading(run: Run, verb: str) -> None:
    text = run(verb, "--help").stdout
    for option in ("--timers", "--stuck-after", "--checksums", "--decoder", "--fail-on"):
        assert option in text


def test_a_reader_that_has_seen_enough_ends_it_quietly(captures: Path) -> None:
    command = f"'{sys.executable}' -m tcpstates timeline '{captures / 'demo.pcap'}' --csv | head -1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("conn,side")
    assert "Traceback" not in result.stderr
    assert "Broken" not in result.stderr


def test_ctrl_c_ends_it_without_a_traceback(run: Run, clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tcpstates.analysis.analyze", interrupt)
    result = run("analyze", clean)
    assert (result.status, result.stdout) == (130, "")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("verb", ["analyze", "timeline"])
def test_whoever_reads_no_further_has_seen_enough(leak: Path, verb: str) -> None:
    """As ``head`` does; exit code 1 would say that there are findings."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tcpstates", verb, str(leak)]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert result.returncode == ExitCode.DONE, result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_one_line(leak: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "tcpstates", "timeline", str(leak)]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == ExitCode.USAGE
    assert result.stderr.splitlines()[-1].startswith("tcpstates: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("NOTHING", True)])
def test_colour_in_a_terminal_but_not_against_no_color(leak: Path, variable: str, coloured: bool) -> None:
    pty = pytest.importorskip("pty", reason="pseudo-terminals are a thing of Unix")
    reader, terminal = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {variable: "1", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "tcpstates", "analyze", str(leak)]
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(terminal)
        text = _read_all(reader)
    assert process.returncode == 0
    assert ("\x1b[1;31m" in text) == coloured


def _read_all(reader: int) -> str:
    parts = []
    try:
        while part := os.read(reader, 4096):
            parts.append(part)
    except OSError:  # a terminal that nobody holds any more
        pass
    os.close(reader)
    return b"".join(parts).decode()
