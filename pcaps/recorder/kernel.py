"""The recordings that prove the analysis: both ends' captures and the kernels' whole truth, compressed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .lab import SIDES
from .packets import write_gzip
from .recording import Recording
from .spans import write_samples, write_spans
from .truth import rfc3339

_HEAD = """\
# Recordings against which the analysis is proved

Each scenario of `../recorder/`, captured at both ends, with the kernels' whole truth. `make captures`
records all of them again, `pcaps/record.py --kernel NAME...` some (root, Linux with BTF).

- `NAME.client.pcap.gz`, `NAME.server.pcap.gz`: what each host's interface saw. On an impaired link they
  differ: what is lost, repeated or overtaken, is so between them. A datagram each way is the last that
  they hold, so that it shows how long nothing happened.
- `NAME.truth.csv.gz`: every socket's states, a row each: `side` (the host it is on), `local`, `remote`,
  `state`, `start`, `end` (empty: it lasted when the recording ended), `source` (of the start). Times are
  those of the captures' clock, to the nanosecond. `tracepoint` is `sock:inet_sock_set_state`; `timer` are the
  timers of mini-sockets, which are half-open SYN_RECV, orphaned FIN_WAIT2 and TIME_WAIT. The rows cover the
  whole recording, of which a capture may show less. Ten times a second both hosts' socket tables were read,
  as `ss -tan` does; a recording that any of them contradicts is not taken.
- `NAME.ss.csv.gz`: those tables, one a second: `time`, `side`, `local`, `remote`, `state`.
- `NAME.json`: what it shows, when and on which kernel it was recorded, the link (seconds; shares of the
  segments), its `quality` (`impaired` if it lost, repeated, reordered or forged a segment, or its delay
  varied), each capture's first and last frame.

"""


def publish_kernel(recording: Recording, folder: Path) -> None:
    """Put a recording into the folder of those that prove the analysis."""
    stem = folder / recording.scenario.name
    for side in SIDES:
        write_gzip(Path(f"{stem}.{side}.pcap.gz"), recording.frames[side])
    write_spans(Path(f"{stem}.truth.csv.gz"), recording.spans)
    write_samples(Path(f"{stem}.ss.csv.gz"), recording.lab.sampler.looks)
    Path(f"{stem}.json").write_text(json.dumps(_facts(recording), indent=1) + "\n")


def write_table(folder: Path) -> None:
    """Write down what all recordings of the folder show."""
    rows = ["| scenario | shows | link | sockets |", "| --- | --- | --- | ---: |"]
    for path in sorted(folder.glob("*.json")):
        facts = json.loads(path.read_text())
        rows.append(f"| `{path.stem}` | {facts['shows']} | {_words(facts)} | {facts['sockets']} |")
    (folder / "README.md").write_text(_HEAD + "\n".join(rows) + "\n")


def _facts(recording: Recording) -> dict[str, Any]:
    scenario, link = recording.scenario, recording.scenario.link
    frames = recording.frames
    return {
        "scenario": scenario.name,
        "shows": scenario.shows,
        "link": {
            "rtt": 2 * link.delay if link else 0.0,
            "jitter": link.jitter if link else 0.0,
            "loss": link.loss if link else 0.0,
            "duplicate": link.duplicate if link else 0.0,
            "reorder": link.reorder if link else 0.0,
        },
        "quality": "impaired" if recording.lab.impaired else "clean",
        "sockets": len({span[2:5] for span in recording.spans if span.state != "LISTEN"}),
        "recorded": f"{datetime.now(UTC):%Y-%m-%d}",
        "kernel": os.uname().release.split("-")[0],
        "captures": {
            side: {"begin": rfc3339(frames[side][0].time), "end": rfc3339(frames[side][-1].time)}
            for side in SIDES
        },
    }


def _words(facts: dict[str, Any]) -> str:
    link = facts["link"]
    words = [f"round trip {1000 * link['rtt']:g} ms"]
    words += [f"jitter {1000 * link['jitter']:g} ms"] if link["jitter"] else []
    words += [f"{name} {100 * link[name]:g} %" for name in ("loss", "duplicate", "reorder") if link[name]]
    return ", ".join([facts["quality"], *words])
