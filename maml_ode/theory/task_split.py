"""Proposition 3.1 as a reading: the MAML field is what joint training does, and what MAML adds to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, as_point, real_array, shown
from maml_ode.objectives import MAMLLoss, Objective

__all__ = ["Decomposition", "decompose"]


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The field -grad F at one point, arrays of shape (d,), or along a path, of shape (d, n).

    Attributes
    ----------
    task_part : ndarray
        -grad f, what joint training does.
    correction : ndarray
        E[B_i grad f_i], what MAML adds; the sum of ``first_order`` and ``second_order``.
    first_order : ndarray
        E[grad f_i - grad f_i(u_i)], which FO-MAML adds to joint training.
    second_order : ndarray
        alpha E[Hess f_i grad f_i(u_i)], which MAML adds to FO-MAML.
    angle : ndarray of shape () or (n,)
        Between task_part and correction in radians; NaN where one of them is 0. Above pi/2 MAML holds back
        what joint training does, below it pushes on.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> split = mo.theory.decompose(F, [1.0])
    >>> bool(abs(split.task_part + split.correction + F.gradient([1.0])) < 1e-14)
    True
    """

    task_part: Array
    correction: Array
    first_order: Array
    second_order: Array

    @property
    def field(self) -> Array:
        """-grad F, the sum of the two parts."""
        return self.task_part + self.correction

    @property
    def angle(self) -> Array:
        """The angle between the two parts."""
        a, b = _directions(self.task_part), _directions(self.correction)
        # By sine and cosine: the cosine alone loses half of the digits of small angles.
        half = 2.0 * np.arctan2(np.linalg.norm(a - b, axis=0), np.linalg.norm(a + b, axis=0))
        return np.asarray(half)


def decompose(objective: Objective, w: npt.ArrayLike) -> Decomposition:
    """Split the MAML field into what joint training does and what MAML adds.

        -grad F = -grad f + E[B_i grad f_i],     B_i = I - A_i A'_i,
        A_i = I - alpha Hess f_i(w),             A'_i = I - alpha int_0^1 Hess f_i(w - s alpha grad f_i) ds.

    Proposition 3.1 of Xu, Chen and Karbasi (AISTATS 2021), with the Hessian averaged over the inner step in the
    place of one at a single point, which need not exist. The average is exact without quadrature, since it
    meets nothing but grad f_i: A'_i grad f_i = grad f_i(u_i), by the fundamental theorem of calculus.

    Parameters
    ----------
    objective : MAMLLoss
        With one inner step and without a query family.
    w : array_like of shape (d,) or (d, n)
        A point, or states as the columns of ``Trajectory.y``.

    Returns
    -------
    Decomposition

    Raises
    ------
    TypeError
        For anything but a MAML loss.
    ValueError
        For more inner steps, a query family, or a w of another shape.

    Examples
    --------
    >>> import maml_ode as mo
    >>> F = mo.MAMLLoss(mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]]), alpha=0.1)
    >>> split = mo.theory.decompose(F, [1.0])
    >>> split.task_part, split.correction.round(12)
    (array([-2.]), array([1.34]))
    """
    if not isinstance(objective, MAMLLoss):
        raise TypeError(f"objective must be a MAMLLoss, not {shown(objective)}.")
    if objective.inner_steps != 1 or objective.query is not objective.tasks:
        more = (
            f"{objective.inner_steps} inner steps"
            if objective.inner_steps != 1
            else "a query family"
        )
        raise ValueError(
            f"decompose splits the loss of one inner step on the tasks themselves, and this one has {more}; "
            "pass mo.MAMLLoss(tasks, alpha)."
        )
    given = real_array("w", w)
    if given.ndim == 2:
        columns = as_array("w", given, (objective.dim, None))
    else:
        columns = as_point("w", given, objective.dim)[:, None]
    parts = np.empty((3, *columns.shape))
    for k in range(columns.shape[1]):
        parts[:, :, k] = _at(objective, np.ascontiguousarray(columns[:, k]))
    task_part, first, second = parts if given.ndim == 2 else parts[:, :, 0]
    return Decomposition(task_part, first + second, first, second)


def _at(objective: MAMLLoss, w: Array) -> tuple[Array, Array, Array]:
    """Return -grad f, E[g_i - g_i(u_i)] and E[Hess f_i alpha g_i(u_i)]."""
    tasks, p = objective.tasks, objective.tasks.weights
    alpha = np.broadcast_to(objective.alpha, (1, tasks.n_tasks, tasks.dim))[0]
    gradients = tasks.gradients(w)
    adapted = tasks.gradients(w - alpha * gradients)
    products = tasks.hvps(w, alpha * adapted)
    return -(p @ gradients), p @ (gradients - adapted), p @ products


def _directions(vectors: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = np.abs(vectors).max(axis=0)
        scaled = vectors / largest  # so that no square underflows
        return np.asarray(scaled / np.linalg.norm(scaled, axis=0))
