"""Sequence numbers of the reference engine: uint32, compared modulo 2^32 (RFC 9293, 3.4)."""

from __future__ import annotations


def ahead(number: int, other: int) -> bool:
    """Whether ``number`` comes after ``other``."""
    return 0 < (number - other) % 2**32 < 2**31


def behind(number: int, other: int) -> bool:
    """Whether ``number`` comes before ``other``; of two that are 2^31 apart, each does."""
    return (number - other) % 2**32 >= 2**31


def distance(number: int, other: int) -> int:
    """How far apart two numbers are, in whichever direction."""
    return min((number - other) % 2**32, (other - number) % 2**32)


def between(low: int, number: int, high: int) -> bool:
    """Whether ``number`` is from ``low`` to ``high``, both included."""
    return (number - low) % 2**32 <= (high - low) % 2**32
