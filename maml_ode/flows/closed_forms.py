"""From an affine field to the handle by which compiled code follows its closed form."""

from __future__ import annotations

from typing import Any

from maml_ode.objectives.affine_field import AffineField
from maml_ode.objectives.dense_eigen import DenseEigen

__all__ = ["handle_of"]


def handle_of(field: AffineField) -> tuple[Any, bool] | None:
    """Return the handle, and whether it knows how to find amplitudes.

    None for a field in another eigenbasis than that of its own matrix or data.
    """
    from maml_ode.compiled.closed_forms import of_matrix, of_residual
    from maml_ode.objectives.graded import GradedField

    eigen, spectrum = field.eigen, field.spectrum
    if isinstance(eigen, DenseEigen):
        return of_matrix(spectrum.values, spectrum.vectors, eigen.K, eigen.k), False
    if isinstance(eigen, GradedField):
        residual = eigen.residual
        data = residual.Z, residual.q, residual.phi
        reduced = eigen.left, eigen.target, eigen.rows
        return of_residual(spectrum.values, spectrum.vectors, data, reduced), True
    return None
