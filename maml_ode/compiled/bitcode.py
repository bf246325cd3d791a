"""How functions that only compiled code calls are compiled: as far as bitcode, which their callers take in.

Numba optimises every function, translates it into machine code and links its bitcode into its callers, where all
of that happens again: once for each function between it and Python. But nobody runs the machine code of a
function that has no wrapper, and what its callers inline is optimised with them. So both are left out here.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import binding  # type: ignore[import-untyped]
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

__all__ = ["BitcodeCompiler", "collector_paused"]

# Numba's name for the address at which a function finds its globals.
_ENVIRONMENT = "_ZN08NumbaEnv"


class BitcodeCompiler(Compiler):
    """Numba's compiler for functions without wrappers."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function into a library of its own."""
        library = _BitcodeLibrary(self.state.targetctx.codegen(), func.__qualname__)
        library.enable_object_caching()
        self.state.library = library
        return super().compile_extra(func)


class _BitcodeLibrary(JITCodeLibrary):
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


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's cyclic collector from running.

    What a compiler builds lives until it is done: to look through it again and again takes a tenth of its time.
    """
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()
