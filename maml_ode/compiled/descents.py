"""The gradients, and what stands for them, that fields of packed families follow downwards, held as values.

A value is compiled once, and not again into all that follows it. Python looks up the address of a function at
each call that it hands it to, which takes 25 microseconds, so it hands over a handle that has been told.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import types
from numba.experimental import structref

from maml_ode.compiled.contract import INDEX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import compiled, on_demand

__all__ = ["DESCENT", "HELD", "held"]

# (problem, query, w, alpha, inner_steps, out)
DESCENT = types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR)


@structref.register
class _HeldType(types.StructRef):
    """Numba type of a handle that holds a descent."""

    @property
    def mangling_args(self) -> tuple[str, tuple[()]]:
        """What stands for the type in the names of functions: its own name lists its fields."""
        return "HeldType", ()


class Held(structref.StructRefProxy):
    """A descent as Python sees it: an opaque handle."""

    def __new__(cls, *args: Any) -> Held:
        """Refuse: Numba makes the handles."""
        raise TypeError("hold a descent with held().")


structref.define_boxing(_HeldType, Held)

HELD = _HeldType([("descent", types.FunctionType(DESCENT))])


@on_demand(HELD(types.FunctionType(DESCENT)), driver=True)
def _hold(descent):
    handle = structref.new(HELD)
    handle.descent = descent
    return handle


@cache
def held(descent: Any) -> Any:
    """Return the handle of a descent, which is compiled now if it has waited."""
    return _hold(compiled(descent))
