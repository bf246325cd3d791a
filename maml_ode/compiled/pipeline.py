"""Numba's passes over a function, as far as kernels need them.

Numba asks for the type of a call again each time that it has learnt more about any variable, and tries all that
the name may stand for; here it remembers, within a function, what operators and functions of its own made of the
same types. Passes that look for what kernels do not contain are left out: closures, comprehensions, contexts,
functions that ask to be inlined, expressions of whole arrays, errors made at run time. So is what Numba does after
every pass for the sake of those passes, and the text of a function with the types of its variables.

The lesser and the greater of two numbers are one comparison, for which Numba compiles a function of a tuple. A
function that is held as a value is one of ours, whose machine code Numba knows; what Numba surrounds a call with,
should it be any function of Python, takes as long to compile as a short loop.
"""

from __future__ import annotations

import operator
from functools import cache
from typing import Any

from numba.core import cgutils, ir, types
from numba.core.compiler import Compiler, Flags
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.lowering import Lower
from numba.core.targetconfig import ConfigStack
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    GenericRewrites,
    ReconstructSSA,
    RewriteSemanticConstants,
    TranslateByteCode,
)

__all__ = ["KernelCompiler"]


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
        if _picks(function) and _are_two_numbers(arguments):
            kind = self._context.unify_types(*map(types.unliteral, arguments))
            return kind(kind, kind)
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


def _picks(function: Any) -> bool:
    """Whether a function is `min` or `max`."""
    return getattr(function, "typing_key", None) in (min, max)


def _are_two_numbers(kinds: Any) -> bool:
    numbers = types.Integer, types.Float
    return len(kinds) == 2 and all(isinstance(types.unliteral(kind), numbers) for kind in kinds)


class _Lowering(Lower):
    """Numba's way from its representation of a function to LLVM's."""

    def _lower_call_normal(self, kind: Any, call: Any, signature: Any) -> Any:
        if not (_picks(kind) and _are_two_numbers(signature.args)):
            return super()._lower_call_normal(kind, call, signature)
        first, second = self.fold_call_args(kind, signature, call.args, call.vararg, call.kws)
        beats = operator.lt if kind.typing_key is min else operator.gt
        compare = self.context.get_function(beats, types.boolean(*signature.args))
        # As Python decides it, where one is not a number.
        return self.builder.select(compare(self.builder, (second, first)), second, first)

    def _lower_call_FunctionType(self, kind: Any, call: Any, signature: Any) -> Any:
        context, builder, signature = self.context, self.builder, types.unliteral(signature)
        arguments = self.fold_call_args(kind, signature, call.args, call.vararg, call.kws)
        value = self.loadvar(call.func.name)
        function = cgutils.create_struct_proxy(kind)(context, builder, value=value)
        with cgutils.if_unlikely(builder, cgutils.is_null(builder, function.jit_addr)):
            self.return_exception(
                RuntimeError, ("a kernel is called that nobody has set",), self.loc
            )
        convention = context.call_conv
        pointer = convention.get_function_type(signature.return_type, signature.args).as_pointer()
        status, result = convention.call_function(
            builder,
            builder.bitcast(function.jit_addr, pointer),
            signature.return_type,
            signature.args,
            arguments,
        )
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return result


@register_pass(mutates_CFG=True, analysis_only=False)
class _OurLowering(NativeLowering):
    """Numba's pass that turns its representation of a function into LLVM's, and that into machine code."""

    _name = "our_lowering"

    def run_pass(self, state: Any) -> bool:
        """Do both; who only looks at arrays of its callers counts no references to them."""
        if state.flags.no_cpython_wrapper and _makes_no_arrays(state):
            state.targetctx = state.targetctx.subtarget(enable_nrt=False)
            vars(state.targetctx).pop("nrt", None)  # that of the context that it is a copy of
        return bool(super().run_pass(state))

    @property
    def lowering_class(self) -> Any:
        """The class that does the former."""
        return _Lowering


def _makes_no_arrays(state: Any) -> bool:
    """Whether all arrays of a function are its arguments and views of them, none of which it returns."""
    models = state.targetctx.data_model_manager

    def is_counted(kind: Any) -> bool:
        return bool(models[kind].contains_nrt_meminfo())

    def is_array(kind: Any) -> bool:
        parts: Any = kind if isinstance(kind, types.BaseTuple) else [kind]
        return all(isinstance(part, types.Array) or not is_counted(part) for part in parts)

    made = (
        signature.return_type
        for expression, signature in state.calltypes.items()
        if isinstance(expression, ir.Expr) and expression.op == "call"
    )
    return (
        all(is_array(kind) for kind in state.typemap.values() if is_counted(kind))
        and not any(is_counted(kind) for kind in made)
        and not is_counted(state.return_type)
    )


class _Passes(PassManager):
    """The passes, in order, with nothing in between but what they rest on."""

    def _runPass(self, index: int, step: Any, state: Any) -> None:
        step.analysis = self._analysis
        step.run_pass(state)


@cache
def _passes() -> _Passes:
    passes = _Passes("kernels")
    for step in (
        TranslateByteCode,
        FixupArgs,
        RewriteSemanticConstants,
        DeadBranchPrune,
        GenericRewrites,
        ReconstructSSA,
        DeadBranchPrune,
        _RememberingInference,
        PreLowerStripPhis,
        IRLegalization,
        _OurLowering,
        NoPythonBackend,
    ):
        passes.add_pass(step, step.name())
    passes.finalize()
    return passes


class _Inherited(Flags):
    """The options that a function hands down to those of Numba's that it calls.

    Numba looks for each of those under these options, so they compare fast; and they leave out what concerns the
    function alone, so that functions of several kinds share what is compiled for them.
    """

    __slots__ = ()

    def __init__(self, flags: Any) -> None:
        super().__init__()
        for name in ("nrt", "error_model", "fastmath", "boundscheck", "debuginfo"):
            setattr(self, name, getattr(flags, name))

    def __hash__(self) -> int:
        return hash(self.error_model)

    def __eq__(self, other: object) -> bool:
        return type(other) is _Inherited and self._values == other._values


class KernelCompiler(Compiler):
    """Numba's compiler, with fewer passes."""

    def _compile_core(self) -> Any:
        with ConfigStack().enter(_Inherited(self.state.flags)):
            _passes().run(self.state)
        self.state.pipeline = None
        return self.state.cr
