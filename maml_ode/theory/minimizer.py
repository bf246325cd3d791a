"""Minimisers of f and F, for constants and certificates that live there.

A descent may rest at a saddle or at an inflection. Whether the point where it rests is a local minimiser is
decided here, for all who ask for one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives import ExpectedLoss, Objective
from maml_ode.objectives.spectrum import Spectrum
from maml_ode.sizes import MATRIX_ONCE
from maml_ode.tasks.base import TaskFamily
from maml_ode.theory.evaluation import (
    all_finite,
    norm,
    objective_gradient,
    objective_hessian,
    objective_product,
    objective_value,
    task_losses,
)

__all__ = ["expected_loss_minimizer", "objective_minimizer"]

_MOST_STEPS = 200
_MOST_DESCENTS = 20
_FLAT = 1e-14
_LANCZOS_STEPS = 30
_MOST_DIRECTIONS = 8


class _Rest(NamedTuple):
    """Where a descent rests, and whether its last step was next to nothing."""

    w: Array
    ended: bool


def expected_loss_minimizer(tasks: TaskFamily, start: Array | None = None) -> Array | None:
    """Return argmin f to about rounding, for a strongly convex f; else a local minimiser of f, or None.

    None if f is quadratic without a unique minimum, and as `objective_minimizer` says.
    """
    terms = tasks.quadratic
    if terms is None:
        origin = np.zeros(tasks.dim) if start is None else np.array(start, dtype=np.float64)
        return objective_minimizer(ExpectedLoss(tasks), origin)
    p = tasks.weights
    H, b = np.tensordot(p, terms.H, 1), p @ terms.b
    formed = 0.0 if terms.H_error is None else float(p @ terms.H_error)
    if not Spectrum.of_matrix(H, formed).is_positive_definite:
        return None
    solution = np.asarray(np.linalg.solve(H, b))
    return solution if all_finite(solution) else None


def objective_minimizer(objective: Objective, start: Array) -> Array | None:
    """Return the local minimiser of an objective that damped Newton steps reach from ``start``.

    Dense with |Hess| in place of the Hessian for d <= 500, else with conjugate gradients on Hessian-vector
    products. A point where the steps end is left again where the objective falls on some side of it, as at a
    saddle or an inflection. None where the objective is not finite, falls for ever, or is not seen to end.
    """
    w = start
    with np.errstate(all="ignore"):  # far out it may overflow
        for _ in range(_MOST_DESCENTS):
            rest = _descent(objective, w, start)
            if rest is None:
                return None
            lower, rises = _beside(objective, rest.w, start)
            if lower is None:
                return rest.w if rest.ended or rises else None
            w = lower
    return None


def _descent(objective: Objective, w: Array, start: Array) -> _Rest | None:
    """Descend until a step lowers neither the value by more than its rounding nor halves the gradient."""
    gradient, value = objective_gradient(objective, w), objective_value(objective, w)
    for _ in range(_MOST_STEPS):
        size = norm(gradient)
        if size == 0.0:
            return _Rest(w, True)
        step, sure = _newton_step(objective, w, gradient)
        slope = float(gradient @ step)
        if not (all_finite(step) and slope > 0):
            return None
        # exp(-w) has steps of length 1 for ever, and no minimiser
        near = norm(sure) <= 1e-6 * max(norm(w), norm(w - start))
        moved = _moved(objective, w, value, gradient, step)
        if moved is None and slope > _FLAT * abs(value):  # a Hessian near 0 makes a step of no use
            moved = _moved(objective, w, value, gradient, gradient)
        if moved is None:
            return _Rest(w, near)
        trial, new, below = moved
        if slope <= _FLAT * (abs(value) + abs(below)) and not norm(new) < 0.5 * size:
            return _Rest(w, near)
        w, gradient, value = trial, new, below
    return _Rest(w, near) if near else None


def _moved(
    objective: Objective, w: Array, value: float, gradient: Array, step: Array
) -> tuple[Array, Array, float] | None:
    """Return a point down the step, with its gradient and its value; None where no part of the step serves."""
    size, slope, scale = norm(gradient), float(gradient @ step), 1.0
    while scale > 1e-10:
        trial = w - scale * step
        new, below = objective_gradient(objective, trial), objective_value(objective, trial)
        # near the minimiser the value is flat to rounding, and the gradient norm decides
        if below <= value - 1e-4 * scale * slope or norm(new) < 0.5 * size:
            return trial, new, below
        scale *= 0.5
    return None


def _newton_step(objective: Objective, w: Array, gradient: Array) -> tuple[Array, Array]:
    """Return a step, and what is left of it without the directions in which the Hessian is next to nothing."""
    if not _has_matrix(objective):
        step = _newton_step_by_products(objective, w, gradient)
        return step, step
    hessian = objective_hessian(objective, w)
    if not all_finite(hessian):
        return gradient, gradient
    values, vectors = np.linalg.eigh(hessian)
    # |H| in place of H makes every step a descent direction, also where the objective is not convex
    sizes = np.abs(values)
    largest = float(sizes.max())
    sizes = np.maximum(sizes, max(objective.dim * objective.precision * largest, 1e-300))
    parts = (vectors.T @ gradient) / sizes
    return vectors @ parts, vectors @ np.where(sizes > 1e-10 * largest, parts, 0.0)


def _newton_step_by_products(objective: Objective, w: Array, gradient: Array) -> Array:
    """Return a Newton step by conjugate gradients, as far as the objective bends upwards; else the gradient."""
    size = norm(gradient)
    residual = gradient / size
    step, direction, left = np.zeros_like(w), residual, 1.0
    for _ in range(_MOST_STEPS):
        image = objective_product(objective, w, direction)
        bend = float(direction @ image)
        if not bend > 0:  # not convex, or not finite
            break
        step = step + (left / bend) * direction
        residual = residual - (left / bend) * image
        before, left = left, float(residual @ residual)
        if left <= _FLAT:
            break
        direction = residual + (left / before) * direction
    return size * step if step.any() else gradient


def _beside(objective: Objective, rest: Array, start: Array) -> tuple[Array | None, bool]:
    """Return a point beside a resting one where the objective is visibly lower, or None; whether it visibly rises.

    The Hessian decides in the directions in which it is positive there and nearby. In the others the value is
    looked at from near to far, also after a Newton step in the decided ones: the first change beyond rounding
    counts.
    """
    rises = True
    scale = max(norm(rest), norm(rest - start)) or 1.0
    doubtful, decided, curvature = _directions(objective, rest, scale)
    if not doubtful.size:
        return None, rises
    value, noise = objective_value(objective, rest), _rounding(objective, rest)
    lengths = scale * 10.0 ** np.arange(-8.0, 5.0)
    for direction in np.concatenate([doubtful.T, -doubtful.T]):
        lowest, found = value, None
        for length in lengths:
            point = rest + length * direction
            bent = point - decided @ (
                (decided.T @ objective_gradient(objective, point)) / curvature
            )
            values = [objective_value(objective, u) for u in (point, bent)]
            if not all_finite(values):
                rises = False
                break
            here, where = min(values), (point, bent)[int(np.argmin(values))]
            visible = 8.0 * (noise + _rounding(objective, where))
            if here < lowest - visible:
                lowest, found = here, where
            elif here > lowest + visible:
                break
        else:
            rises = False
        if found is not None:
            return found, rises
    return None, rises


def _directions(objective: Objective, rest: Array, scale: float) -> tuple[Array, Array, Array]:
    """Return unit vectors in which the Hessian decides nothing, those in which it does, and its values there."""
    values, vectors, images = _spectrum(objective, rest)
    # the place of a flat rest is known so well at best
    far = 1e-3 * scale * vectors[:, 0]
    change = max(norm(_images(objective, rest + x, vectors) - images) for x in (far, -far))
    decided = values > change + objective.dim * objective.precision * np.abs(values).max()
    doubtful = vectors[:, ~decided]
    if doubtful.shape[1] > 1:  # a cubic form may vanish on every eigenvector
        mixed = _draws().standard_normal((doubtful.shape[1], _MOST_DIRECTIONS))
        mixed = doubtful @ (mixed / np.linalg.norm(mixed, axis=0))
        doubtful = np.concatenate([doubtful[:, :_MOST_DIRECTIONS], mixed], axis=1)
    return doubtful, vectors[:, decided], values[decided]


def _has_matrix(objective: Objective) -> bool:
    return objective.dim <= MATRIX_ONCE


def _draws() -> np.random.Generator:
    return np.random.default_rng(0)


def _images(objective: Objective, w: Array, vectors: Array) -> Array:
    """Return the Hessian at ``w`` times the columns."""
    if _has_matrix(objective):
        return objective_hessian(objective, w) @ vectors
    return np.stack([objective_product(objective, w, v) for v in vectors.T], axis=1)


def _spectrum(objective: Objective, w: Array) -> tuple[Array, Array, Array]:
    """Return eigenvalues of the Hessian in ascending order, 0 where it is not finite, vectors and their images.

    Without its matrix they are the Ritz values of some products (Lanczos).
    """
    basis = np.eye(objective.dim) if _has_matrix(objective) else _krylov_basis(objective, w)
    images = _images(objective, w, basis)
    small = basis.T @ images
    if not all_finite(small):
        return np.zeros(basis.shape[1]), basis, images
    values, vectors = np.linalg.eigh(0.5 * (small + small.T))
    return values, basis @ vectors, images @ vectors


def _krylov_basis(objective: Objective, w: Array) -> Array:
    """Return an orthonormal basis, in columns, of a random vector and its images under the Hessian."""
    v = _draws().standard_normal(objective.dim)
    basis = [v / norm(v)]
    for _ in range(_LANCZOS_STEPS):
        image = objective_product(objective, w, basis[-1])
        left = image
        for _ in range(2):  # once more, against what rounding left
            left = left - np.transpose(basis) @ (np.array(basis) @ left)
        if not norm(left) > 1e-10 * norm(image):  # an invariant subspace, or not finite
            break
        basis.append(left / norm(left))
    return np.stack(basis, axis=1)


def _rounding(objective: Objective, w: Array) -> float:
    """Return how far the value at ``w`` may be off: its last digits, and what the last digits of w make of it."""
    eps, value = objective.precision, objective_value(objective, w)
    size = float(objective.tasks.weights @ np.abs(task_losses(objective.tasks, w)))
    rng = _draws()
    beside = [w + eps * w * rng.choice([-2.0, 2.0], w.size) for _ in range(4)]
    return eps * (size + abs(value)) + max(
        abs(objective_value(objective, u) - value) for u in beside
    )
