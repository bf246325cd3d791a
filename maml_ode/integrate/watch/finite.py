"""States and fields that are not finite, and steps too short to change the time."""

from __future__ import annotations

import math

from maml_ode._validation import Array
from maml_ode.integrate.methods import facts_of
from maml_ode.integrate.norms import all_finite, vector_norm
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.watch.finding import Finding, Step
from maml_ode.stop import Stop, StopReason

__all__ = ["FiniteWatch"]

SHORTEST_BOUND = 1e-4


class FiniteWatch:
    """Refuses a step that ends in a state or a derivative which is not finite.

    SciPy's explicit methods shrink such a step themselves. Its implicit ones and LSODA give up, or return
    NaN, so they are started again from the last good state with a bound on the step.
    """

    def __init__(self, t: float, w: Array, value: Array) -> None:
        self._t = t
        self._start = w, value
        self._has_moved = False
        self._last_step = 0.0

    def look(self, step: Step) -> Finding | None:
        """Refuse what is not finite, and a step that does not change t."""
        if not all_finite(step.w):
            return self.failed(f"The state was not finite at t = {step.t:.6g}.")
        if not math.isfinite(step.norm) and not all_finite(step.value):
            return self.failed(f"The field was not finite at t = {step.t:.6g}.")
        if step.t == step.t_old:
            # LSODA goes on reporting steps when its step no longer changes t.
            return Finding(Stop(StopReason.STEP_TOO_SMALL, f"At t = {step.t:.6g}."))
        self._has_moved = True
        self._last_step, self._t = step.length, step.t
        return None

    def failed(self, detail: str) -> Finding:
        """Return the finding of a solver that gave up on what is not finite."""
        return Finding(Stop(StopReason.NON_FINITE, detail), keep=False, remedy=self._shorten)

    def _shorten(self, plan: Plan) -> Plan | None:
        """Shorten the steps, where there is a point in it and the method takes such a bound."""
        taken, options = facts_of(plan.method).options, plan.step_options
        if not self._has_moved and "max_step" not in options:
            # The method's own guess of a first step ran out of the field's domain.
            if "first_step" not in taken or "first_step" in plan.options:
                return None
            size, speed = (vector_norm(v) for v in self._start)
            guess = 1e-8 * (size or 1.0) / max(speed, 1e-300)
            first = guess if plan.first_step is None else 1e-3 * plan.first_step
            return plan._replace(first_step=first) if self._t + first > self._t else None
        if "max_step" not in taken:
            return None
        bound = plan.longest_step
        bound = 10.0 * self._last_step if math.isinf(bound) else 0.1 * bound
        if bound < SHORTEST_BOUND * self._t or bound == 0.0:
            return None
        first_step = 0.1 * bound if "first_step" in taken else None
        return plan._replace(max_step=bound, first_step=first_step)
