"""Numba's passes over a function, as far as kernels need them.

Numba asks for the type of a call again each time that it has learnt more about any variable, and tries all that
the name may stand for; here it remembers, within a function, what operators and functions of its own made of the
same types. Passes that look for what kernels do not contain are left out.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import InlineOverloads, NopythonRewrites, NopythonTypeInference
from numba.core.untyped_passes import (
    InlineClosureLikes,
    InlineInlinables,
    LiteralPropagationSubPipelinePass,
    LiteralUnroll,
    WithLifting,
)

__all__ = ["KernelCompiler"]

# Closures, comprehensions, contexts, functions that ask to be inlined and expressions of whole arrays.
_LEFT_OUT = (
    InlineClosureLikes,
    InlineInlinables,
    InlineOverloads,
    LiteralPropagationSubPipelinePass,
    LiteralUnroll,
    NopythonRewrites,
    WithLifting,
)


class _Remembering:
    """Numba's knowledge of types, which remembers what it has said about calls of Numba's own functions."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._known: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def resolve_function_type(self, function: Any, arguments: Any, keywords: Any) -> Any:
        """Return the signature of a call."""
        if type(function) is not types.Function or keywords:
            return self._context.resolve_function_type(function, arguments, keywords)
        call = function, tuple(arguments)
        if call not in self._known:
            self._known[call] = self._context.resolve_function_type(function, arguments, keywords)
        return self._known[call]


@register_pass(mutates_CFG=True, analysis_only=False)
class _RememberingInference(NopythonTypeInference):
    """Numba's inference of types on a context that remembers."""

    _name = "remembering_type_inference"

    def run_pass(self, state: Any) -> bool:
        """Find the types of all variables and calls."""
        context = state.typingctx
        state.typingctx = _Remembering(context)
        try:
            return bool(super().run_pass(state))
        finally:
            state.typingctx = context


class KernelCompiler(Compiler):
    """Numba's compiler, with fewer passes."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes, in order."""
        pipelines = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes = [
                (_RememberingInference, text) if step is NopythonTypeInference else (step, text)
                for step, text in pipeline.passes
                if step not in _LEFT_OUT
            ]
        return list(pipelines)
