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
from maml_ode.compiled.decorators import compiled, inner, kernel_on_demand, on_demand, shared
from maml_ode.compiled.descents import DESCENT, HELD, held
from maml_ode.compiled.scratch import borrowed
from maml_ode.compiled.vectors import copy

AFFINE, MAML, FIRST_ORDER, REPTILE, COMPOSED = range(5)
# Up to these dimensions sums in registers, and sums of rows, are faster than a BLAS.
FEW, SMALL = 24, 100

# k - K w, held as a value: what follows packed families does not compile it.
AFFINE_VALUE = types.void(MATRIX, VECTOR, VECTOR, VECTOR)
# A field that is made of the gradient and of numbers of its own, which follow the inner steps.
COMPOSITION = types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR, VECTOR)


@structref.register
class _FieldType(types.StructRef):
    """Numba type of a native field."""

    @property
    def mangling_args(self) -> tuple[str, tuple[()]]:
        """What stands for the type in the names of functions: its own name lists its fields."""
        return "FieldType", ()


class Field(structref.StructRefProxy):
    """A native field as Python sees it: an opaque handle."""

    def __new__(cls, *args: Any) -> Field:
        """Refuse: Numba makes the handles."""
        raise TypeError("build a Field with affine_field(), family_field() or composed_field().")


structref.define_boxing(_FieldType, Field)

FIELD = _FieldType(
    [
        ("kind", INDEX),
        ("descent", types.FunctionType(DESCENT)),  # not set in an affine field
        ("problem", PROBLEM),
        ("query", PROBLEM),
        ("alpha", REAL),
        ("inner_steps", INDEX),
        ("matrix", MATRIX),  # these two without owners, which are held beside them
        ("vector", VECTOR),  # or the numbers of a composed field
        ("value", types.FunctionType(AFFINE_VALUE)),
        ("owned_matrix", MATRIX),
        ("owned_vector", VECTOR),
        ("composition", types.FunctionType(COMPOSITION)),  # of a composed field alone
    ]
)


@on_demand(FIELD(MATRIX, VECTOR, types.FunctionType(AFFINE_VALUE)), driver=True)
def _affine(matrix, vector, value):
    field = structref.new(FIELD)
    field.kind = AFFINE
    field.owned_matrix = matrix
    field.owned_vector = vector
    field.matrix = borrowed(matrix)
    field.vector = borrowed(vector)
    field.value = value
    return field


@kernel_on_demand(DESCENT, driver=True)
def _reptile(problem, query, w, alpha, inner_steps, out):
    maml.reptile_gradient(problem, w, alpha, inner_steps, out)


@on_demand(FIELD(INDEX, HELD, PROBLEM, PROBLEM, REAL, INDEX), driver=True)
def _of_families(kind, handle, problem, query, alpha, inner_steps):
    field = structref.new(FIELD)
    field.kind = kind
    field.descent = handle.descent
    field.problem = problem
    field.query = query
    field.alpha = alpha
    field.inner_steps = inner_steps
    return field


@inner(types.void(FIELD, types.FunctionType(COMPOSITION), VECTOR))
def _compose(field, composition, numbers):
    field.kind = COMPOSED
    field.composition = composition
    field.owned_vector = numbers
    field.vector = borrowed(numbers)


@on_demand(FIELD(FIELD, types.FunctionType(COMPOSITION), VECTOR), driver=True)
def _composed(field, composition, numbers):
    other = with_alpha(field, field.alpha)
    _compose(other, composition, numbers)
    return other


def affine_field(K: Array, k: Array, value: Any = None) -> Any:
    """Return the handle of w' = -(K w - k), or of what ``value`` makes of the matrix and the vector."""
    value = affine_value if value is None else value
    return _affine(np.array(K, order="C"), np.array(k), compiled(value))


def family_field(
    kind: int,
    problem: Any,
    query: Any = None,
    alpha: float = 0.0,
    inner_steps: int = 1,
    descent: Any = None,
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
    descent : callable, optional
        What stands for the gradient, if not the loop for all families (``maml_ode.compiled.loops``).
    """
    descents = {MAML: maml.gradient, FIRST_ORDER: maml.first_order_gradient, REPTILE: _reptile}
    follow = held(descents[kind] if descent is None else descent)
    return _of_families(
        kind, follow, problem, problem if query is None else query, alpha, inner_steps
    )


def composed_field(gradient: Any, composition: Any, numbers: Array) -> Any:
    """Return the handle of a field that is made of a gradient and of numbers of its own.

    Parameters
    ----------
    gradient : Field
        The handle of -grad F, made of packed families.
    composition : callable
        A kernel with the signature ``COMPOSITION``.
    numbers : ndarray
        What the kernel is handed besides F.
    """
    return _composed(gradient, compiled(composition), np.array(numbers, dtype=np.float64))


@inner(AFFINE_VALUE)
def _by_columns(K, k, w, out):
    """Fill out = k - K' w, four columns at a time, whose sums stay in registers."""
    d = w.size
    whole = d - d % 4
    for j in range(0, whole, 4):
        p = q = r = s = 0.0
        for i in range(0, whole, 4):
            a, b, c, e = w[i], w[i + 1], w[i + 2], w[i + 3]
            p += (a * K[i, j] + b * K[i + 1, j]) + (c * K[i + 2, j] + e * K[i + 3, j])
            q += (a * K[i, j + 1] + b * K[i + 1, j + 1]) + (
                c * K[i + 2, j + 1] + e * K[i + 3, j + 1]
            )
            r += (a * K[i, j + 2] + b * K[i + 1, j + 2]) + (
                c * K[i + 2, j + 2] + e * K[i + 3, j + 2]
            )
            s += (a * K[i, j + 3] + b * K[i + 1, j + 3]) + (
                c * K[i + 2, j + 3] + e * K[i + 3, j + 3]
            )
        for i in range(whole, d):
            p += w[i] * K[i, j]
            q += w[i] * K[i, j + 1]
            r += w[i] * K[i, j + 2]
            s += w[i] * K[i, j + 3]
        out[j], out[j + 1] = k[j] - p, k[j + 1] - q
        out[j + 2], out[j + 3] = k[j + 2] - r, k[j + 3] - s
    for j in range(whole, d):
        p = 0.0
        for i in range(d):
            p += w[i] * K[i, j]
        out[j] = k[j] - p


@inner(AFFINE_VALUE)
def _by_rows(K, k, w, out):
    """Fill out = k - K' w, whole rows of K at a time, up to eight of them."""
    d = w.size
    copy(k, out)
    i = 0
    while i + 8 <= d:
        a, b, c, e, f, g, h, p = (
            w[i], w[i + 1], w[i + 2], w[i + 3], w[i + 4], w[i + 5], w[i + 6], w[i + 7],
        )  # fmt: skip
        for j in range(d):
            first = (a * K[i, j] + b * K[i + 1, j]) + (c * K[i + 2, j] + e * K[i + 3, j])
            second = (f * K[i + 4, j] + g * K[i + 5, j]) + (h * K[i + 6, j] + p * K[i + 7, j])
            out[j] -= first + second
        i += 8
    if i + 4 <= d:
        a, b, c, e = w[i], w[i + 1], w[i + 2], w[i + 3]
        for j in range(d):
            out[j] -= (a * K[i, j] + b * K[i + 1, j]) + (c * K[i + 2, j] + e * K[i + 3, j])
        i += 4
    while i < d:
        a = w[i]
        for j in range(d):
            out[j] -= a * K[i, j]
        i += 1


@inner(AFFINE_VALUE)
def affine(K, k, w, out):
    """Fill out = k - K w for symmetric K; a small product is over before a BLAS has looked at its arguments."""
    if w.size <= FEW:
        _by_columns(K, k, w, out)
    elif w.size <= SMALL:
        _by_rows(K, k, w, out)
    else:
        np.dot(K, w, out)
        for j in range(w.size):
            out[j] = k[j] - out[j]


@kernel_on_demand(AFFINE_VALUE)
def affine_value(K, k, w, out):
    """Fill out = k - K w for symmetric K."""
    affine(K, k, w, out)


@inner(FIELD(FIELD, REAL))
def with_alpha(field, alpha):
    """Return the handle of the same field of families with another inner step size."""
    other = structref.new(FIELD)
    other.kind = field.kind
    other.descent = field.descent
    other.problem = field.problem
    other.query = field.query
    other.alpha = alpha
    other.inner_steps = field.inner_steps
    if field.kind == COMPOSED:
        _compose(other, field.composition, field.owned_vector)
    return other


@shared(types.void(FIELD, VECTOR, VECTOR), driver=True)
def evaluate(field, w, out):
    """Fill out = v(w), the right-hand side: minus the gradient of gradient flows."""
    if field.kind == AFFINE:
        field.value(field.matrix, field.vector, w, out)
        return
    problem, query, alpha, inner_steps = (
        field.problem,
        field.query,
        field.alpha,
        field.inner_steps,
    )
    if field.kind == COMPOSED:
        field.composition(problem, query, w, alpha, inner_steps, field.vector, out)
        return
    field.descent(problem, query, w, alpha, inner_steps, out)
    for k in range(w.size):
        out[k] = -out[k]
