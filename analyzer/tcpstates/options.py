"""The options that verbs share, each stated once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tcpstates.inference.timers import PROFILES

Command = Callable[..., Any]


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator."""
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


judging = together(
    click.option(
        "--timers", type=click.Choice(list(PROFILES)), default="linux", show_default=True,
        help="The kind of hosts whose timers to assume.",
    ),
    click.option(
        "--stuck-after", multiple=True, metavar="[STATE=]DURATION",
        help="From when on a closing side counts as stuck: 90s, CLOSE_WAIT=5min. Repeatable.  "
        "[default: 60s; FIN_WAIT1, CLOSING, LAST_ACK 30s]",
    ),
    click.option(
        "--checksums", type=click.Choice(["auto", "verify", "ignore"]), default="auto", show_default=True,
        help="Leave out segments with a wrong TCP checksum: where their sender sends right ones too (auto), "
        "always (verify), never (ignore).",
    ),
    click.option(
        "--fail-on", type=click.Choice(["note", "warning", "error"]),
        help="Exit with 1 if there are findings of this severity or worse.",
    ),
)  # fmt: skip

reading = together(
    click.argument("captures", nargs=-1, required=True, metavar="CAPTURE..."),
    click.option(
        "--decoder", type=click.Choice(["fast", "dpkt"]), default="fast", show_default=True,
        help="dpkt decodes every frame slowly, for doubt.",
    ),
    click.option(
        "-f", "--filter", metavar="EXPR",
        help="Leave out frames that this expression of tcpdump's language is not true of: 'port 80'.",
    ),
    click.option(
        "--follow", is_flag=True,
        help="At the end of the file wait for more, as tail -F does, until Ctrl-C; then say what there was.",
    ),
    click.option(
        "--threads", type=click.IntRange(min=1), metavar="N", show_default="as many as processors",
        help="Work with at most so many threads; the result is the same.",
    ),
    click.option(
        "--scheduler", metavar="ADDRESS",
        help="Share the work out to dask's workers: tcp://HOST:PORT, or local, local:4 for some of this "
        "machine. The result is the same.",
    ),
    click.option(
        "--workdir", type=click.Path(path_type=Path), metavar="DIR",
        help="Where these keep what they have done, the same folder for all; a run that was stopped goes "
        "on from it. Without workers: what is known of very many connections is kept there, not in memory.",
    ),
    judging,
)  # fmt: skip

writing = together(
    click.option("--csv", "form", flag_value="csv", help="Write CSV instead of a table."),
    click.option("--json", "form", flag_value="json", help="Write one JSON object per line."),
    click.option("--parquet", type=click.Path(path_type=Path), metavar="FILE", help="Write Parquet to FILE."),
)


one_connection = click.option("--conn", type=int, metavar="N", help="List one connection only.")
filtering = together(
    click.option(
        "--state", "states", multiple=True, metavar="STATE",
        help="Only what is in this state, of connections in the end. Repeatable, as the next two.",
    ),
    click.option(
        "--addr", "addresses", multiple=True, metavar="ADDRESS",
        help="Only what has this address, or one of a network such as 10.1.0.0/16, at either end.",
    ),
    click.option(
        "--port", "ports", multiple=True, type=click.IntRange(0, 65_535), metavar="PORT",
        help="Only what has this port at either end.",
    ),
)  # fmt: skip

capturing = together(
    click.option(
        "-i", "--interface", "interfaces", multiple=True, required=True, metavar="IFACE",
        help="Where to capture; repeatable; any is all that are up.",
    ),
    click.option(
        "-f", "--filter", metavar="EXPR",
        help="Take only frames that this expression of tcpdump's language is true of: 'port 80'.",
    ),
    click.option("--for", "duration", metavar="DURATION", help="End after this time; else at Ctrl-C."),
    click.option("-c", "--count", type=click.IntRange(1), metavar="N", help="End after N frames."),
    click.option(
        "-w", "--write", type=click.Path(path_type=Path), metavar="FILE",
        help="Also write the frames to FILE, as pcapng.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Write one JSON object per change of state."),
    click.option(
        "--lines", is_flag=True, help="Write one line per change of state, as without a terminal; no screen.",
    ),
    click.option(
        "--max-connections", type=click.IntRange(100), default=50_000, show_default=True, metavar="N",
        help="Remember no more; then the oldest half-open ones make room.",
    ),
)  # fmt: skip
