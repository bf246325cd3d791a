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
from maml_ode.compiled.decorators import compiled, entry, inner, kernel_on_demand, on_demand
from maml_ode.compiled.scratch import borrowed, matrix_in, stack
from maml_ode.compiled.vectors import copy

AFFINE, MAML, FIRST_ORDER, REPTILE, MODIFIED = range(5)
# Up to these dimensions sums in registers, and sums of rows, are faster than a BLAS.
FEW, SMALL = 24, 100

# The gradient, or what stands for it, that a field of packed families follows downwards. Held as a value, it is
# compiled once and not again into every stepper, and only the kind that a run follows is compiled.
DESCENT = types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR)
# The product of the gradient's derivative with a vector, which follows the point.
PRODUCT = types.void(PROBLEM, PROBLEM, VECTOR, VECTOR, REAL, INDEX, VECTOR)


@structref.register
class _FieldType(types.StructRef):
    """Numba type of a native field."""


class Field(structref.StructRefProxy):
    """A native field as Python sees it: an opaque handle."""

    def __new__(cls, *args: Any) -> Field:
        """Refuse: Numba makes the handles."""
        raise TypeError("build a Field with affine_field(), family_field() or modified_field().")


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
        ("vector", VECTOR),
        ("owned_matrix", MATRIX),
        ("owned_vector", VECTOR),
        # Of a modified field alone, which is -(g + share Hess F g).
        ("product", types.FunctionType(PRODUCT)),
        ("share", REAL),
    ]
)


@on_demand(FIELD(MATRIX, VECTOR))
def _affine(matrix, vector):
    field = structref.new(FIELD)
    field.kind = AFFINE
    field.owned_matrix = matrix
    field.owned_vector = vector
    field.matrix = borrowed(matrix)
    field.vector = borrowed(vector)
    return field


@kernel_on_demand(DESCENT)
def _reptile(problem, query, w, alpha, inner_steps, out):
    maml.reptile_gradient(problem, w, alpha, inner_steps, out)


@on_demand(FIELD(INDEX, types.FunctionType(DESCENT), PROBLEM, PROBLEM, REAL, INDEX))
def _of_families(kind, descent, problem, query, alpha, inner_steps):
    field = structref.new(FIELD)
    field.kind = kind
    field.descent = descent
    field.problem = problem
    field.query = query
    field.alpha = alpha
    field.inner_steps = inner_steps
    return field


@on_demand(types.void(FIELD, types.FunctionType(PRODUCT), REAL))
def _modify(field, product, share):
    field.kind = MODIFIED
    field.product = product
    field.share = share


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


def modified_field(
    problem: Any, query: Any, alpha: float, inner_steps: int, step_size: float
) -> Any:
    """Return the handle of -(g + step_size/2 Hess F g), g = grad F.

    Parameters
    ----------
    problem, query : Problem
        As for `family_field`, with the kernels of third order in place.
    alpha, inner_steps
        Of F, the expected loss if there are no inner steps.
    step_size : float
    """
    from maml_ode.compiled.hvp import hvp

    field = family_field(MAML, problem, query, alpha, inner_steps)
    _modify(field, compiled(hvp), 0.5 * step_size)
    return field


@entry(types.void(MATRIX, VECTOR, VECTOR, VECTOR))
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


@entry(types.void(MATRIX, VECTOR, VECTOR, VECTOR))
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


@entry(types.void(MATRIX, VECTOR, VECTOR, VECTOR))
def affine_value(K, k, w, out):
    """Fill out = k - K w for symmetric K; a small product is over before a BLAS has looked at its arguments."""
    if w.size <= FEW:
        _by_columns(K, k, w, out)
    elif w.size <= SMALL:
        _by_rows(K, k, w, out)
    else:
        np.dot(K, w, out)
        for j in range(w.size):
            out[j] = k[j] - out[j]


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
    if field.kind == MODIFIED:
        other.product = field.product
        other.share = field.share
    return other


@entry(types.void(FIELD, VECTOR, VECTOR))
def evaluate(field, w, out):
    """Fill out = v(w), the right-hand side: minus the gradient of gradient flows."""
    if field.kind == AFFINE:
        affine_value(field.matrix, field.vector, w, out)
        return
    field.descent(field.problem, field.query, w, field.alpha, field.inner_steps, out)
    if field.kind == MODIFIED:
        product = matrix_in(stack(), 1, w.size)[0]
        field.product(field.problem, field.query, w, out, field.alpha, field.inner_steps, product)
        for k in range(w.size):
            out[k] += field.share * product[k]
    for k in range(w.size):
        out[k] = -out[k]
