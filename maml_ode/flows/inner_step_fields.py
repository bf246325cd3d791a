"""Fields made of inner steps without their derivative: FO-MAML and Reptile."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy.typing as npt

from maml_ode._validation import Array, evaluation_point
from maml_ode.counts import Counts
from maml_ode.flows.fields import VectorField
from maml_ode.objectives.affine_field import AffineField
from maml_ode.objectives.aggregation import Aggregate, checked_aggregate
from maml_ode.objectives.first_order_fields import fomaml_field, reptile_field
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.tasks.base import TaskFamily

__all__ = ["FirstOrderField", "ReptileField"]


class _InnerStepField(VectorField):
    """What FO-MAML and Reptile share: inner steps of size alpha on every task."""

    def __init__(
        self,
        tasks: TaskFamily,
        alpha: npt.ArrayLike,
        inner_steps: int,
        query: TaskFamily | None,
        aggregate: Aggregate,
        threads: int,
    ) -> None:
        self.aggregate = checked_aggregate(aggregate)
        self._inner = InnerSteps.checked(tasks, alpha, inner_steps, query, threads)
        self.tasks, self.query = self._inner.tasks, self._inner.query
        self.alpha, self.inner_steps = self._inner.alpha, self._inner.count
        self.dim = tasks.dim

    @abstractmethod
    def with_alpha(self, alpha: npt.ArrayLike) -> VectorField:
        """Return the same field with another inner step size."""

    @property
    def precision(self) -> float:
        """That of the losses."""
        return max(self.tasks.precision, self.query.precision)

    @property
    def smoothness(self) -> int:
        """One derivative fewer than the losses."""
        return min(int(self.tasks.smoothness), int(self.query.smoothness)) - 1

    @property
    def is_summed(self) -> bool:
        """Whether ``aggregate=False`` was asked for."""
        return not self.aggregate

    @property
    def has_jacobian(self) -> bool:
        """Whether the families have Hessian-vector products."""
        return self.tasks.has_hvps and self.query.has_hvps


class FirstOrderField(_InnerStepField):
    """The FO-MAML field -sum_i p_i grad g_i(u_i): grad F with every A_i replaced by the identity.

    In general not a gradient. For quadratic families with g = f and one number alpha it is affine with
    symmetric K = sum p_i H_i (I - alpha H_i)^k.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float or array_like
        Inner step size.
    inner_steps : int
    query : TaskFamily, optional
        The g_i; f_i by default.
    aggregate : "auto" or False
        As in `MAMLLoss`.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> field = mo.fields.FirstOrderField(tasks, alpha=0.1)
    >>> u = mo.MAMLLoss(tasks, alpha=0.1).adapt([1.0])
    >>> bool(abs(field([1.0]) + tasks.weights @ tasks.gradients(u)) < 1e-14)
    True
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
        super().__init__(tasks, alpha, inner_steps, query, aggregate, threads)
        self.label = "FO-MAML"
        self.cost = Counts(gradients=self.inner_steps + 1)
        self.jacobian_cost = Counts(gradients=self.inner_steps, hessians=self.inner_steps + 1)

    def with_alpha(self, alpha: npt.ArrayLike) -> FirstOrderField:
        """Return the same field with another inner step size."""
        query = None if self.query is self.tasks else self.query
        return FirstOrderField(
            self.tasks, alpha, self.inner_steps, query, self.aggregate, self._inner.threads
        )

    @cached_property
    def affine(self) -> AffineField | None:
        """K, k for quadratic families."""
        return fomaml_field(self._inner) if self.aggregate else None

    def _family_handle(self) -> Any | None:
        return self._inner.loop.native_first_order_field()

    def __call__(self, w: Array) -> Array:
        """Return -sum_i p_i grad g_i(u_i)."""
        point = evaluation_point("w", w, self.dim)
        if self.affine is not None:
            return self.affine(point)
        return -self._inner.loop.first_order_gradient(point)

    def jacobian(self, w: Array) -> Array:
        """Return -sum_i p_i Hess g_i(u_i) du_i/dw; in general not symmetric."""
        return -self._inner.loop.first_order_jacobians(evaluation_point("w", w, self.dim))[0]


class ReptileField(_InnerStepField):
    """The Reptile field sum_i p_i (u_i - w)/alpha, minus the sum of the inner gradients.

    The sum is what it is for an array alpha as well, and for 0.

    Nichol, Achiam and Schulman, "On First-Order Meta-Learning Algorithms", arXiv:1803.02999. With one
    inner step it is -grad f.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float or array_like
        Inner step size.
    inner_steps : int
    aggregate : "auto" or False
        As in `MAMLLoss`.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> field = mo.fields.ReptileField(tasks, alpha=0.1, inner_steps=1)
    >>> bool(abs(field([1.0]) + mo.ExpectedLoss(tasks).gradient([1.0])) < 1e-14)
    True
    """

    def __init__(
        self,
        tasks: TaskFamily,
        alpha: npt.ArrayLike,
        inner_steps: int = 1,
        aggregate: Aggregate = "auto",
        threads: int = 1,
    ) -> None:
        super().__init__(tasks, alpha, inner_steps, None, aggregate, threads)
        self.label = "Reptile"
        self.cost = Counts(gradients=self.inner_steps)
        self.jacobian_cost = Counts(gradients=self.inner_steps, hessians=self.inner_steps + 1)

    def with_alpha(self, alpha: npt.ArrayLike) -> ReptileField:
        """Return the same field with another inner step size."""
        return ReptileField(
            self.tasks, alpha, self.inner_steps, self.aggregate, self._inner.threads
        )

    @cached_property
    def affine(self) -> AffineField | None:
        """K, k for quadratic families."""
        return reptile_field(self._inner) if self.aggregate else None

    def _family_handle(self) -> Any | None:
        return self._inner.loop.native_reptile_field()

    def __call__(self, w: Array) -> Array:
        """Return sum_i p_i (u_i - w)/alpha."""
        point = evaluation_point("w", w, self.dim)
        if self.affine is not None:
            return self.affine(point)
        return -self._inner.loop.reptile_gradient(point)

    def jacobian(self, w: Array) -> Array:
        """Return sum_i p_i (du_i/dw - I)/alpha; in general not symmetric."""
        return -self._inner.loop.first_order_jacobians(evaluation_point("w", w, self.dim))[1]
