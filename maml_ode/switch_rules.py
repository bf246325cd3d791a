"""Rules that end a phase: functions of (t, w) whose fall to 0 is the switch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maml_ode._validation import Array, check_real, evaluation_point
from maml_ode.counts import Counts
from maml_ode.objectives import Objective, checked_objective
from maml_ode.tasks.base import TaskFamily, checked_family

__all__ = ["GradientNormBelow", "OnlineSwitch"]


@dataclass(frozen=True)
class GradientNormBelow:
    """The rule that ends a phase when ||grad objective(w)|| <= threshold."""

    objective: Objective
    threshold: float

    def __post_init__(self) -> None:
        checked_objective(self.objective)
        threshold = check_real("switch_tol", self.threshold, minimum=0.0)
        object.__setattr__(self, "threshold", threshold)

    @property
    def cost(self) -> Counts:
        """What one evaluation costs."""
        return self.objective.gradient_cost

    def __call__(self, t: float, w: Array) -> float:
        """Return ||grad objective(w)|| - threshold; the phase ends where this falls to 0."""
        return float(np.linalg.norm(self.objective.gradient(w))) - self.threshold


@dataclass(frozen=True)
class OnlineSwitch:
    """The rule that ends phase 1 of BI-MAML at ||grad f|| <= 2 alpha ||E Hess f_i grad f_i||/divisor.

    To first order in alpha the right-hand side is S/divisor with S = ||grad f(argmin F)||; theory's best eps0
    is S/sqrt(kappa_c - 1), kappa_c being the cost of grad F in gradients times the ratio of the decay rates
    per evaluation (`mo.theory.switch_advice`). One evaluation costs a gradient and a Hessian-vector
    product per task.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float
    divisor : float
        sqrt(kappa_c - 1), or kappa_c - 1 if the path comes near argmin f along the direction of argmin F.
    """

    tasks: TaskFamily
    alpha: float
    divisor: float

    def __post_init__(self) -> None:
        checked_family(self.tasks)
        object.__setattr__(self, "alpha", check_real("alpha", self.alpha, minimum=0.0))
        divisor = check_real("divisor", self.divisor, minimum=0.0, strict=True)
        object.__setattr__(self, "divisor", divisor)

    @property
    def cost(self) -> Counts:
        """What one evaluation costs."""
        return ONE_LOOK

    def threshold(self, w: Array) -> float:
        """Return 2 alpha ||E Hess f_i grad f_i||/divisor at ``w``."""
        return self._look(w)[1]

    def __call__(self, t: float, w: Array) -> float:
        """Return ||grad f|| - threshold; phase 1 ends where this falls to 0."""
        norm, threshold = self._look(w)
        return norm - threshold

    def _look(self, w: Array) -> tuple[float, float]:
        """Return ||grad f|| and the threshold; where a gradient is not finite, neither are they."""
        tasks = self.tasks
        point = evaluation_point("w", w, tasks.dim)[np.newaxis]
        gradients = tasks._gradients(point)
        force = tasks.weights @ tasks._hvps(point, gradients)
        norm = float(np.linalg.norm(tasks.weights @ gradients))
        return norm, 2.0 * self.alpha * float(np.linalg.norm(force)) / self.divisor


ONE_LOOK = Counts(gradients=1, hvps=1)
