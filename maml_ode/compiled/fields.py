"""Native fields: a phase's right-hand side as one handle that compiled steppers evaluate themselves.

A stepper that asks Python for every stage pays a few microseconds a stage; one that holds the field's handle
runs all stages of a step in one call. The handle says what the field is and holds what it needs: the packed
families, the inner step size, or the matrix and vector of an affine field.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.experimental import structref

from maml_ode._validation import Array
from maml_ode.compiled import maml
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import compiled, entry, kernel_on_demand, on_demand

AFFINE, MAML, FIRST_ORDER, REPTILE = range(4)

# The gradient, or what stands for it, that a field of packed families follows downwards. Held as a value, it is
# compiled once and not again into every stepper, and only the kind that a run follows is compiled.
DESCENT = types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR)


@structref.register
class _FieldType(types.StructRef):
    """Numba type of a native field."""


class Field(structref.StructRefProxy):
    """A native field as Python sees it: an opaque handle."""

    def __new__(cls, *args: Any) -> Field:
        """Refuse: Numba makes the handles."""
        raise TypeError("build a Field with affine_field() or family_field().")


structref.define_boxing(_FieldType, Field)

FIELD = _FieldType(
    [
        ("kind", INDEX),
        ("descent", types.FunctionType(DESCENT)),  # not set in an affine field
        ("problem", PROBLEM),
        ("query", PROBLEM),
        ("alpha", REAL),
        ("inner_steps", INDEX),
        ("matrix", MATRIX),
        ("vector", VECTOR),
    ]
)


@on_demand(FIELD(MATRIX, VECTOR))
def _affine(matrix, vector):  # type: ignore[no-untyped-def]
    field = structref.new(FIELD)
    field.kind = AFFINE
    field.matrix = matrix
    field.vector = vector
    return field


@kernel_on_demand(DESCENT)
def _reptile(problem, query, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    maml.reptile_gradient(problem, w, alpha, inner_steps, out)


@on_demand(FIELD(INDEX, types.FunctionType(DESCENT), PROBLEM, PROBLEM, REAL, INDEX))
def _of_families(kind, descent, problem, query, alpha, inner_steps):  # type: ignore[no-untyped-def]
    field = structref.new(FIELD)
    field.kind = kind
    field.descent = descent
    field.problem = problem
    field.query = query
    field.alpha = alpha
    field.inner_steps = inner_steps
    return field


def affine_field(K: Array, k: Array) -> Any:
    """Return the handle of w' = -(K w - k)."""
    return _affine(np.array(K, order="C"), np.array(k))


def family_field(
    kind: int, problem: Any, query: Any = None, alpha: float = 0.0, inner_steps: int = 1
) -> Any:
    """Return the handle of a field made of packed families.

    Parameters
    ----------
    kind : int
        ``MAML``, ``FIRST_ORDER`` or ``REPTILE``.
    problem, query : Problem
        The support and query families, which the caller keeps alive; ``query`` is the support if None.
    alpha : float
        Inner step size.
    inner_steps : int
        Number of inner steps; ``MAML`` with none is minus the gradient of the expected loss.
    """
    descents = {MAML: maml.gradient, FIRST_ORDER: maml.first_order_gradient, REPTILE: _reptile}
    descent, judge = compiled(descents[kind]), problem if query is None else query
    return _of_families(kind, descent, problem, judge, alpha, inner_steps)


@entry(types.void(FIELD, VECTOR, VECTOR))
def evaluate(field, w, out):  # type: ignore[no-untyped-def]
    """Fill out = v(w), the right-hand side: minus the gradient of gradient flows."""
    if field.kind == AFFINE:
        np.dot(field.matrix, w, out)
        for k in range(w.size):
            out[k] = field.vector[k] - out[k]
        return
    field.descent(field.problem, field.query, w, field.alpha, field.inner_steps, out)
    for k in range(w.size):
        out[k] = -out[k]
