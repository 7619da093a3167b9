"""Addresses: 128 bits in two uint64, written out once per unique value."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

import numpy as np

from tcpstates.reports.ranking import coded
from tcpstates.reports.table import Labels

_MAPPED = 0xFFFF  # ::ffff:a.b.c.d, RFC 4291, 2.5.5.2


def address_text(hi: int, lo: int) -> str:
    """One address as people write it: dotted decimal for IPv4, RFC 5952 for IPv6."""
    if hi == 0 and lo >> 32 == _MAPPED:
        return f"{lo >> 24 & 255}.{lo >> 16 & 255}.{lo >> 8 & 255}.{lo & 255}"
    return str(IPv6Address(hi << 64 | lo))


@dataclass(frozen=True, eq=False)
class Addresses:
    """Codes into the unique addresses, which are in numerical order.

    Attributes
    ----------
    codes : int64 per address given.
    hi, lo : uint64 per unique address.
    """

    codes: np.ndarray
    hi: np.ndarray
    lo: np.ndarray

    @classmethod
    def of(cls, hi: np.ndarray, lo: np.ndarray) -> Addresses:
        """The unique ones of ``hi`` and ``lo`` (uint64, of equal length)."""
        los, lo_codes = coded(lo)
        if (hi == hi[:1]).all():  # IPv4 only, as a rule
            return cls(lo_codes, np.repeat(hi[:1], len(los)), los)
        his, hi_codes = coded(hi)
        pairs, codes = np.unique(hi_codes * len(los) + lo_codes, return_inverse=True)
        return cls(codes, his[pairs // len(los)], los[pairs % len(los)])

    def text(self, code: int) -> str:
        """One of the unique addresses, written out."""
        return address_text(int(self.hi[code]), int(self.lo[code]))

    def labels(self, codes: np.ndarray) -> Labels:
        """Some of the unique addresses, -1 for none, written out: each once, in their order."""
        used, narrowed = coded(codes)
        none = int((used[:1] < 0).sum())
        used = used[none:]
        names = map(address_text, self.hi[used].tolist(), self.lo[used].tolist())
        return Labels((narrowed - none).astype(np.int32), list(names))
