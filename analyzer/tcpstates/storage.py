"""Long arrays: read block by block, put together part by part, in memory or in files that stand for it.

Those in a file need not fit in memory: the system writes them out, and reads them again, page by page.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: So many records are in the processor's cache at a time, and leave room there for others.
_BLOCK = 8192


class Rows:
    """Records of one kind, as many as the highest place that one was put at.

    Parameters
    ----------
    dtype : their kind.
    folder : where their file is, which has no name and goes with the program; in memory if None.
    """

    def __init__(self, dtype: np.dtype, folder: Path | None = None) -> None:
        self.array: Array = np.zeros(0, dtype)  # only to be held while nothing is put
        self._folder, self._file = folder, -1
        self._map: mmap.mmap | None = None

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.array)

    def put(self, places: Array, new: Array) -> None:
        """Put ``new`` records at their ``places`` (int64).

        Raises
        ------
        OSError
            If the folder has no room for them.
        """
        if len(places):
            self.reach(int(places.max()) + 1)
            bytes_of(self.array)[places] = bytes_of(np.ascontiguousarray(new))
            self.let_go()

    def reach(self, count: int) -> None:
        """Have at least so many records, of zeros where none was put."""
        if count <= len(self.array):
            return
        if self._folder is None:
            self.array.resize(count, refcheck=False)
        else:
            self._map = self._mapped(self._folder, count * self.array.itemsize)
            self.array = np.frombuffer(self._map, self.array.dtype)

    def _mapped(self, folder: Path, size: int) -> mmap.mmap:
        try:
            if self._file < 0:
                folder.mkdir(parents=True, exist_ok=True)
                self._file, name = tempfile.mkstemp(dir=folder)
                Path(name).unlink()
            _reserve(self._file, self.array.nbytes, size - self.array.nbytes)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from None
        return mmap.mmap(self._file, size)

    def let_go(self) -> None:
        """Leave to the system which pages stay in memory; what they hold stays."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _reserve(file: int, start: int, size: int) -> None:
    """Have room on the disk at once: a page that finds none later would end the program."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, start, size)
    else:
        os.truncate(file, start + size)


def bytes_of(records: np.ndarray) -> np.ndarray:
    """The same memory as uint8 of shape (n, bytes of a record).

    numpy copies records field by field, and bytes at once.
    """
    return records.view(np.uint8).reshape(len(records), records.dtype.itemsize)


def blocks(count: int) -> Iterator[slice]:
    """``count`` records in slices of so many that what is made of one stays in the cache."""
    return (slice(first, min(first + _BLOCK, count)) for first in range(0, count, _BLOCK))
