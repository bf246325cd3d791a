"""The MAML loss."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from maml_ode._norms import row_norms
from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.objectives.aggregation import Aggregate, aggregated_form, checked_aggregate
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.objective import Objective
from maml_ode.objectives.quadratic_form import QuadraticForm
from maml_ode.objectives.step_sizes import written
from maml_ode.tasks.base import MissingDerivative, TaskFamily

__all__ = ["MAMLLoss"]


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
    alpha : float or array_like
        Inner step size, of either sign; 0 gives the expected loss exactly. An array broadcasts against
        (inner_steps, M, d): shape (d,) is a step size for each coordinate, (M, 1) for each task, (k, 1, 1) for
        each inner step. With D = diag(alpha), u = w - D grad f_i and A_i = I - Hess f_i(w) D. Values, gradients
        and Hessian-vector products run in compiled code where the family does; whole phases do for one number.
    inner_steps : int
        Number k of inner steps, at least 1.
    query : TaskFamily, optional
        The losses g_i that the adapted points are judged by; same M, d and weights.
    aggregate : {"auto", False}
        "auto" sums a quadratic F up over the tasks once, so that an evaluation costs one d x d product. False
        evaluates it over tasks and samples every time, as the loops of the paper do: values, steps and counts
        are the same to rounding, times are comparable with theirs. What needs F's matrix, ``method="exact"``
        and the step-size warning of `euler`, is then not to be had.
    threads : int
        How many threads share the tasks of a compiled family in values, gradients and Hessian-vector products.
        Results are the same to the last bit for any number. Steps are then taken from Python, so that it pays
        where a gradient takes a millisecond or more, and not at all where F is summed up.

    Raises
    ------
    ValueError, TypeError
        For an ``alpha`` that is not finite or of another shape, ``inner_steps`` or ``threads`` below 1, a query
        family whose size or weights differ, or several threads for an array alpha or a family without kernels.
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
    >>> mo.MAMLLoss(tasks, alpha=[[0.1], [-0.2]]).adapt([10.0])
    array([[ 9.3],
           [16.6]])
    """

    def __init__(
        self,
        tasks: TaskFamily,
        alpha: npt.ArrayLike,
        inner_steps: int = 1,
        query: TaskFamily | None = None,
        aggregate: Aggregate = "auto",
        threads: int = 1,
    ) -> None:
        self.aggregate = checked_aggregate(aggregate)
        self._inner = InnerSteps.checked(tasks, alpha, inner_steps, query, threads)
        self.tasks, self.query = self._inner.tasks, self._inner.query
        self.alpha, self.inner_steps = self._inner.alpha, self._inner.count
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
        extra += "" if self.aggregate else ", aggregate=False"
        extra += "" if self.threads == 1 else f", threads={self.threads}"
        return f"MAMLLoss({self.tasks!r}, alpha={written(self.alpha)}, inner_steps={self.inner_steps}{extra})"

    @property
    def smoothness(self) -> int:
        """One continuous derivative fewer than the losses: F evaluates them after a gradient step."""
        support = int(self.tasks.smoothness) - (1 if np.any(self.alpha) else 0)
        return min(support, int(self.query.smoothness))

    @property
    def has_hessian(self) -> bool:
        """Whether the family has the third derivatives that Hess F needs."""
        return self.tasks.has_thirds and self.query.has_hvps

    @cached_property
    def quadratic_form(self) -> QuadraticForm | None:
        """F aggregated to one quadratic (it is one when every f_i and g_i is), or None."""
        return aggregated_form(self._inner) if self.aggregate else None

    def with_alpha(self, alpha: npt.ArrayLike) -> MAMLLoss:
        """Return the same loss with another inner step size."""
        query = None if self.query is self.tasks else self.query
        return MAMLLoss(self.tasks, alpha, self.inner_steps, query, self.aggregate, self.threads)

    def looks_with(self, points: npt.ArrayLike, alphas: Array) -> tuple[Array, Array]:
        """Return the values and gradient norms at the rows of ``points``, each with its own inner step size.

        Parameters
        ----------
        points : array_like of shape (n, d)
        alphas : ndarray of shape (n,)

        Returns
        -------
        ndarray of shape (n,), ndarray of shape (n,)
        """
        rows, loop = self._points(points), self._inner.loop
        if hasattr(loop, "looks_with"):
            values, gradients = loop.looks_with(rows, alphas)
            return values, row_norms(gradients)
        values, norms = np.empty((2, len(rows)))
        for k, alpha in enumerate(alphas):
            own = self.with_alpha(float(alpha))
            at_k = slice(k, k + 1)
            values[at_k], norms[at_k] = own.values_and_gradient_norms(rows[at_k])
        return values, norms

    def adapt(self, w: npt.ArrayLike) -> Array:
        """Return the adapted points u_i, shape (M, d)."""
        return self._inner.loop.adapt(self._point(w))
