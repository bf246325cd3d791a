"""Rules that end a phase: functions of (t, w), met where their value is 0 or below."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array, check_real, evaluation_point
from maml_ode.counts import Counts
from maml_ode.objectives import Objective, checked_objective
from maml_ode.tasks.base import TaskFamily, checked_family

__all__ = ["CallableRule", "EndingRule", "GradientNormBelow", "OnlineSwitch", "Reversed", "as_rule"]


class EndingRule(ABC):
    """A rule ``rule(t, w) -> float`` that ends a phase at the first time at which it is met.

    It is met where its value is 0 or below. A rule that is met when its phase begins ends it at once; an event
    of ``scipy.integrate.solve_ivp`` with direction -1 would wait for a fall from above. Where phases come
    again, the rule must first have risen above the value that began the phase.

    Attributes
    ----------
    cost : Counts or None
        What one evaluation costs; None where that is not known.
    scale : float or None
        The size with which the value is compared when it is called zero.
    norm_of : Objective or None
        The objective for which the value is ``sign * (||gradient|| - scale)``, if there is one.
    sign : {1, -1}
    strict : bool
        Whether a value of exactly 0 does not meet the rule yet.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> rule = mo.flows.GradientNormBelow(mo.ExpectedLoss(tasks), 0.5)
    >>> isinstance(rule, mo.flows.EndingRule), rule.scale, rule.cost.gradients
    (True, 0.5, 1)
    >>> mo.solve(mo.Flow([mo.Phase(mo.ExpectedLoss(tasks), until=rule)]), [10.0]).stop.name
    'SWITCHED'
    """

    @property
    def cost(self) -> Counts | None:
        """What one evaluation costs."""
        return None

    @property
    def scale(self) -> float | None:
        """The size with which the value is compared when it is called zero."""
        return None

    @property
    def norm_of(self) -> Objective | None:
        """The objective for which the value is ``sign * (||gradient|| - scale)``."""
        return None

    @property
    def sign(self) -> int:
        """-1 for a rule that is met where the norm has risen to ``scale``."""
        return 1

    @property
    def strict(self) -> bool:
        """Whether a value of exactly 0 does not meet the rule yet."""
        return False

    @abstractmethod
    def __call__(self, t: float, w: Array) -> float:
        """Return the rule's value."""

    def speed(
        self, t: float, w: Array, velocity: Array, reach: float = 0.0
    ) -> tuple[float, Counts]:
        """Return the derivative of the value at (t, w) by the way along ``velocity``, and what it cost.

        That is the time derivative divided by the length of ``velocity``, which has a size in any units. By a
        difference quotient; ``reach`` is how large the state has been in the run: with ``|w|`` it gives the
        difference its length.
        """
        size = vector_norm(velocity)
        if size == 0 or not np.isfinite(size):
            return 0.0, Counts()
        length = SMALL_STEP * (max(vector_norm(w), reach) or 1.0)
        before, after = self(t, w), self(t, w + length * (velocity / size))
        return (after - before) / length, (self.cost or Counts()) * 2


@dataclass(frozen=True)
class GradientNormBelow(EndingRule):
    """The rule that ends a phase when ||grad objective(w)|| <= threshold.

    Parameters
    ----------
    objective : Objective
    threshold : float
        At least 0, in the units of the gradient.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> rule = mo.flows.GradientNormBelow(mo.ExpectedLoss(tasks), 0.5)
    >>> round(rule(0.0, [0.1]), 6), rule(0.0, [0.5]) > 0
    (-0.3, True)
    """

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

    @property
    def scale(self) -> float:
        """The threshold."""
        return self.threshold

    @property
    def norm_of(self) -> Objective:
        """The objective."""
        return self.objective

    def __call__(self, t: float, w: Array) -> float:
        """Return ||grad objective(w)|| - threshold; the phase ends where this falls to 0."""
        return vector_norm(self.objective.gradient(w)) - self.threshold

    def speed(
        self, t: float, w: Array, velocity: Array, reach: float = 0.0
    ) -> tuple[float, Counts]:
        """Return g'Hv/(||g|| ||v||), the slope of ||g|| along ``velocity`` v, g being the gradient."""
        gradient = self.objective.gradient(w)
        size, length = vector_norm(gradient), vector_norm(velocity)
        cost = self.objective.gradient_cost + self.objective.hvp_cost
        if size == 0 or length == 0:
            return 0.0, cost
        return float((gradient / size) @ self.objective.hvp(w, velocity / length)), cost


@dataclass(frozen=True)
class OnlineSwitch(EndingRule):
    """The rule that ends phase 1 of BI-MAML at ||grad f|| <= 2 alpha ||E Hess f_i grad f_i||/divisor.

    To first order in alpha the right-hand side is S/divisor with S = ||grad f(argmin F)||; theory's best eps0
    is S/sqrt(kappa_c - 1), kappa_c being the cost of grad F in gradients times the ratio of the decay rates
    per evaluation (`mo.theory.switch_advice`). One evaluation costs a gradient and a Hessian-vector
    product per task.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float
        At least 0, the same for all tasks, coordinates and steps.
    divisor : float
        sqrt(kappa_c - 1), or kappa_c - 1 if the path comes near argmin f along the direction of argmin F.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> rule = mo.flows.OnlineSwitch(tasks, alpha=0.1, divisor=2.0)
    >>> flow = mo.bimaml_flow(tasks, 0.1, switch="auto")
    >>> rule(0.0, [10.0]) > 0, len(mo.solve(flow, [10.0]).switch_times)
    (True, 1)
    """

    tasks: TaskFamily
    alpha: Any
    divisor: float

    def __post_init__(self) -> None:
        checked_family(self.tasks)
        is_array = isinstance(self.alpha, np.ndarray) and self.alpha.ndim > 0
        if is_array or check_real("alpha", self.alpha) < 0:
            raise ValueError(
                "alpha must be one number of at least 0 for a switch that finds itself, since its threshold is "
                "derived for such; pass bimaml_flow(tasks, alpha, switch_tol) instead."
            )
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
        norm = vector_norm(tasks.weights @ gradients)
        return norm, 2.0 * self.alpha * vector_norm(force) / self.divisor


@dataclass(frozen=True)
class CallableRule(EndingRule):
    """A user's function ``until(t, w)``: a number, a boolean, a count, or an array of one entry.

    True is 1 and False is 0, so that ``lambda t, w: w[0] > 0.25`` ends its phase where it becomes False. The
    function gets a copy of the state.
    """

    function: Callable[[float, Array], Any]

    @property
    def cost(self) -> Counts | None:
        """What the function says that it costs, in an attribute ``cost``; None if it says nothing."""
        declared = getattr(self.function, "cost", None)
        return declared if isinstance(declared, Counts) else None

    def __call__(self, t: float, w: Array) -> float:
        """Return the function's value as a float."""
        value = self.function(t, w.copy())
        if isinstance(value, float):
            return value
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.size != 1:
            found = "None" if value is None else f"{type(value).__name__} of shape {array.shape}"
            raise TypeError(
                f"until(t, w) must return one real number, but {self.label} returned {found} ({array.dtype})."
            )
        return float(array.reshape(()))

    def speed(
        self, t: float, w: Array, velocity: Array, reach: float = 0.0
    ) -> tuple[float, Counts]:
        """Return the slope along ``velocity`` of a function that may look at the time as well."""
        rise, cost = super().speed(t, w, velocity, reach)
        h = SMALL_TIME * (abs(t) or 1.0)
        way = h * vector_norm(velocity)
        if way > 0:
            rise += (self(t + h, w) - self(t, w)) / way
        return rise, cost + (self.cost or Counts()) * 2

    @property
    def label(self) -> str:
        """The function's name, for messages."""
        return getattr(self.function, "__qualname__", type(self.function).__name__)


@dataclass(frozen=True)
class Reversed(EndingRule):
    """The rule that is met where another one is not: its value is minus the other's, and 0 does not meet it."""

    rule: EndingRule

    @property
    def strict(self) -> bool:
        """Whether 0 does not meet this rule: it does not where it meets the other one."""
        return not self.rule.strict

    @property
    def cost(self) -> Counts | None:
        """What the other rule costs."""
        return self.rule.cost

    @property
    def scale(self) -> float | None:
        """The scale of the other rule."""
        return self.rule.scale

    @property
    def norm_of(self) -> Objective | None:
        """The objective of the other rule."""
        return self.rule.norm_of

    @property
    def sign(self) -> int:
        """The opposite of the other rule's."""
        return -self.rule.sign

    def __call__(self, t: float, w: Array) -> float:
        """Return minus the other rule's value."""
        return -self.rule(t, w)

    def speed(
        self, t: float, w: Array, velocity: Array, reach: float = 0.0
    ) -> tuple[float, Counts]:
        """Return minus the other rule's slope."""
        rise, cost = self.rule.speed(t, w, velocity, reach)
        return -rise, cost


def as_rule(until: Callable[[float, Array], Any]) -> EndingRule:
    """Return ``until`` as a rule; a function is wrapped."""
    return until if isinstance(until, EndingRule) else CallableRule(until)


ONE_LOOK = Counts(gradients=1, hvps=1)
# The steps of difference quotients, as shares of the size of the state and of the time. A rule may turn often
# in the time that a run has come.
SMALL_STEP = 1e-6
SMALL_TIME = 2.0**-26
