"""The screen of a live capture: states and their last minutes, what became true, and the worst connections.

What is drawn is a snapshot that nothing changes any more; capturing goes on in a thread of its own.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tcpstates.reports.addresses import address_text
from tcpstates.reports.log import LIVE, Log
from tcpstates.reports.outcomes import SEVERITY, Outcomes
from tcpstates.reports.wording import clock, counted, duration, endpoint
from tcpstates.schema import OUTCOMES, SEVERITIES
from tcpstates.show.terminal import STYLES
from tcpstates.states import STATE_NAMES

_SECOND = 1_000_000_000
_STEPS = 60  # of the sparklines
_STEP = 3 * _SECOND  # ns each: three minutes in all
_BARS = " ▁▂▃▄▅▆▇█"
_ASCII_BARS = " .:-=+*#%@"
_WARNING = SEVERITIES.index("warning")
_HELP = "s sort   / filter   p pause   q or Ctrl-C end, and report"
_ROOMY = 36  # lines from which on all states are shown
_OTHER_COLUMNS = 11 + 11 + 5 + 16  # states, age, outcome


class Row(NamedTuple):
    """One connection as it is shown; ``age`` is ns in the states that it is in."""

    severity: int
    age: int
    client: str
    server: str
    client_state: str
    server_state: str
    outcome: str

    @property
    def text(self) -> str:
        """What a filter is looked for in."""
        return " ".join((*self[2:],)).lower()


#: What connections can be sorted by.
SORTS: dict[str, Callable[[Row], Any]] = {
    "worst": lambda row: (-row.severity, -row.age),
    "oldest": lambda row: -row.age,
    "newest": lambda row: row.age,
    "state": lambda row: (row.client_state, row.server_state, -row.age),
    "server": lambda row: (row.server, row.client),
}


class History:
    """How many sockets were in each state, at regular instants of the last minutes."""

    def __init__(self) -> None:
        self.counts: dict[str, deque[int]] = {state.name: deque([0], _STEPS) for state in LIVE}
        self._due: int | None = None

    def note(self, time: int, log: Log) -> None:
        """Take in how it is at ``time``; what was taken last before the next step stands for that."""
        states = np.bincount(log.final.ravel(), minlength=256) if len(log.connections) else np.zeros(256, int)
        self._due = time + _STEP if self._due is None else self._due
        steps = max((time - self._due) // _STEP + 1, 0)
        self._due += steps * _STEP
        for state in LIVE:
            values = self.counts[state.name]
            values.extend([values[-1]] * min(steps, _STEPS))
            values[-1] = int(states[state])


class News:
    """Connections of which something became true that is a warning or worse."""

    def __init__(self) -> None:
        self.lines: deque[Text] = deque(maxlen=6)
        self._known: dict[int, int] = {}

    def note(self, time: int, log: Log, found: Outcomes, numbers: np.ndarray) -> None:
        """Add one line for each outcome and server that is new, with the number of connections."""
        bad = np.flatnonzero(found.severity >= _WARNING)
        outcomes = dict(zip(numbers[bad].tolist(), found.outcome[bad].tolist(), strict=True))
        fresh: dict[tuple[str, str], list[int]] = {}
        for place, number in zip(bad.tolist(), numbers[bad].tolist(), strict=True):
            if self._known.get(number) != outcomes[number]:
                key = OUTCOMES[outcomes[number]], _end(log, 2 * place + 1)
                fresh.setdefault(key, []).append(int(found.lasted[place]))
        self._known = outcomes
        for (name, server), lasted in fresh.items():
            said = f"  {server}  {counted(len(lasted), 'connection')}{_so_long(name, min(lasted))}"
            line = _line("", "").append(f"{clock(time)[11:19]}  ").append(name, STYLES[SEVERITY[name]])
            self.lines.append(line.append(said))


def _so_long(outcome: str, lasted: int) -> str:
    """For how long it has been so, where that is what became true."""
    state = outcome.removeprefix("stuck_").upper()
    return f" in {state} for {_seconds(lasted)}" if outcome.startswith("stuck_") else ""


def _seconds(lasted: int) -> str:
    """A duration in whole seconds."""
    return duration(max(lasted, 0) // _SECOND * _SECOND)


def rows_of(log: Log, found: Outcomes, most: int, key: Callable[[Row], Any], wanted: str) -> list[Row]:
    """The first ``most`` by ``key`` of those that have a socket, or something wrong."""
    if not len(log.connections):
        return []
    alive = np.isin(log.final, LIVE).any(axis=1) | (found.severity >= _WARNING)
    since = log.transitions["start"][log.last_rows].reshape(-1, 2)
    places = np.flatnonzero(alive)
    if not wanted and len(places) > 2_000:  # nobody sees what is far down
        worst = np.lexsort((since[places].min(axis=1), -found.severity[places].astype(np.int64)))
        places = places[worst[:2_000]]
    rows = [_row(log, found, place, log.end - int(since[place].max())) for place in places.tolist()]
    return sorted((row for row in rows if wanted.lower() in row.text), key=key)[:most]


def _row(log: Log, found: Outcomes, place: int, age: int) -> Row:
    client, server = (STATE_NAMES[state] for state in log.final[place].tolist())
    ends = _end(log, 2 * place), _end(log, 2 * place + 1)
    return Row(int(found.severity[place]), age, *ends, client, server, OUTCOMES[int(found.outcome[place])])


def _end(log: Log, side: int) -> str:
    row = log.sides[side]
    return endpoint(address_text(int(row["addr_hi"]), int(row["addr_lo"])), int(row["port"]))


def sparkline(values: Sequence[int], ascii_only: bool = False) -> str:
    """The values as bars, the highest as high as a line."""
    bars, most = _ASCII_BARS if ascii_only else _BARS, max(max(values), 1)
    return "".join(bars[-(-value * (len(bars) - 1) // most)] for value in values).rjust(_STEPS)


class Screen:
    """Draws snapshots, and takes keys.

    Parameters
    ----------
    out : the terminal.
    """

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out)
        self._history, self._news = History(), News()
        self.sort, self.wanted = next(iter(SORTS)), ""
        self.is_typing = self.is_paused = self.is_over = False
        self._messages: deque[str] = deque(maxlen=3)

    def run(self, capture: Any, stop: Callable[[], bool]) -> None:
        """Draw until the capture is over, ``stop`` says so or ``q`` is pressed, and end it."""
        shown = capture.snapshot
        with _keys() as keys, Live(console=self._console, screen=True, auto_refresh=False) as live:
            while not (self.is_over or capture.is_over or stop()):
                capture.taken_changes()
                while capture.messages:
                    self._messages.append(capture.messages.popleft())
                self.take(keys(0.25))
                if not self.is_paused:
                    shown = capture.snapshot
                    self.note(shown)
                live.update(self.draw(shown), refresh=True)
        capture.stop()

    def note(self, snapshot: Any) -> None:
        """Take in a snapshot, for the history and the news."""
        analysis = snapshot.analysis
        self._history.note(snapshot.time, analysis.log)
        self._news.note(snapshot.time, analysis.log, analysis.outcomes, snapshot.numbers)

    def take(self, keys: str) -> None:
        """Do what keys say."""
        for key in keys:
            if self.is_typing:
                self._type(key)
            elif key == "/":
                self.is_typing, self.wanted = True, ""
            elif key == "s":
                names = list(SORTS)
                self.sort = names[(names.index(self.sort) + 1) % len(names)]
            elif key == "p":
                self.is_paused = not self.is_paused
            elif key == "q":
                self.is_over = True

    def _type(self, key: str) -> None:
        if key in "\r\n":
            self.is_typing = False
        elif key == "\x1b":
            self.is_typing, self.wanted = False, ""
        elif key in "\x7f\b":
            self.wanted = self.wanted[:-1]
        elif key.isprintable():
            self.wanted += key

    def draw(self, snapshot: Any) -> RenderableType:
        """What the screen shows: as many lines as it has, none of them folded."""
        height = self._console.height
        states = self._states(height)
        notes = [_line(line, "yellow") for line in (*snapshot.notes, *self._messages)][-height // 4 :]
        room = height - states.row_count - len(notes) - 4  # headline, title, header, prompt
        gap = [_line("", "")] if room > 20 else []
        news = list(self._news.lines)[-max(min(room // 2 - 1, 6), 0) :] if room > 5 else []
        if news:
            news = [*gap, _line("Became true", "bold"), *news]
        most = max(room - len(news) - 2 * len(gap), 1)
        return Group(
            self._headline(snapshot), *gap, states, *notes, *news, *gap,
            self._connections(snapshot, most), _line(self._prompt(), "dim"),
        )  # fmt: skip

    def _prompt(self) -> str:
        if self.is_typing:
            return f"filter: {self.wanted}_   Enter to keep, Esc for none"
        return _HELP

    @property
    def _is_narrow(self) -> bool:
        return self._console.width < 100

    def _headline(self, snapshot: Any) -> Text:
        log, counts, when = snapshot.analysis.log, snapshot.analysis.counts, clock(snapshot.time)
        words = [f"{when[11:19] if self._is_narrow else when[:19]} UTC", duration(log.end - log.start)]
        words += ["PAUSED"] if self.is_paused else []
        words += [f"{sum(snapshot.dropped.values()):,} dropped", ", ".join(log.files)]
        words += [counted(counts.frames, "frame"), counted(len(log.connections), "connection")]
        words += [f"{snapshot.evicted:,} evicted"] if snapshot.evicted else []
        return _line(("  " if self._is_narrow else "   ").join(words), "bold")

    def _states(self, height: int) -> Table:
        """The states with their last minutes; where lines are few, those that there were, the most first."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(min_width=11)
        table.add_column(justify="right", min_width=7)
        table.add_column(no_wrap=True)
        steps = max(min(_STEPS, self._console.width - 23), 1)
        for name in self._shown_states(height):
            values = list(self._history.counts[name])
            line = sparkline(values[-steps:], self._console.options.ascii_only)
            table.add_row(name, f"{values[-1]:,}", Text(line[-steps:], "cyan"))
        return table

    def _shown_states(self, height: int) -> list[str]:
        counts = self._history.counts
        if height >= _ROOMY:
            return list(counts)
        most = sorted((name for name in counts if any(counts[name])), key=lambda name: -counts[name][-1])
        shown = set(most[: max(height // 4, 1)])
        return [name for name in counts if name in shown]

    def _connections(self, snapshot: Any, most: int) -> Table:
        log, found = snapshot.analysis.log, snapshot.analysis.outcomes
        gap, word = (1, "IN") if self._is_narrow else (2, "STATE")
        table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
        address = max((self._console.width - _OTHER_COLUMNS - 5 * gap) // 2, 7)
        for name in ("CLIENT", "SERVER", f"CLIENT {word}", f"SERVER {word}", "FOR", "OUTCOME"):
            table.add_column(name, no_wrap=True)
        table.columns[4].justify = "right"
        for row in rows_of(log, found, most, SORTS[self.sort], self.wanted):
            style = STYLES[SEVERITIES[row.severity]] if row.severity >= _WARNING else ""
            states = row.client_state, row.server_state, _seconds(row.age)
            ends = (_end_of(text, address) for text in (row.client, row.server))
            table.add_row(*ends, *states, Text(row.outcome, style))
        table.title, table.title_justify = _line(self._title(), "bold"), "left"
        return table

    def _title(self) -> str:
        order = f"by {self.sort}" if self.sort in ("state", "server") else f"{self.sort} first"
        return f"Connections, {order}" + (f", with {self.wanted!r}" if self.wanted else "")


def _end_of(text: str, most: int) -> str:
    """The end of an address, where the port is, if all of it is too long."""
    return text if len(text) <= most else "…" + text[1 - most :]


def _line(text: str, style: str) -> Text:
    """A line that is cut rather than folded."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """What gives the keys that were pressed, without showing them; none where there is no keyboard."""
    if not sys.stdin.isatty():
        yield _nothing
        return
    import termios  # there is none on Windows
    import tty

    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    tty.setcbreak(file)
    try:
        yield lambda seconds: _pressed(file, seconds)
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


def _nothing(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _pressed(file: int, seconds: float) -> str:
    return os.read(file, 64).decode(errors="ignore") if select.select([file], [], [], seconds)[0] else ""
