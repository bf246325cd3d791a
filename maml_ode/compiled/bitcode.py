"""How much LLVM does for a function.

Numba optimises every function, translates it into machine code and links its bitcode into its callers, where all
of that happens again: once for each function between it and Python. But nobody runs the machine code of a
function that has no wrapper, and what its callers inline is optimised with them. So `BitcodeCompiler` leaves out
both.

Loops over the few entries of a vector, with which drivers surround their calls of kernels, gain nothing from being
unrolled and vectorised, with a loop for what remains and tests which of them to take. That is half of what such a
driver costs to compile; `DriverCompiler` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding  # type: ignore[import-untyped]
from numba.core.codegen import JITCodeLibrary

from maml_ode.compiled.pipeline import KernelCompiler

__all__ = ["BitcodeCompiler", "DriverCompiler", "LoopCompiler"]

# Numba's name for the address at which a function finds its globals.
_ENVIRONMENT = "_ZN08NumbaEnv"


class _Library(JITCodeLibrary):
    """The code of a function."""

    def _optimize_functions(self, ll_module: Any) -> None:
        """Optimise what was generated, by the same passes for all functions: Numba makes them anew for each."""
        ll_module.data_layout = self._codegen._data_layout
        passes, builder = self._codegen._function_pass_manager()
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)


class _ShortLibrary(_Library):
    """Machine code that is optimised for its size."""

    def _optimize_final_module(self) -> None:
        """Optimise the function with all that it has taken in."""
        for function in self._final_module.functions:
            if not function.is_declaration:
                function.add_function_attribute("optsize")
        super()._optimize_final_module()


class _BitcodeLibrary(_Library):
    """The bitcode of a function, and machine code that holds nothing but the address of its environment."""

    def _optimize_final_module(self) -> None:
        """Do nothing: the callers optimise it."""

    def _finalize_final_module(self) -> None:
        """Make ready what Numba looks up of every function."""
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        whole = self._final_module
        self._final_module = binding.parse_assembly(_environments_of(whole))
        try:
            super()._finalize_final_module()
        finally:
            self._final_module = whole


def _environments_of(module: Any) -> str:
    """Return the assembly of a module that defines nothing but a module's environments."""
    names = [one.name for one in module.global_variables if one.name.startswith(_ENVIRONMENT)]
    definitions = (f'@"{name}" = common global i8* null' for name in names)
    layout = f'target datalayout = "{module.data_layout}"\ntarget triple = "{module.triple}"\n'
    return layout + "\n".join(definitions)


class LoopCompiler(KernelCompiler):
    """Numba's compiler for functions whose loops are to be fast."""

    library: type[_Library] = _Library

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function into a library of its own, which Numba can keep on disk."""
        self.state.library = self.library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class BitcodeCompiler(LoopCompiler):
    """Numba's compiler for functions without wrappers."""

    library = _BitcodeLibrary


class DriverCompiler(LoopCompiler):
    """Numba's compiler for functions that are to be short rather than fast."""

    library = _ShortLibrary
