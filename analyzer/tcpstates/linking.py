"""How a kernel is put together: its parts are generated one by one, and optimised once, together.

numba by itself makes of each jitted function something that Python could call: it takes in a copy of all
that the function calls, optimises that, and makes machine code of it. In a kernel of a hundred functions,
each called by others, that is thrown away again and again. Here a part is left as it was generated, and the
kernel takes in each of its parts once, as a compiler does with the functions of one file.

It relies on how numba is built inside. Versions that it was not tried with compile kernels in their own way:
the same kernels, but the first run takes twice as long. Parts may not call each other in circles.
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc
from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass

#: The passes for what no kernel uses: ``with``, closures, literals as types, NumPy's arithmetic on arrays.
_NOT_USED = {
    untyped_passes.WithLifting,
    untyped_passes.InlineClosureLikes,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.InlineInlinables,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
    typed_passes.DumpParforDiagnostics,
}


class _Part(JITCodeLibrary):  # type: ignore[misc]  # numba has no types
    """A function as it was generated: for kernels to take in, never to be run by itself."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage.name == "external":
                function.linkage = "linkonce_odr"  # to be inlined, and left out where it is not called
        return self._final_module


class _Kernel(JITCodeLibrary):  # type: ignore[misc]  # numba has no types
    """A kernel, which takes in each of its parts once."""

    def add_linking_library(self, library: Any) -> None:
        """Take in ``library``, then what it calls: what nobody has called yet would be left out."""
        if library not in self._linking_libraries:
            super().add_linking_library(library)
            for callee in library._linking_libraries if isinstance(library, _Part) else ():
                self.add_linking_library(callee)

    def _optimize_final_module(self) -> None:
        """Optimise at once: what numba does before is for counting references, and kernels count none."""
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(typed_passes.NativeLowering):  # type: ignore[misc]  # numba has no types
    """Generates a part that has no address; its callers know it by a function that is never called."""

    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.flags.no_compile = True
        super().run_pass(state)
        made, library = state.cr, state.library
        module, name = made.fndesc.lookup_module(), made.fndesc.qualname
        known_as = _dynfunc.make_function(module, name, "a part of kernels", 0, made.env, (library,))
        state.targetctx.insert_user_function(known_as, made.fndesc, [library])
        state.cr = made._replace(cfunc=known_as)
        return True


class _Arguments(tuple[Any, ...]):
    """The types of a function's arguments, which numba writes out at each pass; of a record that is 5 KB."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"({len(self)} arguments)"


class KernelCompiler(Compiler):  # type: ignore[misc]  # numba has no types
    """Compiles kernels."""

    _library: type[JITCodeLibrary] = _Kernel
    _lowering: type[typed_passes.NativeLowering] = typed_passes.NativeLowering

    def define_pipelines(self) -> list[Any]:
        """Leave out what is not needed of numba's passes."""
        state = self.state
        state.args = _Arguments(state.args)
        state.library = self._library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        (manager,) = super().define_pipelines()
        manager.passes = [
            (self._lowering if each is typed_passes.NativeLowering else each, description)
            for each, description in manager.passes
            if each not in _NOT_USED
        ]
        manager.finalize()
        return [manager]


class PartCompiler(KernelCompiler):
    """Compiles what only kernels call."""

    _library = _Part
    _lowering = _PartLowering
