"""The one loop over the phases of a flow: start, look, switch, slide, end."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode.flows import Flow
from maml_ode.flows.flow import Leg
from maml_ode.flows.sliding import SlidingField
from maml_ode.integrate.callback import Callback, State, ends_run
from maml_ode.integrate.evaluation import FieldEvaluator, RuleEvaluator
from maml_ode.integrate.lifting import entered
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.record import Record
from maml_ode.integrate.rest import never_met, time_at_rest, waits_for_ever
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.steppers.protocol import Look, Stepper
from maml_ode.integrate.tally import Abort, Tally
from maml_ode.integrate.watch.clockless import timeless
from maml_ode.integrate.watch.crossing import CrossingWatch
from maml_ode.integrate.watch.energy import EnergyWatch
from maml_ode.integrate.watch.finding import Finding, Step, Watcher
from maml_ode.integrate.watch.stall import RestWatch, StallWatch
from maml_ode.integrate.watch.stationarity import StationarityWatch
from maml_ode.integrate.watch.stiffness import StiffnessWatch
from maml_ode.stop import Stop, StopReason

__all__ = ["Driver"]

# So many switches within a share of the time that the run has come are no progress.
CHATTER_SWITCHES = 100
CHATTER_SHARE = 1e-9
OUT_OF_STEPS = Stop(StopReason.STEP_LIMIT, "Raise max_steps to go on.")


class Driver:
    """Follows a flow from phase to phase with a stepper, and records it.

    Whatever ends a run - a stop rule, a limit, an interrupt at any moment - leaves the record with what was
    computed until then, and with why it ended.

    Parameters
    ----------
    flow : Flow
    stepper : Stepper
    plan : Plan
    record : Record
    tally : Tally
    tol : float
        Stationarity of final phases.
    follow_sliding : bool
        Whether to follow a path along a surface at which two phases push at each other.
    callback, progress
    compiled : bool
        Whether the method evaluates compiled fields itself.
    """

    def __init__(
        self,
        flow: Flow,
        stepper: Stepper,
        plan: Plan,
        record: Record,
        tally: Tally,
        *,
        tol: float,
        follow_sliding: bool = False,
        callback: Callback | None = None,
        progress: Progress,
        compiled: bool = False,
    ) -> None:
        self.flow = flow
        self.stepper = stepper
        self.plan = plan
        self.record = record
        self.tally = tally
        self.tol = tol
        self.follow_sliding = follow_sliding
        self.callback = callback
        self.progress = progress
        self._compiled = compiled
        # How large the state was where a phase began.
        self._reach = 0.0
        self._segments = [self._segment(number, leg) for number, leg in enumerate(flow.legs)]

    def run(self, number: int | None = None) -> None:
        """Follow the flow from the record's state, in phase ``number`` if that is known."""
        try:
            self.record.stop = self._follow(number)
        except Abort as abort:
            self.record.stop = abort.stop
        except KeyboardInterrupt:
            self.record.interrupt()

    def _follow(self, number: int | None) -> Stop:
        record, legs = self.record, self.flow.legs
        number = self._first_phase() if number is None else number
        left: int | None = None
        while True:
            number = self._skip_met(number, left)
            if number >= len(legs):
                record.enter(len(legs) - 1)
                return Stop(StopReason.SWITCHED, asked_for=True)
            record.enter(number)
            stop = self._advance(self._segments[number])
            if stop is not None:
                return stop
            self._leave(number)
            left, number = number, legs[number].then
            self._enter(left, number)
            if self.flow.retested and self.stepper.locates and self._pushes_back(number):
                record.enter(number)
                if not self.follow_sliding:
                    return self._chatter()
                stop = self._slide()
                if stop is not None:
                    return stop
                record.switch(len(legs), record.w)
                number = self._after_sliding()
            if self.stepper.locates and self._makes_no_progress():
                record.enter(number)
                return self._chatter()

    def _leave(self, number: int) -> None:
        """Record that a phase ended in the record's state."""
        self.record.switch(number, self.flow.legs[number].field.observe(self.record.w))

    def _enter(self, left: int, number: int) -> None:
        """Turn the state in which phase ``left`` ended into one of phase ``number``."""
        if self.flow.is_lifted and number < len(self.flow.legs):
            left_field, field = (self.flow.legs[k].field for k in (left, number))
            z = entered(left_field, field, self.record.w, self.record.t)
            self.record.append(self.record.t, z, number)

    def _segment(self, number: int, leg: Leg) -> Segment:
        evaluator = FieldEvaluator(leg.field, self.tally, compiled=self._compiled)
        recurs = self.flow.retested or self.flow.re_entrant
        rule = None if leg.rule is None else RuleEvaluator(leg.rule, evaluator, recurs)
        wanted = number >= len(self.flow.legs) - 1
        return Segment(number, leg, evaluator, rule, self.tol if leg.final else 0.0, wanted)

    def _first_phase(self) -> int:
        """Return 0, or the phase that the sign of a rule which is tested again and again chooses."""
        rule = self._segments[0].rule
        if not self.flow.retested or rule is None:
            return 0
        return int(rule.is_met(rule(self.record.t, self.record.w)))

    def _skip_met(self, number: int, left: int | None) -> int:
        """Pass over phases whose rule is already met, but over none that was ``left`` or passed over here.

        Where phases come again, a rule that is located may be the one that began its phase, and is then waited
        for until the state has moved away from it.
        """
        waits = self.flow.re_entrant and self.stepper.locates
        if self.flow.retested or waits or self.stepper.by_formula:
            return number
        passed = {left}
        while number < len(self._segments) and number not in passed:
            rule = self._segments[number].rule
            if rule is None or not rule.is_met(rule(self.record.t, self.record.w)):
                break
            self._leave(number)
            passed.add(number)
            following = self.flow.legs[number].then
            self._enter(number, following)
            number = following
        return number

    def _advance(self, segment: Segment) -> Stop | None:
        """Run one phase to its end; return what ends the run there, or None where the phase's rule is met."""
        stop = self.stepper.arrive(segment)
        if stop is not None:
            return stop
        # What type the user's functions return is known once the field has been evaluated: `arrive` did.
        if not self.stepper.by_formula:
            self.plan = self.plan.seen_in(segment.leg.field.precision)
        plan = self.plan.next_phase()
        record = self.record
        began = record.t, record.w
        if self.flow.retested:
            self._reach = max(self._reach, vector_norm(began[1]))
        counts_steps = self.stepper.locates and not self.stepper.by_formula
        if counts_steps and self.tally.steps >= plan.max_steps:  # the switch took the last one
            return OUT_OF_STEPS
        if counts_steps and self.progress.show:  # a whole phase may be one batch
            value = segment.evaluator(record.t, record.w)  # remembered: `arrive` asked
            norm = segment.evaluator.norm(record.w, value)
            self.progress.update(record.t, norm)
        while True:
            finding = self.stepper.run(segment, plan, self._eyes(segment, plan))
            if finding.crossing is not None:
                self.stepper.land(segment, plan, finding.crossing)
                return None
            rests = finding.stop.reason is StopReason.STATIONARY and not segment.leg.final
            # Where it was asked for, the algorithm looks at F in every phase.
            if rests and not finding.stop.asked_for:
                return self._wait(segment, plan)
            if finding.stop.reason is StopReason.HORIZON and waits_for_ever(
                segment, *began, record, plan.tolerances, self.tol
            ):
                return never_met(segment.number, record.t)
            better = finding.remedy(plan) if finding.remedy is not None else None
            if better is None:
                return finding.stop
            plan = self.plan = better
            record.method_note = plan.note

    def _eyes(self, segment: Segment, plan: Plan) -> Look:
        """Return what looks at every batch of steps that the stepper accepts, and records it."""
        judges, watchers = self._watchers(segment, plan)
        record, tally = self.record, self.tally

        def look(step: Step) -> Finding | None:
            tally.steps += step.steps
            for judge in judges:
                finding = judge.look(step)
                if finding is not None:
                    if finding.crossing is None:
                        tally.steps -= step.steps
                    return finding
            piece = step.interpolant() if record.keeps_solution else None
            if step.batch is None:
                record.append(step.t, step.w, segment.number, step.norm)
            else:
                record.extend(step.batch.times, step.batch.states, segment.number, step.batch.norms)
            if piece is not None:
                record.keep(step.t, piece)
            if self.progress.show:
                self.progress.update(step.t, step.norm)
            for watcher in watchers:
                finding = watcher.look(step)
                if finding is not None:
                    return finding
            return self._limits(segment, plan, step)

        return look

    def _watchers(self, segment: Segment, plan: Plan) -> tuple[list[Watcher], list[Watcher]]:
        """Return those that may refuse a step, and those that look at what is recorded."""
        t, w, rule, field = self.record.t, self.record.w, segment.rule, segment.leg.field
        if self.stepper.by_formula or not self.stepper.locates:
            return [], []
        judges: list[Watcher] = []
        watchers: list[Watcher] = []
        if plan.enforce_energy and field.energy is not None:
            judges.append(EnergyWatch(field.energy, self.tally, w))
        if rule is not None:
            judges.append(CrossingWatch(rule, t, w, self.flow.retested))
        if segment.tol > 0:
            watchers.append(StationarityWatch(segment.tol, segment.wanted))
        if plan.stiff_method is not None:
            watchers.append(StiffnessWatch(segment.evaluator, plan, t))
        own_norm = rule.rule.scale if rule is not None and rule.shares_field else None
        if segment.tol > 0:
            watchers.append(
                timeless(StallWatch(plan, segment.tol, math.isfinite(plan.t_max)), field)
            )
        elif own_norm:
            watchers.append(StallWatch(plan, own_norm, False))
        elif rule is not None and not segment.leg.final:
            watchers.append(timeless(RestWatch(plan), field))
        return judges, watchers

    def _limits(self, segment: Segment, plan: Plan, step: Step) -> Finding | None:
        if self.callback is not None:
            w = segment.leg.field.observe(step.w)
            state = State(step.t, w.copy(), segment.number, step.norm, self.tally.steps)
            if ends_run(self.callback, state):
                detail = f"The callback ended it at t = {step.t:.6g}."
                return Finding(Stop(StopReason.INTERRUPTED, detail))
        return Finding(OUT_OF_STEPS) if self.tally.steps >= plan.max_steps else None

    def _wait(self, segment: Segment, plan: Plan) -> Stop | None:
        """Wait where a phase is at rest for a rule that looks at the time; name one that cannot be met."""
        record = self.record
        met = time_at_rest(segment.rule, record.t, record.w, plan.t_max)
        if met is None and time_at_rest(segment.rule, record.t, record.w, math.inf) is None:
            return never_met(segment.number, record.t)
        until = plan.t_max if met is None else met
        record.keep_constant(until)
        record.append(until, np.array(record.w), segment.number)
        if met is not None:
            return None
        return Stop(StopReason.HORIZON, f"t = {until:.6g}.", asked_for=True)

    def _pushes_back(self, following: int) -> bool:
        """Whether the phase being entered pushes back to the surface that the last one pushed to."""
        segment = self._segments[following]
        if segment.rule is None:
            return False
        t, w = self.record.t, self.record.w
        velocity = segment.evaluator(t, w)
        speed, cost = segment.rule.rule.speed(t, w, velocity, self._reach)
        self.tally.add(cost)
        return speed < 0

    def _slide(self) -> Stop | None:
        """Follow the Filippov motion until it rests or leaves the surface."""
        field = SlidingField.of(self.flow)
        leg = Leg(field, field.margin_rule, 0, True)
        stop = self._advance_sliding(self._segment(len(self.flow.legs), leg))
        if stop is None or stop.reason is not StopReason.STATIONARY:
            return stop
        detail = (
            f"{stop.detail} It is the sliding field that vanishes: a KKT point of minimising F subject "
            "to f <= c, not a stationary point of F."
        )
        return Stop(stop.reason, detail, stop.asked_for)

    def _advance_sliding(self, segment: Segment) -> Stop | None:
        self.record.enter(segment.number)
        return self._advance(segment)

    def _after_sliding(self) -> int:
        inward = SlidingField.of(self.flow).leaves_inward(np.asarray(self.record.w))
        return self.flow.inner_leg if inward else 1 - self.flow.inner_leg

    @property
    def _chatter_switches(self) -> int:
        """How many switches without progress are chattering: after no fewer has some phase come again."""
        return max(CHATTER_SWITCHES, len(self.flow.legs))

    def _makes_no_progress(self) -> bool:
        """Whether many switches have brought the run next to nowhere in time."""
        switches, many = self.record.switches, self._chatter_switches
        if len(switches) <= many:
            return False
        span = switches[-1].t - switches[-1 - many].t
        return bool(span <= CHATTER_SHARE * (switches[-1].t - self.record.times[0]))

    def _chatter(self) -> Stop:
        t = self.record.t
        if self.flow.retested:
            detail = (
                f"At t = {t:.6g}; sliding='follow' follows the path along it, and rule='one_way' does not "
                "test again."
            )
        else:
            detail = (
                f"At t = {t:.6g} the phases have followed each other {len(self.record.switches)} times, the last "
                f"{self._chatter_switches} of them without progress in time; move their ending rules apart."
            )
        return Stop(StopReason.CHATTERING, detail)
