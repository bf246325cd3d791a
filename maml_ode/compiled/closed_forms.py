"""Affine fields in the eigenbasis of their matrix, as one handle that compiled code follows by the closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.experimental import structref

from maml_ode._validation import Array
from maml_ode.compiled.contract import INDEX, MATRIX, VECTOR
from maml_ode.compiled.decorators import on_demand

BY_MATRIX, BY_RESIDUAL = range(2)


@structref.register
class _ClosedFormType(types.StructRef):
    """Numba type of a closed form."""


class ClosedForm(structref.StructRefProxy):
    """A closed form as Python sees it: an opaque handle."""

    def __new__(cls, *args: Any) -> ClosedForm:
        """Refuse: Numba makes the handles."""
        raise TypeError("build a ClosedForm with of_matrix() or of_residual().")


structref.define_boxing(_ClosedFormType, ClosedForm)

CLOSED_FORM = _ClosedFormType(
    [
        ("kind", INDEX),
        ("values", VECTOR),
        ("vectors", MATRIX),  # one a row
        # The field is k - K w, or Z' diag(phi) (q - Z w): K and k, or Z' and q, and phi.
        ("matrix", MATRIX),
        ("target", VECTOR),
        ("weights", VECTOR),
        # Of a residual alone: the amplitudes are left (reduced - rows w).
        ("left", MATRIX),
        ("reduced", VECTOR),
        ("rows", MATRIX),
    ]
)


@on_demand(CLOSED_FORM(INDEX, VECTOR, MATRIX, MATRIX, VECTOR, VECTOR, MATRIX, VECTOR, MATRIX))
def _closed_form(kind, values, vectors, matrix, target, weights, left, reduced, rows):
    form = structref.new(CLOSED_FORM)
    form.kind = kind
    form.values = values
    form.vectors = vectors
    form.matrix = matrix
    form.target = target
    form.weights = weights
    form.left = left
    form.reduced = reduced
    form.rows = rows
    return form


def of_matrix(values: Array, vectors: Array, K: Array, k: Array) -> Any:
    """Return the handle of k - K w, given the eigenvalues and the eigenvectors, one a column."""
    matrix, target = _rows(K), np.array(k)
    return _closed_form(  # what only a residual has is not read here
        BY_MATRIX, np.array(values), _rows(vectors.T), matrix, target, target, matrix, target, matrix,
    )  # fmt: skip


def of_residual(
    values: Array,
    vectors: Array,
    residual: tuple[Array, Array, Array],
    amplitudes: tuple[Array, Array, Array],
) -> Any:
    """Return the handle of Z' diag(phi) (q - Z w).

    Parameters
    ----------
    values, vectors
        Eigenvalues, and eigenvectors in the columns.
    residual
        Z, q and phi.
    amplitudes
        L, r and R: the amplitudes at w are L (r - R w).
    """
    (Z, q, phi), (left, reduced, rows) = residual, amplitudes
    return _closed_form(
        BY_RESIDUAL, np.array(values), _rows(vectors.T), _rows(Z.T), np.array(q), np.array(phi),
        _rows(left), np.array(reduced), _rows(rows),
    )  # fmt: skip


def _rows(matrix: Array) -> Array:
    """Return a copy in the order of compiled code."""
    return np.array(matrix, order="C")
