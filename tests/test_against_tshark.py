"""The same segments between the same ends as tshark finds, in every capture of other projects.

Where the two differ, who is right and why is in ``EXPLAINED``. Checked with tshark 4.0.17.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatch
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from builders import START, Frame, pcap
from encapsulations import EXAMPLES
from tcpstates.capture.decoder import Decoder
from tcpstates.capture.files import CaptureReader
from tshark import Ends, segments

OTHERS = Path(__file__).parent.parent.parent / "shared" / "captures"
CAPTURES = sorted(path.name for path in OTHERS.glob("*.pcap*"))

#: What is compared at every run: each encapsulation and link layer, fragments, and a few plain ones.
ALWAYS = (
    "tcpdump__arcnet*",
    "tcpdump__bgp-aigp.pcap",
    "tcpdump__bgp_vpn_attrset.pcap",
    "tcpdump__bigtcp-ipv6*",
    "tcpdump__geneve*",
    "tcpdump__gso-ipv4-vxlan*",
    "tcpdump__ipoib.pcap",
    "tcpdump__kday4.pcap",
    "tcpdump__pptp.pcap",
    "tcpdump__wccp_redirect_gre.pcap",
    "zeek__cisco-fabric-path.pcap",
    "zeek__erspan.pcap",
    "zeek__ipv4__frag*",
    "zeek__llc.pcap",
    "zeek__m*mpls*",
    "zeek__nflog-http.pcap",
    "zeek__pbb.pcap",
    "zeek__pppoe-over-qinq.pcap",
    "zeek__raw_packets.pcap",
    "zeek__snap-tcp.pcap",
    "zeek__tunnels__*",
    "zeek__vntag_vlan_sandwich_clean.pcap",
)


class Explained(NamedTuple):
    """A difference: how many segments each finds, and why."""

    tshark: int
    ours: int
    why: str


_BIG = "ours: with an IP length of zero the frame's is the packet's; tshark takes it for nothing"
_ALONE = (
    "ours: a first fragment whose rest never came; tshark reads it where the frame is cut, "
    "and has a payload of unknown length"
)
_RELAY = "ours: Teredo on a relay's own port, known by its addresses"
EXPLAINED = {
    **dict.fromkeys(
        [f"tcpdump__bigtcp-ipv{a}-{b}-ipv{c}.pcap" for a in "46" for b in ("geneve", "vxlan") for c in "46"],
        Explained(0, 1, _BIG),
    ),
    "tcpdump__bigtcp-ipv6.pcap": Explained(0, 1, _BIG),
    "tcpdump__bgp-bgp_capabilities_print-oobr-1.pcap": Explained(1, 0, _ALONE),
    "tcpdump__bgp-bgp_capabilities_print-oobr-2.pcap": Explained(1, 0, _ALONE),
    "tcpdump__bgp_pmsi_tunnel-oobr.pcap": Explained(1, 0, _ALONE),
    "tcpdump__rpki-rtr-oobr.pcap": Explained(1, 0, _ALONE),
    "tcpdump__tcp_header_heapoverflow.pcap": Explained(
        1, 0, "either: 12 bytes of a TCP header were captured, its ports but not its flags"
    ),
    "zeek__tunnels__Teredo.pcap": Explained(33, 55, _RELAY),
    "zeek__tunnels__teredo_bubble_with_payload.pcap": Explained(0, 22, _RELAY),
    "zeek__tunnels__gtp__gtp1_gn_normal_incl_fragmentation.pcap": Explained(
        68, 72, "ours: the segment's headers are in the outer packet's first fragment; its last is missing"
    ),
}


def found(path: Path) -> list[tuple[int, Ends]]:
    """The frame's number and the ends of each segment that we find."""
    decoder = Decoder()
    return [
        (int(segment["frame"]), _ends(segment))
        for block in CaptureReader(path).blocks()
        for segment in decoder.decode(block)
    ]


def _ends(segment: Any) -> Ends:
    src, dst = (_address(segment, which) for which in ("src", "dst"))
    return Ends(src, int(segment["src_port"]), dst, int(segment["dst_port"]))


def _address(segment: Any, which: str) -> str:
    address = IPv6Address(int(segment[f"{which}_hi"]) << 64 | int(segment[f"{which}_lo"]))
    return str(address.ipv4_mapped if segment["version"] == 4 else address)


def difference(path: Path) -> str:
    """How the two differ in the number of segments between the same ends; empty if they do not.

    Where a difference is explained, it has to be that one.
    """
    theirs, ours = (Counter(ends for _frame, ends in each) for each in (segments(path), found(path)))
    if path.name not in EXPLAINED:
        return "" if ours == theirs else f"only tshark: {theirs - ours}, only we: {ours - theirs}"
    explained = EXPLAINED[path.name]
    is_as_explained = (theirs.total(), ours.total()) == (explained.tshark, explained.ours)
    return "" if is_as_explained else f"tshark {theirs.total()}, we {ours.total()}: not {explained}"


def is_always_compared(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in ALWAYS)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("name", [name for name in CAPTURES if is_always_compared(name)])
def test_every_kind_of_capture_holds_the_same_segments(other_captures: Path, name: str) -> None:
    assert difference(other_captures / name) == ""


@pytest.mark.soak
@pytest.mark.slow_without_jit
def test_every_other_capture_holds_the_same_segments(other_captures: Path) -> None:
    others = {name: difference(other_captures / name) for name in CAPTURES if not is_always_compared(name)}
    assert {name: what for name, what in others.items() if what} == {}


@pytest.mark.slow_without_jit
def test_what_is_explained_is_there(other_captures: Path) -> None:
    assert set(EXPLAINED) <= {path.name for path in other_captures.iterdir()}


# The same of frames that no capture at hand has

#: What tshark 4.0 has no dissector for, or none without more than is in the frame.
NOT_TSHARKS = {
    "slip",
    "cisco hdlc with direction",
    "frame relay with direction",
    "ppp, pppd",
    "ipnet",
    "netfilter log, big-endian",
    "netanalyzer",
    "netanalyzer, transparent",
    "mpacket, express",
    "mpacket, preemptable",
    "broadcom tag",
    "broadcom tag before",
    "marvell tag",
    "marvell tag with vlan",
    "marvell ether-type tag",
    "ethernet pseudowire",
    "fabricpath",
    "vxlan of Linux",
    "decrypted, but still flagged",
}


@pytest.mark.soak
@pytest.mark.slow_without_jit
def test_every_encapsulation_holds_the_same_segment(tmp_path: Path) -> None:
    for name, example in EXAMPLES.items():
        if name in NOT_TSHARKS:
            continue
        capture = tmp_path / "example.pcap"
        capture.write_bytes(pcap([Frame(START, example.frame)], linktype=example.linktype))
        ours = found(capture)
        assert len(ours) == 1
        assert ours == list(segments(capture)), name
