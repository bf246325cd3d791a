"""Phases in compiled code: an explicit method of ours on a native field; all others by SciPy's loop."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy.integrate import OdeSolver

from maml_ode._validation import Array
from maml_ode.integrate.locate import Landing
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.solvers import RKC2, Rodas5P
from maml_ode.integrate.solvers.adaptive import SMALLEST_RTOL, beyond, too_small
from maml_ode.integrate.solvers.pauses import BEYOND, FAILURES, JACOBIAN, LOOK, PAUSED, TOO_SMALL
from maml_ode.integrate.steppers.attention import UNLIMITED, Attention
from maml_ode.integrate.steppers.chebyshev_phase import ChebyshevPhase
from maml_ode.integrate.steppers.native_landing import landed
from maml_ode.integrate.steppers.native_phase import EXPLICIT, NativePhase
from maml_ode.integrate.steppers.protocol import Look
from maml_ode.integrate.steppers.rosenbrock_phase import RosenbrockPhase
from maml_ode.integrate.steppers.scipy_ivp import ScipyStepper, failure, land_on
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Crossing, Finding
from maml_ode.integrate.watch.finite import FiniteWatch
from maml_ode.stop import Stop, StopReason

__all__ = ["COMPILED", "NativeStepper"]

COMPILED: tuple[type[OdeSolver], ...] = (*EXPLICIT, Rodas5P, RKC2)
SIZES = ("first_step", "max_step")

# Keys, time limits and progress are seen to between batches, so none may take much longer than this.
BATCH_SECONDS = 0.02
SHORTEST_EVALUATION = 1e-7


class NativeStepper(ScipyStepper):
    """The same steps, counts and findings as `ScipyStepper`, many steps a call.

    Parameters
    ----------
    record : Record
    tally : Tally
    every_step : bool
        Whether somebody wants to see every step by itself.
    """

    def __init__(self, record: Record, tally: Tally, *, every_step: bool) -> None:
        super().__init__(record, tally)
        self._every_step = every_step
        self._seconds_per_evaluation = 0.0

    def arrive(self, segment: Segment) -> Stop | None:
        """Look at the state in which a phase begins."""
        began = time.perf_counter()
        stop = super().arrive(segment)
        self._seconds_per_evaluation = time.perf_counter() - began
        return stop

    def run(self, segment: Segment, plan: Plan, look: Look) -> Finding:
        """Integrate until ``look`` finds something, the method gives up, or the horizon is reached."""
        if not _is_compiled(segment, plan):
            return super().run(segment, plan, look)
        record, evaluator = self._record, segment.evaluator
        t, w = record.t, record.w
        value = evaluator(t, w)
        finite = FiniteWatch(t, w, value)
        attention = Attention(segment, plan, self._every_step or record.keeps_solution, t, w)
        phase = _phase(segment, plan, t, w, value, plan.t_max, **attention.entries())
        while t < plan.t_max:
            code, key = self._advance(phase, segment, attention.room(self._tally.steps))
            self._tally.rejected += phase.rejections
            # A rule looks into the step in which it is met from where the step began. Of a call that a key has
            # ended it is not known whether one was met.
            looks = code == LOOK or key is not None
            for step in phase.batches(looks and segment.rule is not None):
                finding = finite.look(step)
                evaluator.remember(step.w, step.value, finite=finding is None)
                attention.saw(step.steps, step.norm)
                finding = finding or look(step)
                if finding is not None:
                    if key is None:
                        return finding
                    break
            if key is not None:
                raise key
            if code in FAILURES:
                return failure(segment, finite, phase.t, _why(phase.t, code))
            if code == JACOBIAN:
                evaluator.jacobian(phase.t, phase.w.copy())  # which says so
            t = phase.t
            phase.settle()  # now, since a key may be pressed before the next call has begun
        return Finding(Stop(StopReason.HORIZON, f"t = {record.t:.6g}.", asked_for=True))

    def land(self, segment: Segment, plan: Plan, crossing: Crossing) -> None:
        """Step to where the phase's rule is first met."""
        if plan.method not in EXPLICIT or not _is_compiled(segment, plan):
            super().land(segment, plan, crossing)
            return
        if not self._record.keeps_solution:
            landing = landed(segment, plan, crossing)
            if landing is not None:
                self._record.append(*landing, segment.number)
                return
        land_on(
            self._record,
            segment,
            crossing,
            lambda t: self._step_natively(t, segment, plan, crossing),
        )

    def _advance(
        self, phase: NativePhase, segment: Segment, room: int
    ) -> tuple[int, KeyboardInterrupt | None]:
        """Advance by a batch; return why the loop came back, and a key that was pressed meanwhile."""
        began, key = time.perf_counter(), None
        pause = BATCH_SECONDS / max(self._seconds_per_evaluation, SHORTEST_EVALUATION)
        try:
            code = phase.advance(room, max(1, int(pause)))
        except KeyboardInterrupt as pressed:
            code, key = PAUSED, pressed
        phase.book()
        if phase.evaluations:
            self._seconds_per_evaluation = (time.perf_counter() - began) / phase.evaluations
        return code, key

    def _step_natively(self, t: float, segment: Segment, plan: Plan, crossing: Crossing) -> Landing:
        """Integrate from the start of the step to ``t`` with the same method and tolerances."""
        t_old, w_old = crossing.t_old, np.array(crossing.w_old)
        if t <= t_old:
            return Landing(t_old, w_old, [], [])
        value = segment.evaluator(t_old, w_old)
        whole = plan._replace(first_step=t - t_old)
        phase = _phase(segment, whole, t_old, w_old, value, t)
        room = 1 if self._record.keeps_solution else UNLIMITED
        times: list[float] = []
        interpolants: list[Any] = []
        while phase.t < t:
            code, key = self._advance(phase, segment, room)
            if key is not None:
                raise key
            for step in phase.batches(False):
                segment.evaluator.remember(step.w, step.value)
                times += [step.t] if step.batch is None else step.batch.times.tolist()
                kept = step.interpolant() if self._record.keeps_solution else None
                interpolants += [None] * (step.steps - 1) + [kept]
            phase.settle()
            if code in FAILURES:
                dense = crossing.interpolant
                return Landing(t, w_old if dense is None else np.asarray(dense(t)), [t], [dense])
        return Landing(t, phase.w.copy(), times, interpolants)


def _phase(
    segment: Segment, plan: Plan, t: float, w: Array, value: Array, end: float, **entries: Any
) -> NativePhase:
    options = plan.step_options
    first = options.get("first_step")
    if first is not None:
        # Chosen for the whole run, of which less than that may be left.
        first = min(float(first), end - t)
    return _kind(plan)(
        plan.method, segment.evaluator, t, w, value, end, plan.tolerances, first,
        plan.longest_step, **entries,
    )  # fmt: skip


def _kind(plan: Plan) -> type[NativePhase]:
    if plan.method is Rodas5P:
        return RosenbrockPhase
    return ChebyshevPhase if plan.method is RKC2 else NativePhase


def _is_compiled(segment: Segment, plan: Plan) -> bool:
    """Whether the compiled loop takes a phase; what is wrong with an option, the method itself says."""
    options = plan.step_options
    return (
        plan.method in COMPILED
        and (not options or all(name in SIZES and _is_size(options[name]) for name in options))
        and plan.tolerances.rtol >= SMALLEST_RTOL
        and segment.evaluator.native is not None
        and _kind(plan).takes(segment.evaluator)
    )


def _is_size(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _why(t: float, code: int) -> str:
    return beyond(t) if code == BEYOND else too_small(t, code == TOO_SMALL)
