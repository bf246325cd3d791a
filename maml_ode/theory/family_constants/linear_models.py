"""Proved bounds for f_i(w) = s_i sum_j phi(t_ij) + (l2/2) ||w||^2 with linear t_ij.

From phi'' in [0, C2], |phi'''| <= C3:  l2 <= lambda(Hess f_i) <= s_i C2 lambda_max(X'X) + l2, where an
intercept is not penalised 0 <= lambda(Hess f_i) <= lambda_max(s_i C2 X'X + l2 D), and
kappa_i <= s_i C3 min{max_j ||x_j|| lambda_max(X'X), sum_j ||x_j||^3}. If phi' in [0, 1],
grad f_i - l2 D w = m_i + e_i with m_i the value at phi' = 1/2 and ||e_i|| <= R_i/2,
R_i = s_i min{sum_j ||x_j||, ||X||_2 sqrt(n_i)}.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.sizes import MATRIX_OF_THE_DATA
from maml_ode.tasks.linear_model import LinearModel
from maml_ode.tasks.linear_regression import LinearRegression
from maml_ode.tasks.logistic import LogisticRegression
from maml_ode.tasks.sparse_samples import is_sparse
from maml_ode.tasks.svm import SVM
from maml_ode.theory.family_constants.model import Constants, assemble, register
from maml_ode.theory.family_constants.quadratic import quadratic_constants
from maml_ode.theory.quantities import Status
from maml_ode.theory.regions import Region

__all__ = ["LOGISTIC_THIRD", "SQUARED_SOFTPLUS_SECOND", "SQUARED_SOFTPLUS_THIRD"]

LOGISTIC_THIRD = 1.0 / (6.0 * math.sqrt(3.0))
"""max |sigma''| of the logistic function sigma, at sigma = 1/2 +- 1/(2 sqrt 3)."""

SQUARED_SOFTPLUS_SECOND = 2.09067
"""sup of (softplus^2)'' = 2 (sigma^2 + softplus sigma'), rounded up."""

SQUARED_SOFTPLUS_THIRD = 0.78039
"""sup of |(softplus^2)'''| = 2 |3 sigma sigma' + softplus sigma''|, rounded up."""


@register(LinearRegression)
def _regression(tasks: LinearRegression, region: Region | None) -> Constants:
    terms = tasks.quadratic
    if terms is not None:
        return quadratic_constants(tasks, terms, region)
    extremes = np.array([_gram_extremes(X) for X in tasks.X])
    factor = 2.0 * tasks.scales
    exact = dict.fromkeys(("mu", "L", "kappa", "mu_f", "L_f"), Status.EXACT)
    low, high = _gram_extremes(_weighted_rows(tasks, 2.0))
    return assemble(
        tasks,
        region,
        mu_i=factor * extremes[:, 0],
        L_i=factor * extremes[:, 1],
        kappa_i=np.zeros(tasks.n_tasks),
        status=exact,
        notes={"sigma": "unbounded: the tasks' Hessians differ"},
        mu_f=low,
        L_f=high,
    )


@register(LogisticRegression)
def _logistic(tasks: LogisticRegression, region: Region | None) -> Constants:
    # sigma' -> 0 along almost every ray and sigma' = 1/4 for all samples at w = 0
    exact = dict.fromkeys(("mu", "mu_f", "L", "L_f"), Status.EXACT)
    if tasks.intercept and tasks.l2 > 0 and tasks.dim > MATRIX_OF_THE_DATA:
        exact |= dict.fromkeys(("L", "L_f"), Status.BOUND)
    low, top = "l2", "lambda_max(X'X) s/4 + l2"
    if tasks.intercept and tasks.l2 > 0:
        low, top = "0 along the intercept, which l2 leaves out", "lambda_max(X'X s/4 + l2 D)"
    notes = {
        "mu": f"{low}, approached at infinity" if tasks.l2 > 0 else "l2 = 0: not strongly convex",
        "L": f"{top}, attained at w = 0",
        "kappa": "s max||x|| lambda_max(X'X)/(6 sqrt 3)",
    }
    return _bounds(tasks, region, 0.25, LOGISTIC_THIRD, exact, notes, bounded=True)


@register(SVM)
def _hinges(tasks: SVM, region: Region | None) -> Constants:
    if tasks.loss == "hinge":
        raise ValueError(
            "the plain hinge has no Hessian at its kinks and zero curvature elsewhere, so that "
            "mu = 0, L is infinite and MAML equals FO-MAML almost everywhere: no theorem applies; "
            "use loss='smooth_hinge'."
        )
    s = tasks.smoothing
    mu_note = "l2" if tasks.l2 > 0 else "l2 = 0: not known to be strongly convex"
    if tasks.intercept and tasks.l2 > 0:
        mu_note = "l2 leaves out the intercept: not known to be strongly convex"
    if tasks.loss == "squared_hinge":
        notes = {
            "mu": mu_note,
            "kappa": "infinite: the Hessian jumps at the kinks (try smooth_squared_hinge)",
        }
        status = {"kappa": Status.EXACT}
        return _bounds(tasks, region, 2.0, math.inf, status, notes, bounded=False)
    if tasks.loss == "smooth_hinge":
        notes = {"mu": mu_note, "L": "s lambda_max(X'X)/(4 smoothing) + l2"}
        third = LOGISTIC_THIRD / s**2
        return _bounds(tasks, region, 0.25 / s, third, {}, notes, bounded=True)
    third = SQUARED_SOFTPLUS_THIRD / s
    notes = {"mu": mu_note}
    return _bounds(tasks, region, SQUARED_SOFTPLUS_SECOND, third, {}, notes, bounded=False)


def _bounds(
    tasks: LogisticRegression | SVM,
    region: Region | None,
    second: float,
    third: float,
    status: dict[str, Status],
    notes: dict[str, str],
    *,
    bounded: bool,
) -> Constants:
    tops, kappas = np.empty(tasks.n_tasks), np.empty(tasks.n_tasks)
    middles, radii = np.empty((tasks.n_tasks, tasks.dim)), np.empty(tasks.n_tasks)
    for i, (X, y, scale) in enumerate(zip(tasks.X, tasks.y, tasks.scales, strict=True)):
        top = _gram_extremes(X)[1]
        norms = _row_norms(X)
        tops[i] = _largest_curvature(tasks, X, scale * second, top)
        cubic = min(float(norms.max()) * top, float((norms**3).sum()))
        kappas[i] = scale * third * cubic if cubic > 0 else 0.0
        middles[i] = -0.5 * scale * (X.T @ y)
        radii[i] = scale * min(float(norms.sum()), math.sqrt(top * len(y)))
    p = tasks.weights
    sigma = math.inf
    if bounded:
        centred = middles - p @ middles
        shared = math.sqrt(float(p @ (centred**2).sum(axis=1)))
        # about any common point: E||g_i - g||^2 <= E R_i^2, and about the middles R_i/2 remains
        sigma = min(math.sqrt(float(p @ radii**2)), shared + 0.5 * math.sqrt(float(p @ radii**2)))
        notes = {"sigma": "the slopes phi' lie in [0, 1]", **notes}
    else:
        notes = {"sigma": "unbounded: the slopes phi' are", **notes}
    rows = _weighted_rows(tasks, second)
    return assemble(
        tasks,
        region,
        mu_i=np.full(tasks.n_tasks, tasks.ridge.min()),
        L_i=tops,
        kappa_i=kappas,
        status=status,
        notes=notes,
        mu_f=float(tasks.ridge.min()),
        L_f=_largest_curvature(tasks, rows, 1.0, _gram_extremes(rows)[1]),
        sigma=sigma,
    )


def _row_norms(X: Any) -> Array:
    """Return ||x_j|| for every row of a dense or sparse X."""
    squares = X.multiply(X) if is_sparse(X) else X * X
    return np.asarray(np.sqrt(squares.sum(axis=1)))


def _gram_extremes(X: Any) -> tuple[float, float]:
    """Return the extreme eigenvalues of X'X, from the smaller of X'X and XX'."""
    n, d = X.shape
    gram = X.T @ X if d <= n else X @ X.T
    eigenvalues = np.linalg.eigvalsh(gram.toarray() if is_sparse(gram) else gram)
    low = float(eigenvalues[0]) if d <= n else 0.0
    return max(low, 0.0), max(float(eigenvalues[-1]), 0.0)


def _largest_curvature(tasks: LogisticRegression | SVM, X: Any, factor: float, top: float) -> float:
    """Return lambda_max(factor X'X + diag(ridge)) from lambda_max(X'X)."""
    ridge = tasks.ridge
    if ridge.min() == ridge.max():
        return factor * top + float(ridge[0])
    if tasks.dim > MATRIX_OF_THE_DATA:  # an upper bound
        return factor * top + float(ridge.max())
    gram = X.T @ X
    curvature = factor * (gram.toarray() if is_sparse(gram) else gram) + np.diag(ridge)
    return float(np.linalg.eigvalsh(curvature)[-1])


def _weighted_rows(tasks: LinearModel, second: float) -> Any:
    """Return A with A'A = second * sum p_i s_i X_i'X_i."""
    factors = np.sqrt(second * tasks.weights * tasks.scales)
    rows = [f * X for f, X in zip(factors, tasks.X, strict=True)]
    if tasks.is_sparse:
        from scipy.sparse import vstack

        return vstack(rows)
    return np.concatenate(rows)
