"""What every objective is: a scalar function of w with its derivatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._norms import vector_norms
from maml_ode._validation import Array, evaluation_point, real_array, shown
from maml_ode.counts import Counts
from maml_ode.objectives.aggregation import Aggregate
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.quadratic_form import QuadraticForm
from maml_ode.tasks.base import TaskFamily

__all__ = ["Objective", "checked_objective"]


class Objective(ABC):
    """A scalar function of w in R^d with its derivatives.

    Methods take ``w`` of shape ``(d,)`` and return fresh arrays. NaN in gives NaN out: the integrators
    rely on it to reject a trial step. What holds anything but real numbers is refused: text, dates,
    booleans, complex and masked entries.

    Attributes
    ----------
    tasks : TaskFamily
    dim : int
    smoothness : int
        How many derivatives are continuous: 1 means a continuous gradient, 0 a gradient that jumps,
        -1 a value that jumps.
    aggregate : "auto" or False
        False keeps a quadratic as a sum over tasks and samples.
    threads : int
        How many threads share the tasks.
    quadratic_form : QuadraticForm or None
        G, c, k of w'Gw/2 - c'w + k when the objective is quadratic and was aggregated.
    value_cost, gradient_cost, hvp_cost, hessian_cost : Counts
        What one evaluation costs.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> isinstance(F, mo.objectives.Objective), F.dim, F.smoothness
    (True, 1, 2)
    >>> round(float(F.value([1.0])), 6), F.gradient([1.0]).round(6)
    (-0.72, array([0.66]))
    """

    tasks: TaskFamily
    aggregate: Aggregate
    _inner: InnerSteps
    value_cost: Counts
    gradient_cost: Counts
    hvp_cost: Counts
    hessian_cost: Counts

    @property
    def dim(self) -> int:
        """The number of parameters d."""
        return self.tasks.dim

    @property
    def threads(self) -> int:
        """How many threads share the tasks."""
        return self._inner.threads

    @property
    def precision(self) -> float:
        """The unit in the last place of 1 of the type in which the losses are computed."""
        tasks, query = self._inner.tasks, self._inner.query
        return tasks.precision if query is tasks else max(tasks.precision, query.precision)

    @property
    @abstractmethod
    def smoothness(self) -> int:
        """How many derivatives are continuous."""

    @property
    @abstractmethod
    def quadratic_form(self) -> QuadraticForm | None:
        """The aggregated quadratic, or None."""

    @property
    @abstractmethod
    def has_hessian(self) -> bool:
        """Whether ``hessian`` and ``hvp`` can be evaluated."""

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("quadratic_form", None)  # follows from the families
        return state

    def value(self, w: npt.ArrayLike) -> float:
        """Return the objective at ``w``."""
        point = self._point(w)
        form = self.quadratic_form
        return self._value(point) if form is None else form.value(point)

    def gradient(self, w: npt.ArrayLike) -> Array:
        """Return the gradient at ``w``, shape (d,)."""
        point = self._point(w)
        form = self.quadratic_form
        return self._gradient(point) if form is None else form.gradient(point)

    def hessian(self, w: npt.ArrayLike) -> Array:
        """Return the Hessian at ``w``, shape (d, d)."""
        point = self._point(w)
        form = self.quadratic_form
        return self._hessian(point) if form is None else form.G.copy()

    def hvp(self, w: npt.ArrayLike, v: npt.ArrayLike) -> Array:
        """Return the Hessian at ``w`` times ``v``, shape (d,); no d x d matrix is formed."""
        point, direction = self._point(w), self._point(v, "v")
        form = self.quadratic_form
        return self._hvp(point, direction) if form is None else form.hvp(direction)

    def is_expected_loss_of(self, tasks: TaskFamily) -> bool:
        """Whether this is the expected loss of ``tasks``."""
        return False

    def values_and_gradient_norms(self, points: npt.ArrayLike) -> tuple[Array, Array]:
        """Return the values and gradient norms at the rows of ``points``, shape (n, d)."""
        form = self.quadratic_form
        if form is not None:
            return form.values_and_gradient_norms(self._points(points, copy=None))
        rows = self._points(points)
        norms = vector_norms(self._inner.loop.gradients(rows))
        return self._inner.loop.values(rows), norms

    def values(self, points: npt.ArrayLike) -> Array:
        """Return the objective at the rows of ``points``, shape (n,)."""
        rows, form = self._points(points), self.quadratic_form
        if form is not None:
            return np.array([form.value(row) for row in rows])
        return self._inner.loop.values(rows)

    def gradients(self, points: npt.ArrayLike) -> Array:
        """Return the gradients at the rows of ``points``, shape (n, d)."""
        rows, form = self._points(points), self.quadratic_form
        if form is not None:
            return np.array([form.gradient(row) for row in rows]).reshape(rows.shape)
        return self._inner.loop.gradients(rows)

    def gradient_over(self, w: npt.ArrayLike, tasks: npt.NDArray[np.int64]) -> Array:
        """Return the plain mean of the gradients of some tasks' terms, which may repeat, shape (d,)."""
        return self._inner.loop.gradient_over(self._point(w), tasks)

    def _points(self, points: npt.ArrayLike, copy: bool | None = True) -> Array:
        # Fresh, contiguous and writable: families of the user's functions may write into their argument.
        rows = np.array(real_array("points", points), dtype=np.float64, order="C", copy=copy)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(
                f"points must have shape (n, {self.dim}), but it has shape {rows.shape}."
            )
        return rows

    def _point(self, w: npt.ArrayLike, name: str = "w") -> Array:
        return evaluation_point(name, w, self.dim)

    def native_handle(self) -> Any | None:
        """Return the handle of -grad F for compiled steppers, or None if only Python can evaluate it.

        See ``maml_ode.compiled.fields``. An aggregated quadratic has a cheaper one, made of its matrix.
        """
        return self._inner.loop.native_gradient_field()

    def curved_handle(self) -> Any | None:
        """Return the handle of -grad F for compiled steppers that ask for Hess F too, or None."""
        return self._inner.loop.native_curved_field()

    def modified_handle(self, step_size: float) -> Any | None:
        """Return the handle of -(g + step_size/2 Hess F g), g = grad F, or None."""
        return self._inner.loop.native_modified_field(step_size)

    def _value(self, w: Array) -> float:
        return self._inner.loop.value(w)

    def _gradient(self, w: Array) -> Array:
        return self._inner.loop.gradient(w)

    def _hvp(self, w: Array, v: Array) -> Array:
        return self._inner.loop.hvp(w, v)

    def _hessian(self, w: Array) -> Array:
        return self._inner.loop.hessian(w)


def checked_objective(objective: Objective, name: str = "objective") -> Objective:
    """Return ``objective`` if it is one.

    Parameters
    ----------
    objective : object
    name : str
        What an error calls it.

    Returns
    -------
    Objective
        The same.

    Raises
    ------
    TypeError
        If it is not.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> mo.objectives.checked_objective(mo.ExpectedLoss(tasks))
    ExpectedLoss(Quadratic(n_tasks=2, dim=1))
    """
    if not isinstance(objective, Objective):
        raise TypeError(
            f"{name} must be an objective such as mo.MAMLLoss(tasks, alpha) or mo.ExpectedLoss(tasks), "
            f"not {shown(objective)}."
        )
    return objective
