"""Phases by forward Euler: the discrete algorithms."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows import Flow
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.flows.second_order_fields import SecondOrderField
from maml_ode.integrate.callback import Callback, State, ends_run
from maml_ode.integrate.evaluation import FieldEvaluator, RuleEvaluator
from maml_ode.integrate.norms import all_finite, vector_norm
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.steppers.euler_phase import EulerPhase
from maml_ode.integrate.steppers.protocol import Look
from maml_ode.integrate.steppers.second_order_euler_phase import SecondOrderEulerPhase
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Crossing, Finding
from maml_ode.stop import Stop, StopReason

__all__ = ["EulerStepper"]


class EulerStepper:
    """w_{k+1} = w_k + step_size v(w_k), looked at before every step: the phase first, then stationarity.

    Parameters
    ----------
    flow : Flow
    record, tally
    step_size : float
    tol : float
        Under a rule that is tested again at every iteration, the norm of the last phase's field is compared
        with it in every phase, as Algorithm 1 of the paper does.
    max_iter, record_every : int
    callback, progress
    compiled : bool
        Whether affine fields, and what they drive, are followed in compiled code too.
    done : int
        Iterations before this run.
    """

    locates = False
    by_formula = False

    def __init__(
        self,
        flow: Flow,
        record: Record,
        tally: Tally,
        *,
        step_size: float,
        tol: float,
        max_iter: int,
        record_every: int,
        callback: Callback | None,
        progress: Progress,
        compiled: bool,
        done: int = 0,
    ) -> None:
        self._flow = flow
        self._record = record
        self._tally = tally
        self._step_size = step_size
        self._tol = tol
        self._max_iter = max_iter
        self._record_every = record_every
        self._callback = callback
        self._progress = progress
        self._compiles = compiled
        self._last_field = None
        if flow.retested:
            self._last_field = FieldEvaluator(flow.legs[-1].field, tally, compiled=compiled)
        self._k = done

    def arrive(self, segment: Segment) -> Stop | None:
        """Leave every look to `run`: an iterate at which a phase begins is looked at as any other."""
        return None

    def land(self, segment: Segment, plan: Plan, crossing: Crossing) -> None:
        """Record the iterate at which the phase ended."""
        self._record.close()

    def run(self, segment: Segment, plan: Plan, look: Look) -> Finding:
        """Iterate until the phase's rule is met at an iterate, or the run ends."""
        if isinstance(segment.leg.field, LiftedField):
            return self._run_lifted(segment, segment.leg.field)
        compiled = self._compiled(segment)
        while True:
            # With tol = 0 nothing is left to decide at the last point, so its field is not evaluated.
            unseen = self._k == self._max_iter and self._tol == 0
            t, w = self._record.t, self._record.w
            velocity = np.zeros_like(w) if unseen else segment.evaluator(t, w)
            norm = math.nan if unseen else vector_norm(velocity)
            self._record.know(norm)
            stop = self._at_iterate(segment, t, w, norm, unseen)
            if stop is not None:
                return Finding(stop)
            room = 0 if compiled is None else self._max_iter - self._k - self._unasked(segment)
            if compiled is not None and room > 0 and compiled.advance(self._k, room, w, velocity):
                self._k += compiled.steps
            else:
                with np.errstate(all="ignore"):
                    following = w + self._step_size * velocity
                if not all_finite(following):
                    detail = f"At iteration {self._k + 1}; lower step_size."
                    return Finding(Stop(StopReason.NON_FINITE, detail))
                self._k += 1
                self._tally.steps += 1
                self._move(segment, following)
            self._progress.update(t, norm)
            t, w = self._record.t, self._record.w
            if segment.rule is not None and segment.rule.is_met(segment.rule(t, w)):
                return Finding(Stop(StopReason.SWITCHED), crossing=Crossing(t, w, t, t))

    def _run_lifted(self, segment: Segment, field: LiftedField) -> Finding:
        """Iterate the algorithm that a lifted field carries."""
        driving = FieldEvaluator(field.driving, self._tally, compiled=self._compiles)
        rule = segment.rule
        # Heavy ball evaluates the gradient in w, so that a rule which looks at it there costs nothing anew.
        shares = _looks_at_force(segment, field) and field.clock is None
        if rule is not None and shares:
            rule = RuleEvaluator(rule.rule, driving, rule.recurs)
        compiled = self._compiled_lifted(segment, field, driving)
        h = self._step_size
        while True:
            unseen = self._k == self._max_iter and self._tol == 0
            t, z = self._record.t, self._record.w
            norm, driven = math.nan, np.empty(0)
            if not unseen:
                driven = driving(t, np.ascontiguousarray(field.look_ahead(z, h)))
                norm = field.discrete_rest_norm(z, driven)
                if self._tol > 0 and segment.leg.final and norm <= self._tol:
                    # The algorithm may look ahead of w: what ends the run is the gradient at w itself.
                    norm = field.discrete_rest_norm(z, driving(t, np.array(field.at(z))))
            stop = self._at_iterate(segment, t, field.observe(z), norm, unseen)
            if stop is not None:
                return Finding(stop)
            # With tol = 0 nothing is left to decide at the last iterate.
            room = self._max_iter - self._k - int(self._tol == 0)
            if compiled is not None and room > 0 and compiled.go_on(self._k, room, z, driven):
                self._k += compiled.steps
            else:
                with np.errstate(all="ignore"):
                    following = field.advance(z, h, driven)
                if not all_finite(following):
                    detail = f"At iteration {self._k + 1}; lower step_size."
                    return Finding(Stop(StopReason.NON_FINITE, detail))
                self._k += 1
                self._tally.steps += 1
                self._move(segment, following)
            self._progress.update(t, norm)
            t, z = self._record.t, self._record.w
            seen = np.array(field.observe(z)) if shares else z
            if rule is not None and rule.is_met(rule(t, seen)):
                return Finding(Stop(StopReason.SWITCHED), crossing=Crossing(t, z, t, t))

    def _compiled_lifted(
        self, segment: Segment, field: LiftedField, driving: FieldEvaluator
    ) -> SecondOrderEulerPhase | None:
        """Return the loop that takes the steps at which nothing happens, None where every step is looked at."""
        if not isinstance(field, SecondOrderField) or self._callback is not None:
            return None
        if segment.rule is not None and not _looks_at_force(segment, field):
            return None
        if (field.driving.affine is not None and not self._compiles) or driving.native is None:
            return None
        if not math.isfinite(self._max_iter * self._step_size):
            return None
        tested = self._tol > 0 and segment.leg.final
        return SecondOrderEulerPhase(
            field, driving, segment, self._record, self._step_size, self._record_every,
            self._tol if tested else -1.0, self._max_iter - self._k,
        )  # fmt: skip

    def _compiled(self, segment: Segment) -> EulerPhase | None:
        """Return the loop that takes the steps at which nothing happens, None where every step is looked at."""
        rule = segment.rule
        everything_seen = self._callback is None and (rule is None or rule.shares_field)
        if self._last_field is not None and self._tol > 0:
            everything_seen &= segment.number == len(self._flow.legs) - 1
        field = segment.leg.field
        native = (field.affine is None or self._compiles) and field.native is not None
        if not (native and everything_seen and math.isfinite(self._max_iter * self._step_size)):
            return None
        tested = self._tol > 0 and (segment.leg.final or self._last_field is not None)
        return EulerPhase(
            segment, self._record, self._step_size, self._record_every, self._tol if tested else -1.0,
            self._max_iter - self._k,
        )  # fmt: skip

    def _unasked(self, segment: Segment) -> int:
        """Return 1 if nobody asks for the field at the last iterate."""
        return int(self._tol == 0 and segment.rule is None)

    def _move(self, segment: Segment, w: Array) -> None:
        t = self._k * self._step_size
        if self._k % self._record_every == 0:
            self._record.append(t, w, segment.number)
        else:
            self._record.move(t, w, segment.number)

    def _at_iterate(
        self, segment: Segment, t: float, w: Array, norm: float, unseen: bool
    ) -> Stop | None:
        """Return what ends the run at w_k, or None."""
        k = self._k
        if self._callback is not None and k > 0:
            state = State(t, w.copy(), segment.number, float(norm), k)
            if ends_run(self._callback, state):
                return Stop(StopReason.INTERRUPTED, f"By the callback at iteration {k}.")
        if not unseen and not math.isfinite(norm):
            label = segment.leg.field.label
            detail = f"The field {label} at iteration {k}; lower step_size."
            return Stop(StopReason.NON_FINITE, detail)
        if self._tol > 0 and self._tested_norm(segment, t, w, norm) <= self._tol:
            detail = f"tol = {self._tol:g} at iteration {k}."
            return Stop(StopReason.STATIONARY, detail, asked_for=True)
        if k == self._max_iter:
            detail = f"max_iter = {self._max_iter}.{self._remark()}"
            return Stop(StopReason.STEP_LIMIT, detail, asked_for=self._tol == 0)
        return None

    def _tested_norm(self, segment: Segment, t: float, w: Array, norm: float) -> float:
        """Return the norm that the stationarity test looks at; infinite where it does not look."""
        if self._last_field is None:
            return norm if segment.leg.final else math.inf
        if segment.number == len(self._flow.legs) - 1:
            return norm
        judged = vector_norm(self._last_field(t, w))
        self._record.know(judged, len(self._flow.legs) - 1)
        return judged

    def _remark(self) -> str:
        """Return a sentence on repeated switching."""
        changes = len(self._record.switches)
        if not self._flow.retested or changes < 2:
            return ""
        return f" The phase changed {changes} times: the test is repeated at every iteration."


def _looks_at_force(segment: Segment, field: LiftedField) -> bool:
    """Whether a phase's rule looks at the norm of the gradient that drives it."""
    rule = segment.rule
    return (
        rule is not None
        and isinstance(field, SecondOrderField)
        and rule.rule.norm_of is field.driving.descends
    )
