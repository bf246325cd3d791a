"""Minimisers of f and F, for constants and certificates that live there."""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives import Objective
from maml_ode.tasks.base import TaskFamily

__all__ = ["expected_loss_minimizer", "objective_minimizer", "rounding_of"]

_DENSE_LIMIT = 500


def expected_loss_minimizer(tasks: TaskFamily, start: Array | None = None) -> Array | None:
    """Return argmin f to about rounding, for a strongly convex f; None if Newton's method fails.

    Damped Newton: dense for d <= 500, else with conjugate gradients on Hessian-vector products.
    """
    p = tasks.weights
    w = np.zeros(tasks.dim) if start is None else np.array(start, dtype=np.float64)
    terms = tasks.quadratic
    if terms is not None:
        H, b = np.tensordot(p, terms.H, 1), p @ terms.b
        eigenvalues: Array = np.asarray(np.linalg.eigvalsh(H), dtype=np.float64)
        regular = eigenvalues[0] > rounding_of(eigenvalues)
        return np.asarray(np.linalg.solve(H, b)) if regular else None
    gradient = p @ tasks.gradients(w)
    at_start = float(np.linalg.norm(gradient))
    for _ in range(200):
        norm = float(np.linalg.norm(gradient))
        if norm == 0.0:
            return w
        step = _newton_step(tasks, w, gradient)
        slope = float(gradient @ step)
        if not np.isfinite(step).all() or slope <= 0:
            return None
        scale, loss = 1.0, float(p @ tasks.losses(w))
        while scale > 1e-10:
            trial = w - scale * step
            new = p @ tasks.gradients(trial)
            # near the minimiser the loss is flat to rounding, and the gradient norm decides
            falls = float(p @ tasks.losses(trial)) <= loss - 1e-4 * scale * slope
            if falls or float(np.linalg.norm(new)) < 0.5 * norm:
                break
            scale *= 0.5
        else:
            break
        w, gradient = trial, new
    size = float(p @ np.linalg.norm(tasks.gradients(w), axis=1))
    return w if float(np.linalg.norm(gradient)) <= 1e-8 * (at_start + size) else None


def rounding_of(eigenvalues: Array) -> Array:
    """Return what rounding may have done to the eigenvalues of symmetric matrices, shape (..., d)."""
    d = eigenvalues.shape[-1]
    largest = np.abs(eigenvalues).max(axis=-1)
    return np.asarray(8.0 * d * np.finfo(float).eps * largest)


def _newton_step(tasks: TaskFamily, w: Array, gradient: Array) -> Array:
    p = tasks.weights
    if tasks.dim <= _DENSE_LIMIT:
        hessian = np.tensordot(p, tasks.hessians(w), 1)
        if np.linalg.eigvalsh(hessian)[0] <= 0:
            return gradient
        return np.asarray(np.linalg.solve(hessian, gradient))
    from scipy.sparse.linalg import LinearOperator, cg

    operator = LinearOperator((tasks.dim, tasks.dim), matvec=lambda v: p @ tasks.hvps(w, v.ravel()))
    step, _ = cg(operator, gradient, rtol=1e-6, maxiter=200)
    return np.asarray(step)


def objective_minimizer(objective: Objective, start: Array) -> Array:
    """Return the local minimiser of an objective that a damped Newton method reaches from ``start``."""
    w = start
    for _ in range(100):
        gradient = objective.gradient(w)
        hessian = objective.hessian(w)
        values, vectors = np.linalg.eigh(hessian)
        # |H| in place of H makes every step a descent direction, also where F is not convex
        size = np.maximum(np.abs(values), 1e-12 * max(float(np.abs(values).max()), 1e-300))
        with np.errstate(all="ignore"):  # far out on a flat tail the step may overflow
            direction = vectors @ ((vectors.T @ gradient) / size)
            slope = float(gradient @ direction)
        if not slope > 0 or not np.isfinite(direction).all():
            return w
        value, scale = objective.value(w), 1.0
        # "not below" rather than "above", so that a NaN is no descent
        while scale > 1e-8 and not (
            objective.value(w - scale * direction) <= value - 1e-4 * scale * slope
        ):
            scale *= 0.5
        if scale <= 1e-8:
            return w
        w = w - scale * direction
    return w
