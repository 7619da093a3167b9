"""Kernels from numba's cache on disk, without what only compiling needs.

numba gets ready to compile before it loads what is compiled already: it imports all that it can compile,
and parses each kernel a second time, as what other code could be linked to. Together that takes longer than
``import numpy``. Nothing but Python calls a kernel, so its machine code is enough.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding  # comes with numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache


class _Kernels(CompileResultCacheImpl):  # type: ignore[misc]  # numba has no types
    """What of a kernel is kept: its machine code, and nothing to link to."""

    def reduce(self, compiled: Any) -> Any:
        """What is written to the disk."""
        (name, kind, (machine_code, _linkable)), *rest = super().reduce(compiled)
        return (name, kind, (machine_code, _names_only(compiled.fndesc))), *rest


def _names_only(kernel: Any) -> Any:
    """Bitcode that does no more than tell numba which of a kernel's symbols there are."""
    names = (kernel.llvm_func_name, kernel.llvm_cpython_wrapper_name, kernel.llvm_cfunc_wrapper_name)
    text = "\n".join(f'define internal void @"{name}"() {{ ret void }}' for name in names)
    return llvmlite.binding.parse_assembly(text).as_bitcode()


class KernelCache(FunctionCache):  # type: ignore[misc]
    """A kernel's signatures on disk."""

    _impl_class = _Kernels

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled kernel, None if it is not there: the compiler gets ready by itself then."""
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)
