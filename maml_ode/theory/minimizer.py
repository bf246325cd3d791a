"""Minimisers of f and F, for constants and certificates that live there."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives import Objective
from maml_ode.objectives.spectrum import Spectrum
from maml_ode.sizes import MATRIX_ONCE
from maml_ode.tasks.base import TaskFamily
from maml_ode.theory.evaluation import (
    all_finite,
    norm,
    objective_gradient,
    objective_hessian,
    objective_value,
    task_gradients,
    task_hessians,
    task_losses,
    task_products,
)

__all__ = ["expected_loss_minimizer", "objective_minimizer"]

_MOST_STEPS = 200
_FLAT = 1e-14


def expected_loss_minimizer(tasks: TaskFamily, start: Array | None = None) -> Array | None:
    """Return argmin f to about rounding, for a strongly convex f; None if Newton's method fails or it overflows.

    Damped Newton: dense for d <= 500, else with conjugate gradients on Hessian-vector products. It ends where a
    step neither lowers f by more than its rounding nor halves the gradient.
    """
    p = tasks.weights
    origin = np.zeros(tasks.dim) if start is None else np.array(start, dtype=np.float64)
    w = origin
    terms = tasks.quadratic
    if terms is not None:
        H, b = np.tensordot(p, terms.H, 1), p @ terms.b
        formed = 0.0 if terms.H_error is None else float(p @ terms.H_error)
        regular = Spectrum.of_matrix(H, formed).is_positive_definite
        solution = np.asarray(np.linalg.solve(H, b)) if regular else None
        return solution if solution is not None and all_finite(solution) else None
    gradient, loss = p @ task_gradients(tasks, w), float(p @ task_losses(tasks, w))
    at_start = norm(gradient)
    for _ in range(_MOST_STEPS):
        size = norm(gradient)
        if size == 0.0:
            return w
        step = _newton_step(tasks, w, gradient)
        slope = float(gradient @ step)
        if not all_finite(step) or not slope > 0:
            return None
        scale = 1.0
        while scale > 1e-10:
            trial = w - scale * step
            new, value = p @ task_gradients(tasks, trial), float(p @ task_losses(tasks, trial))
            # near the minimiser the loss is flat to rounding, and the gradient norm decides
            if value <= loss - 1e-4 * scale * slope or norm(new) < 0.5 * size:
                break
            scale *= 0.5
        else:
            break
        done = slope <= _FLAT * (abs(loss) + abs(value)) and not norm(new) < 0.5 * size
        if done and not norm(new) < size:
            break
        w, gradient, loss = trial, new, value
        if done:
            break
    size = float(p @ np.linalg.norm(task_gradients(tasks, w), axis=1))
    if not norm(gradient) <= 1e-8 * (at_start + size):
        return None
    # exp(-w) has steps of length 1 for ever, and no minimiser
    flat = slope <= 1e-12 * (abs(loss) + abs(value))
    near = norm(step) <= 1e-6 * (norm(w) + norm(w - origin))
    return w if flat or near else None


def _newton_step(tasks: TaskFamily, w: Array, gradient: Array) -> Array:
    p = tasks.weights
    if tasks.dim <= MATRIX_ONCE:
        hessian = np.tensordot(p, task_hessians(tasks, w), 1)
        if not all_finite(hessian) or np.linalg.eigvalsh(hessian)[0] <= 0:
            return gradient
        return np.asarray(np.linalg.solve(hessian, gradient))
    from scipy.sparse.linalg import LinearOperator, cg

    operator = LinearOperator(
        (tasks.dim, tasks.dim),
        matvec=lambda v: p @ task_products(tasks, w, v.ravel()),
        dtype=np.float64,
    )
    step, _ = cg(operator, gradient, rtol=1e-6, maxiter=200)
    return np.asarray(step)


def objective_minimizer(objective: Objective, start: Array) -> Array:
    """Return the local minimiser of an objective that a damped Newton method reaches from ``start``.

    Where no step lowers the objective, or it is not finite, the best point so far.
    """
    w, value = start, objective_value(objective, start)
    before = math.inf
    for _ in range(100):
        gradient = objective_gradient(objective, w)
        hessian = objective_hessian(objective, w)
        if not all_finite(gradient, hessian, value):
            return w
        values, vectors = np.linalg.eigh(hessian)
        # |H| in place of H makes every step a descent direction, also where F is not convex
        size = np.maximum(np.abs(values), 1e-12 * max(float(np.abs(values).max()), 1e-300))
        with np.errstate(all="ignore"):  # far out on a flat tail the step may overflow
            direction = vectors @ ((vectors.T @ gradient) / size)
            slope = float(gradient @ direction)
        flat = slope <= _FLAT * abs(value) and not norm(gradient) < 0.5 * before
        if flat or not slope > 0 or not all_finite(direction):
            return w
        before, scale = norm(gradient), 1.0
        # "not below" rather than "above", so that a NaN is no descent
        while not (
            (new := objective_value(objective, w - scale * direction))
            <= value - 1e-4 * scale * slope
        ):
            scale *= 0.5
            if scale <= 1e-8:
                return w
        w, value = w - scale * direction, new
    return w
