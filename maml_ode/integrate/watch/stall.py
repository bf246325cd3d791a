"""A norm that hovers at the floor which the error tolerances set, and a state that no longer moves."""

from __future__ import annotations

import math

from maml_ode._validation import Array
from maml_ode.integrate.norm_bounds import GROWN, STALL_FLOOR, STALL_STEPS
from maml_ode.integrate.norms import vector_norm
from maml_ode.integrate.plan import Plan, Tolerances
from maml_ode.integrate.watch.finding import Finding, Step
from maml_ode.stop import Stop, StopReason
from maml_ode.tasks.base import DOUBLE_PRECISION

__all__ = ["Hovering", "RestWatch", "StallWatch"]

REST_STEPS = 10
EPS = 2.0**-52


class Hovering:
    """Recognises a norm that has stopped falling, at the size that the error tolerances account for.

    An explicit method at its stability limit keeps a residual of about lambda (atol + rtol |w|), and an
    implicit one stops its inner iteration at a similar size; lambda is read off two successive states.
    """

    def __init__(self, tolerances: Tolerances) -> None:
        self._tolerances = tolerances
        self.best = math.inf
        self._steps_since_best = self._steps_above = 0
        self._length_at_best = math.inf
        self._largest = 0.0

    def sees(self, step: Step) -> bool:
        """Whether the norm hovers there after the last step of this batch."""
        batch = step.batch
        norms = [step.norm] if batch is None else batch.norms.tolist()
        best, since, above, found = self.best, self._steps_since_best, self._steps_above, -1
        for k, norm in enumerate(norms):
            above = above + 1 if norm > GROWN * best else 0
            if norm < best or above >= STALL_STEPS:
                best, since, above, found = norm, 0, 0, k
            else:
                since += 1
        self.best, self._steps_since_best, self._steps_above = best, since, above
        self._largest = max(self._largest, *norms)
        if found == 0:
            self._length_at_best = step.length
        elif batch is not None and found > 0:
            self._length_at_best = float(batch.times[found]) - float(batch.times[found - 1])
        if self._steps_above or self._steps_since_best < STALL_STEPS:
            return False
        moved = vector_norm(step.w - step.w_old)
        curvature = vector_norm(step.value - step.value_old) / moved if moved > 0 else 0.0
        floor = curvature * (self._tolerances.atol + self._tolerances.rtol * vector_norm(step.w))
        if moved == 0:
            return not (self.slow(step) and step.length > 2 * self._length_at_best)
        return self.best <= STALL_FLOOR * floor

    def slow(self, step: Step) -> bool:
        """Whether longer steps may move the state: the field times this one's length is lost in it.

        A field that has fallen to the rounding of what it was is not slow but at rest.
        """
        lost = step.norm * step.length <= 4 * EPS * vector_norm(step.w)
        return bool(lost and step.norm > 4 * EPS * self._largest)


class StallWatch:
    """Lowers the tolerances where the norm hovers above its target, or names a target out of reach.

    A ``patient`` watch does not name it: the run goes on to its finite horizon.
    """

    def __init__(self, plan: Plan, target: float, patient: bool) -> None:
        self._plan = plan
        self._target = target
        self._patient = patient
        self._hovering = Hovering(plan.tolerances)

    def look(self, step: Step) -> Finding | None:
        """Look whether the norm hovers above the target."""
        if not self._hovering.sees(step):
            return None
        tighter = self._plan.tolerances.tightened()
        if tighter is None and self._patient:
            return None
        given = self._plan.tolerances
        way_out = "lower rtol and atol, or raise it"
        if given.precision > DOUBLE_PRECISION:
            way_out = f"the losses are computed with eps = {given.precision:.2g}: raise it, or compute in double"
        detail = (
            f"At rtol = {given.rtol:.3g}, atol = {given.atol:.3g} it hovers near {self._hovering.best:.3g}, "
            f"above the wanted {self._target:g}; {way_out}."
        )
        stop = Stop(StopReason.TOLERANCE_OUT_OF_REACH, detail)
        if tighter is None:
            return Finding(stop)
        return Finding(stop, remedy=lambda plan: plan._replace(tolerances=tighter))


class RestWatch:
    """Recognises that a phase which waits for its ending rule no longer moves.

    At rest is a field that is exactly 0, one that hovers at rounding's floor, and a state that ten steps of
    growing length have not changed, although the field times their length would have.
    """

    def __init__(self, plan: Plan) -> None:
        self._hovering = Hovering(plan.tolerances)
        self._still: list[float] = []

    def look(self, step: Step) -> Finding | None:
        """Look whether the state moved."""
        if step.norm == 0.0 or self._hovering.sees(step) or self._is_still(step):
            return Finding(Stop(StopReason.STATIONARY, f"At rest from t = {step.t:.6g} on."))
        return None

    def _is_still(self, step: Step) -> bool:
        if not _same(step.w_old, step.w) or self._hovering.slow(step):
            self._still.clear()
            return False
        self._still.append(step.length)
        return len(self._still) >= REST_STEPS and step.length >= 2 * self._still[-REST_STEPS]


def _same(before: Array, after: Array) -> bool:
    return bool(vector_norm(after - before) <= 4 * EPS * vector_norm(after))
