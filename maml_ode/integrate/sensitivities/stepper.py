"""Phases of the augmented system: at a switch the derivatives jump with the velocity."""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.sensitivities.field import AugmentedField
from maml_ode.integrate.sensitivities.legs import AugmentedLegs
from maml_ode.integrate.sensitivities.rules import AugmentedRule, FirstOf, time_slopes
from maml_ode.integrate.steppers.scipy_ivp import ScipyStepper
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Crossing

__all__ = ["AugmentedStepper"]


class AugmentedStepper(ScipyStepper):
    """Lands as `ScipyStepper` does, and then adds (X_1 - X_2) dt/dp to the derivatives (saltation).

    Attributes
    ----------
    landings : list of (float, ndarray of shape (P,))
        When phases ended, and how these times depend on the parameters.
    """

    def __init__(self, record: Record, tally: Tally, legs: AugmentedLegs) -> None:
        super().__init__(record, tally)
        self._legs = legs
        self.landings: list[tuple[float, Array]] = []

    def land(self, segment: Segment, plan: Plan, crossing: Crossing) -> None:
        """Step to where the phase's rule is first met, and carry the derivatives over."""
        super().land(segment, plan, crossing)
        record, field, evaluator = self._record, segment.leg.field, segment.rule
        if evaluator is None or not isinstance(field, AugmentedField):
            raise RuntimeError("a phase has ended without a rule; this is a defect of maml_ode.")
        t, z = record.t, np.array(record.w)
        w, rows = field.split(z)
        rule = evaluator.rule
        if isinstance(rule, FirstOf):
            rule = rule.met(t, z)
        if isinstance(rule, AugmentedRule):
            rule = rule.rule
        slopes = time_slopes(rule, field, t, w, rows, evaluator.largest)
        self.landings.append((t, slopes))
        following = self._following(segment, t, z)
        if following is None:
            return
        jump = field.field(w) - following.field(w)
        rows = rows + np.outer(slopes, jump)
        record.append(t, np.concatenate([w, rows.ravel()]), segment.number)

    def _following(self, segment: Segment, t: float, z: Array) -> AugmentedField | None:
        """Return the field that comes into force, past phases whose rule is met already; None at the end.

        Where all are met the run ends here, in the last of them: its field is what the moving end is read with.
        """
        number, found = segment.leg.then, None
        while number < len(self._legs.legs):
            leg = self._legs.legs[number]
            found = leg.field
            if leg.rule is None or leg.rule(t, z) > 0:
                break
            number = leg.then
        return found if isinstance(found, AugmentedField) else None
