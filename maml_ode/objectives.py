"""Scalar functions built on a task family: the expected loss f and the MAML loss F."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, evaluation_point, real_array, shown
from maml_ode.counts import Counts
from maml_ode.inner_loop import InnerLoop
from maml_ode.quadratic_form import QuadraticForm, maml_quadratic_form
from maml_ode.tasks.base import MissingDerivative, TaskFamily, checked_family

__all__ = ["ExpectedLoss", "MAMLLoss", "Objective", "checked_objective"]


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
    quadratic_form : QuadraticForm or None
        G, c, k of w'Gw/2 - c'w + k when the objective is quadratic and was aggregated.
    value_cost, gradient_cost, hvp_cost, hessian_cost : Counts
        What one evaluation costs.
    """

    tasks: TaskFamily
    value_cost: Counts
    gradient_cost: Counts
    hvp_cost: Counts
    hessian_cost: Counts

    @property
    def dim(self) -> int:
        """The number of parameters d."""
        return self.tasks.dim

    @property
    @abstractmethod
    def smoothness(self) -> int:
        """How many derivatives are continuous."""

    @property
    @abstractmethod
    def quadratic_form(self) -> QuadraticForm | None:
        """The aggregated quadratic, or None."""

    @property
    def has_hessian(self) -> bool:
        """Whether ``hessian`` and ``hvp`` can be evaluated."""
        return True

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
        return self._hvp(point, direction) if form is None else form.G @ direction

    def values_and_gradient_norms(self, points: Array) -> tuple[Array, Array]:
        """Return the values and gradient norms at the rows of ``points``, shape (n, d)."""
        points = np.asarray(real_array("points", points), dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise ValueError(
                f"points must have shape (n, {self.dim}), but it has shape {points.shape}."
            )
        form = self.quadratic_form
        if form is not None:
            return form.values_and_gradient_norms(points)
        rows = [self._point(row) for row in points]
        values = np.array([self._value(row) for row in rows])
        norms = np.array([np.linalg.norm(self._gradient(row)) for row in rows])
        return values, norms

    def _point(self, w: npt.ArrayLike, name: str = "w") -> Array:
        return evaluation_point(name, w, self.dim)

    @abstractmethod
    def _value(self, w: Array) -> float: ...

    @abstractmethod
    def _gradient(self, w: Array) -> Array: ...

    @abstractmethod
    def _hessian(self, w: Array) -> Array: ...

    @abstractmethod
    def _hvp(self, w: Array, v: Array) -> Array: ...


def checked_objective(objective: Objective, name: str = "objective") -> Objective:
    """Return ``objective`` if it is one.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isinstance(objective, Objective):
        raise TypeError(
            f"{name} must be an objective such as mo.MAMLLoss(tasks, alpha) or mo.ExpectedLoss(tasks), "
            f"not {shown(objective)}."
        )
    return objective


class ExpectedLoss(Objective):
    """The expected task loss f(w) = sum_i p_i f_i(w).

    Parameters
    ----------
    tasks : TaskFamily

    Examples
    --------
    >>> import maml_ode as mo
    >>> f = mo.ExpectedLoss(mo.tasks.Quadratic([[[2.0]], [[4.0]]], [[2.0], [-4.0]]))
    >>> f.gradient([1.0])
    array([4.])
    """

    def __init__(self, tasks: TaskFamily) -> None:
        self.tasks = checked_family(tasks)
        self.value_cost = Counts(losses=1)
        self.gradient_cost = Counts(gradients=1)
        self.hvp_cost = Counts(hvps=1)
        self.hessian_cost = Counts(hessians=1)

    def __repr__(self) -> str:
        return f"ExpectedLoss({self.tasks!r})"

    @property
    def smoothness(self) -> int:
        """As many continuous derivatives as the losses have."""
        return int(self.tasks.smoothness)

    @property
    def has_hessian(self) -> bool:
        """Whether the family has Hessian-vector products."""
        return self.tasks.has_hvps

    @cached_property
    def quadratic_form(self) -> QuadraticForm | None:
        """F aggregated to one quadratic, or None."""
        terms = self.tasks.quadratic
        return (
            None if terms is None else maml_quadratic_form(terms, terms, self.tasks.weights, 0.0, 0)
        )

    def _value(self, w: Array) -> float:
        if self.tasks.problem is None:
            return float(self.tasks.weights @ self.tasks._losses(w[None]))
        from maml_ode.compiled import maml

        return float(maml.expected_value(self.tasks.problem, w))

    def _gradient(self, w: Array) -> Array:
        if self.tasks.problem is None:
            return np.asarray(self.tasks.weights @ self.tasks._gradients(w[None]))
        from maml_ode.compiled import maml

        out = np.empty(self.dim)
        maml.expected_gradient(self.tasks.problem, w, out)
        return out

    def _hvp(self, w: Array, v: Array) -> Array:
        if self.tasks.problem is None:
            return np.asarray(self.tasks.weights @ self.tasks._hvps(w[None], v[None]))
        from maml_ode.compiled import maml

        out = np.empty(self.dim)
        maml.expected_hvp(self.tasks.problem, w, v, out)
        return out

    def _hessian(self, w: Array) -> Array:
        if self.tasks.problem is None:
            return np.asarray(np.tensordot(self.tasks.weights, self.tasks._hessians(w[None]), 1))
        from maml_ode.compiled import maml

        out = np.empty((self.dim, self.dim))
        maml.expected_hessian(self.tasks.problem, w, out)
        return out


class MAMLLoss(Objective):
    """The MAML loss F(w) = sum_i p_i g_i(u_i), u_i the result of inner gradient steps on f_i from w.

    With u_0 = w and u_{j+1} = u_j - alpha grad f_i(u_j), u_i is the iterate after ``inner_steps`` steps
    and g_i = f_i unless a query family is given. For one step and g = f,

        grad F = sum_i p_i A_i grad f_i(u_i),          A_i = I - alpha Hess f_i(w),
        Hess F = sum_i p_i (A_i Hess f_i(u_i) A_i - alpha D^3 f_i(w)[grad f_i(u_i)]),

    the derivative in equation (3.1) of Xu, Chen and Karbasi (AISTATS 2021). The gradient uses
    Hessian-vector products and never forms a Hessian.

    Parameters
    ----------
    tasks : TaskFamily
        The support losses f_i.
    alpha : float
        Inner step size, at least 0; 0 gives the expected loss exactly.
    inner_steps : int
        Number k of inner steps, at least 1.
    query : TaskFamily, optional
        The losses g_i that the adapted points are judged by; same M, d and weights.

    Raises
    ------
    ValueError, TypeError
        For a negative or non-finite ``alpha``, ``inner_steps`` below 1, or a query family whose size or
        weights differ.
    MissingDerivative
        If the family has no Hessian-vector products.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> F.adapt([10.0])
    array([[9.3],
           [6.7]])
    """

    def __init__(
        self,
        tasks: TaskFamily,
        alpha: float,
        inner_steps: int = 1,
        query: TaskFamily | None = None,
    ) -> None:
        self._loop = InnerLoop(tasks, alpha, inner_steps, query)
        self.tasks, self.query = self._loop.tasks, self._loop.query
        self.alpha, self.inner_steps = self._loop.alpha, self._loop.inner_steps
        if not tasks.has_hvps:
            raise MissingDerivative(
                "grad F needs Hessian-vector products of the task losses; give the family hvps= or "
                "hessians=, or use fomaml_flow, which needs gradients only."
            )
        k = self.inner_steps
        self.value_cost = Counts(losses=1, gradients=k)
        self.gradient_cost = Counts(gradients=k + 1, hvps=k)
        # Forward: k tangents; backward: one product for the tangent of the adjoint at every step and one for
        # the adjoint itself at every step but the last; a contracted third derivative at every step.
        self.hvp_cost = Counts(gradients=k + 1, hvps=3 * k, third_vectors=k)
        self.hessian_cost = Counts(gradients=k + 1, hessians=k + 1, thirds=k)

    def __repr__(self) -> str:
        extra = "" if self.query is self.tasks else f", query={self.query!r}"
        return (
            f"MAMLLoss({self.tasks!r}, alpha={self.alpha:g}, inner_steps={self.inner_steps}{extra})"
        )

    @property
    def smoothness(self) -> int:
        """One continuous derivative fewer than the losses: F evaluates them after a gradient step."""
        support = int(self.tasks.smoothness) - (1 if self.alpha > 0 else 0)
        return min(support, int(self.query.smoothness))

    @property
    def has_hessian(self) -> bool:
        """Whether the family has the third derivatives that Hess F needs."""
        return self.tasks.has_thirds and self.query.has_hvps

    @cached_property
    def quadratic_form(self) -> QuadraticForm | None:
        """F aggregated to one quadratic (it is one when every f_i and g_i is), or None."""
        terms, query = self.tasks.quadratic, self.query.quadratic
        if terms is None or query is None:
            return None
        return maml_quadratic_form(terms, query, self.tasks.weights, self.alpha, self.inner_steps)

    def adapt(self, w: npt.ArrayLike) -> Array:
        """Return the adapted points u_i, shape (M, d)."""
        return self._loop.adapt(self._point(w))

    @property
    def _compiled(self) -> bool:
        return self._loop.compiled

    def _value(self, w: Array) -> float:
        return self._loop.value(w)

    def _gradient(self, w: Array) -> Array:
        return self._loop.gradient(w)

    def _hvp(self, w: Array, v: Array) -> Array:
        return self._loop.hvp(w, v)

    def _hessian(self, w: Array) -> Array:
        return self._loop.hessian(w)
