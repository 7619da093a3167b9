"""What the running kernel says of its own structures (BTF, ``/sys/kernel/btf/vmlinux``)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_VMLINUX = Path("/sys/kernel/btf/vmlinux")
_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
# Kinds (include/uapi/linux/btf.h), and how many bytes follow each
_INT, _ARRAY, _STRUCT, _UNION, _ENUM, _FUNC_PROTO = 1, 3, 4, 5, 6, 13
_VAR, _DATASEC, _DECL_TAG, _ENUM64 = 14, 15, 17, 19
_FOLLOWING = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_FOLLOWING_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}


class _Member(NamedTuple):
    name: str
    type: int
    offset: int  # bytes


class KernelTypes:
    """Where the members of a kernel's structures are."""

    def __init__(self, path: Path = _VMLINUX) -> None:
        try:
            self._data = path.read_bytes()
        except FileNotFoundError:
            raise OSError("this kernel does not describe its types (CONFIG_DEBUG_INFO_BTF)") from None
        magic, _, _, size, types, length, strings, _ = _HEADER.unpack_from(self._data)
        if magic != _MAGIC:
            raise OSError(f"{path} is no little-endian BTF: it begins with {magic:#x}")
        self._strings = size + strings
        self._structures: dict[str, int] = {}
        self._places: list[int] = [0]
        self._index(size + types, size + types + length)

    def offset(self, structure: str, member: str) -> int:
        """Bytes from a structure's begin to its member, also one of a nameless part."""
        found = self._find(self._structures.get(structure, 0), member)
        if found is None:
            raise OSError(f"this kernel's struct {structure} has no member {member}")
        return found

    def _index(self, position: int, end: int) -> None:
        """Where each type is, and which the structures are."""
        while position < end:
            name, info, _ = _TYPE.unpack_from(self._data, position)
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            if kind == _STRUCT and name:
                self._structures[self._text(name)] = len(self._places)
            self._places.append(position)
            position += _TYPE.size + _FOLLOWING.get(kind, 0) + _FOLLOWING_EACH.get(kind, 0) * count

    def _find(self, number: int, wanted: str) -> int | None:
        for member in self._members(number):
            if member.name == wanted:
                return member.offset
            if not member.name:
                inner = self._find(member.type, wanted)
                if inner is not None:
                    return member.offset + inner
        return None

    def _members(self, number: int) -> Iterator[_Member]:
        place = self._places[number]
        _, info, _ = _TYPE.unpack_from(self._data, place)
        if info >> 24 & 0x1F in (_STRUCT, _UNION):
            for index in range(info & 0xFFFF):
                name, kind, bits = _MEMBER.unpack_from(self._data, place + _TYPE.size * (index + 1))
                yield _Member(self._text(name), kind, (bits & 0xFF_FFFF) // 8)

    def _text(self, offset: int) -> str:
        begin = self._strings + offset
        return self._data[begin : self._data.index(0, begin)].decode()
