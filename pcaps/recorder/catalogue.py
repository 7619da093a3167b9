"""What lies beside the captures: how each ended, when and where it was recorded, and the table of all."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .packets import read_frames, tagged, write_gzip, write_pcap, write_pcapng
from .recording import Ending, Recording
from .truth import write_csv

#: Captures made of another one, by the name's ending: what it shows.
VARIANTS = {
    "close_by_client_qinq.pcap": "close_by_client as on a provider's trunk: VLAN 42 in VLAN 7",
    "close_by_server_vlan.pcap": "close_by_server as on a trunk: VLAN 42",
    "half_close.pcapng": "half_close in the pcapng format",
    "simultaneous_close.pcap.gz": "simultaneous_close, compressed",
}

_HEAD = """\
# Captures

Recorded from real kernel sockets: two hosts in network namespaces, a link between them that takes its time,
tcpdump at both ends (the table says whose capture was kept), and the kernels' own word on every socket.
`make captures` records all of them again (root, Linux), `pcaps/record.py NAME...` some. A recording that does
not show what it is named for is not taken: each scenario in `recorder/` says what must hold.

Beside each capture:

- `NAME.truth.csv`: every change of a socket's state, on the capture's clock, from two sources. `tracepoint`
  is `sock:inet_sock_set_state`, exact to the nanosecond. `ss` is the socket table (what `ss -tan` prints),
  looked at ten times a second, and listed only where it says what the tracepoint does not. TIME_WAIT, an
  orphaned FIN_WAIT2 and a half-open SYN_RECV are mini-sockets: the tracepoint says CLOSE where the first two
  begin, so a CLOSE that `ss` contradicts within a tenth of a second is where that state began; of the third
  it sees only the end.
- `expected.json`: for each capture and connection, the two sides' states by the socket tables when the
  capture ended (`CLOSE`: no socket; `null`: its segments came from no kernel socket). A 4-tuple used twice
  has one entry, the last connection's. Connections that changed in that very moment are left out.
- `recordings.json`: when, on which kernel and how each was recorded; the table is written from it.

These are for people and demonstrations. `kernel/` holds what the analysis is proved by: these scenarios and
many more, seen from both ends, with the truth of every socket to the nanosecond, mini-sockets too.

"""


def publish(recording: Recording, folder: Path) -> None:
    """Put a recording into the folder of captures, with its truth and how it ended."""
    name = recording.scenario.name
    shutil.copyfile(recording.capture, folder / f"{name}.pcap")
    write_csv(folder / f"{name}.truth.csv", recording.rows)
    _update(folder / "expected.json", name, [_ending(ending) for ending in recording.endings])
    _update(folder / "recordings.json", name, _facts(recording))


def publish_variants(folder: Path) -> None:
    """Make the captures that are another one in other clothes, and write the table of all."""
    frames = {path.stem: read_frames(path) for path in folder.glob("*.pcap") if path.name not in VARIANTS}
    write_pcap(
        folder / "close_by_client_qinq.pcap", tagged(frames["close_by_client"], (0x88A8, 7), (0x8100, 42))
    )
    write_pcap(folder / "close_by_server_vlan.pcap", tagged(frames["close_by_server"], (0x8100, 42)))
    write_pcapng(folder / "half_close.pcapng", frames["half_close"])
    write_gzip(folder / "simultaneous_close.pcap.gz", frames["simultaneous_close"])
    (folder / "README.md").write_text(_HEAD + _table(json.loads((folder / "recordings.json").read_text())))


def _ending(ending: Ending) -> dict[str, str | None]:
    return {
        "client": str(ending.client),
        "server": str(ending.server),
        "client_state": ending.client_state,
        "server_state": ending.server_state,
    }


def _facts(recording: Recording) -> dict[str, Any]:
    scenario = recording.scenario
    ends = Counter(
        f"{ending.client_state or '?'}/{ending.server_state or '?'}" for ending in recording.endings
    )
    link = f"round trip {2000 * scenario.link.delay:g} ms" if scenario.link else "direct link, offloading"
    return {
        "shows": scenario.shows,
        "recorded": f"{datetime.now(UTC):%Y-%m-%d}",
        "kernel": os.uname().release.split("-")[0],
        "how": f"{scenario.vantage}, {link}",
        "frames": len(read_frames(recording.capture)),
        "ends": dict(ends.most_common()),
    }


def _update(path: Path, name: str, value: object) -> None:
    everything = json.loads(path.read_text()) if path.exists() else {}
    everything[name] = value
    path.write_text(json.dumps(dict(sorted(everything.items())), indent=1) + "\n")


def _table(recordings: dict[str, dict[str, Any]]) -> str:
    rows = ["| file | shows | recorded at | frames | connections end in (client/server) | kernel, date |"]
    rows.append("| --- | --- | --- | ---: | --- | --- |")
    for name, facts in recordings.items():
        ends = " · ".join(f"{count} {states}" for states, count in facts["ends"].items())
        when = f"{facts['kernel']}, {facts['recorded']}"
        cells = (f"`{name}.pcap`", facts["shows"], facts["how"], str(facts["frames"]), ends, when)
        rows.append(f"| {' | '.join(cells)} |")
    rows += ["", "Made from these, frame by frame:", "", "| file | shows |", "| --- | --- |"]
    rows += [f"| `{name}` | {shows} |" for name, shows in VARIANTS.items()]
    return "\n".join(rows) + "\n"
