"""Where things are in the headers, and why a frame holds no segment: shared by both decoders.

Offsets, flag bits and protocol numbers are computed from dpkt's own definitions. What is written
out here is what dpkt does not define.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from itertools import takewhile
from typing import Any

from dpkt import ethernet, icmp, icmp6, ip, ip6, loopback, pcap, sll, sll2, tcp, udp


class Outcome(IntEnum):
    """What became of a frame."""

    SEGMENT = 0
    DECLINED = 1  # by the fast path: dpkt's turn
    NOT_IP = 2
    NOT_TCP = 3
    FRAGMENT = 4
    CUT = 5
    MALFORMED = 6
    UNDECODED = 7
    LONELY = 8
    QUOTED = 9


#: What people read of the outcomes that are no segment.
REASONS = {
    Outcome.NOT_IP: "not IP",
    Outcome.NOT_TCP: "not TCP",
    Outcome.FRAGMENT: "IP fragment",
    Outcome.CUT: "cut within a header",
    Outcome.MALFORMED: "malformed",
    Outcome.UNDECODED: "dpkt cannot decode",
    Outcome.LONELY: "IP fragment whose rest never came",
    Outcome.QUOTED: "ICMP error about TCP",
}


def _offset(header: Any, field: str) -> int:
    """How many bytes of a dpkt header come before ``field``."""
    before = takewhile(lambda entry: entry[0] != field, header.__hdr__)
    return struct.calcsize("!" + "".join(code for _name, code, _default in before))


# Link layers
ETH_TYPE = _offset(ethernet.Ethernet, "type")
ETH_HEADER = ethernet.Ethernet.__hdr_len__
VLAN_ID = _offset(ethernet.VLANtag8021Q, "_pri_cfi_id")
VLAN_TYPE = _offset(ethernet.VLANtag8021Q, "type")
VLAN_HEADER = ethernet.VLANtag8021Q.__hdr_len__
VLAN_MASK = 0xFFF  # the tag's lower 12 bits (IEEE 802.1Q, 9.6)
SLL_TYPE = _offset(sll.SLL, "ethtype")
SLL_HEADER = sll.SLL.__hdr_len__
SLL2_TYPE = _offset(sll2.SLL2, "ethtype")
SLL2_HEADER = sll2.SLL2.__hdr_len__
LOOPBACK_HEADER = loopback.Loopback.__hdr_len__

LINKTYPES_LOOPBACK = (pcap.DLT_NULL, 108)  # dpkt's DLT_LOOP is 12 on OpenBSD
# LINKTYPE_RAW is 101 in files; 12, and 14 on OpenBSD, are what live captures and old tools call it
LINKTYPES_RAW = (101, 12, 14, pcap.DLT_IPV4, pcap.DLT_IPV6)

LINKTYPE_ENC = 109
LINKTYPE_JUNIPER_ETHER = 178
LINKTYPE_MPACKET = 274
LINKTYPE_DSA_BRCM, LINKTYPE_DSA_BRCM_PREPEND, LINKTYPE_DSA, LINKTYPE_EDSA = 281, 282, 284, 285

AF_INET = 2
AF_INET6 = (10, 24, 28, 30)  # Linux; NetBSD, OpenBSD; FreeBSD; macOS

ETH_TYPE_MINIMUM = 0x600  # below, the field is a length (IEEE 802.3, 3.2.6)
ETH_TYPES_VLAN = (
    ethernet.ETH_TYPE_8021Q,
    ethernet.ETH_TYPE_8021AD,
    ethernet.ETH_TYPE_QINQ1,
    ethernet.ETH_TYPE_QINQ2,
)
ETH_TYPE_EAPOL = 0x888E
#: What never carries IP.
ETH_TYPES_WITHOUT_IP = (
    ethernet.ETH_TYPE_ARP,
    ethernet.ETH_TYPE_REVARP,
    ethernet.ETH_TYPE_LLDP,
    ethernet.ETH_TYPE_IPX,
    ethernet.ETH_TYPE_PPPoE_DISC,
    ETH_TYPE_EAPOL,
)

# IPv4
IP_LENGTH = _offset(ip.IP, "len")
IP_ID = _offset(ip.IP, "id")
IP_FRAGMENT = _offset(ip.IP, "_flags_offset")
IP_FRAGMENT_MASK = ip.IP_MF | ip.IP_OFFMASK
IP_TTL = _offset(ip.IP, "ttl")
IP_PROTOCOL = _offset(ip.IP, "p")
IP_SRC = _offset(ip.IP, "src")
IP_DST = _offset(ip.IP, "dst")
IP_HEADER = ip.IP.__hdr_len__
IP_OFFSET_MASK = ip.IP_OFFMASK
IP_MAXIMUM = 65_535  # bytes of a datagram, whatever its fragments say
IP_MAPPED = 0xFFFF << 32  # what makes 32 bits an IPv4-mapped address (RFC 4291, 2.5.5.2)

# IPv6
IP6_LENGTH = _offset(ip6.IP6, "plen")
IP6_NEXT = _offset(ip6.IP6, "nxt")
IP6_HOP_LIMIT = _offset(ip6.IP6, "hlim")
IP6_SRC = _offset(ip6.IP6, "src")
IP6_DST = _offset(ip6.IP6, "dst")
IP6_HEADER = ip6.IP6.__hdr_len__

EXTENSION_NEXT = _offset(ip6.IP6OptsHeader, "nxt")
EXTENSION_LENGTH = _offset(ip6.IP6OptsHeader, "len")
EXTENSION_HEADER = ip6.IP6FragmentHeader.__hdr_len__  # the smallest, and the fragment header's size
FRAGMENT_OFFSET = _offset(ip6.IP6FragmentHeader, "_frag_off_resv_m")
FRAGMENT_MASK = 0xFFF9  # the offset and the M flag (RFC 8200, 4.5)
FRAGMENT_OFFSET_MASK = 0xFFF8
ROUTING_TYPE = _offset(ip6.IP6RoutingHeader, "type")
ROUTING_LEFT = _offset(ip6.IP6RoutingHeader, "segs_left")
ROUTING_HEADER = ip6.IP6RoutingHeader.__hdr_len__
ROUTING_SOURCE, ROUTING_HOME, ROUTING_SEGMENTS = 0, 2, 4  # RFC 8200's, RFC 6275's, RFC 8754's

EXTENSIONS = (
    ip.IP_PROTO_HOPOPTS,
    ip.IP_PROTO_ROUTING,
    ip.IP_PROTO_DSTOPTS,
    ip.IP_PROTO_AH,
    ip.IP_PROTO_FRAGMENT,
)
OPTION_PAD1 = 0
OPTION_JUMBO = 0xC2  # RFC 2675, 2
OPTION_JUMBO_LENGTH = 4
OPTION_HOME = 0xC9  # RFC 6275, 6.3
OPTION_HOME_LENGTH = 16

#: What carries packets of its own: the fast path leaves it to dpkt.
IP_PROTO_MPLS = 137
TUNNELS = (
    ip.IP_PROTO_IPIP,
    ip.IP_PROTO_IP6,
    ip.IP_PROTO_GRE,
    ip.IP_PROTO_ETHERIP,
    IP_PROTO_MPLS,
)

# ICMP: the errors that quote a packet (RFC 792; RFC 4443, 2.1)
ICMP_HEADER = icmp.ICMP.__hdr_len__ + icmp.ICMP.Quote.__hdr_len__
ICMP_ERRORS = (
    icmp.ICMP_UNREACH,
    icmp.ICMP_SRCQUENCH,
    icmp.ICMP_REDIRECT,
    icmp.ICMP_TIMEXCEED,
    icmp.ICMP_PARAMPROB,
)
ICMP6_ERRORS = (
    icmp6.ICMP6_DST_UNREACH,
    icmp6.ICMP6_PACKET_TOO_BIG,
    icmp6.ICMP6_TIME_EXCEEDED,
    icmp6.ICMP6_PARAM_PROB,
)

# UDP
UDP_SPORT = _offset(udp.UDP, "sport")
UDP_DPORT = _offset(udp.UDP, "dport")
UDP_LENGTH = _offset(udp.UDP, "ulen")
UDP_HEADER = udp.UDP.__hdr_len__
PORT_L2TP = 1701
PORT_GTP_U = 2152
PORT_TEREDO = 3544
PORT_LISP = 4341
PORT_GRE = 4754
PORTS_VXLAN = (4789, 8472)  # IANA's, and Linux's own before there was one
PORT_VXLAN_GPE = 4790
PORT_AYIYA = 5072
PORT_GENEVE = 6081
PORT_MPLS = 6635
PORT_TZSP = 37008
#: The ports of UDP's tunnels, in order.
UDP_TUNNELS = (
    PORT_L2TP,
    PORT_GTP_U,
    PORT_TEREDO,
    PORT_LISP,
    PORT_GRE,
    *PORTS_VXLAN[:1],
    PORT_VXLAN_GPE,
    PORT_AYIYA,
    PORT_GENEVE,
    PORT_MPLS,
    *PORTS_VXLAN[1:],
    PORT_TZSP,
)
#: Those that the fast path goes through by itself.
PORTS_OVERLAY = (*PORTS_VXLAN, PORT_GENEVE)
OVERLAY_HEADER = 8  # VXLAN's, and Geneve's without options
OVERLAY_NETWORK = 4  # three bytes
VXLAN_VALID = 0x08  # the flag that there is a network identifier
GENEVE_TYPE = 2
GENEVE_OPTIONS = 0x3F  # their length in words of four bytes
TEREDO_PREFIX = b"\x20\x01\x00\x00"  # RFC 4380, 2.6

# TCP
TCP_SPORT = _offset(tcp.TCP, "sport")
TCP_DPORT = _offset(tcp.TCP, "dport")
TCP_SEQ = _offset(tcp.TCP, "seq")
TCP_ACK = _offset(tcp.TCP, "ack")
TCP_OFFSET_FLAGS = _offset(tcp.TCP, "_off_flags")
TCP_WINDOW = _offset(tcp.TCP, "win")
TCP_CHECKSUM = _offset(tcp.TCP, "sum")
TCP_HEADER = tcp.TCP.__hdr_len__
TCP_HEADER_MAXIMUM = 60
TCP_OFFSET_SHIFT = 12
TCP_FLAGS = (tcp.TH_NS << 1) - 1  # all nine

OPTIONS_READ = (
    tcp.TCP_OPT_MSS,
    tcp.TCP_OPT_WSCALE,
    tcp.TCP_OPT_SACKOK,
    tcp.TCP_OPT_SACK,
    tcp.TCP_OPT_TIMESTAMP,
)
OPTION_MSS_LENGTH = 4
OPTION_WSCALE_LENGTH = 3
OPTION_SACKOK_LENGTH = 2
OPTION_SACK_LENGTH = 10  # with one block, 8 more for each further
OPTION_TIMESTAMP_LENGTH = 10
WSCALE_MAXIMUM = 14  # a larger one counts as 14 (RFC 7323, 2.3)
