"""How a starting point adapts to tasks that it was not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._aligned import aligned
from maml_ode._validation import Array, as_point, check_count, check_real, shown
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.step_sizes import Alpha, of_steps, written
from maml_ode.tasks.base import TaskFamily

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Adaptation", "checked_adaptation", "meta_test"]


@dataclass(frozen=True, eq=False)
class Adaptation:
    """Losses over inner steps, one path per task.

    Attributes
    ----------
    losses : ndarray of shape (M, steps + 1)
        g_i(u_i) after 0, 1, ..., steps inner steps.
    weights : ndarray of shape (M,)
        p_i.
    alpha : float or ndarray
        The inner step size.
    adapted : ndarray of shape (M, d)
        u_i after the last step.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[2.0]]], [[1.0], [-1.0]])
    >>> found = mo.meta_test([0.5], tasks, alpha=0.1, steps=2)
    >>> found.mean.round(4)
    array([ 0.1875, -0.0044, -0.1292])
    >>> low, high = found.interval(0.9)
    >>> bool((low <= found.mean).all() and (found.mean <= high).all())
    True
    """

    losses: Array
    weights: Array
    alpha: Alpha
    adapted: Array

    @property
    def steps(self) -> int:
        """The number of inner steps."""
        return int(self.losses.shape[1]) - 1

    @property
    def mean(self) -> Array:
        """The mean over the tasks weighted by p_i, shape (steps + 1,)."""
        return np.asarray(self.weights @ self.losses)

    @property
    def effective_tasks(self) -> float:
        """1/sum p_i^2, which is M for uniform weights."""
        return 1.0 / float(self.weights @ self.weights)

    @property
    def has_interval(self) -> bool:
        """Whether more than one task counts, without which there is no interval."""
        return self.effective_tasks > 1.0 + 1e-12

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Return Student's interval of the mean over tasks, (low, high), each of shape (steps + 1,).

        The tasks count as independent draws, so the interval is one of the mean over all tasks that could have
        been drawn. With S = sum p_i^2 the variance s^2 = sum p_i (x_i - mean)^2/(1 - S) is unbiased and the mean's
        standard error s sqrt(S). The degrees of freedom are Satterthwaite's, (1 - S)^2/(S - 2 sum p_i^3 + S^2).
        For uniform weights this is s/sqrt(M) with M - 1.

        Raises
        ------
        ValueError
            For a level that is not between 0 and 1, or a single task.
        """
        confidence = check_real("level", level, minimum=0.0, strict=True)
        if confidence >= 1.0:
            raise ValueError(f"level must be less than 1, not {confidence:g}; 0.95 means 95%.")
        if not self.has_interval:
            raise ValueError("an interval over tasks needs at least two with positive weight.")
        share = 1.0 / self.effective_tasks
        from scipy.stats import t

        with np.errstate(invalid="ignore", over="ignore"):
            mean = self.mean
            variance = self.weights @ (self.losses - mean) ** 2 / (1.0 - share)
            freedom = (1.0 - share) ** 2 / (share - 2.0 * np.sum(self.weights**3) + share**2)
            half = t.ppf(0.5 + 0.5 * confidence, freedom) * np.sqrt(variance * share)
            return mean - half, mean + half

    def table(self, baseline: Adaptation | None = None, level: float = 0.95) -> str:
        """Return the mean with its interval by step, in aligned columns; a baseline's beside it."""
        columns = [("step", [str(k) for k in range(self.steps + 1)])]
        for name, curve in (("loss", self), ("baseline", baseline)):
            if curve is not None:
                columns += _columns(name, checked_adaptation(curve, name), level, self.steps)
        texts = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
        return aligned([name for name, _ in columns], texts)

    def plot(self, ax: Axes | None = None, **kw: Any) -> Axes:
        """Draw the mean with its interval over the steps; see `maml_ode.plotting.plot_adaptation`."""
        from maml_ode.plotting import plot_adaptation

        return plot_adaptation(self, ax, **kw)

    def __repr__(self) -> str:
        mean = self.mean
        return (
            f"Adaptation({self.losses.shape[0]} tasks, {self.steps} steps of {written(self.alpha)}: mean loss "
            f"{mean[0]:.6g} -> {mean[-1]:.6g})"
        )


def meta_test(
    w: npt.ArrayLike,
    tasks: TaskFamily,
    alpha: npt.ArrayLike,
    steps: int = 10,
    *,
    query: TaskFamily | None = None,
) -> Adaptation:
    """Adapt w to unseen tasks by gradient steps, and record the losses on the way.

    From u_0 = w every task goes its own way, u_{j+1} = u_j - alpha grad f_i(u_j), judged by g_i(u_j). The value of
    the MAML loss with k inner steps on these tasks is the mean after k steps.

    Parameters
    ----------
    w : array_like of shape (d,)
        The starting point, as training left it.
    tasks : TaskFamily
        The losses f_i that are descended.
    alpha : float or array_like
        Inner step size; an array broadcasts against (steps, M, d), as in `MAMLLoss`.
    steps : int
        Number of steps, at least 0.
    query : TaskFamily, optional
        The losses g_i that are recorded; f_i by default.

    Returns
    -------
    Adaptation

    Raises
    ------
    ValueError, TypeError
        For a w, alpha, number of steps or query family that does not fit.

    Examples
    --------
    >>> import maml_ode as mo
    >>> unseen = mo.tasks.Quadratic([[[1.0]], [[2.0]]], [[1.0], [-1.0]])
    >>> mo.meta_test([0.0], unseen, alpha=0.5, steps=2).losses
    array([[ 0.    , -0.375 , -0.46875],
           [ 0.    , -0.25  , -0.25   ]])
    """
    count = check_count("steps", steps, minimum=0)
    inner = InnerSteps.checked(tasks, alpha, max(count, 1), query)
    u = np.tile(as_point("w", w, tasks.dim), (tasks.n_tasks, 1))
    losses = np.empty((tasks.n_tasks, count + 1))
    with np.errstate(over="ignore", invalid="ignore"):
        losses[:, 0] = inner.query._losses(u)
        for k, size in enumerate(of_steps(inner.alpha, count)):
            u = u - size * inner.tasks._gradients(u)
            losses[:, k + 1] = inner.query._losses(u)
    return Adaptation(losses, tasks.weights, inner.alpha, u)


def checked_adaptation(adaptation: Adaptation, name: str = "adaptation") -> Adaptation:
    """Return ``adaptation`` if it is one.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isinstance(adaptation, Adaptation):
        raise TypeError(
            f"{name} must be an Adaptation, as mo.meta_test(w, tasks, alpha) returns it, not "
            f"{shown(adaptation)}."
        )
    return adaptation


def _columns(name: str, curve: Adaptation, level: float, steps: int) -> list[tuple[str, list[str]]]:
    """Return a curve's columns, filled up or cut to the number of steps."""
    mean, (low, high) = curve.mean, _bounds(curve, level)
    cells = [f"{value:.6g}" for value in mean]
    spread = [f"[{a:.4g}, {b:.4g}]" if a == a else "" for a, b in zip(low, high, strict=True)]
    missing = [""] * (steps - curve.steps)
    return [
        (name, [*cells, *missing][: steps + 1]),
        (f"{100 * level:g}%", [*spread, *missing][: steps + 1]),
    ]


def _bounds(curve: Adaptation, level: float) -> tuple[Array, Array]:
    if not curve.has_interval:
        unknown = np.full(curve.steps + 1, math.nan)
        return unknown, unknown
    return curve.interval(level)
