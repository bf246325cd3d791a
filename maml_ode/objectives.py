"""Scalar functions built on a task family: the expected loss f and the MAML loss F."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_count, check_real
from maml_ode.counts import Counts
from maml_ode.quadratic_form import QuadraticForm, maml_quadratic_form
from maml_ode.tasks.base import MissingDerivative, TaskFamily

__all__ = ["ExpectedLoss", "MAMLLoss", "Objective"]


class Objective(ABC):
    """A scalar function of w in R^d with its derivatives.

    Methods take ``w`` of shape ``(d,)`` and return fresh arrays. NaN in gives NaN out: the integrators
    rely on it to reject a trial step.

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
        form = self.quadratic_form
        if form is not None:
            return form.values_and_gradient_norms(points)
        rows = [self._point(row) for row in points]
        values = np.array([self._value(row) for row in rows])
        norms = np.array([np.linalg.norm(self._gradient(row)) for row in rows])
        return values, norms

    def _point(self, w: npt.ArrayLike, name: str = "w") -> Array:
        point = np.ascontiguousarray(w, dtype=np.float64)
        if point.shape != (self.dim,):
            raise ValueError(
                f"{name} must have shape ({self.dim},), but it has shape {np.shape(w)}."
            )
        # The compiled layer is typed for writable arrays; it never writes to its inputs.
        return point if point.flags.writeable else point.copy()

    @abstractmethod
    def _value(self, w: Array) -> float: ...

    @abstractmethod
    def _gradient(self, w: Array) -> Array: ...

    @abstractmethod
    def _hessian(self, w: Array) -> Array: ...

    @abstractmethod
    def _hvp(self, w: Array, v: Array) -> Array: ...


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
        self.tasks = _checked_family(tasks)
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
        self.tasks = _checked_family(tasks)
        self.alpha = check_real("alpha", alpha, minimum=0.0)
        self.inner_steps = check_count("inner_steps", inner_steps)
        self.query = tasks if query is None else _checked_query(tasks, query)
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
        self.hvp_cost = Counts(gradients=k + 1, hvps=3 * k, thirds=k)
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
        point = self._point(w)
        if self.tasks.problem is None:
            return self._inner_path(point)[-1]
        from maml_ode.compiled import maml

        out = np.empty((self.tasks.n_tasks, self.dim))
        maml.adapt(self.tasks.problem, point, self.alpha, self.inner_steps, out)
        return out

    @property
    def _compiled(self) -> bool:
        return self.tasks.problem is not None and self.query.problem is not None

    def _inner_path(self, w: Array) -> list[Array]:
        """Return u_0, ..., u_k, each (M, d), by the family's Python-level methods."""
        path = [np.tile(w, (self.tasks.n_tasks, 1))]
        for _ in range(self.inner_steps):
            path.append(path[-1] - self.alpha * self.tasks._gradients(path[-1]))
        return path

    def _value(self, w: Array) -> float:
        if not self._compiled:
            return float(self.tasks.weights @ self.query._losses(self._inner_path(w)[-1]))
        from maml_ode.compiled import maml

        return float(
            maml.value(self.tasks.problem, self.query.problem, w, self.alpha, self.inner_steps)
        )

    def _gradient(self, w: Array) -> Array:
        if not self._compiled:
            path = self._inner_path(w)
            adjoint = self.query._gradients(path[-1])
            for u in reversed(path[:-1]):
                adjoint = adjoint - self.alpha * self.tasks._hvps(u, adjoint)
            return np.asarray(self.tasks.weights @ adjoint)
        from maml_ode.compiled import maml

        out = np.empty(self.dim)
        maml.gradient(self.tasks.problem, self.query.problem, w, self.alpha, self.inner_steps, out)
        return out

    def _hvp(self, w: Array, v: Array) -> Array:
        if not self._compiled:
            return self._python_hvp(w, v)
        from maml_ode.compiled import maml

        out = np.empty(self.dim)
        maml.hvp(self.tasks.problem, self.query.problem, w, v, self.alpha, self.inner_steps, out)
        return out

    def _python_hvp(self, w: Array, v: Array) -> Array:
        path = self._inner_path(w)
        tangents = [np.tile(v, (self.tasks.n_tasks, 1))]
        for u in path[:-1]:
            tangents.append(tangents[-1] - self.alpha * self.tasks._hvps(u, tangents[-1]))
        adjoint = self.query._gradients(path[-1])
        adjoint_tangent = self.query._hvps(path[-1], tangents[-1])
        for j in range(self.inner_steps - 1, -1, -1):
            u = path[j]
            third = self.tasks._third_vectors(u, tangents[j], adjoint)
            adjoint_tangent = adjoint_tangent - self.alpha * (
                self.tasks._hvps(u, adjoint_tangent) + third
            )
            if j > 0:
                adjoint = adjoint - self.alpha * self.tasks._hvps(u, adjoint)
        return np.asarray(self.tasks.weights @ adjoint_tangent)

    def _hessian(self, w: Array) -> Array:
        if not self._compiled:
            return self._python_hessian(w)
        from maml_ode.compiled import maml

        out = np.empty((self.dim, self.dim))
        maml.hessian(self.tasks.problem, self.query.problem, w, self.alpha, self.inner_steps, out)
        return out

    def _python_hessian(self, w: Array) -> Array:
        path = self._inner_path(w)
        adjoint = self.query._gradients(path[-1])
        curvature = self.query._hessians(path[-1])
        identity = np.eye(self.dim)
        for u in reversed(path[:-1]):
            contraction = identity - self.alpha * self.tasks._hessians(u)
            third = self.tasks._thirds(u, adjoint)
            curvature = contraction @ curvature @ contraction - self.alpha * third
            adjoint = np.einsum("mij,mj->mi", contraction, adjoint)
        total = np.tensordot(self.tasks.weights, curvature, 1)
        return np.asarray(0.5 * (total + total.T))


def _checked_family(tasks: TaskFamily) -> TaskFamily:
    if not isinstance(tasks, TaskFamily):
        raise TypeError(
            f"tasks must be a task family such as mo.tasks.Quadratic(...), not {type(tasks).__name__}; "
            "wrap your own functions with mo.tasks.from_callables."
        )
    return tasks


def _checked_query(tasks: TaskFamily, query: TaskFamily) -> TaskFamily:
    _checked_family(query)
    if (query.n_tasks, query.dim) != (tasks.n_tasks, tasks.dim):
        raise ValueError(
            f"query must have the tasks' size (M, d) = ({tasks.n_tasks}, {tasks.dim}), but it has "
            f"({query.n_tasks}, {query.dim})."
        )
    if not np.allclose(query.weights, tasks.weights, rtol=0.0, atol=1e-12):
        raise ValueError(
            "query must have the same weights as tasks, since F has one p_i per task; pass the same "
            "weights= to both families."
        )
    return query
