"""Compiling the hot loops: numba, its disk cache, and who may be trusted with it.

numba notices an edit only in a kernel's own file and freezes imported constants, so the cache
folder is keyed by a digest of all the sources that a kernel may take constants from and of the
versions of the libraries that it takes them from. A stale kernel can then never be loaded.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

PACKAGE = Path(__file__).parent
#: The sources that kernels are made of, and those that they import constants from.
KERNEL_SOURCES = (
    "compiled.py",
    "linking.py",
    "loading.py",
    "schema.py",
    "states.py",
    "capture/*.py",
    "inference/*.py",
)
#: Compiled kernels that no process has used for so many seconds are deleted.
_KEPT = 30 * 24 * 3600

#: The versions of numba whose insides ``linking`` and ``loading`` know.
_LINKED_WITH = "0.68."

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile ``function`` at its first call, without the GIL, cached on disk where that is safe.

    Neither a kernel nor what it calls counts references: counting those to the arrays that it hands on
    costs a small function more than its work. So it may read and write arrays, but not make any.
    """
    import numba

    folder = cache_folder()
    outer, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder or "")
    try:
        made = _jit(function, "KernelCompiler", cache=folder is not None)
        if folder is not None and _knows_numba() and not numba.config.DISABLE_JIT:
            from tcpstates.loading import KernelCache

            cast(Any, made)._cache = KernelCache(function)
        return made
    finally:
        numba.config.CACHE_DIR = outer


#: What only kernels call needs no way in from Python.
_NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function: _Function) -> _Function:
    """Compile ``function`` as a part of the kernels of its own file."""
    # numba would have all that an ``inlined`` function calls inlined as well, unless told not to
    return _jit(function, "PartCompiler", forceinline=False, **_NO_WRAPPERS)


def inlined(function: _Function) -> _Function:
    """As ``inner``, for what is called many times per frame: never a call."""
    return _jit(function, "PartCompiler", forceinline=True, **_NO_WRAPPERS)


def _jit(function: _Function, compiler: str, **options: Any) -> _Function:
    import numba

    if _knows_numba():
        from tcpstates import linking

        options["pipeline_class"] = getattr(linking, compiler)
    return numba.njit(nogil=True, _nrt=False, **options)(function)  # type: ignore[no-any-return]


def _knows_numba() -> bool:
    import numba

    return bool(numba.__version__.startswith(_LINKED_WITH))


@functools.cache
def prefetch() -> Callable[[Any, Any, int], None]:
    """A function for kernels: have ``array[index]``, from byte ``offset`` on, fetched into the caches.

    Where an array is larger than the caches the processor waits for memory most of the time. It need not
    where it is told early what will be asked for.
    """
    import numba

    if numba.config.DISABLE_JIT:
        return lambda array, index, offset: None
    return cast(Callable[[Any, Any, int], None], _prefetch_intrinsic())


def _prefetch_intrinsic() -> Any:
    from llvmlite import ir  # comes with numba
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def fetch(typing: Any, array: Any, index: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = signature.args[0]
            data = context.make_array(kind)(context, builder, arguments[0]).data
            size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
            place = builder.mul(arguments[1], context.get_constant(types.intp, size))
            pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            where = builder.gep(builder.bitcast(data, pointer), [builder.add(place, arguments[2])])
            shape = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
            instruction = cgutils.get_or_insert_function(builder.module, shape, "llvm.prefetch.p0i8")
            builder.call(instruction, [where, number(0), number(3), number(1)])  # to read, to keep, data
            return context.get_dummy_value()

        return types.void(array, types.intp, types.intp), generate

    return fetch


@functools.cache
def cache_folder() -> Path | None:
    """The folder for compiled kernels: in the package, else the user's, else none."""
    name = f"kernels-{sources_digest()}"
    for parent in (PACKAGE / "__pycache__", _user_cache()):
        folder = parent / name
        is_new = not folder.exists()
        if _is_usable(folder):
            os.utime(folder)
            if is_new:
                _prune(parent)
            return folder
    return None


def _prune(parent: Path) -> None:
    """Delete what other versions of the sources left in ``parent``, and nobody has used for long."""
    for folder in parent.glob("kernels-*"):
        try:
            unused = time.time() - folder.lstat().st_mtime
        except OSError:  # another process was here first
            continue
        if unused > _KEPT:
            shutil.rmtree(folder, ignore_errors=True)


def sources_digest() -> str:
    """What the kernels were made from: their sources, and the versions they build on."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in KERNEL_SOURCES for path in PACKAGE.glob(pattern)):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    for name in ("dpkt", "numba", "numpy"):
        digest.update(f"{name}={version(name)} {sys.implementation.cache_tag}".encode())
    # numba's own cache does not tell checked kernels from unchecked ones: either would serve for both
    digest.update(f"boundscheck={os.environ.get('NUMBA_BOUNDSCHECK')}".encode())
    return digest.hexdigest()[:16]


def _user_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "tcpstates"


def _is_usable(folder: Path) -> bool:
    """Whether ``folder`` can be written by us and, when we are root, by nobody else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        return not _is_root() or all(map(_only_root_writes, (folder, *folder.parents)))
    except OSError:
        return False


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _only_root_writes(folder: Path) -> bool:
    """Whether no other user can write into or replace ``folder`` (a sticky folder protects what is in it)."""
    status = folder.stat()
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
    return status.st_uid == 0 and not shared
