"""How a function is compiled: by compilers of ours, which do less, with the versions of Numba they are made for.

They rest on how Numba works within, which the next version may change. With any other, Numba's own compiler takes
all functions: it takes half as long again, for the same results.
"""

from __future__ import annotations

from typing import Any

import numba
from numba.core import event, sigutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

__all__ = ["MADE_FOR", "compile_for", "is_made_for", "options_of"]

MADE_FOR = ((0, 68),)
"""Major and minor versions of Numba."""


def options_of(kind: str) -> dict[str, Any]:
    """Return Numba's options for a function.

    Parameters
    ----------
    kind : {"inner", "driver", "kernel"}
        A function that only compiled code calls; one that spends its time in the functions that it calls; any
        other.
    """
    if not is_made_for():
        return {}
    from maml_ode.compiled.bitcode import BitcodeCompiler, DriverCompiler, LoopCompiler

    ours = {"inner": BitcodeCompiler, "driver": DriverCompiler, "kernel": LoopCompiler}
    return {"pipeline_class": ours[kind]}


def compile_for(function: Any, signature: Any) -> Any:
    """Compile a function for a signature, or read it from the cache; return what Python would call.

    Numba does the same while it measures how long it takes, for every function between this one and Python: it
    takes the time at each of some 40,000 calls of LLVM, five or six times over.
    """
    if not is_made_for():
        return CPUDispatcher.compile(function, signature)
    with global_compiler_lock:
        arguments, result = sigutils.normalize_signature(signature)
        known = function.overloads.get(tuple(arguments))
        if known is not None:
            return known.entry_point
        kept = function._cache.load_overload(signature, function.targetctx)
        if kept is not None:
            function.targetctx.insert_user_function(kept.entry_point, kept.fndesc, [kept.library])
            function.add_overload(kept)
            return kept.entry_point
        details = {"dispatcher": function, "args": arguments, "return_type": result}
        with function._compiling_counter, event.trigger_event("numba:compile", data=details):
            made = function._compiler.compile(arguments, result)
        function.add_overload(made)
        function._cache.save_overload(signature, made)
        return made.entry_point


def is_made_for() -> bool:
    """Whether the compilers are made for the version of Numba that is here."""
    return numba.version_info.short in MADE_FOR
