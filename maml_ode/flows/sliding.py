"""Sliding along a switching surface: the Filippov field of two phases that push at each other.

On {s = 0} with normal n = grad s, where the field v0 of the side s > 0 points down (a = n.v0 < 0) and the
field v1 of the side s < 0 points up (b = n.v1 > 0), neither phase can be entered. Filippov's solution moves with
the convex combination that stays on the surface,

    v = (1 - lam) v0 + lam v1,    lam = a/(a - b),    n.v = 0.

For ``rule="retest"``, v0 = -grad f, v1 = -grad F and s = ||grad f|| - eps0: it is what re-testing BI-MAML does as
its step size goes to zero. It comes to rest where (1 - lam) grad f + lam grad F = 0, a KKT point of minimising
F subject to f <= c with c the value of f there. (A. F. Filippov, Differential Equations with Discontinuous
Righthand Sides, Kluwer 1988, chapter 2.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows.fields import VectorField
from maml_ode.flows.flow import Flow
from maml_ode.flows.switch_rules import EndingRule, GradientNormBelow

__all__ = ["SlidingField"]


class SlidingField(VectorField):
    """The Filippov field on {||grad f|| = eps0}, with a pull back to the surface.

    The pull -gamma s n/||n||^2 with gamma = -a/eps0, the rate at which phase 0 itself contracts ||grad f||,
    removes the drift of the integrator without adding stiffness.

    Parameters
    ----------
    outer, inner : VectorField
        v0 where ||grad f|| > eps0 and v1 where it is smaller.
    rule : GradientNormBelow
        The surface.
    """

    def __init__(self, outer: VectorField, inner: VectorField, rule: GradientNormBelow) -> None:
        self.outer = outer
        self.inner = inner
        self.rule = rule
        self.dim = outer.dim
        self.label = "sliding"
        # grad f and one product with Hess f for the normal, and both fields.
        self.cost = rule.objective.gradient_cost + rule.objective.hvp_cost + outer.cost + inner.cost
        self.jacobian_cost = Counts()

    @classmethod
    def of(cls, flow: Flow) -> SlidingField:
        """Return the sliding field of a flow whose phase is tested again and again.

        Raises
        ------
        ValueError
            If the flow's first phase ends by a rule whose surface has no known normal.
        """
        until = flow.phases[0].until
        if not isinstance(until, GradientNormBelow):
            raise ValueError(
                "sliding='follow' needs a first phase that ends at a gradient norm, whose normal is "
                "known; use sliding='stop'."
            )
        inner = flow.inner_leg
        return cls(flow.legs[1 - inner].field, flow.legs[inner].field, until)

    @property
    def margin_rule(self) -> EndingRule:
        """The rule that ends sliding: one of the fields no longer pushes."""
        return _MarginRule(self)

    @property
    def has_jacobian(self) -> bool:
        """The normal holds a Hessian, so its derivative would need third derivatives: not offered."""
        return False

    def jacobian(self, w: Array) -> Array:
        """Refuse: integrators take difference quotients."""
        raise TypeError("the sliding field has no analytic Jacobian.")

    def __call__(self, w: Array) -> Array:
        """Return v - gamma s n/||n||^2, with n of length 1 here, which takes its size out of gamma and n."""
        v0, v1, normal, distance, a, b = self._parts(w)
        if a == b:
            return np.zeros_like(w)
        share = a / (a - b)
        pull = -a * (distance / self.rule.threshold)
        return np.asarray((1 - share) * v0 + share * v1 - pull * normal)

    def margin(self, t: float, w: Array) -> float:
        """Return min(b, -a)/(|a| + |b|): sliding goes on while both fields push, that is while it is > 0."""
        _, _, _, _, a, b = self._parts(w)
        size = abs(a) + abs(b)
        return min(b, -a) / size if size > 0 else 0.0

    def leaves_inward(self, w: Array) -> bool:
        """Whether sliding ends because the inner field no longer pushes out."""
        _, _, _, _, a, b = self._parts(w)
        return b <= -a

    def _parts(self, w: Array) -> tuple[Array, Array, Array, float, float, float]:
        gradient = self.rule.objective.gradient(w)
        size = vector_norm(gradient)
        normal = self.rule.objective.hvp(w, gradient / (size or 1.0))
        normal = normal / (vector_norm(normal) or 1.0)
        v0, v1 = self.outer(w), self.inner(w)
        return v0, v1, normal, size - self.rule.threshold, float(normal @ v0), float(normal @ v1)


@dataclass(frozen=True)
class _MarginRule(EndingRule):
    """Sliding goes on while both fields push."""

    field: SlidingField

    @property
    def cost(self) -> Counts:
        """What one evaluation of the field costs."""
        return self.field.cost

    def __call__(self, t: float, w: Array) -> float:
        """Return the field's margin."""
        return self.field.margin(t, w)
