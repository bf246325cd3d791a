"""``energy="enforce"``: a step over which the phase's objective rises is undone and taken again, shorter."""

from __future__ import annotations

from maml_ode.energy import rises
from maml_ode.flows.fields import Energy
from maml_ode.integrate.methods import facts_of
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Finding, Step
from maml_ode.stop import Stop, StopReason

__all__ = ["EnergyWatch"]

SHORTER = 0.25


class EnergyWatch:
    """Undoes every step that raises the objective beyond rounding; there is no limit on how many."""

    def __init__(self, objective: Energy, tally: Tally, w: object) -> None:
        self._objective = objective
        self._tally = tally
        self._energy = self._value(w)

    def _value(self, w: object) -> float:
        self._tally.add(self._objective.value_cost)
        return self._objective.value(w)  # type: ignore[arg-type]

    def look(self, step: Step) -> Finding | None:
        """Refuse a step that ends higher than it began."""
        value = self._value(step.w)
        if not rises(self._energy, value, self._objective.precision):
            self._energy = value
            return None

        def shorter(plan: Plan) -> Plan | None:
            first = SHORTER * step.length
            if (
                step.t_old + first == step.t_old
                or "first_step" not in facts_of(plan.method).options
            ):
                return None
            self._tally.rejected += 1
            return plan._replace(first_step=first)

        detail = (
            f"The objective rises over every step from t = {step.t_old:.6g}, or the method takes no first_step, "
            "so that energy='enforce' cannot be kept; lower rtol and atol, or take another method."
        )
        return Finding(Stop(StopReason.STEP_TOO_SMALL, detail), keep=False, remedy=shorter)
