"""The first time inside a step at which a phase's ending rule is met."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows.switch_rules import CallableRule
from maml_ode.integrate.evaluation import RuleEvaluator
from maml_ode.integrate.norms import vector_norm
from maml_ode.integrate.watch.finding import Crossing, Finding, Interpolant, Step
from maml_ode.stop import Stop, StopReason

__all__ = ["CrossingWatch"]

# Looks inside a step; as many as needed where a user's function turns more than twice between them.
FEW, MORE, MOST = 4, 8, 256
# A rule touches 0 where it comes this close to it, as a share of its size beside the touching point.
TOUCH = 1e-10
NEARLY = 1e-6
GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
# A norm may dip between the ends of a step: worth a look where a cubic says that it comes this near.
NEAR = 1.5
ROUNDING = 1e-12


class CrossingWatch:
    """Finds the first time at which the rule is met, in the step in which it happens.

    Where the rule may have begun its own phase, it must first rise above what the switch left of it; where it is
    ``retested``, moving away from the switch to the other side ends the phase at its beginning.
    """

    def __init__(self, rule: RuleEvaluator, t: float, w: Array, retested: bool) -> None:
        self._retested = retested
        self._rule = rule
        self._side = rule(t, w)
        self._start = min(self._side, 0.0)
        self._armed = not rule.recurs or self._side > rule.residue
        self._looks = MORE if isinstance(rule.rule, CallableRule) else FEW

    def look(self, step: Step) -> Finding | None:
        """Return the crossing in this step, if there is one."""
        side = self._rule(step.t, step.w)
        bracket: tuple[float, float] | None
        interpolant = None
        if not self._armed:
            # The event that began this phase must not end it: wait until the state has moved away.
            self._armed = side > self._rule.residue
            beyond = self._retested and side < self._start - self._rule.residue
            if not beyond:
                self._side = side
                return None
            bracket = step.t_old, step.t_old
        else:
            met = self._rule.is_met(side)
            if self._rule.shares_field and (met or not self._may_dip(step)):
                bracket = (step.t_old, step.t) if met else None
            else:
                interpolant = step.interpolant()
                bracket = self._first(step, interpolant, side)
        if bracket is None:
            self._side = side
            return None
        interpolant = interpolant or step.interpolant()
        crossing = Crossing(step.t_old, step.w_old, *bracket, interpolant)
        return Finding(Stop(StopReason.SWITCHED), keep=False, crossing=crossing)

    def _may_dip(self, step: Step) -> bool:
        """Whether the norm of the phase's own field may have been at the threshold inside the step.

        Read off the cubic through both ends, which costs no evaluation. On a convex objective the norm falls
        all the way, and no look is taken before the step that crosses.
        """
        if self._rule.rule.sign < 0:
            return False
        near = NEAR * (self._rule.rule.scale or 0.0)
        inside = (vector_norm(self._slope(step, share)) for share in (0.25, 0.5, 0.75))
        return (step.norm <= near or any(norm <= near for norm in inside)) and self._turns(step)

    def _turns(self, step: Step) -> bool:
        """Whether the norm rises at the end of the step."""
        direction = step.value / (step.norm or 1.0)
        return bool(direction @ (step.value - self._slope(step, 0.9)) > 0)

    @staticmethod
    def _slope(step: Step, s: float) -> Array:
        chord = (step.w - step.w_old) / step.length
        inner = 6 * s * (1 - s) * chord
        return np.asarray(
            inner + (1 - s) * (1 - 3 * s) * step.value_old + s * (3 * s - 2) * step.value
        )

    def _first(self, step: Step, dense: Interpolant, side: float) -> tuple[float, float] | None:
        """Return a bracket of the first time at which the rule is met inside the step, or None."""
        looks = self._looks
        known = {step.t_old: self._side, step.t: side}
        while True:
            times = [float(t) for t in np.linspace(step.t_old, step.t, looks + 2)]
            for t in times[1:-1]:
                if t not in known:
                    known[t] = self._rule(t, np.asarray(dense(t)))
            values = [known[t] for t in times]
            turns = _turns(values)
            if turns <= 2 or looks >= MOST or self._looks == FEW:
                break
            looks = 4 * looks + 3  # keeps the times of the looks taken so far
        for k in range(1, len(times)):
            if self._rule.is_met(values[k]):
                return times[k - 1], times[k]
            dip = None
            if k < len(times) - 1 and values[k] < values[k - 1] and values[k] <= values[k + 1]:
                dip = self._dip(
                    dense, times[k - 1], times[k + 1], max(values[k - 1], values[k + 1])
                )
            if dip is not None:
                return times[k - 1], dip
        return None

    def _dip(self, dense: Interpolant, low: float, high: float, size: float) -> float | None:
        """Return a time between two looks at which the rule is met, or touches 0."""
        from scipy.optimize import minimize_scalar

        def value(share: float) -> float:
            t = low + share * (high - low)
            return self._rule(t, np.asarray(dense(t)))

        best = minimize_scalar(value, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-12})
        share, least = float(best.x), float(best.fun)
        if not self._rule.is_met(least) and TOUCH * size < least <= NEARLY * size:
            # The tip of a kink: Brent's method stops at the square root of the rounding.
            share, least = _golden(value, share - NEARLY, share + NEARLY)
        if self._rule.is_met(least) or least <= TOUCH * size:
            return low + share * (high - low)
        return None


def _golden(value: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """Return the place and size of the least value between ``low`` and ``high``, by golden sections."""
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = value(a), value(b)
    while low < a < b < high:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - GOLDEN * (high - low)
            at_a = value(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + GOLDEN * (high - low)
            at_b = value(b)
    return (a, at_a) if at_a <= at_b else (b, at_b)


def _turns(values: list[float]) -> int:
    """Return how often a sequence changes between rising and falling, beyond rounding."""
    noise = ROUNDING * max(abs(v) for v in values)
    steps = [b - a for a, b in itertools.pairwise(values)]
    rises = [step > 0 for step in steps if abs(step) > noise and math.isfinite(step)]
    return sum(a != b for a, b in itertools.pairwise(rises))
