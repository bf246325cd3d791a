"""Steps of an explicit method that stay at its stability limit."""

from __future__ import annotations

from maml_ode.integrate.evaluation import FieldEvaluator
from maml_ode.integrate.methods import facts_of
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.stiffness import largest_rate
from maml_ode.integrate.watch.finding import Finding, Step
from maml_ode.stop import Stop, StopReason

__all__ = ["StiffnessWatch"]

STEPS_BETWEEN_LOOKS = 50


class StiffnessWatch:
    """Hands over to the stiff method when the last steps, times the largest rate, kept to the stability limit.

    A look at the spectrum costs about as much as a step or two, so it is taken once in a while.
    """

    def __init__(self, evaluator: FieldEvaluator, plan: Plan, t: float) -> None:
        self._evaluator = evaluator
        self._limit = facts_of(plan.method).stiff_from
        self._began = t
        self._steps = 0
        # The step at which a look is taken is in the span of the next one, so the first span lacks one.
        self._lacking = 1

    def look(self, step: Step) -> Finding | None:
        """Look at the spectrum every so many steps."""
        self._steps += step.steps
        if self._limit is None or self._steps < STEPS_BETWEEN_LOOKS:
            return None
        rate = largest_rate(self._evaluator.field, step.w, self._evaluator.tally)
        span, self._began = step.t_old - self._began, step.t_old
        steps, self._steps, self._lacking = self._steps - self._lacking, 0, 0
        if rate is None or span * rate <= self._limit * steps:
            return None

        def to_stiff_method(plan: Plan) -> Plan | None:
            if plan.stiff_method is None:
                return None
            note = (
                f"{plan.note}; {plan.stiff_method.__name__} from t = {step.t:.4g} on, where "
                f"{plan.method.__name__}'s steps times lambda_max = {rate:.3g} stayed at its stability limit"
            )
            return plan._replace(
                method=plan.stiff_method, stiff_method=None, first_step=None, note=note
            )

        stop = Stop(StopReason.STEP_LIMIT, "Stiffness shows; take a stiff method such as Rodas5P.")
        return Finding(stop, remedy=to_stiff_method)
