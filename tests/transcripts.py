"""Connections written down as a reader would: who sends what, then what each side's timeline is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tcpstates.inference.engine import Engine, Inference
from tcpstates.inference.timers import PROFILES
from tcpstates.schema import SEGMENTS, Checksum, Mark
from tcpstates.states import EVENT_LABELS, EVIDENCE_LABELS, STATE_NAMES

FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


@dataclass
class Transcript:
    """Segments between a client and a server, numbers relative to each side's initial one.

    ``client("FIN ACK seq=1 ack=1 len=0")`` comes 10 ms after what was before; ``@2.5`` puts it 2.5 s
    after the beginning.
    """

    client_iss: int = 1_000
    server_iss: int = 5_000
    step: float = 0.010
    client_port: int = 40_000
    rows: list[np.void] = field(default_factory=list)
    clock: float = -0.010
    ip_id: int = 0

    def client(self, text: str) -> None:
        self.rows.append(self._segment(text, True))

    def server(self, text: str) -> None:
        self.rows.append(self._segment(text, False))

    def again(self) -> None:
        """The last frame once more, as a capture on ``any`` or on both ends of a bridge shows it."""
        copy = self.rows[-1].copy()
        copy["time"] += 3_000
        self.rows.append(copy)

    def opened(self) -> Transcript:
        """The three-way handshake."""
        self.client("SYN seq=0")
        self.server("SYN ACK seq=0 ack=1")
        self.client("ACK seq=1 ack=1")
        return self

    def closed_by_client(self) -> Transcript:
        """A normal close of both sides."""
        self.client("FIN ACK seq=1 ack=1")
        self.server("ACK seq=1 ack=2")
        self.server("FIN ACK seq=1 ack=2")
        self.client("ACK seq=2 ack=2")
        return self

    def _segment(self, text: str, from_client: bool) -> np.void:
        words = text.split()
        values = dict(word.split("=") for word in words if "=" in word)
        at = [word for word in words if word.startswith("@")]
        self.clock = float(at[0][1:]) if at else self.clock + self.step
        own, peer = (self.client_iss, self.server_iss) if from_client else (self.server_iss, self.client_iss)
        row = np.zeros((), SEGMENTS)[()]
        row["time"] = START + round(self.clock * SECOND)
        row["version"], row["wscale"], row["checksum"], row["window"] = 4, -1, Checksum.GOOD, 65_000
        ends = ((10, self.client_port), (20, 80))
        row["src_lo"], row["src_port"] = ends[0 if from_client else 1]
        row["dst_lo"], row["dst_port"] = ends[1 if from_client else 0]
        row["flags"] = sum(FLAGS[word] for word in words if word in FLAGS)
        row["seq"] = (own + int(values.get("seq", 0))) % 2**32
        row["ack"] = (peer + int(values["ack"])) % 2**32 if "ack" in values else 0
        row["payload"], row["tunnel"] = int(values.get("len", 0)), int(values.get("vlan", 0))
        if "ts" in values:
            row["tsval"], row["tsecr"] = (int(value) for value in values["ts"].split("/"))
            row["marks"] = Mark.HAS_TIMESTAMP
        self.ip_id += 1
        row["ip_id"] = self.ip_id
        return row

    def infer(
        self, until: float | None = None, timers: str = "linux", errors: np.ndarray | None = None
    ) -> Inference:
        """What the engine says when the capture ends, at the last segment or at ``until`` seconds."""
        segments = np.array(self.rows, SEGMENTS)
        segments["frame"] = np.arange(1, len(segments) + 1)
        engine = Engine(PROFILES[timers], seed=1)
        engine.feed(segments, errors)
        end = int(segments["time"].max()) if until is None else START + round(until * SECOND)
        return engine.finish(end)

    def timeline(self, side: str, conn: int = 0, **how: object) -> list[str]:
        """One side's states, in order."""
        return [row.split()[0] for row in self.story(side, conn, **how)]

    def story(self, side: str, conn: int = 0, **how: object) -> list[str]:
        """One side's rows: ``STATE seconds evidence cause``."""
        rows = self.infer(**how).transitions  # type: ignore[arg-type]
        chosen = rows[(rows["conn"] == conn) & (rows["side"] == (side == "server"))]
        return [
            f"{STATE_NAMES[row['state']]} {(row['start'] - START) / SECOND:.3f} "
            f"{EVIDENCE_LABELS[row['evidence']]} {EVENT_LABELS[row['cause']]}"
            for row in chosen
        ]

    def ends_in(self, conn: int = 0, **how: object) -> tuple[str, str]:
        """The client's and the server's state when the capture ends."""
        return self.timeline("client", conn, **how)[-1], self.timeline("server", conn, **how)[-1]
