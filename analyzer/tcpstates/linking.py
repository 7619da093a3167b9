"""How a kernel is put together: its parts are generated one by one, and optimised once, together.

numba by itself makes of each jitted function something that Python could call: it takes in a copy of all
that the function calls, optimises that, and makes machine code of it. In a kernel of a hundred functions,
each called by others, that is thrown away again and again. Here a part is left as it was generated, and the
kernel takes in each of its parts once, as a compiler does with the functions of one file. What numba does
for code of all kinds, and kernels need not, is left out.

It relies on how numba is built inside. Versions that it was not tried with compile kernels in their own way:
the same kernels, but the first run takes twice as long. Parts may not call each other in circles.
"""

from __future__ import annotations

import gc
from typing import Any, ClassVar

from numba import _dynfunc
from numba.core import ssa, typed_passes, types, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.registry import cpu_target
from numba.core.types.misc import unliteral
from numba.core.typing import Context


class _Generated(JITCodeLibrary):  # type: ignore[misc]  # numba has no types
    """A function as it was generated."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout


class _Part(_Generated):
    """What kernels take in, never to be run by itself."""

    def finalize(self) -> None:
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        _relink(self._final_module, "external", "linkonce_odr")  # two kernels may take it in
        return self._final_module


class _Kernel(_Generated):
    """A kernel, which takes in each of its parts once."""

    def add_linking_library(self, library: Any) -> None:
        """Take in ``library``, then what it calls: what nobody has called yet would be left out."""
        if library not in self._linking_libraries:
            super().add_linking_library(library)
            for callee in library._linking_libraries if isinstance(library, _Part) else ():
                self.add_linking_library(callee)

    def _optimize_final_module(self) -> None:
        """Optimise at once: what numba does before is for counting references, and kernels count none."""
        _relink(self._final_module, "linkonce_odr", "internal")  # all who call a part are here
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)


def _relink(module: Any, before: str, after: str) -> None:
    """Change who may call the functions that ``module`` defines."""
    for function in module.functions:
        if not function.is_declaration and function.linkage.name == before:
            function.linkage = after


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


class _Typing(Context):  # type: ignore[misc]  # numba has no types
    """What numba knows of types; of an operation on numbers it is asked only once.

    Each time it would try all that an operator may mean, for arrays, strings and sets.
    """

    _PLAIN = (types.Number, types.Boolean)
    _found: ClassVar[dict[tuple[Any, ...], Any]] = {}

    def __init__(self, known: Context) -> None:
        self.__dict__ = known.__dict__

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """The signature of ``func`` for arguments of such types."""
        is_plain = not kws and all(isinstance(arg, self._PLAIN) for arg in args)
        if is_plain or isinstance(func, types.Dispatcher):
            args = tuple(map(unliteral, args))  # a part is compiled once, not for each constant it is given
        if not (is_plain and isinstance(func, types.Function)):
            return super().resolve_function_type(func, args, kws)
        question = func.typing_key, *args
        if question not in self._found:
            self._found[question] = super().resolve_function_type(func, args, kws)
        return self._found[question]


class _Passes(PassManager):  # type: ignore[misc]  # numba has no types
    """Passes one after the other, with nothing between them.

    After each numba works out how long each variable lives, to count references, and writes out the types
    of all arguments; of a record that is 5 KB.
    """

    def run(self, state: Any) -> None:
        """Compile."""
        for kind, _ in self.passes:
            kind().run_pass(state)


def _rewrite(state: Any, function: Any) -> None:
    """Go on with ``function``, and with what its variables are now."""
    state.func_ir = function
    function._definitions = build_definitions(function.blocks)


@register_pass(mutates_CFG=True, analysis_only=False)
class _OneAssignment(untyped_passes.ReconstructSSA):  # type: ignore[misc]  # numba has no types
    """Makes of a variable that is assigned several times several variables."""

    _name = "one_assignment"

    def run_pass(self, state: Any) -> bool:
        _rewrite(state, ssa.reconstruct_ssa(state.func_ir))
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _ManyAssignments(typed_passes.PreLowerStripPhis):  # type: ignore[misc]  # numba has no types
    """Makes one variable of them again, once its type is known."""

    _name = "many_assignments"

    def run_pass(self, state: Any) -> bool:
        _rewrite(state, self._strip_phi_nodes(state.func_ir))
        return True


class KernelCompiler(Compiler):  # type: ignore[misc]  # numba has no types
    """Compiles kernels."""

    _library: type[JITCodeLibrary] = _Kernel
    _lowering: type[typed_passes.NativeLowering] = typed_passes.NativeLowering
    _typing = _Typing(cpu_target.typing_context)

    def compile_extra(self, function: Any) -> Any:
        """Compile without a search for garbage, which would look through all of numba many times."""
        searches = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(function)
        finally:
            if searches:
                gc.enable()

    def define_pipelines(self) -> list[Any]:
        """Those of numba's passes that kernels need: they have no closures, and no array expressions."""
        state = self.state
        state.typingctx = self._typing
        state.library = self._library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        manager = _Passes("kernel")
        manager.add_pass(untyped_passes.TranslateByteCode, "analyzing bytecode")
        manager.add_pass(untyped_passes.FixupArgs, "fix up args")
        manager.add_pass(untyped_passes.GenericRewrites, "nopython rewrites")
        manager.add_pass(_OneAssignment, "ssa")
        manager.add_pass(typed_passes.NopythonTypeInference, "nopython frontend")
        manager.add_pass(_ManyAssignments, "remove phis nodes")
        manager.add_pass(self._lowering, "native lowering")
        manager.add_pass(typed_passes.NoPythonBackend, "nopython mode backend")
        return [manager]


class PartCompiler(KernelCompiler):
    """Compiles what only kernels call."""

    _library = _Part
    _lowering = _PartLowering
