"""The field that Euler's iterates follow to second order."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from maml_ode._validation import Array, check_real
from maml_ode.flows.fields import VectorField
from maml_ode.objectives import Objective, checked_objective
from maml_ode.objectives.affine_field import AffineField, modified_affine_field

__all__ = ["ModifiedField"]


class ModifiedField(VectorField):
    """The field -grad(F + step_size/4 ||grad F||^2) = -(g + step_size/2 Hess F g), g = grad F.

    Euler's iterates with step beta follow this flow to second order in beta while they follow -grad F
    only to first order (Barrett and Dherin, "Implicit Gradient Regularization", ICLR 2021,
    arXiv:2009.11162).

    Parameters
    ----------
    objective : Objective
    step_size : float
        Euler's, above 0.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> g = F.gradient([1.0])
    >>> field = mo.fields.ModifiedField(F, step_size=0.1)
    >>> bool(abs(field([1.0]) + g + 0.05 * F.hvp([1.0], g)) < 1e-14)
    True
    """

    def __init__(self, objective: Objective, step_size: float) -> None:
        self.objective = checked_objective(objective)
        self.dim = objective.dim
        self.step_size = check_real("step_size", step_size, minimum=0.0)
        self.label = f"modified field, step size {self.step_size:g}"
        self.cost = objective.gradient_cost + objective.hvp_cost
        self.jacobian_cost = objective.hessian_cost

    @property
    def precision(self) -> float:
        """That of the losses."""
        return self.objective.precision

    @property
    def smoothness(self) -> int:
        """Two derivatives fewer than the objective."""
        return self.objective.smoothness - 2

    @property
    def has_jacobian(self) -> bool:
        """Only for quadratic objectives: otherwise it needs a fourth derivative of the losses."""
        return self.objective.quadratic_form is not None

    @cached_property
    def affine(self) -> AffineField | None:
        """G + step_size/2 G^2 and its offset for a quadratic objective."""
        form = self.objective.quadratic_form
        return None if form is None else modified_affine_field(form.field, self.step_size)

    def _family_handle(self) -> Any | None:
        return self.objective.modified_handle(self.step_size)

    def __call__(self, w: Array) -> Array:
        """Return -(g + step_size/2 Hess F g)."""
        gradient = self.objective.gradient(w)
        return -(gradient + 0.5 * self.step_size * self.objective.hvp(w, gradient))

    def jacobian(self, w: Array) -> Array:
        """Return -(G + step_size/2 G^2) of a quadratic objective."""
        if self.affine is None:
            raise TypeError(
                "the Jacobian of the modified field of a non-quadratic objective needs fourth "
                "derivatives, which families do not have; use an explicit method."
            )
        return -self.affine.K
