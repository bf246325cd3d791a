"""How stiff a field is at a state: its largest rate, exactly where that is cheap, else by Lanczos."""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows.fields import VectorField
from maml_ode.integrate.tally import Tally
from maml_ode.sizes import MATRIX_ON_A_PATH

__all__ = ["largest_rate", "spectral_radius"]

LANCZOS_PRODUCTS = 30
MARGIN = 1.05


def largest_rate(field: VectorField, w: Array, tally: Tally | None = None) -> float | None:
    """Return the largest eigenvalue of minus the field's symmetrised Jacobian at ``w``.

    For a gradient field it is the largest eigenvalue of the Hessian, whose product with the step size bounds
    what an explicit method can do. Exact for affine fields and for d <= 200; otherwise a Lanczos estimate from
    Hessian-vector products, which approaches it from below.

    Parameters
    ----------
    field : VectorField
    w : ndarray of shape (d,)
    tally : Tally, optional
        Charged with the evaluations.

    Returns
    -------
    float or None
        None where the field has no Jacobian, or it is not finite at ``w``, and for lifted fields, whose rates are
        square roots of curvatures.
    """
    if field.affine is not None:
        return field.affine.largest_eigenvalue
    if not field.has_jacobian or field.is_lifted:
        return None
    if field.dim <= MATRIX_ON_A_PATH:
        spectrum = _dense_spectrum(field, w, tally)
        return None if spectrum is None else float(spectrum[-1])
    return _lanczos(field, w, tally)


def spectral_radius(field: VectorField, w: Array, tally: Tally) -> float:
    """Return the largest absolute eigenvalue of the symmetrised Jacobian, exactly, with a margin of 5 %.

    For gradient fields up to `maml_ode.sizes.MATRIX_ON_A_PATH`. RKC2 takes its stages from it and asks again after
    some steps, which is what the margin is for; 0 where the Jacobian is not finite.
    """
    spectrum = _dense_spectrum(field, w, tally)
    return 0.0 if spectrum is None else MARGIN * float(max(abs(spectrum[0]), abs(spectrum[-1])))


def _dense_spectrum(field: VectorField, w: Array, tally: Tally | None) -> Array | None:
    """Return the eigenvalues of minus the symmetrised Jacobian, ascending."""
    if tally is not None:
        tally.add(field.jacobian_cost)
        tally.njev += 1
    with np.errstate(all="ignore"):
        jacobian = field.jacobian(w)
    if not np.isfinite(jacobian).all():
        return None
    if len(jacobian) == 1:
        return np.asarray(-jacobian[0], dtype=np.float64)
    return np.asarray(np.linalg.eigvalsh(-0.5 * (jacobian + jacobian.T)), dtype=np.float64)


def _lanczos(field: VectorField, w: Array, tally: Tally | None) -> float | None:
    if field.descends is None:
        return None  # a Jacobian that is not symmetric is not for Lanczos
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    cost = field.jvp_cost

    def product(v: Array) -> Array:
        if tally is not None:
            tally.add(cost)
        return -field.jacobian_vector(w, np.ascontiguousarray(v).reshape(-1))

    operator = LinearOperator((field.dim, field.dim), matvec=product, dtype=np.float64)
    start = np.ones(field.dim)
    try:
        values = eigsh(
            operator, k=1, which="LA", v0=start, tol=1e-2, ncv=8, maxiter=LANCZOS_PRODUCTS,
            return_eigenvectors=False,
        )  # fmt: skip
    except ArpackNoConvergence as partial:
        values = partial.eigenvalues
    return float(values[-1]) if len(values) and np.isfinite(values).all() else None
