"""Evaluations at points that theory computed itself.

Such a point may be far out or outside of the losses' domain. That is no fault of the caller's, so it is neither
refused nor warned about: what is not finite comes back as NaN, and whoever asked decides nothing on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives import Objective
from maml_ode.tasks.base import TaskFamily
from maml_ode.theory.budget import check_time

__all__ = [
    "all_finite",
    "extreme_eigenvalues",
    "norm",
    "objective_gradient",
    "objective_hessian",
    "objective_product",
    "objective_value",
    "task_gradients",
    "task_hessians",
    "task_losses",
    "task_products",
    "task_thirds",
]


def all_finite(*arrays: Any) -> bool:
    """Whether every entry of every array is a finite number."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def norm(v: Array) -> float:
    """Return the Euclidean norm of a vector, right from the smallest float to the largest; NaN stays NaN."""
    with np.errstate(all="ignore"):
        plain = float(np.linalg.norm(v))
        if (np.isfinite(plain) and plain > 1e-140) or not np.isfinite(v).all() or not v.any():
            return plain
        largest = float(np.abs(v).max())
        return largest * float(np.linalg.norm(v / largest))


def _guarded(function: Callable[..., Any], shape: tuple[int, ...], *points: Array) -> Array:
    check_time()
    if not all_finite(*points):
        return np.full(shape, np.nan)
    with np.errstate(all="ignore"):
        value = np.asarray(function(*points), dtype=np.float64)
    return value if all_finite(value) else np.full(shape, np.nan)


def task_losses(tasks: TaskFamily, w: Array) -> Array:
    """Return f_i at ``w`` of shape (d,) or (M, d): shape (M,), NaN unless all are finite."""
    return _guarded(tasks.losses, (tasks.n_tasks,), w)


def task_gradients(tasks: TaskFamily, w: Array) -> Array:
    """Return grad f_i at ``w``: shape (M, d), NaN unless all are finite."""
    return _guarded(tasks.gradients, (tasks.n_tasks, tasks.dim), w)


def task_hessians(tasks: TaskFamily, w: Array) -> Array:
    """Return Hess f_i at ``w``: shape (M, d, d), NaN unless all are finite."""
    return _guarded(tasks.hessians, (tasks.n_tasks, tasks.dim, tasks.dim), w)


def task_products(tasks: TaskFamily, w: Array, v: Array) -> Array:
    """Return Hess f_i(w) v: shape (M, d), NaN unless all are finite."""
    return _guarded(tasks.hvps, (tasks.n_tasks, tasks.dim), w, v)


def task_thirds(tasks: TaskFamily, w: Array, v: Array) -> Array:
    """Return D^3 f_i(w)[v, v, .]: shape (M, d), NaN unless all are finite."""
    return _guarded(tasks.third_vectors, (tasks.n_tasks, tasks.dim), w, v, v)


def objective_value(objective: Objective, w: Array) -> float:
    """Return the objective at ``w``; NaN unless it is finite."""
    return float(_guarded(objective.value, (), w))


def objective_gradient(objective: Objective, w: Array) -> Array:
    """Return its gradient at ``w``: shape (d,), NaN unless it is finite."""
    return _guarded(objective.gradient, (objective.dim,), w)


def objective_hessian(objective: Objective, w: Array) -> Array:
    """Return its Hessian at ``w``: shape (d, d), NaN unless it is finite."""
    return _guarded(objective.hessian, (objective.dim, objective.dim), w)


def objective_product(objective: Objective, w: Array, v: Array) -> Array:
    """Return its Hessian at ``w`` times ``v``: shape (d,), NaN unless it is finite."""
    return _guarded(objective.hvp, (objective.dim,), w, v)


def extreme_eigenvalues(matrices: Array) -> Array:
    """Return the smallest and the largest eigenvalue of symmetric matrices (..., d, d): shape (..., 2).

    NaN where a matrix is not finite, which LAPACK would answer with an error.
    """
    finite = np.asarray(np.isfinite(matrices).all(axis=(-2, -1)))
    safe = np.where(finite[..., None, None], matrices, 0.0)
    ends = np.linalg.eigvalsh(safe)[..., [0, -1]]
    return np.where(finite[..., None], ends, np.nan)
