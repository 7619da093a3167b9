"""One scenario's recording: what was captured, what the kernels said, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .diag import Endpoint, Tuple4
from .lab import SIDES, Lab
from .link import Link
from .packets import Frame, Segment
from .spans import Span
from .truth import Row

#: Raises RecordingError if the recording does not show what it is named for.
Expectation = Callable[["Recording"], None]


class RecordingError(Exception):
    """A recording that does not show what it should."""


@dataclass(frozen=True)
class Scenario:
    """Something to record.

    Attributes
    ----------
    play : what the two hosts do; its docstring says what it shows, its name names the capture.
    expectations : what must hold of the recording.
    vantage : whose capture is kept as the example, and looked at by the expectations.
    link, ipv6 : of the laboratory.
    example : whether it is one of the captures for people, beside being one that proves the analysis.
    rest : seconds to go on after it was played.
    pace : ``light``; ``long``, some sending in a minute and more; ``heavy``, to be recorded alone.
    socketless : sides whose segments no kernel socket sent, so that it has no say in their state.
    """

    play: Callable[[Lab], None]
    expectations: tuple[Expectation, ...]
    vantage: str = "server"
    link: Link | None = Link()  # noqa: RUF009
    ipv6: bool = False
    example: bool = True
    rest: float = 0.0
    pace: str = "light"
    socketless: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The capture's name, without a suffix."""
        return self.play.__name__

    @property
    def shows(self) -> str:
        """What the capture shows, in a sentence or two."""
        return " ".join((self.play.__doc__ or "").split())


#: Every scenario by its name, in the order in which they are written down.
SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *expectations: Expectation, **options: Any
) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
    """Register a function as a scenario; the options are those of Scenario."""

    def register(play: Callable[[Lab], None]) -> Callable[[Lab], None]:
        SCENARIOS[play.__name__] = Scenario(play, expectations, **options)
        return play

    return register


def proof(
    *expectations: Expectation, rest: float = 2.0, **options: Any
) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
    """Register a scenario that is no example, but proves the analysis."""
    return scenario(*expectations, example=False, rest=rest, **options)


@dataclass(frozen=True)
class Ending:
    """The states of a connection when the capture ended; None where the kernel does not tell."""

    client: Endpoint
    server: Endpoint
    client_state: str | None
    server_state: str | None


@dataclass
class Recording:
    """What came of a scenario."""

    scenario: Scenario
    lab: Lab
    capture: Path
    segments: list[Segment] = field(default_factory=list)
    frames: dict[str, list[Frame]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    def demand(self, holds: bool, what: str) -> None:
        """Raise RecordingError unless it ``holds``."""
        if not holds:
            raise RecordingError(what)

    def sender(self, segment: Segment) -> str:
        """The side that sent it; whoever pretends to be somebody is at the client's."""
        return "server" if segment.source.address in self.lab.server.addresses else "client"


def endings_of(
    segments: Iterable[Segment], looks: list[dict[str, dict[Tuple4, str]]], socketless: Iterable[str]
) -> list[Ending]:
    """How each connection of the capture stood; left out where it changed between two looks."""
    stands = [look["client"] | look["server"] for look in looks]
    endings = []
    for client, server in connections_of(segments):
        states = [
            (stand.get((client, server), "CLOSE"), stand.get((server, client), "CLOSE")) for stand in stands
        ]
        if len(set(states)) == 1:
            known: dict[str, str | None] = dict(zip(SIDES, states[0], strict=True)) | dict.fromkeys(
                socketless
            )
            endings.append(Ending(client, server, known["client"], known["server"]))
    return endings


def connections_of(segments: Iterable[Segment]) -> list[Tuple4]:
    """Client and server of each 4-tuple: the sender of the SYN, failing that the higher port."""
    found: dict[frozenset[Endpoint], Tuple4] = {}
    for segment in segments:
        ends = (segment.source, segment.destination)
        if "S" in segment.flags:
            client_first = "A" not in segment.flags
        else:
            client_first = segment.source.port > segment.destination.port
        found.setdefault(frozenset(ends), ends if client_first else ends[::-1])
    return list(found.values())
