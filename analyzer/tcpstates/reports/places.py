"""Where sides are: an address within its tunnel. Equal addresses in different tunnels are different hosts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tcpstates.reports.addresses import Addresses
from tcpstates.reports.table import Labels, used_labels
from tcpstates.schema import tunnel_name

#: Where there is no tunnel: Parquet gives back a category of text only if there is a text in it.
_ANY = ("VLAN",)


@dataclass(frozen=True, eq=False)
class Places:
    """Codes into the unique pairs of address and tunnel, in the order of addresses.

    Attributes
    ----------
    codes : int64 per side.
    address : int64 per unique place, a code of ``Addresses``.
    tunnel : uint64 per unique place, an encapsulation key; see ``schema.tunnel_name``.
    """

    codes: np.ndarray
    address: np.ndarray
    tunnel: np.ndarray

    @classmethod
    def of(cls, addresses: Addresses, tunnels: np.ndarray) -> Places:
        """The unique ones of sides at these ``addresses`` and in these ``tunnels`` (uint64 per side)."""
        count = len(addresses.hi)
        if not tunnels.any():  # as a rule
            return cls(addresses.codes, np.arange(count), np.zeros(count, np.uint64))
        keys, in_tunnel = np.unique(tunnels, return_inverse=True)
        pairs, codes = np.unique(addresses.codes * len(keys) + in_tunnel, return_inverse=True)
        return cls(codes, pairs // len(keys), keys[pairs % len(keys)])

    @cached_property
    def tunnel_names(self) -> Labels:
        """Each place's tunnel in words, none where there is none."""
        keys, codes = np.unique(self.tunnel, return_inverse=True)
        texts = [tunnel_name(key) for key in keys.tolist()]
        numbers = {text: number for number, text in enumerate(filter(None, dict.fromkeys(texts)))}
        of_key = np.array([numbers.get(text, -1) for text in texts], np.int32)
        return Labels(of_key[codes], list(numbers))

    def tunnels_of(self, codes: np.ndarray) -> Labels:
        """The tunnels of these places, in words; none for -1."""
        known = np.append(self.tunnel_names.codes, np.int32(-1))
        used = used_labels(known[codes], self.tunnel_names.names)
        return used if used.names else Labels(used.codes, _ANY)
