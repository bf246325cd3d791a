"""Ending rules on the augmented state, and how the time at which one is met depends on the parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows import EndingRule, GradientNormBelow, OnlineSwitch
from maml_ode.integrate.sensitivities.field import AugmentedField
from maml_ode.integrate.sensitivities.inner_steps import InnerDerivatives
from maml_ode.integrate.sensitivities.parameters import Block
from maml_ode.objectives import MAMLLoss

__all__ = ["AtRest", "AugmentedRule", "FirstOf", "time_slopes"]

# A rule whose slope along the path is less than this share of its slope across it is touched and not crossed.
TANGENT = 1e-6
# Steps of central differences, as shares of the size of the state and of the time.
STEP = 6e-6


@dataclass(frozen=True)
class AugmentedRule(EndingRule):
    """A rule that looks at the first ``dim`` entries of the state, at w."""

    rule: EndingRule
    dim: int

    @property
    def cost(self) -> Counts | None:
        """That of the rule."""
        return self.rule.cost

    @property
    def scale(self) -> float | None:
        """That of the rule."""
        return self.rule.scale

    @property
    def strict(self) -> bool:
        """As the rule."""
        return self.rule.strict

    def __call__(self, t: float, w: Array) -> float:
        """Return the rule's value at w."""
        return self.rule(t, np.ascontiguousarray(w[: self.dim]))


@dataclass(frozen=True)
class AtRest(EndingRule):
    """The rule that the norm of a field has fallen to ``tol``: where a run that is differentiated ends."""

    field: AugmentedField
    tol: float

    @property
    def cost(self) -> Counts:
        """One evaluation of the field."""
        return self.field.field.cost

    @property
    def scale(self) -> float:
        """The tolerance."""
        return self.tol

    def __call__(self, t: float, w: Array) -> float:
        """Return ||X(w)|| - tol."""
        return vector_norm(self.field.field(np.ascontiguousarray(w))) - self.tol


@dataclass(frozen=True)
class FirstOf(EndingRule):
    """The rule that one of two is met."""

    one: EndingRule
    other: EndingRule

    @property
    def cost(self) -> Counts | None:
        """Both."""
        if self.one.cost is None or self.other.cost is None:
            return None
        return self.one.cost + self.other.cost

    def __call__(self, t: float, w: Array) -> float:
        """Return the smaller value."""
        return min(self.one(t, w), self.other(t, w))

    def met(self, t: float, w: Array) -> EndingRule:
        """Return the one that is met."""
        return self.one if self.one(t, w) <= self.other(t, w) else self.other


def time_slopes(
    rule: EndingRule, field: AugmentedField, t: float, w: Array, rows: Array, largest: float
) -> Array:
    """Return the derivative of the time at which ``rule`` is met by every parameter, shape (P,).

    With h(t, w; p) = 0 there, dt/dp = -(grad h . S + dh/dp)/(grad h . X + dh/dt).

    Parameters
    ----------
    rule : EndingRule
        On w.
    field : AugmentedField
        Of the phase that ends.
    t, w, rows
        Where, and the columns of S there, shape (P, d).
    largest : float
        How large the rule has been.

    Raises
    ------
    ValueError
        If the path does not cross the rule but touches it: the time then has no derivative.
    """
    velocity = field.field(w)
    if isinstance(rule, AtRest):
        normal = velocity / vector_norm(velocity)
        turning = field.products(w, velocity[np.newaxis])[0]
        slopes = field(np.concatenate([w, rows.ravel()]))[w.size :].reshape(rows.shape) @ normal
        rate, size = float(normal @ turning), vector_norm(turning)
    elif isinstance(rule, GradientNormBelow):
        gradient = rule.objective.gradient(w)
        normal = gradient / vector_norm(gradient)
        across = rule.objective.hvp(w, normal)
        slopes = rows @ across + _moves_norm(rule, field.blocks, w, normal)
        rate, size = float(across @ velocity), vector_norm(across) * vector_norm(velocity)
    else:
        slopes = np.array([_along(lambda x: rule(t, x), w, row) for row in rows])
        slopes += _moves_online(rule, field.blocks, w)
        step = STEP * (abs(t) or 1.0)
        rate = (rule(t + step, w) - rule(t - step, w)) / (2.0 * step)
        rate += _along(lambda x: rule(t, x), w, velocity)
        size = largest / (abs(t) or 1.0)
    if not abs(rate) > TANGENT * size:
        raise ValueError(
            f"at t = {t:.6g} the path touches the surface where {_words(rule)} instead of crossing it, so that "
            "time and what follows have no derivative; move the tolerance, or leave sensitivities= out."
        )
    return np.asarray(-slopes / rate)


def _words(rule: EndingRule) -> str:
    if isinstance(rule, AtRest):
        return f"the norm of the field is tol = {rule.tol:g}"
    if isinstance(rule, GradientNormBelow):
        return f"the gradient norm is {rule.threshold:g}"
    return "the phase's rule is met"


def _moves_norm(rule: GradientNormBelow, blocks: list[Block], w: Array, normal: Array) -> Array:
    """Return the derivatives of ||grad|| - threshold by the parameters at fixed w."""
    objective = rule.objective
    point = InnerDerivatives(objective._inner, "maml").at(w)
    moves = np.zeros(sum(block.size for block in blocks))
    for block in blocks:
        if block.name == "switch_tol":
            moves[block.columns] = -1.0
        elif block.name == "alpha" and isinstance(objective, MAMLLoss):
            moves[block.columns] = point.by_alpha() @ normal
        elif block.name == "weights":
            moves[block.columns] = point.by_weights() @ normal
    return moves


def _moves_online(rule: EndingRule, blocks: list[Block], w: Array) -> Array:
    """Return the derivatives of a switch that finds itself; a user's rule depends on no parameter."""
    moves = np.zeros(sum(block.size for block in blocks))
    if not isinstance(rule, OnlineSwitch):
        return moves
    tasks, p = rule.tasks, rule.tasks.weights
    gradients = tasks.gradients(w)
    products = tasks.hvps(w, gradients)
    mean, force = p @ gradients, p @ products
    normal, push = mean / vector_norm(mean), force / (vector_norm(force) or 1.0)
    for block in blocks:
        if block.name == "alpha":
            moves[block.columns] = -2.0 * vector_norm(force) / rule.divisor
        elif block.name == "weights":
            share = 2.0 * rule.alpha / rule.divisor
            moves[block.columns] = gradients @ normal - share * (products @ push)
    return moves


def _along(function: Callable[[Array], float], w: Array, direction: Array) -> float:
    """Return the derivative of a function along a direction, by a central difference."""
    size = vector_norm(direction)
    if size == 0.0:
        return 0.0
    step = STEP * (vector_norm(w) or 1.0)
    unit = direction / size
    return size * (function(w + step * unit) - function(w - step * unit)) / (2.0 * step)
