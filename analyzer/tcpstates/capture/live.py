"""Frames from network interfaces as they come, by scapy's listening sockets; nothing is dissected.

Frames of several interfaces are put in the order of the kernel's time stamps: what is younger than a moment
waits, since an interface hands its frames over in blocks. What the kernel had to drop is counted, because a
FIN that was dropped looks like one that was never sent.
"""

from __future__ import annotations

import fcntl
import select
import shutil
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tcpstates.capture.blocks import Block, joined
from tcpstates.capture.ring import BLOCKS, HANDED_OVER_AFTER, Ring
from tcpstates.errors import CaptureError, CapturePermissionError, UsageError

_MILLISECOND = 1_000_000
#: Frames are complete up to this long ago: blocks are handed over after less.
COMPLETE_AFTER = 4 * HANDED_OVER_AFTER * _MILLISECOND
#: Seconds between two looks at whether an interface is still there.
_LOOK_AFTER = 0.5
_SIOCGIFFLAGS, _SIOCGIFINDEX, _IFF_UP = 0x8913, 0x8933, 1
#: LINKTYPE_ by the kernel's hardware type (if_arp.h); what has no link layer carries bare IP.
_LINKTYPES = {1: 1, 772: 1, 803: 127, 801: 105, 802: 119, 824: 253}
_BARE_IP = {512, 519, 768, 769, 776, 778, 823, 65534}
_RAW = 101
_CAN_READ = "sudo tcpdump -U -i {name} -w - tcp | tcpstates analyze -"


def interface_names() -> list[str]:
    """The interfaces that there are."""
    return [name for _number, name in socket.if_nameindex()]


class LiveCapture:
    """Captures on several interfaces at once.

    Parameters
    ----------
    names : sequence of str
        The interfaces; ``any`` for all that are up.
    expression : str, optional
        tcpdump's language; libpcap compiles it, and the kernel leaves out the other frames.

    Attributes
    ----------
    interfaces : list of (str, int)
        Names and LINKTYPE_ values, by interface number.
    dropped : dict of str to int
        How many frames the kernel had no room for, by interface.

    Raises
    ------
    UsageError
        If an interface does not exist, or the expression is wrong.
    CapturePermissionError
        If this user may not capture.
    CaptureError
        If this system or an interface's link layer is not supported.
    """

    def __init__(self, names: Sequence[str], expression: str | None = None) -> None:
        if sys.platform != "linux":
            raise CaptureError("live capture needs Linux; here, use " + _CAN_READ.format(name="INTERFACE"))
        self._taps = [_Tap(name, expression, number) for number, name in enumerate(_chosen(names))]
        self._messages: list[str] = []
        self._held: list[Block] = []
        self._frames = 0
        self._looked = time.monotonic()

    @property
    def interfaces(self) -> list[tuple[str, int]]:
        """Names and LINKTYPE_ values, by number."""
        return [(tap.name, tap.linktype) for tap in self._taps]

    @property
    def dropped(self) -> dict[str, int]:
        """How many frames the kernel had no room for, by interface."""
        for tap in self._taps:
            tap.count_dropped()
        return {tap.name: tap.dropped for tap in self._taps}

    def read(self, timeout: float) -> tuple[Block | None, int]:
        """Wait for frames.

        Parameters
        ----------
        timeout : float
            Seconds to wait at most.

        Returns
        -------
        Block or None
            The next frames in the order of time, numbered from 1 on; None for none.
        int
            Until when (ns since the epoch) no frame is missing.
        """
        self._look_after_interfaces()
        files = [tap.file for tap in self._taps if tap.file >= 0]
        if not select.select(files, [], [], timeout)[0] and not files:
            time.sleep(timeout)
        return self._take(time.time_ns() - COMPLETE_AFTER)

    def taken_messages(self) -> list[str]:
        """What happened to interfaces since the last call, for people."""
        taken, self._messages = self._messages, []
        return taken

    def finish(self) -> Iterator[Block]:
        """What is still to come once nothing more is waited for."""
        end = time.time_ns()
        time.sleep(2 * HANDED_OVER_AFTER / 1000)
        is_all = False
        while not is_all:
            block, complete_until = self._take(end)
            is_all = complete_until == end
            if block is not None:
                yield block

    def skip(self) -> None:
        """Forget what has come until now."""
        for tap in self._taps:
            tap.skip()

    def close(self) -> None:
        """Capture no more."""
        for tap in self._taps:
            tap.close()

    def _take(self, horizon: int) -> tuple[Block | None, int]:
        """The frames up to ``horizon``, or less if there are too many, sorted; later ones are held back."""
        for tap in self._taps:
            blocks, is_all = tap.blocks()
            self._held += blocks
            if not is_all:  # frames of other interfaces must not overtake those that wait in this one's ring
                horizon = min(horizon, int(blocks[-1].frames["time"][-1]) if blocks else 0)
        if not self._held:
            return None, horizon
        block, self._held = joined(self._held), []
        block = block.part(np.argsort(block.frames["time"], kind="stable"))
        count = int(np.searchsorted(block.frames["time"], horizon, "right"))
        if count < len(block.frames):
            self._held = [block.part(slice(count, None))]
        if not count:
            return None, horizon
        block = block.part(slice(count))
        numbers = np.arange(self._frames + 1, self._frames + count + 1)
        block.frames["number"] = numbers & 0xFFFF_FFFF
        self._frames += count
        return block, horizon

    def _look_after_interfaces(self) -> None:
        if time.monotonic() - self._looked >= _LOOK_AFTER:
            self._looked = time.monotonic()
            self._messages += [message for tap in self._taps for message in tap.look()]


def _chosen(names: Sequence[str]) -> Iterator[str]:
    """The names, each once, ``any`` replaced by what is up."""
    known, wanted = interface_names(), list(dict.fromkeys(names))
    for name in wanted:
        if name not in (*known, "any"):
            raise UsageError(f"no interface {name!r}; there are {', '.join(known)}, and any for all of them")
    if "any" in wanted:
        wanted = [name for name in known if _is_up(name)]
    yield from wanted


class _Interface:
    """What there is to know of an interface, in the network namespace in which this was made."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def index(self) -> int:
        """Its number, which is another one once it has been removed and made again; 0 for none."""
        return self._ask(_SIOCGIFINDEX, "i")

    @property
    def is_up(self) -> bool:
        """Whether it is there and up."""
        return bool(self._ask(_SIOCGIFFLAGS, "H") & _IFF_UP)

    def close(self) -> None:
        """Ask no more."""
        self._asked.close()

    def _ask(self, what: int, form: str) -> int:
        try:
            answer = fcntl.ioctl(self._asked, what, struct.pack("16s24x", self._name))
        except OSError:
            return 0
        return int(struct.unpack_from(form, answer, 16)[0])


def _is_up(name: str) -> bool:
    interface = _Interface(name)
    try:
        return interface.is_up
    finally:
        interface.close()


class _Tap:
    """One interface, which may go down, disappear and come back."""

    def __init__(self, name: str, expression: str | None, number: int) -> None:
        self.name, self.dropped = name, 0
        self._expression, self._number = expression, number
        self._socket: Any = None
        self._interface, self._was_up = _Interface(name), True
        try:
            self._open()
        except BaseException:
            self._interface.close()
            raise

    @property
    def file(self) -> int:
        """What to wait for; -1 while there is no interface."""
        return -1 if self._socket is None else int(self._socket.ins.fileno())

    def blocks(self) -> tuple[list[Block], bool]:
        """What has come since, and whether that is all."""
        return ([], True) if self._socket is None else self._ring.blocks()

    def skip(self) -> None:
        """Forget what has come, and what was dropped, until now."""
        for _ in range(BLOCKS):
            if self.blocks()[1]:
                break
        self.count_dropped()
        self.dropped = 0

    def count_dropped(self) -> None:
        """Ask the kernel what it has dropped since."""
        if self._socket is not None:
            self.dropped += self._ring.dropped()

    def look(self) -> Iterator[str]:
        """Follow the interface; yields what there is to say of it."""
        index = self._interface.index
        if self._socket is not None and index != self._index:
            self._shut()
            yield f"{self.name} has disappeared; waiting for it to come back"
        if self._socket is None and index:
            try:
                self._open()
            except (CaptureError, UsageError):
                return  # not yet
            self._was_up = True
            yield f"{self.name} is back"
        if self._socket is not None and self._interface.is_up != self._was_up:
            self._was_up = not self._was_up
            yield f"{self.name} is {'up again' if self._was_up else 'down; waiting for it to come up'}"

    def close(self) -> None:
        """Count what was dropped, and listen no more."""
        self._shut()
        self._interface.close()

    def _shut(self) -> None:
        if self._socket is not None:
            self.count_dropped()
            self._socket.close()
            self._socket = None

    def _open(self) -> None:
        self._index = self._interface.index
        opened = _listening_socket(self.name, self._expression)
        try:
            self.linktype = self._linktype(opened.ins.getsockname()[3])
            is_loopback = opened.ins.getsockname()[3] == _LOOPBACK
            self._ring = Ring(opened.ins, self.linktype, self._number, is_loopback)
        except BaseException:
            opened.close()
            raise
        opened.ins.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._socket = opened

    def _linktype(self, hardware: int) -> int:
        if hardware in _LINKTYPES:
            return _LINKTYPES[hardware]
        if hardware in _BARE_IP:
            return _RAW
        way = _CAN_READ.format(name=self.name)
        raise CaptureError(f"{self.name} has a link layer that is not known (type {hardware}); use {way}")


_LOOPBACK = 772


def _command() -> str:
    """How root, with another PATH, calls this command."""
    called = shutil.which(sys.argv[0]) if Path(sys.argv[0]).name.startswith("tcpstates") else None
    return str(Path(called).absolute()) if called else f"{sys.executable} -m tcpstates"


def _listening_socket(name: str, expression: str | None) -> Any:
    """Scapy's socket that listens to all frames of an interface."""
    import logging

    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy.arch.linux import L2ListenSocket
    from scapy.config import conf
    from scapy.error import Scapy_Exception

    conf.ifaces.reload()
    try:
        return L2ListenSocket(iface=name, filter=expression, promisc=True)
    except PermissionError:
        way = _CAN_READ.format(name=name)
        raise CapturePermissionError(
            f"no permission to capture on {name}; use {way}, or sudo {_command()} live -i {name}"
        ) from None
    except Scapy_Exception as error:
        reason = str(error).removeprefix("Cannot set filter: ")
        raise UsageError(f"filter {expression!r}: {reason}; see man pcap-filter") from None
    except OSError as error:
        raise CaptureError(
            f"{name} cannot be listened to: {error.strerror}; see ip link show {name}"
        ) from None
